//! A stream whose bytes pass links in both directions, on the task that uses it: no task, no buffer and no descriptor of
//! its own while nothing is under way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::lane::{Lane, Load, SEGMENT};
use super::wire::Tie;

/// A stream behind links. What is written leaves when its time has come and somebody polls the stream, to read or to
/// write: whoever uses it does nothing else for long.
#[derive(Debug)]
pub(crate) struct Shaped<S> {
    inner: S,
    ties: Vec<Tie>,
    out: Lane,
    /// What is half written to `inner`.
    going: Bytes,
    /// Why no more can be written to `inner`.
    broken: Option<io::ErrorKind>,
    back: Lane,
    /// Whether `inner` has ended.
    ended: bool,
    timer: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Shaped<S> {
    pub(super) fn new(inner: S, ties: Vec<Tie>, out: Lane, back: Lane) -> Self {
        let timer = Box::pin(sleep_until(Instant::now()));
        Self { inner, ties, out, going: Bytes::new(), broken: None, back, ended: false, timer }
    }

    /// The stream behind the links.
    pub(super) fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Whether a reset of one of its links ended it.
    pub(super) fn is_torn(&self) -> bool {
        self.ties.iter().any(Tie::is_torn)
    }

    /// Everything that can be done now.
    fn work(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        // Before the look at them, so that nothing changes unheard in between.
        self.ties.iter().for_each(|tie| tie.watch(cx));
        if self.is_torn() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let now = Instant::now();
        self.send(cx, now);
        self.take(cx, now);
        Ok(())
    }

    /// Passes on what has come through.
    fn send(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.out.advance(now);
        while self.broken.is_none() {
            if self.going.is_empty() {
                match self.out.pop() {
                    Some(Load::Bytes(bytes)) => self.going = bytes,
                    Some(Load::End(_)) | None => return,
                }
            }
            match Pin::new(&mut self.inner).poll_write(cx, &self.going) {
                Poll::Ready(Ok(0)) => self.broken = Some(io::ErrorKind::WriteZero),
                Poll::Ready(Ok(n)) => self.going.advance(n),
                Poll::Ready(Err(error)) => self.broken = Some(error.kind()),
                Poll::Pending => return,
            }
        }
    }

    /// Takes in what is to come through.
    fn take(&mut self, cx: &mut Context<'_>, now: Instant) {
        while !self.ended && self.back.room() > 0 {
            let mut space = [0; SEGMENT];
            let mut piece = ReadBuf::new(&mut space);
            match Pin::new(&mut self.inner).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if piece.filled().is_empty() => self.finish(now, None),
                Poll::Ready(Ok(())) => self.back.push(now, piece.filled()),
                Poll::Ready(Err(error)) => self.finish(now, Some(error)),
                Poll::Pending => break,
            }
        }
        self.back.advance(now);
    }

    fn finish(&mut self, now: Instant, error: Option<io::Error>) {
        self.ended = true;
        self.back.end(now, error);
    }

    /// Has the task woken when the next piece is due. Ready if that is now.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let next = [self.out.next_at(), self.back.next_at()].into_iter().flatten().min();
        let Some(next) = next else { return Poll::Pending };
        self.timer.as_mut().reset(next);
        self.timer.as_mut().poll(cx)
    }

    fn writable(&self) -> io::Result<()> {
        self.broken.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Shaped<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.work(cx)?;
            match this.back.pop() {
                Some(Load::Bytes(mut bytes)) => {
                    buffer.put_slice(&bytes.split_to(bytes.len().min(buffer.remaining())));
                    if !bytes.is_empty() {
                        this.back.unpop(bytes);
                    }
                    return Poll::Ready(Ok(()));
                }
                Some(Load::End(Some(error))) => return Poll::Ready(Err(error)),
                Some(Load::End(None)) => return Poll::Ready(Ok(())),
                // It has been read to its end before.
                None if this.ended && this.back.is_empty() => return Poll::Ready(Ok(())),
                None => ready!(this.poll_next(cx)),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Shaped<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            this.work(cx)?;
            this.writable()?;
            let room = this.out.room().min(bytes.len());
            if room > 0 || bytes.is_empty() {
                this.out.push(Instant::now(), &bytes[..room]);
                this.work(cx)?;
                // Only the timer may have the stream polled when the next piece is due.
                while this.poll_next(cx).is_ready() {
                    this.work(cx)?;
                }
                return Poll::Ready(Ok(room));
            }
            ready!(this.poll_next(cx));
        }
    }

    /// As with TCP: what was written is on its way, and nobody waits for it.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.work(cx)?;
        this.writable()?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    /// Ends the other side's input after what was written before has arrived.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.work(cx)?;
            this.writable()?;
            if this.out.is_empty() && this.going.is_empty() {
                return Pin::new(&mut this.inner).poll_shutdown(cx);
            }
            ready!(this.poll_next(cx));
        }
    }
}
