//! WebSocket, server side (RFC 6455).
