//! A blob as the body of a request: read on a thread of its own, hashed on the way, a few pieces in memory. Its last
//! piece is let go only when the whole has the right digest, so that a damaged blob is never complete anywhere.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use xedge_model::{Digest, Hasher};

use crate::error::{Error, Result};
use crate::http::Body;
use crate::plan::Blob;
use crate::source::{BlobSource, Event, Progress};

const PIECE: usize = 256 << 10;
const PIECES_AHEAD: usize = 4;

/// Where blobs come from and who watches them go.
#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) source: Arc<dyn BlobSource>,
    pub(crate) progress: Arc<dyn Progress>,
}

/// What was wrong with the blob itself, told apart from what was wrong with the connection.
#[derive(Clone, Default)]
pub(crate) struct Fault(Arc<Mutex<Option<Error>>>);

impl Fault {
    /// Takes the fault, if there is one.
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl Feed {
    /// The blob from byte `from` on.
    pub(crate) fn body(&self, blob: &Blob, from: u64, fault: &Fault) -> Body {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let (source, fault, wanted) = (self.source.clone(), fault.clone(), blob.clone());
        // It ends by itself when the receiver is gone.
        tokio::task::spawn_blocking(move || pump(source.as_ref(), &wanted, from, &sender, &fault));
        let moved = Arc::new(AtomicU64::new(0));
        let (progress, digest, counter) = (self.progress.clone(), blob.digest.clone(), moved.clone());
        let pieces = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let pieces = pieces.inspect(move |piece| {
            if let Ok(piece) = piece {
                counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
                progress.event(Event::Moved(digest.clone(), piece.len() as u64));
            }
        });
        Body::Stream { length: blob.size - from, moved, pieces: pieces.boxed() }
    }
}

type Sender = mpsc::Sender<io::Result<Bytes>>;

fn pump(source: &dyn BlobSource, blob: &Blob, from: u64, sender: &Sender, fault: &Fault) {
    if let Err(error) = try_pump(source, blob, from, sender) {
        fault.set(error);
        // The receiver may be gone.
        let _ = sender.blocking_send(Err(io::Error::other("the blob cannot be read")));
    }
}

fn try_pump(source: &dyn BlobSource, blob: &Blob, from: u64, sender: &Sender) -> Result<()> {
    let failed = |source| Error::ReadBlob { digest: blob.digest.clone(), source };
    let mut reader = source.open(&blob.digest).map_err(failed)?;
    let (mut hasher, mut position, mut held) = (Hasher::new(), 0_u64, None);
    loop {
        let piece = piece(&mut reader).map_err(failed)?;
        if piece.is_empty() {
            break;
        }
        hasher.update(&piece);
        let start = position;
        position += piece.len() as u64;
        if position > blob.size {
            return Err(damaged(blob, format!("it has more than {} bytes", blob.size)));
        }
        if position <= from {
            continue;
        }
        let skip = usize::try_from(from.saturating_sub(start)).expect("less than one piece is skipped");
        if let Some(ready) = held.replace(piece.slice(skip..))
            && sender.blocking_send(Ok(ready)).is_err()
        {
            return Ok(());
        }
    }
    check(blob, position, &hasher.finish())?;
    // Nobody needs it where the receiver is gone.
    let _ = held.map(|last| sender.blocking_send(Ok(last)));
    Ok(())
}

fn piece(reader: &mut dyn Read) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(PIECE);
    reader.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok(piece.into())
}

fn check(blob: &Blob, size: u64, found: &Digest) -> Result<()> {
    if size != blob.size {
        return Err(damaged(blob, format!("it has {size} bytes instead of {}", blob.size)));
    }
    if *found != blob.digest {
        return Err(damaged(blob, format!("its content has the digest {found}")));
    }
    Ok(())
}

fn damaged(blob: &Blob, problem: String) -> Error {
    Error::DamagedBlob { digest: blob.digest.clone(), problem }
}
