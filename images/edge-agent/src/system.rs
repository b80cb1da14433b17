//! This machine's clock, its standard input with an end to patience, and its Engine's socket. The only place that asks them.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use camino::Utf8Path;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xedge_agent::engine::{Docker, Engine};
use xedge_agent::{Clock, Error, Result};

/// Where Engines listen, in the order in which they are tried.
const SOCKETS: [&str; 3] = ["/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"];

/// The system's clock.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn unix(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Bytes from standard input; a host that says nothing for this long is taken for gone, and holds nothing up any longer.
pub(crate) struct Patient<R> {
    inner: R,
    patience: Duration,
}

impl<R: Read + AsFd> Patient<R> {
    pub(crate) fn new(inner: R, patience: Duration) -> Self {
        Self { inner, patience }
    }
}

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let timeout = Timespec::try_from(self.patience).map_err(io::Error::other)?;
        let ready = poll(&mut [PollFd::new(&self.inner, PollFlags::IN)], Some(&timeout));
        match ready {
            Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "the host said nothing for too long")),
            Ok(_) => self.inner.read(to),
            Err(error) => Err(error.into()),
        }
    }
}

/// Connects to the Engine at this socket.
pub(crate) fn connect(socket: &str) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Docker::connect(socket)?))
}

/// The socket that `DOCKER_HOST` names, else Docker's, else Podman's.
pub(crate) fn find() -> Result<String> {
    if let Some(host) = std::env::var("DOCKER_HOST").ok().filter(|host| host.starts_with("unix://")) {
        return Ok(host);
    }
    let found = SOCKETS.into_iter().find(|path| Utf8Path::new(path).exists());
    found.map(str::to_owned).ok_or_else(|| Error::Engine {
        what: "find an Engine".to_owned(),
        reason: format!("there is no socket at {}", SOCKETS.join(" or ")),
    })
}
