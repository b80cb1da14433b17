//! The lock of a run: a file held for as long as the run's objects in the Engine are wanted.

use std::fs::{File, OpenOptions, TryLockError};

use camino::{Utf8Path, Utf8PathBuf};

use crate::Error;

/// A held lock. Dropping it frees the lock and removes the file.
#[derive(Debug)]
pub struct RunLock {
    path: Utf8PathBuf,
    /// Held, never read: the lock lives as long as the open file.
    _file: File,
}

impl RunLock {
    /// Takes `FOLDER/RUN_ID.lock`, before the run makes anything in the Engine.
    pub fn take(folder: &Utf8Path, run_id: &str) -> Result<Self, Error> {
        let path = folder.join(format!("{run_id}.lock"));
        let failed = |source| Error::Lock { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        // Labels carry this path, and a later run may be started in another folder.
        let path = folder.canonicalize_utf8().map_err(failed)?.join(format!("{run_id}.lock"));
        let failed = |source| Error::Lock { path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::RunExists { run_id: run_id.to_owned(), path }),
            Err(TryLockError::Error(source)) => Err(Error::Lock { path, source }),
        }
    }

    /// The lock file, absolute.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Removed while it is held, so that nobody can take it in between. One that stays is taken and removed by a sweep.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Whether a run still holds its lock. A free one comes back held, so that two sweeps do not do the same work.
#[derive(Debug)]
pub(crate) enum Holder {
    /// The run is going on, or somebody else is sweeping it.
    Busy,
    /// The file is not there.
    Gone,
    /// Nobody held it; now it is held here.
    Ours(#[expect(dead_code, reason = "held for its drop")] RunLock),
}

/// Tries the lock at a path that came from a label. It opens the file and creates nothing; anything but a clear answer
/// counts as busy, because what a running simulation needs must not be removed.
pub(crate) fn holder(path: &Utf8Path, run_id: &str) -> Holder {
    // A label is not ours to trust: only a file of this name is ever removed.
    if path.file_name() != Some(format!("{run_id}.lock").as_str()) {
        return Holder::Busy;
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Holder::Gone,
        Err(_) => return Holder::Busy,
    };
    match file.try_lock() {
        Ok(()) => Holder::Ours(RunLock { path: path.to_owned(), _file: file }),
        Err(_) => Holder::Busy,
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::{Holder, RunLock, holder};
    use crate::Error;

    #[test]
    fn a_lock_is_held_by_one_and_freed_by_dropping_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap().join("locks");
        let lock = RunLock::take(&folder, "r1").unwrap();
        let path = lock.path().to_owned();
        assert!(matches!(RunLock::take(&folder, "r1"), Err(Error::RunExists { .. })));
        assert!(matches!(holder(&path, "r1"), Holder::Busy));
        drop(lock);
        assert!(!path.exists());
        assert!(matches!(holder(&path, "r1"), Holder::Gone));
    }

    #[test]
    fn what_a_dead_run_left_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("r1.lock");
        std::fs::write(&path, "").unwrap();
        let ours = holder(&path, "r1");
        assert!(matches!(ours, Holder::Ours(_)));
        assert!(matches!(holder(&path, "r1"), Holder::Busy));
        drop(ours);
        assert!(!path.exists());
    }

    #[test]
    fn a_label_that_points_elsewhere_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("precious");
        std::fs::write(&path, "").unwrap();
        assert!(matches!(holder(&path, "r1"), Holder::Busy));
        assert!(path.exists());
    }
}
