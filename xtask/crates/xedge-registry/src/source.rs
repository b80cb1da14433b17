//! The two seams of a push: where blobs come from and who watches. It must not know any layout on disk.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use bytes::Bytes;
use xedge_model::Digest;

/// Gives blobs by digest; what it gives is hashed before it counts.
pub trait BlobSource: Send + Sync {
    /// The whole content from its start; it is opened again for each try.
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>>;
}

/// Blobs in memory, for small artifacts.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs(BTreeMap<Digest, Bytes>);

impl MemoryBlobs {
    /// A source of these blobs.
    pub fn new(blobs: impl IntoIterator<Item = Bytes>) -> Self {
        Self(blobs.into_iter().map(|bytes| (Digest::of(&bytes), bytes)).collect())
    }
}

impl BlobSource for MemoryBlobs {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.0.get(digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes.clone())))
    }
}

/// What happens to the blobs of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The registry has it already.
    There(Digest),
    /// The registry took it from another of its repositories.
    Mounted(Digest),
    /// Its upload starts, or starts again.
    Started(Digest),
    /// Its upload goes on after this many bytes.
    Resumed(Digest, u64),
    /// This many further bytes of it are on their way.
    Moved(Digest, u64),
    /// The registry has all of it now.
    Done(Digest),
}

/// Watches a push. It is called from several tasks and must return at once.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}
