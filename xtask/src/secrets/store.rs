//! One file a value, `secrets/ENVIRONMENT/NAME` in the data folder, mode 0600 in a folder of mode 0700. It knows nothing of what
//! a value means.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::atomic;
use xedge_sign::Zeroizing;

use super::{DEVELOPMENT, Error};
use crate::commands::Context;
use crate::error::{Error as Other, Result, read_bytes};

const NOTE_NAME: &str = "README";
const NOTE: &str = "Development values, for simulations only. A device never gets them.\n";

/// The values of one environment.
pub(crate) struct Store {
    folder: Utf8PathBuf,
}

impl Store {
    /// The store of an environment, the same for each class of its devices; refuses one that others can read. Nothing is
    /// made yet.
    pub(crate) fn open(cx: &Context<'_>, environment: &str) -> Result<Self> {
        let (environment, _class) = xedge_config::split_class(environment);
        let folder = cx.project.home()?.join("secrets").join(environment);
        if environment == DEVELOPMENT && is_open(&folder) {
            // Earlier versions made it as the umask said. If it is not ours, the check below says so.
            let _ = fs::set_permissions(&folder, Permissions::from_mode(0o700));
        }
        refuse_open(&folder)?;
        Ok(Self { folder })
    }

    /// Where a value lies.
    pub(crate) fn file(&self, name: &str) -> Utf8PathBuf {
        self.folder.join(name)
    }

    /// A value, if there is one.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let file = self.file(name);
        if !file.exists() {
            return Ok(None);
        }
        refuse_open(&file)?;
        Ok(Some(Zeroizing::new(read_bytes(&file)?)))
    }

    /// Writes a value, whatever was there before.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.prepare()?;
        Ok(atomic::write(&self.file(name), bytes, 0o600)?)
    }

    /// Writes a value unless there is one; whether it did.
    pub(crate) fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.prepare()?;
        let file = self.file(name);
        match self.try_create(&file, bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(Other::Write { path: file, source }.into()),
        }
    }

    /// The names that are there, with the time of each in seconds since 1970.
    pub(crate) fn names(&self) -> Result<BTreeMap<String, i64>> {
        let mut found = BTreeMap::new();
        for file in crate::project::entries(&self.folder)? {
            let (Some(name), Ok(meta)) = (file.file_name(), file.metadata()) else { continue };
            if meta.is_file() && name != NOTE_NAME && !name.starts_with('.') {
                found.insert(name.to_owned(), meta.mtime());
            }
        }
        Ok(found)
    }

    /// A temporary file beside has mode 0600 from its first byte on.
    fn try_create(&self, file: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
        let mut beside = tempfile::Builder::new().prefix(".write-").tempfile_in(&self.folder)?;
        beside.write_all(bytes)?;
        beside.as_file().sync_all()?;
        beside.persist_noclobber(file).map_err(|error| error.error)?;
        fs::File::open(&self.folder)?.sync_all()
    }

    fn prepare(&self) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|source| Other::Write { path: self.folder.clone(), source })?;
        let note = self.file(NOTE_NAME);
        if self.folder.file_name() == Some(DEVELOPMENT) && !note.exists() {
            atomic::write(&note, NOTE.as_bytes(), 0o600)?;
        }
        Ok(())
    }
}

fn mode(path: &Utf8Path) -> Option<u32> {
    path.metadata().ok().map(|meta| meta.permissions().mode() & 0o7777)
}

fn is_open(path: &Utf8Path) -> bool {
    mode(path).is_some_and(|mode| mode & 0o077 != 0)
}

pub(super) fn refuse_open(path: &Utf8Path) -> Result<()> {
    match mode(path).filter(|mode| mode & 0o077 != 0) {
        Some(mode) => Err(Error::Open { path: path.to_owned(), mode }.into()),
        None => Ok(()),
    }
}
