//! Connections that take a route: what models dial, and what listeners of ours pass connections on to.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::lane::Lane;
use super::shaped::Shaped;
use super::wire::{Link, Tie, Way};
use super::{Hop, Route};
use crate::seed::Draws;

/// A connection, with links in between or without.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Straight to the other side.
    Plain(TcpStream),
    /// Through links.
    Shaped(Box<Shaped<TcpStream>>),
}

/// Connects to `address` along `route`.
pub(crate) async fn connect(address: SocketAddr, route: Option<&Route>) -> io::Result<Stream> {
    let Some(route) = route else { return Ok(Stream::Plain(dial(address).await?)) };
    connect_opened(address, route.open().await?).await
}

/// Connects to `address` along a route whose handshake went through.
pub(super) async fn connect_opened(address: SocketAddr, opened: Opened) -> io::Result<Stream> {
    Ok(Stream::Shaped(Box::new(opened.around(dial(address).await?))))
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A reading must leave when it is due, not when the kernel has collected enough.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Self::Shaped(shaped) = self
            && shaped.is_torn()
        {
            // The other side is to hear of it as of a reset; where it is gone already, it need not.
            let _ = shaped.get_ref().set_zero_linger();
        }
    }
}

/// A route that was opened: the handshake went through.
pub(super) struct Opened {
    ties: Vec<Tie>,
    out: Lane,
    back: Lane,
}

impl Route {
    /// What TCP's handshake takes: one way there and one back, over links that are whole. Torn is refused.
    pub(super) async fn open(&self) -> io::Result<Opened> {
        let ties = self.ties();
        for tie in &ties {
            poll_fn(|cx| tie.poll_whole(cx)).await;
        }
        sleep(self.hops.iter().map(|hop| hop.link.round_trip()).sum::<Duration>()).await;
        if ties.iter().any(Tie::is_torn) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let numbers: Vec<u64> = ties.iter().map(|tie| tie.count(&self.opener)).collect();
        let through = |place: usize, way: Way| -> (Arc<Link>, Way, Draws) {
            let link = &self.hops[place].link;
            let tie = ties.iter().position(|tie| Arc::ptr_eq(&tie.link, link)).unwrap_or_default();
            (link.clone(), way, link.draws(way, &self.opener, numbers[tie], place))
        };
        let places = || 0..self.hops.len();
        let out = Lane::new(places().map(|place| through(place, self.hops[place].way)));
        let back = Lane::new(places().rev().map(|place| through(place, self.hops[place].way.reverse())));
        Ok(Opened { ties, out, back })
    }

    /// A place on every link, also on one that is passed twice.
    fn ties(&self) -> Vec<Tie> {
        let mut ties: Vec<Tie> = Vec::new();
        for Hop { link, .. } in self.hops.iter() {
            if !ties.iter().any(|tie| Arc::ptr_eq(&tie.link, link)) {
                ties.push(Tie::new(link));
            }
        }
        ties
    }
}

impl Opened {
    pub(super) fn around<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) -> Shaped<S> {
        Shaped::new(stream, self.ties, self.out, self.back)
    }
}

crate::either::passes_through!(Stream { Plain, Shaped });
