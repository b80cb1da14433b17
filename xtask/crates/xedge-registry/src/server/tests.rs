//! The registry over a socket.
