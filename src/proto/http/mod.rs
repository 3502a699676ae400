//! HTTP/1.1, server side (RFC 9110, RFC 9112).
