//! Containers, volumes and networks as folders with their labels: what a killed run left is found here. Names come from
//! plans; nothing outside of the folder is touched.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use xedge_model::{Digest, atomic};

use crate::engine::{Kind, Labels, Object};

/// What is written down of an object.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) labels: Labels,
    /// Image of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<Digest>,
}

const RECORD: &str = "object.json";

/// The folders of objects.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    folder: Utf8PathBuf,
}

impl Objects {
    pub(super) fn new(folder: Utf8PathBuf) -> Self {
        Self { folder }
    }

    fn kind(&self, kind: Kind) -> Utf8PathBuf {
        self.folder.join(match kind {
            Kind::Container => "containers",
            Kind::Volume => "volumes",
            Kind::Network => "networks",
        })
    }

    pub(super) fn path(&self, kind: Kind, name: &str) -> Utf8PathBuf {
        self.kind(kind).join(name)
    }

    /// Makes the folder of a new object, with its record in it before anything else.
    pub(super) fn make(&self, kind: Kind, name: &str, record: &Record) -> io::Result<Utf8PathBuf> {
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is no name")));
        }
        fs::create_dir_all(self.kind(kind))?;
        private(&self.folder)?;
        let path = self.path(kind, name);
        fs::create_dir(&path)?;
        let text = serde_json::to_vec(record)?;
        atomic::write(&path.join(RECORD), &text, 0o600).map_err(io::Error::other)?;
        Ok(path)
    }

    /// All objects with a label (`name` or `name=value`), in the order in which they are removed.
    pub(super) fn labelled(&self, label: &str) -> io::Result<Vec<Object>> {
        let (name, value) = label.split_once('=').map_or((label, None), |(name, value)| (name, Some(value)));
        let wanted = |labels: &Labels| labels.get(name).is_some_and(|found| value.is_none_or(|v| v == found));
        let mut objects = Vec::new();
        for kind in [Kind::Container, Kind::Volume, Kind::Network] {
            for (id, record) in self.all(kind)? {
                if wanted(&record.labels) {
                    objects.push(Object { kind, id, labels: record.labels });
                }
            }
        }
        objects.sort();
        Ok(objects)
    }

    /// Name and record of every object of a kind; what is being removed or made right now may be missing.
    pub(super) fn all(&self, kind: Kind) -> io::Result<Vec<(String, Record)>> {
        let entries = match self.kind(kind).read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            let text = fs::read(entry.path().join(RECORD)).unwrap_or_default();
            if let Ok(record) = serde_json::from_slice(&text) {
                all.push((entry.file_name().to_owned(), record));
            }
        }
        Ok(all)
    }

    /// Removes an object's folder; its record goes last, so that it can be found until then.
    pub(super) fn remove(&self, kind: Kind, name: &str) -> io::Result<()> {
        let path = self.path(kind, name);
        let entries = match path.read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name() != RECORD {
                remove_any(entry.path())?;
            }
        }
        remove_any(&path)
    }
}

fn remove_any(path: &Utf8Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Volumes hold secrets, with the owners that containers know.
fn private(folder: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}
