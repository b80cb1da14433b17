//! One member into the blobs, whatever it is: hashed as it came, and a layer also as it is unpacked. Constant memory.

use std::io::{self, Cursor, Read, Write};

use flate2::read::MultiGzDecoder;
use tar::EntryType;
use xedge_model::{Digest, Hasher};

use super::name;
use super::walk::{Walk, fill, is_header};
use crate::blobs::MAX_DOCUMENT;
use crate::descriptor::LAYER;
use crate::hashed::Hashed;
use crate::layer::gzip;
use crate::{Blobs, Descriptor, Error};

const HEAD: usize = 512;
const BUFFER: usize = 64 << 10;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A member that was read to its end.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Digest of the bytes as they came.
    pub(super) digest: Digest,
    /// Their number.
    pub(super) size: u64,
    pub(super) what: What,
}

/// What a member turned out to be.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A small file, in the blobs as it came.
    Document,
    /// A layer, in the blobs as gzip.
    Layer(Unpacked),
    /// Something that begins like a layer and is none.
    BrokenLayer(String),
    /// A layer with an entry that leads out of the image.
    UnsafeLayer { entry: String, why: &'static str },
    /// Compressed with zstd, not kept.
    Zstd,
    /// A big file that is no layer, not kept.
    Other,
}

/// A layer in the blobs.
#[derive(Clone, Debug)]
pub(super) struct Unpacked {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: Digest,
    /// Time of the newest entry, seconds since 1970.
    pub(super) newest: i64,
    /// Whether it came as gzip and was kept as it came.
    pub(super) kept: bool,
}

/// Why a member was not read to its end.
pub(super) enum Trouble {
    /// The archive it is in.
    Source(io::Error),
    /// The blobs that it goes to.
    Blobs(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Blobs(error)
    }
}

/// Reads a member to its end.
pub(super) fn store(mut reader: impl Read, blobs: &Blobs) -> Result<Stored, Trouble> {
    let mut head = vec![0; HEAD];
    let filled = fill(&mut reader, &mut head).map_err(Trouble::Source)?;
    head.truncate(filled);
    let (is_gzip, is_zstd) = (head.starts_with(GZIP), head.starts_with(ZSTD));
    let is_tar = is_header(&head) || head == [0; HEAD];
    let whole = Cursor::new(head).chain(reader);
    if is_gzip {
        compressed(whole, blobs)
    } else if is_tar {
        plain(whole, blobs)
    } else if is_zstd {
        hashed(whole, What::Zstd)
    } else {
        document(whole, blobs)
    }
}

fn document(mut reader: impl Read, blobs: &Blobs) -> Result<Stored, Trouble> {
    let mut bytes = Vec::new();
    (&mut reader).take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(Trouble::Source)?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return hashed(Cursor::new(bytes).chain(reader), What::Other);
    }
    let digest = blobs.put(&bytes)?;
    Ok(Stored { digest, size: bytes.len() as u64, what: What::Document })
}

fn hashed(mut reader: impl Read, what: What) -> Result<Stored, Trouble> {
    let mut sink = Hashed::new(io::sink());
    io::copy(&mut reader, &mut sink).map_err(Trouble::Source)?;
    let (_, digest, size) = sink.finish();
    Ok(Stored { digest, size, what })
}

/// A gzip file goes into the blobs as it is.
fn compressed(reader: impl Read, blobs: &Blobs) -> Result<Stored, Trouble> {
    let mut tee = Tee::new(reader, blobs.writer()?);
    let mut unpacked = Digesting::new(MultiGzDecoder::new(&mut tee));
    let scanned = scan(&mut unpacked).and_then(|scan| drain(&mut unpacked).map(|()| scan));
    let diff_id = unpacked.hasher.finish();
    let writer = tee.finish()?;
    let (digest, size) = writer.finish()?;
    let descriptor = Descriptor::new(LAYER, digest.clone(), size);
    let what = what(scanned, |newest| Unpacked { descriptor, diff_id, newest, kept: true });
    Ok(Stored { digest, size, what })
}

/// A plain tar is compressed on the way; its own digest is the layer's diff id.
fn plain(reader: impl Read, blobs: &Blobs) -> Result<Stored, Trouble> {
    let mut tee = Tee::new(reader, Hashed::new(gzip(blobs.writer()?)));
    let scanned = scan(&mut tee);
    let (gzip, diff_id, size) = tee.finish()?.finish();
    let writer = gzip.finish().map_err(|error| Error::from_io("the blobs".into(), error))?;
    let (packed, packed_size) = writer.finish()?;
    let descriptor = Descriptor::new(LAYER, packed, packed_size);
    let layer = |newest| Unpacked { descriptor, diff_id: diff_id.clone(), newest, kept: false };
    Ok(Stored { digest: diff_id.clone(), size, what: what(scanned, layer) })
}

fn what(scanned: io::Result<Scan>, layer: impl FnOnce(i64) -> Unpacked) -> What {
    match scanned {
        Ok(Scan { unsafe_entry: Some((entry, why)), .. }) => What::UnsafeLayer { entry, why },
        Ok(Scan { newest, .. }) => What::Layer(layer(newest)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            What::BrokenLayer("it is cut off".to_owned())
        }
        Err(error) => What::BrokenLayer(error.to_string()),
    }
}

#[derive(Default)]
struct Scan {
    newest: i64,
    unsafe_entry: Option<(String, &'static str)>,
}

/// Goes over a layer's entries: none may lead out of the image that it is unpacked into.
fn scan(reader: impl Read) -> io::Result<Scan> {
    let mut walk = Walk::lenient(io::BufReader::with_capacity(BUFFER, reader));
    let mut scan = Scan::default();
    while let Some(member) = walk.next()? {
        scan.newest = scan.newest.max(member.mtime);
        let target = (member.kind == EntryType::Link).then(|| name::below(&member.link));
        let found = [(&member.path, Some(name::clean(&member.path))), (&member.link, target)];
        for (text, checked) in found {
            if let (Some(Err(why)), None) = (checked, &scan.unsafe_entry) {
                scan.unsafe_entry = Some((text.clone(), why));
            }
        }
    }
    Ok(scan)
}

fn drain(reader: &mut impl Read) -> io::Result<()> {
    io::copy(reader, &mut io::sink()).map(drop)
}

/// Hashes what is read.
struct Digesting<R> {
    reader: R,
    hasher: Hasher,
}

impl<R> Digesting<R> {
    fn new(reader: R) -> Self {
        Self { reader, hasher: Hasher::new() }
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// Writes down what is read, and keeps apart whose error it was.
struct Tee<R, W> {
    reader: R,
    writer: W,
    trouble: Option<Trouble>,
}

impl<R: Read, W: Write> Tee<R, W> {
    fn new(reader: R, writer: W) -> Self {
        Self { reader, writer, trouble: None }
    }

    /// Reads what is left, since whoever read before may have stopped early; gives back the writer.
    fn finish(mut self) -> Result<W, Trouble> {
        if self.trouble.is_none() {
            // Its errors are told by the trouble that they leave.
            let _told = drain(&mut self);
        }
        match self.trouble {
            Some(trouble) => Err(trouble),
            None => Ok(self.writer),
        }
    }
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.reader.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.trouble = Some(Trouble::Source(error));
                return Err(told);
            }
            read => read?,
        };
        if let Err(error) = self.writer.write_all(&buffer[..read]) {
            let told = io::Error::new(error.kind(), error.to_string());
            self.trouble = Some(Trouble::Blobs(Error::from_io("the blobs".into(), error)));
            return Err(told);
        }
        Ok(read)
    }
}
