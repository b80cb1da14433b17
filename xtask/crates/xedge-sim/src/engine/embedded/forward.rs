//! Published ports: a process of our own holds a listener on this machine's loopback, enters the run's network and
//! passes connections on to the container. It ends with the process that started it, however that ends.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpListener as Listener, TcpStream};

/// The hidden command of our program that is a forwarder.
pub const COMMAND: &str = "embedded-forward";

/// Bytes under way in one direction of one connection.
const BUFFER: usize = 8 * 1024;

/// A running forwarder; it ends when this value is dropped.
#[derive(Debug)]
pub(super) struct Forwarder {
    child: Child,
    /// The forwarder ends when its other end closes.
    _leash: UnixStream,
    /// Port of the container.
    pub(super) port: u16,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Forwarder {
    /// Starts one: `program` is our own, `network` the namespace of the run's bridge.
    pub(super) fn start(program: &Path, network: &str, to: Ipv4Addr, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (leash, held) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command.args([COMMAND, network, &format!("{to}:{port}")]);
        command.stdin(OwnedFd::from(listener)).stdout(OwnedFd::from(held)).stderr(Stdio::null());
        {
            // An interrupt at the terminal is for the run, which then ends this process in its own order.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        Ok(Self { child: command.spawn()?, _leash: leash, port, address })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // It may have ended already; waiting for it leaves no zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the hidden command does: standard input is the listener, standard output the leash. Ends when the leash does.
pub fn forward(network: &str, to: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    let leash = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let namespace = File::open(network)?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = Listener::from_std(listener)?;
        tokio::select! {
            () = accept(&listener, to) => Ok(()),
            ended = tokio::task::spawn_blocking(move || (&leash).read(&mut [0])) => {
                ended.map_err(io::Error::other)?.map(drop)
            }
        }
    })
}

async fn accept(listener: &Listener, to: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(pass(client, to))),
            // Out of descriptors: those that end make room.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Where the container does not listen, the client sees its connection end, as with Docker's own proxy.
async fn pass(mut client: TcpStream, to: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_ok() {
        // Either side may hang up at any time.
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await;
    }
}
