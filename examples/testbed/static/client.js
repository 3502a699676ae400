// The client of Socket.IO would be here.
