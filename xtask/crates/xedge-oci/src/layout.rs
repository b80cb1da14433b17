//! An OCI layout folder (image-spec, image-layout.md) with one index per image name. Believes nothing in it unchecked.

mod read;

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xedge_model::atomic::{self, WriteError};
use xedge_model::{Class, Digest, Failure, ImageName};

use crate::index::Index;
use crate::manifest::to_json;
use crate::{Blobs, Descriptor, Error};

pub use read::{ImageEntry, PlatformImage};

/// The reference of a manifest in a layout (image-spec, annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full name under which containerd and the Engine's containerd store import an image.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The tag in the layout: only digests are ever worked with, the tag is for people and other tools.
const TAG: &str = "latest";
const MODE: u32 = 0o644;

/// The marker file of a layout.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// A layout folder.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: Utf8PathBuf,
    blobs: Blobs,
}

/// What a re-hash went over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Number of blobs.
    pub blobs: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

/// What was removed because no image reaches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Number of blobs.
    pub blobs: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Layout {
    /// Opens the layout in a folder, or makes an empty one there.
    pub fn open_or_create(dir: &Utf8Path) -> Result<Self, Error> {
        let layout = Self::at(dir);
        let empty = Index::new(Vec::new(), [].into());
        create(&layout.marker_path(), &marker())?;
        create(&layout.index_path(), &to_json(&empty))?;
        Self::open(dir)
    }

    /// Opens the layout in a folder.
    pub fn open(dir: &Utf8Path) -> Result<Self, Error> {
        let layout = Self::at(dir);
        let refused = |why| Err(Error::NotALayout { path: dir.to_owned(), why });
        for path in [layout.marker_path(), layout.index_path()] {
            if !exists(&path)? {
                return refused(format!("there is no {}", path.file_name().unwrap_or_default()));
            }
        }
        let marker: Marker = read_json(&layout.marker_path(), "an OCI layout marker")?;
        if !marker.image_layout_version.starts_with("1.") {
            return refused(format!("its version is `{}`, known is 1", marker.image_layout_version));
        }
        layout.index()?;
        Ok(layout)
    }

    /// The layout's folder.
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// The layout's blobs.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Lets a name stand for an index (or manifest) whose blobs are all there, replacing what it stood for before.
    pub fn set_image(&self, name: &ImageName, index: Descriptor) -> Result<(), Error> {
        let _lock = self.lock()?;
        self.walk(&index, &mut |blob| self.blobs.open_sized(blob).map(drop))?;
        let mut list = self.index()?;
        list.manifests.retain(|known| image_name(known).as_ref() != Some(name));
        list.manifests.push(named(index, name));
        list.manifests
            .sort_by_cached_key(|known| (known.annotations.get(REF_NAME).cloned(), known.digest.clone()));
        atomic::write(&self.index_path(), &to_json(&list), MODE)?;
        Ok(())
    }

    /// Takes a name out of the layout; returns whether it was there. Its blobs stay until [`Layout::gc`].
    pub fn remove_image(&self, name: &ImageName) -> Result<bool, Error> {
        let _lock = self.lock()?;
        let mut list = self.index()?;
        let before = list.manifests.len();
        list.manifests.retain(|known| image_name(known).as_ref() != Some(name));
        if list.manifests.len() == before {
            return Ok(false);
        }
        atomic::write(&self.index_path(), &to_json(&list), MODE)?;
        Ok(true)
    }

    /// Re-hashes every blob that an image reaches; an integrity error names the first bad one and its file.
    pub fn verify_image(&self, name: &ImageName) -> Result<Checked, Error> {
        let mut checked = Checked::default();
        self.walk(&self.find(name)?, &mut |blob| {
            checked = Checked { blobs: checked.blobs + 1, bytes: checked.bytes + blob.size };
            self.blobs.verify(blob)
        })?;
        Ok(checked)
    }

    /// Whether every blob that this descriptor reaches is there with its right length; contents are not hashed.
    pub fn has_all(&self, root: &Descriptor) -> Result<bool, Error> {
        match self.walk(root, &mut |blob| self.blobs.open_sized(blob).map(drop)) {
            Ok(()) => Ok(true),
            Err(error) if error.class() == Class::Integrity => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the blobs that nothing in `index.json` reaches, images of other tools included. If a document on the way
    /// cannot be read, nothing is removed. Not to be called while an image is being built: blobs that no name reaches
    /// yet would go too, and the build would fail when it sets the name.
    pub fn gc(&self) -> Result<Collected, Error> {
        let _lock = self.lock()?;
        let mut reached: BTreeSet<Digest> = BTreeSet::new();
        for root in self.index()?.manifests {
            self.walk(&root, &mut |blob| {
                reached.insert(blob.digest.clone());
                Ok(())
            })?;
        }
        let mut collected = Collected::default();
        for (digest, size) in self.blobs.list()? {
            if !reached.contains(&digest) {
                self.blobs.remove(&digest)?;
                collected = Collected { blobs: collected.blobs + 1, bytes: collected.bytes + size };
            }
        }
        Ok(collected)
    }

    fn at(dir: &Utf8Path) -> Self {
        Self { dir: dir.to_owned(), blobs: Blobs::at(dir) }
    }

    fn index_path(&self) -> Utf8PathBuf {
        self.dir.join("index.json")
    }

    fn marker_path(&self) -> Utf8PathBuf {
        self.dir.join("oci-layout")
    }

    /// The lock on the marker file, which is never replaced: two processes must not rewrite `index.json` at once.
    fn lock(&self) -> Result<File, Error> {
        let path = self.marker_path();
        let lock = || {
            let file = File::open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|source| Error::Io { path: path.clone(), source })
    }
}

/// The tag-like reference of an image in a layout and an archive: `xedgesim/mosquitto:latest`.
pub fn reference(name: &ImageName) -> String {
    format!("{name}:{TAG}")
}

/// The descriptor with the annotations under which other tools find the image.
pub(crate) fn named(mut descriptor: Descriptor, name: &ImageName) -> Descriptor {
    descriptor.annotations.insert(REF_NAME.to_owned(), reference(name));
    descriptor.annotations.insert(CONTAINERD_NAME.to_owned(), full_reference(name));
    descriptor
}

/// The reference with the registry host that Docker assumes where a name has none.
fn full_reference(name: &ImageName) -> String {
    let reference = reference(name);
    match name.as_str().split_once('/') {
        Some((host, _)) if host.contains('.') || host == "localhost" => reference,
        Some(_) => format!("docker.io/{reference}"),
        None => format!("docker.io/library/{reference}"),
    }
}

/// The image that an entry of `index.json` names; entries of other tools may name none.
fn image_name(descriptor: &Descriptor) -> Option<ImageName> {
    let name = descriptor.annotations.get(REF_NAME)?.strip_suffix(TAG)?.strip_suffix(':')?;
    name.parse().ok()
}

pub(crate) fn marker() -> Vec<u8> {
    to_json(&Marker { image_layout_version: "1.0.0".to_owned() })
}

/// Writes a file unless there is one: two processes may make the same layout at once, and neither may undo the other.
fn create(path: &Utf8Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    let try_create = || {
        fs::create_dir_all(folder)?;
        let mut beside = tempfile::Builder::new().prefix(".write-").tempfile_in(folder)?;
        beside.write_all(bytes)?;
        beside.as_file().set_permissions(Permissions::from_mode(MODE))?;
        beside.as_file().sync_all()?;
        match beside.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
            _ => File::open(folder)?.sync_all(),
        }
    };
    if exists(path)? { Ok(()) } else { try_create().map_err(|source| WriteError::new(path, source).into()) }
}

fn exists(path: &Utf8Path) -> Result<bool, Error> {
    path.try_exists().map_err(|source| Error::Io { path: path.to_owned(), source })
}

fn read_json<T: DeserializeOwned>(path: &Utf8Path, what: &'static str) -> Result<T, Error> {
    let bytes = fs::read(path).map_err(|source: io::Error| Error::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Garbage { path: path.to_owned(), what, source })
}

#[cfg(test)]
mod tests;
