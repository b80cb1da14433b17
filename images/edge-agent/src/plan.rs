//! From a verified release and what this device knows to everything that the Engine is to make. It reads and writes nothing
//! but [`write_mounts`]; every key of a stack is carried over or refused by name.

mod folders;
mod service;
mod user;

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::Manifest;
use xedge_model::compose::{Compose, Condition};
use xedge_model::yaml::Source;
use xedge_model::{Digest, ImageName, Platform, stack};

pub use folders::write_mounts;
pub use user::image_user;

use self::service::{Made, Stack};
use crate::engine::{ContainerSpec, NetworkSpec, VolumeSpec};
use crate::home::StackHome;
use crate::{Error, Result};

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
    /// How often each secret was set; one that is missing counts as 0.
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
    /// The user and group that its main process runs as; `None` where they are named and not numbered.
    pub user: Option<(u32, u32)>,
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

/// Plans a release. Values of the device that the release does not declare are not looked at.
pub fn plan(input: &Input<'_>) -> Result<ReleasePlan> {
    let manifest = input.manifest;
    let files = files(input)?;
    let compose = compose(&files)?;
    let stack = Stack { input, compose: &compose, files: &files };
    let mut planned = ReleasePlan {
        services: BTreeMap::new(),
        order: compose.start_order().into_iter().map(|(name, _)| name.to_owned()).collect(),
        networks: stack.networks(),
        volumes: stack.volumes(),
        mounts: Vec::new(),
    };
    let mut mounts = BTreeMap::new();
    for (name, service) in &compose.services {
        let listed = manifest.services.iter().find(|listed| listed.name == *name);
        let listed = listed.ok_or_else(|| refused(name, "the bundle has no image for it", NEWER))?;
        let Made { plan: service, folders, volumes } = stack.service(name, &service.value, listed)?;
        planned.volumes.extend(volumes);
        if let Some((other, _)) = planned.services.iter().find(|(_, other)| other.name == service.name) {
            let reason = format!("its container has the name `{}`, as that of `{other}`", service.name);
            return Err(refused(name, &reason, "give one of them another `container_name`"));
        }
        mounts.extend(folders.into_iter().map(|folder| (folder.digest.clone(), folder)));
        planned.services.insert(name.clone(), service);
    }
    planned.volumes.sort_by(|a, b| a.name.cmp(&b.name));
    planned.mounts = mounts.into_values().collect();
    Ok(planned)
}

const COMPOSE: &str = "compose.yaml";
const NEWER: &str = "make the release again with `cargo xtask release`";

/// The configuration's files with the device's values in them.
fn files(input: &Input<'_>) -> Result<BTreeMap<Utf8PathBuf, MountFile>> {
    let config = &input.manifest.config;
    let declared = |name: &String| config.device_values.iter().any(|value| value.name == *name);
    let values = input.values.iter().filter(|(name, _)| declared(name));
    let values = values.map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut files = BTreeMap::new();
    for file in &config.files {
        let what = file.path.as_str();
        let bytes = input.files.get(&file.path).ok_or_else(|| refused(what, "it is not there", NEWER))?;
        if Digest::of(bytes) != file.digest {
            return Err(refused(what, "its bytes are not the signed ones", "send the bundle once more"));
        }
        let bytes = stack::substitute(bytes, &config.device_values, &values).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or(String::new(), |why| format!(": {why}"));
            refused(what, &format!("{error}{cause}"), "give it: `cargo xtask deploy --set NAME=VALUE`")
        })?;
        let path = file.path.clone();
        files.insert(path.clone(), MountFile { path, mode: file.mode.0, bytes });
    }
    Ok(files)
}

fn compose(files: &BTreeMap<Utf8PathBuf, MountFile>) -> Result<Compose> {
    let refuse = |reason: &str| refused(COMPOSE, reason, NEWER);
    let file = files.get(Utf8Path::new(COMPOSE)).ok_or_else(|| refuse("it is not there"))?;
    let text = std::str::from_utf8(&file.bytes).map_err(|_| refuse("it is no text"))?;
    Compose::parse(&Source::new(COMPOSE, text)).map_err(|error| refuse(&error.to_string()))
}

fn refused(what: &str, reason: &str, hint: &str) -> Error {
    Error::Plan { what: format!("`{what}`"), reason: reason.to_owned(), hint: hint.to_owned() }
}

#[cfg(test)]
mod tests;
