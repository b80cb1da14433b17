//! The fake Engine's folder: each object is one file that is replaced by renaming, so that a killed process leaves each
//! change wholly done or not at all.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file at one moment: every change is another file in its place.
#[derive(PartialEq, Eq)]
struct Stamp([i64; 4]);

/// What a file held at that moment.
type Known = (Stamp, Rc<dyn Any>);

thread_local! {
    /// What this thread has read, by path. Tests ask the same few files some million times.
    static READ: RefCell<BTreeMap<Utf8PathBuf, Known>> = RefCell::default();
}

/// Forgets what was read: files may have been copied to their places from elsewhere.
pub(super) fn forget() {
    READ.with_borrow_mut(BTreeMap::clear);
}

/// Reads an object; `None` where there is none.
pub(super) fn read<T: DeserializeOwned + Clone + 'static>(path: &Utf8Path) -> io::Result<Option<T>> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let stamp =
        Stamp([found.ino().cast_signed(), found.len().cast_signed(), found.mtime(), found.mtime_nsec()]);
    let known = READ.with_borrow(|read| {
        let (_, value) = read.get(path).filter(|(known, _)| *known == stamp)?;
        value.downcast_ref::<T>().cloned()
    });
    if known.is_some() {
        return Ok(known);
    }
    match fs::read(path) {
        Ok(bytes) => {
            let value: T = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
            READ.with_borrow_mut(|read| read.insert(path.to_owned(), (stamp, Rc::new(value.clone()))));
            Ok(Some(value))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads every object of a folder, sorted by the name of its file.
pub(super) fn read_all<T: DeserializeOwned + Clone + 'static>(folder: &Utf8Path) -> io::Result<Vec<T>> {
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
    // A number of a file may be used again at once.
    READ.with_borrow_mut(|read| read.remove(path));
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
