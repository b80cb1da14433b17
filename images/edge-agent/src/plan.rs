//! From a verified release and what this device knows to everything that the Engine is to make. It reads and writes nothing
//! but [`write_mounts`]; every key of a stack is carried over or refused by name.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::Manifest;
use xedge_model::compose::Condition;
use xedge_model::{Digest, ImageName, Platform};

use crate::Result;
use crate::engine::{ContainerSpec, NetworkSpec, VolumeSpec};
use crate::home::StackHome;

/// Everything that a plan follows from: the same input gives the same plan.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The verified `bundle.json`.
    pub manifest: &'a Manifest,
    /// The device's platform.
    pub platform: Platform,
    /// Bytes of the configuration's files by their paths, `compose.yaml` among them, placeholders as they are.
    pub files: &'a BTreeMap<Utf8PathBuf, Vec<u8>>,
    /// Bytes of the config of each service's image for this platform, by service.
    pub images: &'a BTreeMap<String, Vec<u8>>,
    /// Where the stack lies on the device.
    pub home: &'a StackHome,
    /// What the device allows.
    pub bounds: Bounds,
    /// Values that only this device has.
    pub values: &'a BTreeMap<String, String>,
    /// How often each secret was set; one that is not there is missing on the device.
    pub secrets: &'a BTreeMap<String, u64>,
    /// Volumes that are somewhere else because they were there before: by name, a volume of the Engine or a path.
    pub adopted: &'a BTreeMap<String, String>,
}

/// What a device allows a container, whatever is signed: the smaller one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Folder below which named volumes are kept; the Engine's own place where none is named.
    pub volume_root: Option<Utf8PathBuf>,
    /// Bytes of memory that one container may have.
    pub memory: Option<u64>,
    /// Billionths of a processor that one container may have. The Engine refuses more than the device has.
    pub nano_cpus: Option<u64>,
}

/// What is to be there once the release runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasePlan {
    /// The services by name.
    pub services: BTreeMap<String, ServicePlan>,
    /// Their names, each after those that it depends on.
    pub order: Vec<String>,
    /// The networks, sorted by name.
    pub networks: Vec<NetworkSpec>,
    /// The volumes that are ours to make, sorted by name.
    pub volumes: Vec<VolumeSpec>,
    /// The folders that containers mount, sorted by digest.
    pub mounts: Vec<MountFolder>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    /// Name of its container while it runs.
    pub name: String,
    /// Its image.
    pub image: ImageName,
    /// Its container; [`ContainerSpec::image`] is to be set once the image is loaded.
    pub spec: ContainerSpec,
    /// The services that must be there before it.
    pub depends_on: BTreeMap<String, Condition>,
    /// Time between the signal that stops it and SIGKILL.
    pub stop_grace: Duration,
    /// The user and group that its main process runs as.
    pub user: (u32, u32),
}

/// A folder that containers mount: it lies at [`StackHome::mount`] of its digest and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFolder {
    /// Digest of owner, paths, modes and contents.
    pub digest: Digest,
    /// Owner and group of everything in it.
    pub owner: (u32, u32),
    /// The files, sorted by path.
    pub files: Vec<MountFile>,
}

/// A file in such a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFile {
    /// Path below the folder.
    pub path: Utf8PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Content, with the device's values in it.
    pub bytes: Vec<u8>,
}

/// Plans a release.
pub fn plan(_input: &Input<'_>) -> Result<ReleasePlan> {
    unreachable!("written next")
}

/// Writes the folders that are not there yet, whole or not at all; those that are there are compared and mended.
pub fn write_mounts(_home: &StackHome, _folders: &[MountFolder]) -> Result<()> {
    unreachable!("written next")
}

/// The user and group of an image's main process, where its config (OCI image specification, `config.User`) gives numbers.
pub fn image_user(_config: &[u8]) -> Option<(u32, u32)> {
    let _ = Utf8Path::new("");
    None
}
