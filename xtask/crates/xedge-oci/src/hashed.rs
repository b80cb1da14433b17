//! A writer that hashes and counts what passes through it. Knows no files.

use std::io::{self, Write};

use xedge_model::{Digest, Hasher};

/// Passes bytes on and remembers their digest and number.
pub(crate) struct Hashed<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Hashed<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(), size: 0 }
    }

    pub(crate) fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        self.size += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
