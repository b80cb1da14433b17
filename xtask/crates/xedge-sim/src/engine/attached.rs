//! A command in a container with its three streams. It ends when its container is removed.

use tokio::io::{AsyncRead, AsyncWrite};

/// The streams of a command that runs in a container.
pub(crate) struct Attached {
    /// Its standard input.
    pub(crate) input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output.
    pub(crate) output: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error.
    pub(crate) errors: Box<dyn AsyncRead + Send + Unpin>,
}
