//! A small registry of the OCI distribution specification for this host alone. It knows no users, so it must never
//! listen on anything but loopback, and it follows no link to another registry.

mod blobs;
mod error;
mod handle;
mod listings;
mod manifests;
mod name;
mod refusal;
mod reply;
mod route;
mod store;
mod uploads;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use error::Error;
pub use store::Store;

/// How long requests that are under way may take when the registry stops.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait when the system has no room for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// A registry that answers until it is stopped or dropped.
#[derive(Debug)]
#[must_use = "the registry stops when this is dropped"]
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, lets those that are under way end, and gives the port back.
    pub async fn stop(self) {
        drop(self.stop);
        // Its end is all that is waited for: a panic in it was told where it happened.
        let _ended = self.task.await;
    }
}

/// Listens on 127.0.0.1; port 0 is any that is free.
pub async fn bind(port: u16) -> Result<TcpListener, Error> {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).await.map_err(|source| Error::Bind { port, source })
}

/// Serves a store on a loopback listener. Must be called on a tokio runtime, on which it goes on.
pub fn serve(listener: TcpListener, store: Store) -> Result<Running, Error> {
    let address = listener.local_addr().map_err(|source| Error::Address { source })?;
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback { address });
    }
    let (stop, stopped) = watch::channel(());
    let task = tokio::spawn(accept(listener, store, stopped));
    Ok(Running { address, stop, task })
}

async fn accept(listener: TcpListener, store: Store, mut stopped: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(stream, store.clone(), stopped.clone()))),
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut off when the set is dropped.
    let _in_time = tokio::time::timeout(GRACE, all).await;
}

async fn converse(stream: TcpStream, store: Store, mut stopped: watch::Receiver<()>) {
    let service = service_fn(move |request| handle::request(store.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // A connection that breaks is the client's affair: the next request will tell it.
    tokio::select! {
        _ended = connection.as_mut() => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ended = connection.await;
        }
    }
}
