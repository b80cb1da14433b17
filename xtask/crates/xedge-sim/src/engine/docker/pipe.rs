//! Between blocking code and the streams of the client library: bounded both ways, and an error never looks like an end.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::engine::files::Chunks;

/// Chunks that may be under way.
const CHUNKS: usize = 8;
const BUFFER: usize = 256 * 1024;

/// What blocking code writes, as a stream; and how the writing ended.
pub(super) fn written(
    fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, JoinHandle<io::Result<()>>) {
    let (sender, mut receiver) = channel::<io::Result<Bytes>>(CHUNKS);
    let writer = tokio::task::spawn_blocking(move || {
        let mut sink = io::BufWriter::with_capacity(BUFFER, Chunks(sender.clone()));
        let result = fill(&mut sink).and_then(|()| io::Write::flush(&mut sink));
        if let Err(error) = &result {
            // The upload has to fail too, or half an archive would look like a whole one.
            let broken = io::Error::new(error.kind(), error.to_string());
            drop(sender.blocking_send(Err(broken)));
        }
        result
    });
    (futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)), writer)
}

/// A stream's sender and the reader of it for blocking code.
pub(super) fn readable() -> (Sender<io::Result<Bytes>>, Chunked) {
    let (sender, receiver) = channel(CHUNKS);
    (sender, Chunked { receiver, chunk: Bytes::new() })
}

/// Reads what a stream sends; must be used outside of the runtime's own threads.
pub(super) struct Chunked {
    receiver: Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl Read for Chunked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.chunk = chunk?,
                None => return Ok(0),
            }
        }
        let length = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
