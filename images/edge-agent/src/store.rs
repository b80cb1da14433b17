//! Members of bundles on disk, by digest. What it holds was checked on the way in, piece by piece, and is only ever asked
//! for by names that were signed; it trusts its files no further than that, so a reader hashes them again.
//!
//! A member that is arriving is a `.part` of whole pieces; power may fail at any write. Only one process writes a part.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use xedge_bundle::tuf::{PIECE, Target};
use xedge_bundle::{Code, Refusal};
use xedge_model::atomic::WriteError;
use xedge_model::{Digest, Hasher};

use crate::{Error, Home, Result, TransferError};

/// The members that a device keeps.
#[derive(Clone, Debug)]
pub struct Store {
    home: Home,
}

/// A part that is being written, and what is known of it.
struct Part {
    path: Utf8PathBuf,
    file: File,
    /// Bytes that are there and were checked: whole pieces.
    done: u64,
    /// Has seen these bytes.
    whole: Hasher,
}

impl Store {
    /// The store of this home; nothing is made before the first write.
    pub fn new(home: &Home) -> Self {
        Self { home: home.clone() }
    }

    /// Whether the member is there whole. Its length is compared; its bytes were hashed when it came.
    pub fn has(&self, target: &Target) -> bool {
        let path = self.home.member(target.hashes.sha256());
        fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() == target.length)
    }

    /// The first byte of a member that is missing: what is before it is there and has just been compared with the signed
    /// pieces. The member's length, where it is there whole.
    pub fn resume(&self, target: &Target) -> Result<u64> {
        if self.has(target) {
            return Ok(target.length);
        }
        let path = self.home.partial(target.hashes.sha256());
        match File::open(&path) {
            Ok(file) => Ok(checked(&path, file, target)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Takes the bytes of a member from `from` to its end. Each piece is compared before it is written; the member is there
    /// once its own digest was right and the disk has it. What came before an error is kept for the next try, unless the
    /// disk is full: then the room is given back.
    pub fn receive(&self, name: &str, target: &Target, from: u64, reader: &mut dyn Read) -> Result<()> {
        let digest = target.hashes.sha256();
        if self.has(target) {
            return Err(TransferError::Unwanted { member: name.to_owned() }.into());
        }
        let path = self.home.partial(digest);
        self.ensure_folder()?;
        let mut part = Part::open(path.clone(), target)?;
        if part.done != from {
            return Err(TransferError::Offset { member: name.to_owned(), from, expected: part.done }.into());
        }
        match part.fill(name, target, reader) {
            Ok(()) => {}
            Err(Error::Write(error)) if error.is_full() => {
                remove(&path)?;
                return Err(Error::Write(error));
            }
            Err(error) => return Err(error),
        }
        let found = part.whole.finish();
        if found != *digest {
            remove(&path)?;
            let reason = format!("its digest is {found}, not {digest}");
            return Err(Refusal::new(Code::Digest, name, reason).into());
        }
        let member = self.home.member(digest);
        let write = |source| Error::from(WriteError::new(&member, source));
        part.file.sync_all().map_err(write)?;
        fs::rename(&path, &member).map_err(write)?;
        sync_folder(&self.home.store()).map_err(write)
    }

    /// Opens a member.
    pub fn open(&self, digest: &Digest) -> Result<File> {
        let path = self.home.member(digest);
        File::open(&path).map_err(|source| Error::Read { path, source })
    }

    /// The bytes of a member of this length, hashed.
    pub fn read(&self, digest: &Digest, length: u64) -> Result<Vec<u8>> {
        let path = self.home.member(digest);
        let mut bytes = Vec::new();
        let read = self.open(digest)?.take(length + 1).read_to_end(&mut bytes);
        read.map_err(|source| Error::Read { path: path.clone(), source })?;
        if bytes.len() as u64 != length || Digest::of(&bytes) != *digest {
            self.discard(digest)?;
            let reason = format!("it is no longer what {digest} names, and was thrown away");
            return Err(Error::DamagedMember { path, reason });
        }
        Ok(bytes)
    }

    /// What is there, whole or in part: bytes by digest.
    pub fn members(&self) -> Result<BTreeMap<Digest, u64>> {
        let folder = self.home.store();
        let read = |source| Error::Read { path: folder.clone(), source };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(read(source)),
        };
        let mut members = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            let Some(digest) = name.to_str().and_then(digest_of) else { continue };
            members.insert(digest, entry.metadata().map_err(read)?.len());
        }
        Ok(members)
    }

    /// Removes a member, whole or in part; one that is not there is no error.
    pub fn discard(&self, digest: &Digest) -> Result<()> {
        remove(&self.home.member(digest))?;
        remove(&self.home.partial(digest))
    }

    fn ensure_folder(&self) -> Result<()> {
        let folder = self.home.store();
        fs::create_dir_all(&folder).map_err(|source| WriteError::new(&folder, source).into())
    }
}

impl Part {
    /// Opens what is there, for this process alone, and forgets what is no whole, right piece.
    fn open(path: Utf8PathBuf, target: &Target) -> Result<Self> {
        let write = |source| Error::from(WriteError::new(&path, source));
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(write)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(TransferError::Receiving { path }.into());
        }
        let again = file.try_clone().map_err(write)?;
        let (done, whole) = checked(&path, again, target)?;
        file.set_len(done).map_err(write)?;
        file.seek(SeekFrom::Start(done)).map_err(write)?;
        Ok(Self { path, file, done, whole })
    }

    /// Reads to the member's end, piece by piece.
    fn fill(&mut self, name: &str, target: &Target, reader: &mut dyn Read) -> Result<()> {
        let mut piece = Vec::new();
        while self.done < target.length {
            let size = (target.length - self.done).min(PIECE);
            piece.clear();
            let read = reader.take(size).read_to_end(&mut piece);
            read.map_err(|source| Error::Bundle { member: name.to_owned(), source })?;
            if (piece.len() as u64) < size {
                let source = io::ErrorKind::UnexpectedEof.into();
                return Err(Error::Bundle { member: name.to_owned(), source });
            }
            if !is_piece(target, self.done, &piece) {
                let reason = format!("the piece at byte {} is not the one that was signed", self.done);
                return Err(Refusal::new(Code::Digest, name, reason).into());
            }
            self.file.write_all(&piece).map_err(|source| WriteError::new(&self.path, source))?;
            self.whole.update(&piece);
            self.done += size;
        }
        Ok(())
    }
}

/// How many bytes from the start are whole, right pieces, and a hasher that has seen them.
fn checked(path: &Utf8Path, mut file: File, target: &Target) -> Result<(u64, Hasher)> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    file.seek(SeekFrom::Start(0)).map_err(read)?;
    let (mut done, mut whole, mut piece) = (0, Hasher::new(), Vec::new());
    while done < target.length {
        let size = (target.length - done).min(PIECE);
        piece.clear();
        (&mut file).take(size).read_to_end(&mut piece).map_err(read)?;
        if (piece.len() as u64) < size || !is_piece(target, done, &piece) {
            break;
        }
        whole.update(&piece);
        done += size;
    }
    Ok((done, whole))
}

fn is_piece(target: &Target, at: u64, bytes: &[u8]) -> bool {
    usize::try_from(at / PIECE).is_ok_and(|index| target.is_piece(index, bytes))
}

fn digest_of(file: &str) -> Option<Digest> {
    let hex = file.strip_prefix("sha256-")?;
    Digest::from_hex(hex.strip_suffix(".part").unwrap_or(hex)).ok()
}

fn remove(path: &Utf8Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(WriteError::new(path, source).into()),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Utf8Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
