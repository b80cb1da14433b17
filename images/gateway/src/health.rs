//! How `gateway --health` learns whether the running gateway is connected.
//!
//! Over a Unix socket with an abstract name (unix(7)): it needs no writable file system, no port and no shell, it
//! is gone when the process is, and it is answered by the loop that does the work, so a loop that hangs fails the check.
//! The name lives in the container's network namespace and holds the gateway's id, for containers that share one.

use std::io::{self, Read as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(2);
/// The answer of a healthy gateway.
pub(crate) const CONNECTED: &str = "connected";

/// The socket that a running gateway answers on.
pub(crate) fn listen(config: &Config) -> io::Result<tokio::net::UnixListener> {
    let listener = UnixListener::bind_addr(&address(config)?)?;
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

/// Answers one question. The answer fits into any socket buffer, so this never waits.
pub(crate) fn answer(stream: &tokio::net::UnixStream, state: &str) {
    // Whoever asked may be gone already; it is their question.
    let _ignored = stream.try_write(state.as_bytes());
}

/// Asks the running gateway; an error says in what state it is.
pub(crate) fn ask(config: &Config) -> Result<(), String> {
    let state = question(config).map_err(|e| format!("unhealthy: the gateway does not answer: {e}"))?;
    if state == CONNECTED { Ok(()) } else { Err(format!("unhealthy: {state}")) }
}

fn question(config: &Config) -> io::Result<String> {
    let stream = UnixStream::connect_addr(&address(config)?)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut state = String::new();
    stream.take(256).read_to_string(&mut state)?;
    Ok(state)
}

fn address(config: &Config) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("xedge-gateway/{}", config.id))
}
