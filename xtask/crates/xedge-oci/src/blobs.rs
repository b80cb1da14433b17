//! A content-addressed folder, `blobs/sha256/HEX`. Knows nothing of images; never hands out bytes without their check.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Read, Take, Write};
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::NamedTempFile;
use xedge_model::atomic::{self, WriteError};
use xedge_model::{Digest, Hasher};

use crate::hashed::Hashed;
use crate::{Descriptor, Error};

/// Manifests and configs beyond this are refused; registries take up to 4 MiB (distribution-spec, pushing manifests).
pub const MAX_DOCUMENT: u64 = 4 << 20;

const MODE: u32 = 0o644;
const BUFFER: usize = 256 << 10;

/// The blobs of one layout.
#[derive(Clone, Debug)]
pub struct Blobs {
    dir: Utf8PathBuf,
}

impl Blobs {
    /// The blobs below `root/blobs/sha256`; the folder is made when the first blob is put in.
    pub fn at(root: &Utf8Path) -> Self {
        Self { dir: root.join("blobs/sha256") }
    }

    /// The blobs that lie right in a folder under their digests' digits.
    pub fn in_folder(dir: &Utf8Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The file of a blob, whether it is there or not.
    pub fn path(&self, digest: &Digest) -> Utf8PathBuf {
        self.dir.join(digest.hex())
    }

    /// The length of a blob in bytes, or `None` if it is not there. Says nothing about its content.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Writes a blob. One that is there with the right length is left alone; one of another length is replaced.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.size(&digest)? != Some(bytes.len() as u64) {
            atomic::write(&self.path(&digest), bytes, MODE)?;
        }
        Ok(digest)
    }

    /// Writes everything that `reader` has as one blob, in constant memory; returns its digest and length.
    /// An error of the reader is told as one of the folder that was being written to, unless it holds an [`enum@Error`].
    pub fn put_stream(&self, reader: &mut impl Read) -> Result<(Digest, u64), Error> {
        let mut writer = self.writer()?;
        match io::copy(reader, &mut writer) {
            Ok(_) => writer.finish(),
            Err(error) => Err(writer.error(error)),
        }
    }

    /// Takes over a file that was hashed already, without a second copy where the file system can do that. Neither this
    /// folder nor the file's owner ever writes into a file that has its digest's name.
    pub fn adopt(&self, file: &Utf8Path, descriptor: &Descriptor) -> Result<(), Error> {
        if self.size(&descriptor.digest)? == Some(descriptor.size) {
            return Ok(());
        }
        let is_right = fs::metadata(file).is_ok_and(|metadata| metadata.len() == descriptor.size);
        if is_right && self.link(file, &self.path(&descriptor.digest)).is_ok() {
            return Ok(());
        }
        // Another file system, or one without links: then it is copied, and hashed on the way.
        let mut source = File::open(file).map_err(|source| Error::Io { path: file.to_owned(), source })?;
        let (found, size) = self.put_stream(&mut source)?;
        if (&found, size) == (&descriptor.digest, descriptor.size) {
            return Ok(());
        }
        Err(Error::CorruptBlob { digest: descriptor.digest.clone(), path: file.to_owned(), found })
    }

    /// A second name for a file. Others may do the same at once, so the name is made beside and moved into its place.
    fn link(&self, file: &Utf8Path, path: &Utf8Path) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let beside = tempfile::Builder::new().prefix(".link-").tempdir_in(&self.dir)?;
        let name = beside.path().join("blob");
        fs::hard_link(file, &name)?;
        fs::rename(&name, path)
    }

    /// Starts a blob whose digest is not known yet. Nothing is left behind if it is dropped unfinished.
    pub fn writer(&self) -> Result<BlobWriter, Error> {
        let start = || {
            fs::create_dir_all(&self.dir)?;
            tempfile::Builder::new().prefix(".write-").tempfile_in(&self.dir)
        };
        let file = start().map_err(|source| WriteError::new(&self.dir, source))?;
        Ok(BlobWriter { blobs: self.clone(), out: Hashed::new(BufWriter::with_capacity(BUFFER, file)) })
    }

    /// Opens a blob. The digest is checked when the last byte is read: a wrong one is an [`io::Error`] in place of the
    /// last bytes, which holds an [`Error::CorruptBlob`] ([`Error::from_io`] takes it out). A caller must not act on
    /// the bytes before the end.
    pub fn open(&self, digest: &Digest) -> Result<BlobReader, Error> {
        let path = self.path(digest);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::MissingBlob { digest: digest.clone(), path });
            }
            Err(source) => return Err(Error::Io { path, source }),
        };
        let (file, state) = (file.take(size), State::Reading(Hasher::new()));
        Ok(BlobReader { file, path, digest: digest.clone(), size, state })
    }

    /// Opens a blob like [`Blobs::open`], after its length was compared with the descriptor's.
    pub fn open_sized(&self, descriptor: &Descriptor) -> Result<BlobReader, Error> {
        let reader = self.open(&descriptor.digest)?;
        if reader.size == descriptor.size {
            return Ok(reader);
        }
        Err(Error::WrongSize {
            digest: descriptor.digest.clone(),
            path: reader.path,
            expected: descriptor.size,
            found: reader.size,
        })
    }

    /// Re-hashes a blob in constant memory.
    pub fn verify(&self, descriptor: &Descriptor) -> Result<(), Error> {
        let mut reader = self.open_sized(descriptor)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_io(&reader.path, error)),
            }
        }
    }

    /// The verified bytes of a document (index, manifest, config, SBOM), at most [`MAX_DOCUMENT`] of them.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        if descriptor.size > MAX_DOCUMENT {
            let why = format!("it has {} bytes, {MAX_DOCUMENT} are allowed", descriptor.size);
            return Err(Error::Inconsistent { digest: descriptor.digest.clone(), why });
        }
        let mut reader = self.open_sized(descriptor)?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|e| Error::from_io(&reader.path, e))?;
        Ok(bytes)
    }

    /// All blobs with their length, ordered by digest. Files that are not named by a digest (unfinished writes) are
    /// left out.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>, Error> {
        let list = || -> io::Result<Vec<_>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(&self.dir)? {
                let entry = entry?;
                let digest = entry.file_name().to_str().and_then(|name| Digest::from_hex(name).ok());
                if let Some(digest) = digest {
                    found.push((digest, entry.metadata()?.len()));
                }
            }
            found.sort();
            Ok(found)
        };
        match list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|source| Error::Io { path: self.dir.clone(), source }),
        }
    }

    /// Removes a blob; one that is not there is fine.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io { path, source }),
            _ => Ok(()),
        }
    }
}

/// A blob that is being written.
pub struct BlobWriter {
    blobs: Blobs,
    out: Hashed<BufWriter<NamedTempFile>>,
}

impl BlobWriter {
    /// Puts the blob in its place; returns its digest and length.
    pub fn finish(self) -> Result<(Digest, u64), Error> {
        let (buffered, digest, size) = self.out.finish();
        let path = self.blobs.path(&digest);
        let file = buffered.into_inner().map_err(|e| WriteError::new(&path, e.into_error()))?;
        if self.blobs.size(&digest)? != Some(size) {
            place(file, &path).map_err(|source| WriteError::new(&path, source))?;
        }
        Ok((digest, size))
    }

    /// Names the folder of an error that happened while the blob was written; one of ours comes out unchanged.
    pub(crate) fn error(&self, source: io::Error) -> Error {
        source.downcast::<Error>().unwrap_or_else(|source| WriteError::new(&self.blobs.dir, source).into())
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn place(file: NamedTempFile, path: &Utf8Path) -> io::Result<()> {
    file.as_file().set_permissions(Permissions::from_mode(MODE))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// A blob that is being read; see [`Blobs::open`].
pub struct BlobReader {
    /// Bounded by the size at the time of opening: what is appended later is never handed out.
    file: Take<File>,
    path: Utf8PathBuf,
    digest: Digest,
    size: u64,
    state: State,
}

enum State {
    Reading(Hasher),
    Read(Digest),
}

impl BlobReader {
    /// Length of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Finishes the digest; a reader that is asked again gives the same answer again.
    fn check(&mut self) -> io::Result<()> {
        if let State::Reading(hasher) = &mut self.state {
            self.state = State::Read(std::mem::take(hasher).finish());
        }
        match &self.state {
            State::Read(found) if *found != self.digest => {
                let (digest, path, found) = (self.digest.clone(), self.path.clone(), found.clone());
                Err(io::Error::new(io::ErrorKind::InvalidData, Error::CorruptBlob { digest, path, found }))
            }
            State::Read(_) | State::Reading(_) => Ok(()),
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.file.read(buffer)?;
        if let State::Reading(hasher) = &mut self.state {
            hasher.update(&buffer[..read]);
        }
        // With the last bytes, not after them: a caller that knows the length never asks once more.
        if read == 0 || self.file.limit() == 0 {
            self.check()?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
