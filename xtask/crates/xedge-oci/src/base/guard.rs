//! A tar stream on its way to the tar crate, which reads extended headers whole: those that are too large end the stream with
//! an error. It changes no byte.

use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

use crate::import::walk::MAX_EXTENSION;

const BLOCK: usize = 512;

/// Reads through to the archive inside.
pub(super) struct Guard<R> {
    inner: R,
    /// What of the next header has passed.
    block: Vec<u8>,
    /// What is left of the body behind the last header, padding included.
    body: u64,
    /// The extended header that is passing, of the entry after it.
    extended: Option<Vec<u8>>,
    /// The size that an extended header gave the next entry.
    size: Option<u64>,
    /// Whether the next block only goes on with the map of a sparse file.
    sparse: bool,
}

impl<R: Read> Guard<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, block: Vec::new(), body: 0, extended: None, size: None, sparse: false }
    }

    fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let passed = if self.body > 0 { self.pass_body(bytes) } else { self.pass_header(bytes)? };
            bytes = &bytes[passed..];
        }
        Ok(())
    }

    fn pass_body(&mut self, bytes: &[u8]) -> usize {
        let passed = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
        self.body -= passed as u64;
        if let Some(extended) = &mut self.extended {
            extended.extend_from_slice(&bytes[..passed]);
        }
        if self.body == 0
            && let Some(extended) = self.extended.take()
        {
            let sizes = PaxExtensions::new(&extended)
                .filter_map(Result::ok)
                .filter(|extension| extension.key() == Ok("size"));
            self.size = sizes.filter_map(|extension| extension.value().ok()?.parse().ok()).last();
        }
        passed
    }

    fn pass_header(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let passed = (BLOCK - self.block.len()).min(bytes.len());
        self.block.extend_from_slice(&bytes[..passed]);
        if self.block.len() == BLOCK {
            let block = std::mem::take(&mut self.block);
            if self.sparse {
                self.sparse = block[504] == 1;
            } else if block.iter().any(|byte| *byte != 0) {
                self.header(&block)?;
            }
        }
        Ok(passed)
    }

    fn header(&mut self, block: &[u8]) -> io::Result<()> {
        let header = Header::from_byte_slice(block);
        let kind = header.entry_type();
        let written = header.entry_size()?;
        let is_extension = matches!(
            kind,
            EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
        );
        if is_extension && written > MAX_EXTENSION {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an extended header is larger than 1 MiB",
            ));
        }
        let size = if is_extension { written } else { self.size.take().unwrap_or(written) };
        self.extended = (kind == EntryType::XHeader).then(Vec::new);
        self.sparse = kind == EntryType::GNUSparse && block[482] == 1;
        self.body = size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64);
        Ok(())
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.pass(&buffer[..read])?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use tar::{Builder, EntryType, Header};

    use super::{Guard, MAX_EXTENSION};

    fn archive(extension: &[u8], kind: EntryType) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(extension.len() as u64);
        header.set_cksum();
        builder.append(&header, extension).unwrap();
        let mut header = Header::new_ustar();
        header.set_size(3);
        header.set_path("a").unwrap();
        header.set_cksum();
        builder.append(&header, &b"abc"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    fn passed(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        // Small reads: a header may come in pieces.
        let mut guard = Guard::new(bytes);
        let mut piece = [0; 7];
        loop {
            match guard.read(&mut piece)? {
                0 => return Ok(all),
                read => all.extend_from_slice(&piece[..read]),
            }
        }
    }

    #[test]
    fn an_extended_header_that_is_too_large_ends_the_stream() {
        let large = vec![b'a'; usize::try_from(MAX_EXTENSION).unwrap() + 1];
        for kind in
            [EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNULongName, EntryType::GNULongLink]
        {
            let refused = passed(&archive(&large, kind)).unwrap_err();
            assert!(refused.to_string().contains("larger than 1 MiB"), "{refused}");
            let bytes = archive(b"11 a=b c d\n", kind);
            assert_eq!(passed(&bytes).unwrap(), bytes);
        }
        let plain = archive(&large, EntryType::Regular);
        assert_eq!(passed(&plain).unwrap(), plain, "a file may be as large as it likes");
    }

    #[test]
    fn a_size_in_an_extended_header_counts() {
        // The file's own header says 3 and the extended one 1024: what looks like a header is in its body.
        let mut bytes = archive(b"13 size=1024\n", EntryType::XHeader);
        let large = archive(&vec![b'a'; usize::try_from(MAX_EXTENSION).unwrap() + 1], EntryType::XHeader);
        bytes.truncate(512 * 4);
        bytes.extend_from_slice(&large[..512]);
        assert_eq!(passed(&bytes).unwrap(), bytes);
    }
}
