//! Rendered files in a folder: written whole or not at all, and compared with what is there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::atomic::{self, WriteError};

use crate::Error;
use crate::rendered::{FORMAT, Record, Rendered};
use crate::unified::unified;

const RECORD: &str = "rendered.json";
const RECORD_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// What writing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The folder was not there.
    Created,
    /// The folder held an earlier rendering.
    Replaced,
    /// The folder already held exactly these files.
    Unchanged,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
        })
    }
}

/// One difference between a folder and what it should hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// The file is not there.
    Missing(Utf8PathBuf),
    /// The file has other bytes, or is no ordinary file.
    Changed(Utf8PathBuf),
    /// The file has other permission bits than it should have.
    Mode {
        /// The file.
        path: Utf8PathBuf,
        /// Bits it has.
        found: u32,
        /// Bits it should have.
        wanted: u32,
    },
    /// Nobody asked for this file.
    Extra(Utf8PathBuf),
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{path} is missing"),
            Self::Changed(path) => write!(f, "{path} has changed"),
            Self::Mode { path, found, wanted } => {
                write!(f, "{path} has mode {found:04o} instead of {wanted:04o}")
            }
            Self::Extra(path) => write!(f, "{path} is not part of it"),
        }
    }
}

impl Rendered {
    /// Writes all files and rendered.json into `folder`: a new folder beside it takes its place. An existing folder is
    /// replaced only if it holds a rendering and nothing else.
    pub fn write_to(&self, folder: &Utf8Path) -> Result<Written, Error> {
        let existing = exists(folder)?;
        if existing {
            check_ours(folder)?;
            if self.check(folder)?.is_empty() {
                return Ok(Written::Unchanged);
            }
        }
        self.swap(folder, existing).map_err(|error| match error {
            Swap::Write(error) => Error::Write(error),
            Swap::Io(source) => Error::Write(WriteError::new(folder, source)),
        })?;
        Ok(if existing { Written::Replaced } else { Written::Created })
    }

    /// Compares with what is in `folder`; no difference is an empty list. A folder that is not there lacks every file.
    pub fn check(&self, folder: &Utf8Path) -> Result<Vec<Drift>, Error> {
        let record = record_text(&self.record());
        let mut wanted: BTreeMap<&Utf8Path, (u32, &[u8])> =
            self.files().iter().map(|file| (file.path(), (file.mode(), file.bytes()))).collect();
        wanted.insert(Utf8Path::new(RECORD), (RECORD_MODE, record.as_bytes()));
        let mut found = walk(folder)?;
        let mut drift = Vec::new();
        for (path, (mode, bytes)) in wanted {
            match found.remove(path) {
                None => drift.push(Drift::Missing(path.to_owned())),
                Some(kind) => drift.extend(compare(folder, path, kind, mode, bytes)?),
            }
        }
        drift.extend(found.into_keys().map(Drift::Extra));
        drift.sort();
        Ok(drift)
    }

    /// A unified diff from what is in `folder` to what should be; modes are in [`Self::check`] only.
    pub fn unified_from(&self, folder: &Utf8Path) -> Result<String, Error> {
        let record = record_text(&self.record());
        let mut wanted: BTreeMap<&Utf8Path, &[u8]> =
            self.files().iter().map(|file| (file.path(), file.bytes())).collect();
        wanted.insert(Utf8Path::new(RECORD), record.as_bytes());
        let found = walk(folder)?;
        let mut paths: Vec<&Utf8Path> =
            wanted.keys().copied().chain(found.keys().map(Utf8PathBuf::as_path)).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut text = String::new();
        for path in paths {
            let there = match found.get(path) {
                Some(Kind::File(_)) => {
                    let full = folder.join(path);
                    Some(fs::read(&full).map_err(|source| read_error(&full, source))?)
                }
                // A folder or a link in a file's place has no lines.
                Some(Kind::Other) | None => None,
            };
            text.push_str(&diff(path, there.as_deref(), wanted.get(path).copied()));
        }
        Ok(text)
    }

    /// A unified diff from the files of another rendering to these.
    pub fn unified_from_rendered(&self, from: &Self) -> String {
        let bytes = |rendered: &Self| -> BTreeMap<Utf8PathBuf, Vec<u8>> {
            rendered.files().iter().map(|file| (file.path().to_owned(), file.bytes().to_vec())).collect()
        };
        let (from, to) = (bytes(from), bytes(self));
        let mut paths: Vec<&Utf8PathBuf> = from.keys().chain(to.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let of = |path: &Utf8PathBuf| {
            diff(path, from.get(path).map(Vec::as_slice), to.get(path).map(Vec::as_slice))
        };
        paths.into_iter().map(of).collect()
    }

    fn swap(&self, folder: &Utf8Path, existing: bool) -> Result<(), Swap> {
        let parent = folder.parent().filter(|p| !p.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
        fs::create_dir_all(parent)?;
        let new = tempfile::Builder::new().prefix(".render-").tempdir_in(parent)?;
        let new_path = utf8(new.path())?;
        self.fill(new_path)?;
        let old = tempfile::Builder::new().prefix(".rendered-").tempdir_in(parent)?;
        let aside = utf8(old.path())?.join("old");
        if existing {
            fs::rename(folder, &aside)?;
        }
        if let Err(error) = fs::rename(new_path, folder) {
            if existing {
                fs::rename(&aside, folder)?;
            }
            return Err(error.into());
        }
        File::open(parent)?.sync_all()?;
        Ok(())
    }

    fn fill(&self, folder: &Utf8Path) -> Result<(), Swap> {
        for file in self.files() {
            atomic::write(&folder.join(file.path()), file.bytes(), file.mode())?;
        }
        atomic::write(&folder.join(RECORD), record_text(&self.record()).as_bytes(), RECORD_MODE)?;
        // The container's user is another one than who renders, so that folders must be open to read.
        for sub in folders(self).into_iter().map(|sub| folder.join(sub)) {
            fs::set_permissions(&sub, Permissions::from_mode(FOLDER_MODE))?;
            File::open(&sub)?.sync_all()?;
        }
        Ok(())
    }
}

/// An error while the new folder takes the old one's place.
enum Swap {
    Write(WriteError),
    Io(io::Error),
}

impl From<WriteError> for Swap {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<io::Error> for Swap {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn utf8(path: &std::path::Path) -> io::Result<&Utf8Path> {
    Utf8Path::from_path(path).ok_or_else(|| io::Error::other("the folder's name is not UTF-8"))
}

/// The folder itself and all folders in it.
fn folders(rendered: &Rendered) -> Vec<&Utf8Path> {
    let mut all: Vec<&Utf8Path> =
        rendered.files().iter().flat_map(|file| file.path().ancestors().skip(1)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn record_text(record: &Record) -> String {
    let mut text = serde_json::to_string_pretty(record).expect("a record has string keys only");
    text.push('\n');
    text
}

fn exists(folder: &Utf8Path) -> Result<bool, Error> {
    match fs::symlink_metadata(folder) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Read { path: folder.to_owned(), source }),
    }
}

/// What is not from rendering is someone's work, and is not removed. An empty folder is nobody's.
fn check_ours(folder: &Utf8Path) -> Result<(), Error> {
    let not_ours = |why: &str| Error::NotOurs { folder: folder.to_owned(), why: why.to_owned() };
    let metadata = fs::symlink_metadata(folder).map_err(|source| read_error(folder, source))?;
    if !metadata.is_dir() {
        return Err(not_ours("it is not a folder"));
    }
    let found = walk(folder)?;
    if found.is_empty() {
        return Ok(());
    }
    let record = fs::read_to_string(folder.join(RECORD)).ok();
    let record: Option<Record> = record.and_then(|text| serde_json::from_str(&text).ok());
    let Some(record) = record.filter(|record| record.format == FORMAT) else {
        return Err(not_ours("it was not made by rendering, there is no valid rendered.json in it"));
    };
    let known = |path: &Utf8PathBuf| path == RECORD || record.files.iter().any(|file| file.path == *path);
    match found.keys().find(|path| !known(path)) {
        Some(path) => Err(not_ours(&format!("{path} in it is not from rendering"))),
        None => Ok(()),
    }
}

/// What a path is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File(u32),
    Other,
}

/// Everything below a folder but the folders themselves: an empty one holds nobody's work.
fn walk(root: &Utf8Path) -> Result<BTreeMap<Utf8PathBuf, Kind>, Error> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match folder.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder == root => break,
            Err(error) => return Err(read_error(&folder, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|source| read_error(&folder, source))?;
            let metadata = entry.metadata().map_err(|source| read_error(entry.path(), source))?;
            let kind = match metadata.file_type() {
                kind if kind.is_dir() => {
                    folders.push(entry.into_path());
                    continue;
                }
                kind if kind.is_file() => Kind::File(metadata.permissions().mode() & 0o7777),
                _ => Kind::Other,
            };
            found.insert(below(root, entry.path()), kind);
        }
    }
    Ok(found)
}

fn below(root: &Utf8Path, path: &Utf8Path) -> Utf8PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

fn compare(
    folder: &Utf8Path,
    path: &Utf8Path,
    kind: Kind,
    wanted: u32,
    bytes: &[u8],
) -> Result<Vec<Drift>, Error> {
    let Kind::File(found) = kind else { return Ok(vec![Drift::Changed(path.to_owned())]) };
    let full = folder.join(path);
    let mut drift = Vec::new();
    if fs::read(&full).map_err(|source| read_error(&full, source))? != bytes {
        drift.push(Drift::Changed(path.to_owned()));
    }
    if found != wanted {
        drift.push(Drift::Mode { path: path.to_owned(), found, wanted });
    }
    Ok(drift)
}

/// The difference of one file; what is no text is only named.
fn diff(path: &Utf8Path, from: Option<&[u8]>, to: Option<&[u8]>) -> String {
    let text = |bytes: Option<&'_ [u8]>| match bytes.map(std::str::from_utf8) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.to_owned())),
        Some(Err(_)) => Err(()),
    };
    match (text(from), text(to)) {
        (Ok(from), Ok(to)) => unified(path.as_str(), from.as_deref(), to.as_deref()),
        _ if from == to => String::new(),
        _ => format!("Binary files a/{path} and b/{path} differ\n"),
    }
}

fn read_error(path: &Utf8Path, source: io::Error) -> Error {
    Error::Read { path: path.to_owned(), source }
}
