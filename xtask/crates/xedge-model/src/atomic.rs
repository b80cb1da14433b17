//! Writes that are whole or absent: beside, fsync, rename, fsync of the folder.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;

/// A write that failed, naming the file.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {path}")]
pub struct WriteError {
    path: String,
    source: io::Error,
}

impl WriteError {
    /// Names the file of an error that happened while it was written.
    pub fn new(path: &Utf8Path, source: io::Error) -> Self {
        Self { path: path.to_string(), source }
    }

    /// Whether the disk is full or a quota is used up.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl crate::Failure for WriteError {
    fn class(&self) -> crate::Class {
        crate::Class::Environment
    }

    fn hint(&self) -> Option<String> {
        self.is_full().then(|| format!("the disk is full: see `df -h {}`", self.path))
    }
}

/// Writes `bytes` to `path` with permission bits `mode`, creating missing folders.
pub fn write(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    write_with(path, mode, |file| file.write_all(bytes))
}

/// Like [`write()`], for content that is produced while it is written.
pub fn write_with(
    path: &Utf8Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), WriteError> {
    try_write(path, mode, fill).map_err(|source| WriteError::new(path, source))
}

fn try_write(path: &Utf8Path, mode: u32, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(folder)?;
    let mut beside = tempfile::Builder::new().prefix(".write-").tempfile_in(folder)?;
    fill(beside.as_file_mut())?;
    beside.as_file().set_permissions(Permissions::from_mode(mode))?;
    beside.as_file().sync_all()?;
    beside.persist(path).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}
