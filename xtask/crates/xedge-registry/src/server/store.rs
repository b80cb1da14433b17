//! The registry's folder. Everything is written in a session's folder, synced and renamed into its place, so that a
//! process that is killed leaves nothing half. It deletes no content of blobs: other repositories may link it.

mod manifests;
mod session;
mod uploads;

use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::{NamedTempFile, TempPath};
use xedge_model::Digest;

use super::error::Error;
use super::name::Name;
use session::Session;
use uploads::Uploads;

pub(super) use manifests::Record;
pub(super) use uploads::Upload;

/// A folder of repositories. Clones share it, and several processes may have the same folder open.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    root: Utf8PathBuf,
    session: Session,
    uploads: Uploads,
}

impl Store {
    /// Opens the folder, makes what is missing, and removes what processes that are gone had begun to write.
    pub fn open(folder: &Utf8Path) -> Result<Self, Error> {
        let open = || -> io::Result<Self> {
            fs::create_dir_all(folder.join("blobs/sha256"))?;
            fs::create_dir_all(folder.join("repositories"))?;
            let session = Session::begin(&folder.join("uploads"))?;
            sync(folder)?;
            Ok(Self(Arc::new(Inner { root: folder.to_owned(), session, uploads: Uploads::default() })))
        };
        open().map_err(|source| Error::Open { folder: folder.to_string(), source })
    }

    /// The folder that was opened.
    pub fn folder(&self) -> &Utf8Path {
        &self.0.root
    }

    /// Whether anything was ever pushed under this name.
    pub(super) fn has_repository(&self, name: &Name) -> bool {
        ["_blobs", "_manifests"].iter().any(|part| self.repository(name).join(part).is_dir())
    }

    /// The length of a blob of this repository.
    pub(super) fn blob_size(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>> {
        if !self.blob_link(name, digest).is_file() {
            return Ok(None);
        }
        Ok(found(fs::metadata(self.content(digest)))?.map(|metadata| metadata.len()))
    }

    /// A blob of this repository, open to be read, and its length.
    pub(super) fn open_blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        if !self.blob_link(name, digest).is_file() {
            return Ok(None);
        }
        let Some(file) = found(File::open(self.content(digest)))? else { return Ok(None) };
        let size = file.metadata()?.len();
        Ok(Some((file, size)))
    }

    /// Makes a synced file of this digest a blob of the repository.
    pub(super) fn commit_blob(&self, name: &Name, digest: &Digest, file: TempPath) -> io::Result<()> {
        self.place(file, &self.content(digest))?;
        self.link_blob(name, digest)
    }

    /// Lets a repository have a blob whose content is here.
    pub(super) fn link_blob(&self, name: &Name, digest: &Digest) -> io::Result<()> {
        let link = self.blob_link(name, digest);
        if link.is_file() { Ok(()) } else { self.write(&link, b"") }
    }

    /// Takes a blob from a repository; false if it had none.
    pub(super) fn unlink_blob(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        remove(&self.blob_link(name, digest))
    }

    fn repository(&self, name: &Name) -> Utf8PathBuf {
        self.0.root.join("repositories").join(name.as_str())
    }

    fn content(&self, digest: &Digest) -> Utf8PathBuf {
        self.0.root.join("blobs/sha256").join(digest.hex())
    }

    fn blob_link(&self, name: &Name, digest: &Digest) -> Utf8PathBuf {
        self.repository(name).join("_blobs").join(digest.hex())
    }

    /// Writes a small file, whole or not at all.
    fn write(&self, path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
        let mut staged = self.stage()?;
        io::Write::write_all(&mut staged, bytes)?;
        staged.as_file().sync_all()?;
        self.place(staged.into_temp_path(), path)
    }

    /// A new file that is swept away if this process is killed.
    fn stage(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().rand_bytes(24).tempfile_in(self.0.session.folder())
    }

    /// Renames a synced file into its place.
    fn place(&self, staged: TempPath, path: &Utf8Path) -> io::Result<()> {
        let folder = path.parent().expect("a path of the store lies below its root");
        self.make(folder)?;
        staged.persist(path).map_err(|error| error.error)?;
        sync(folder)
    }

    /// Makes a folder and syncs the folders that it is named in.
    fn make(&self, folder: &Utf8Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        let above = folder.ancestors().skip(1);
        above.take_while(|path| path.starts_with(&self.0.root)).try_for_each(sync)
    }
}

fn sync(folder: &Utf8Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file for good; false if there is none.
fn remove(path: &Utf8Path) -> io::Result<bool> {
    if found(fs::remove_file(path))?.is_none() {
        return Ok(false);
    }
    sync(path.parent().expect("a path of the store lies below its root"))?;
    Ok(true)
}

/// What is not there is no error. A path that goes through a file is not there either.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}
