//! The folder that one process writes in before it renames. Whether its process still lives is told by a lock that
//! the kernel frees, never by a time or a process id.

use std::fs::{self, File};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::found;

const PREFIX: &str = "session-";

/// A process's own folder below `uploads/`; it goes when this is dropped.
pub(super) struct Session {
    folder: Utf8PathBuf,
    _lock: File,
}

impl Session {
    /// Sweeps away the folders of processes that are gone, and begins one. Only that is done one process at a time.
    pub(super) fn begin(uploads: &Utf8Path) -> io::Result<Self> {
        fs::create_dir_all(uploads)?;
        let gate = File::create(uploads.join("lock"))?;
        gate.lock()?;
        sweep(uploads)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(uploads)?;
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?;
        let lock = File::create(path.join("lock"))?;
        lock.lock()?;
        let _kept = folder.keep();
        Ok(Self { folder: path, _lock: lock })
    }

    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What stays here is swept away when the store is opened again.
        let _swept_later = fs::remove_dir_all(&self.folder);
    }
}

fn sweep(uploads: &Utf8Path) -> io::Result<()> {
    for entry in uploads.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_name().starts_with(PREFIX) && !lives(entry.path())? {
            found(fs::remove_dir_all(entry.path()))?;
        }
    }
    Ok(())
}

fn lives(session: &Utf8Path) -> io::Result<bool> {
    match found(File::open(session.join("lock")))? {
        None => Ok(false),
        Some(lock) => match lock.try_lock() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(e)) => Err(e),
        },
    }
}
