//! What a device says about itself and what runs on it: also the JSON of `xedge-agent status --format json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xedge_model::Digest;

/// The device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceFacts {
    /// Its id; empty before it is enrolled.
    pub id: String,
    /// Its class, such as `pi-sd`; empty where none was given.
    pub class: String,
    /// The board as the firmware names it.
    pub board: String,
    /// Go's word for the architecture.
    pub architecture: String,
    /// Kernel release.
    pub kernel: String,
    /// `development` or `production`; `None` before it is enrolled.
    pub status: Option<String>,
    /// SHA-256 of the pinned root.
    pub root: Option<Digest>,
    /// The Engine; `None` where none answers.
    pub engine: Option<EngineFacts>,
    /// Unix time of the device's clock.
    pub clock: i64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes free where releases are kept.
    pub free_disk: u64,
}

/// The Engine of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineFacts {
    /// `docker` or `podman`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// API version that was agreed on.
    pub api: String,
    /// Go's word for the architecture of its containers.
    pub architecture: String,
    /// Whether it takes an image whose first layers it already has without them.
    pub thin_loads: bool,
    /// Whether memory limits really limit.
    pub memory_limits: bool,
    /// Folder in which it keeps images.
    pub root: String,
}

/// What a device already has of any bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Layers of each image in the Engine, by the digest of their content, lowest first; empty where the Engine does not
    /// take thin images.
    pub chains: Vec<Vec<Digest>>,
    /// Members that are kept whole or in part: bytes by digest.
    pub members: BTreeMap<Digest, u64>,
}

/// What came of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The stack.
    pub stack: String,
    /// The release's number.
    pub seq: u64,
    /// Its version.
    pub version: String,
    /// Services that changed over, with the milliseconds for which each was away.
    pub changed: BTreeMap<String, u64>,
    /// Services that were not touched.
    pub kept: Vec<String>,
    /// Whether nothing had to be done, or nothing was to be done.
    pub unchanged: bool,
}

/// Everything that runs on a device.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Version of the agent.
    pub agent: String,
    /// The device.
    pub device: DeviceFacts,
    /// Its stacks, sorted by name.
    pub stacks: Vec<StackStatus>,
    /// What needs a person, each with its fix.
    pub problems: Vec<String>,
}

/// One stack.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StackStatus {
    /// Its name.
    pub name: String,
    /// The release that runs.
    pub current: Option<ReleaseSummary>,
    /// The release that `rollback` would bring back.
    pub previous: Option<ReleaseSummary>,
    /// An operation that was cut short, in words.
    pub pending: Option<String>,
    /// Its services, sorted by name.
    pub services: Vec<ServiceStatus>,
}

/// A release on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSummary {
    /// Its number.
    pub seq: u64,
    /// Its version.
    pub version: String,
    /// Digest of its configuration.
    pub config: Option<Digest>,
    /// Unix time at which it was committed, by the device's clock.
    pub since: i64,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Name of its container.
    pub container: String,
    /// Its image, by name.
    pub image: String,
    /// Digest of the manifest that it runs.
    pub manifest: Option<Digest>,
    /// Whether it runs.
    pub running: bool,
    /// What its health check says.
    pub health: Health,
    /// How often the Engine started it again.
    pub restarts: u64,
    /// Exit code, where it has ended.
    pub exit_code: Option<i64>,
    /// What it uses, where that was measured.
    pub usage: Option<Measure>,
}

/// What a health check says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// There is no check.
    #[default]
    None,
    /// It has not said yet.
    Starting,
    /// It passes.
    Healthy,
    /// It fails.
    Unhealthy,
}

/// What a service uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measure {
    /// Processors in use, 1.0 being one of them.
    pub cpus: f64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that the container has written beside its volumes.
    pub disk: u64,
}
