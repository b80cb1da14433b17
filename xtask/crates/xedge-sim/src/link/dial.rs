//! Connections that take a route: what models dial, and what listeners of ours pass connections on to.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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
    let opened = route.open().await?;
    let stream = dial(address).await?;
    Ok(Stream::Shaped(Box::new(opened.around(stream))))
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A reading must leave when it is due, not when the kernel has collected enough.
    stream.set_nodelay(true)?;
    Ok(stream)
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
        let ties: Vec<Tie> = self.hops.iter().map(|hop| Tie::new(&hop.link)).collect();
        for tie in &ties {
            poll_fn(|cx| tie.poll_whole(cx)).await;
        }
        sleep(self.hops.iter().map(|hop| hop.link.round_trip()).sum::<Duration>()).await;
        if ties.iter().any(Tie::is_torn) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let numbers: Vec<u64> = ties.iter().map(|tie| tie.count(&self.opener)).collect();
        let through = |hop: &Hop, way: Way, number: u64| -> (Arc<Link>, Way, Draws) {
            (hop.link.clone(), way, hop.link.draws(way, &self.opener, number))
        };
        let numbered = || self.hops.iter().zip(&numbers);
        let out = Lane::new(numbered().map(|(hop, number)| through(hop, hop.way, *number)));
        let back = Lane::new(numbered().rev().map(|(hop, number)| through(hop, hop.way.reverse(), *number)));
        Ok(Opened { ties, out, back })
    }
}

impl Opened {
    pub(super) fn around<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) -> Shaped<S> {
        Shaped::new(stream, self.ties, self.out, self.back)
    }
}

/// The same call on whichever it is.
macro_rules! either {
    ($stream:expr, $one:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Plain(stream) => {
                let $one = Pin::new(stream);
                $call
            }
            Stream::Shaped(shaped) => {
                let $one = Pin::new(shaped.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
