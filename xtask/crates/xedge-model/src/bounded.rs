//! A reader that may be read to a certain place only: whoever reads headers that somebody else wrote says how far they
//! may go, before a library keeps all of them in memory. Knows no format.

use std::cell::Cell;
use std::io::{self, Read};

/// Room for the headers between two members of an archive: names, extended attributes.
pub const HEADERS: u64 = 1 << 20;

/// How far a [`Bounded`] reader is and may go.
#[derive(Debug)]
pub struct Bound {
    at: Cell<u64>,
    end: Cell<u64>,
}

impl Bound {
    /// At the start of an archive: headers may come.
    pub fn at_start() -> Self {
        Self { at: Cell::new(0), end: Cell::new(HEADERS) }
    }

    /// Content of this size may come now, its padding and the headers of the next member.
    pub fn content(&self, size: u64) {
        self.end.set(self.at.get().saturating_add(size).saturating_add(HEADERS));
    }

    /// Reads within this bound.
    pub fn over<R>(&self, inner: R) -> Bounded<'_, R> {
        Bounded { inner, bound: self }
    }
}

/// Fails instead of reading past its [`Bound`].
#[derive(Debug)]
pub struct Bounded<'a, R> {
    inner: R,
    bound: &'a Bound,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.bound.end.get() - self.bound.at.get();
        if room == 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a name is too long"));
        }
        let most = usize::try_from(room).map_or(buffer.len(), |room| room.min(buffer.len()));
        let read = self.inner.read(&mut buffer[..most])?;
        self.bound.at.set(self.bound.at.get() + read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{Bound, HEADERS};

    #[test]
    fn headers_end_where_no_content_was_announced() {
        let bound = Bound::at_start();
        let mut reader = bound.over(io::repeat(b'a'));
        let mut read = |size: u64| io::copy(&mut (&mut reader).take(size), &mut io::sink());
        assert_eq!(read(HEADERS).unwrap(), HEADERS);
        assert_eq!(read(1).unwrap_err().kind(), io::ErrorKind::InvalidData);
        bound.content(5);
        assert_eq!(read(HEADERS + 5).unwrap(), HEADERS + 5);
        assert_eq!(read(1).unwrap_err().to_string(), "a name is too long");
    }
}
