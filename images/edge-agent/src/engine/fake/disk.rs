//! The fake Engine's folder: each object is one file that is replaced by renaming, so that a killed process leaves each
//! change wholly done or not at all.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads an object; `None` where there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Utf8Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads every object of a folder, sorted by the name of its file.
pub(super) fn read_all<T: DeserializeOwned>(folder: &Utf8Path) -> io::Result<Vec<T>> {
    names(folder)?.iter().filter_map(|path| read(path).transpose()).collect()
}

/// The objects' files, sorted.
fn names(folder: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let entries = match folder.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths: io::Result<Vec<Utf8PathBuf>> =
        entries.map(|entry| entry.map(|entry| entry.path().to_owned())).collect();
    let mut paths = paths?;
    paths.retain(|path| path.extension() == Some("json"));
    paths.sort();
    Ok(paths)
}

/// Writes an object in the place of the one before it.
pub(super) fn write(path: &Utf8Path, value: &impl Serialize) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("new");
    fs::write(&beside, serde_json::to_vec(value).map_err(io::Error::other)?)?;
    fs::rename(&beside, path)
}

/// Removes an object; gives whether there was one.
pub(super) fn remove(path: &Utf8Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
