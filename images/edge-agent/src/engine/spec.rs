//! Everything that a container, network or volume is made of. The digest of a spec decides whether a container changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xedge_model::Digest;

/// What happens when a container ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Nothing.
    #[default]
    No,
    /// It is started again, at boot too.
    Always,
    /// The same, unless somebody stopped it.
    UnlessStopped,
    /// It is started again where its exit code is not 0.
    OnFailure,
}

/// A container. Field order and ordered maps make its JSON the same for the same value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSpec {
    /// Id of the image in the Engine; not part of the digest, the manifest is.
    #[serde(skip)]
    pub image: String,
    /// Digest of the manifest.
    pub manifest: Option<Digest>,
    /// The service's name, which other containers find it by.
    pub service: String,
    /// Name of the machine that it believes to be.
    pub hostname: Option<String>,
    /// Program instead of the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments instead of the image's.
    pub command: Option<Vec<String>>,
    /// User instead of the image's.
    pub user: Option<String>,
    /// Working folder instead of the image's.
    pub working_dir: Option<String>,
    /// Further groups.
    pub groups: Vec<String>,
    /// Whether an init process of the Engine's is process 1.
    pub init: bool,
    /// Its restart policy once it is committed.
    pub restart: Restart,
    /// How often `on-failure` tries; 0 is without end.
    pub restart_attempts: u32,
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// Published ports.
    pub ports: Vec<PortSpec>,
    /// Mounts.
    pub mounts: Vec<MountSpec>,
    /// Folders in memory: options by path.
    pub tmpfs: BTreeMap<String, String>,
    /// Networks with the names that it has in each; empty with `network_mode`.
    pub networks: BTreeMap<String, Vec<String>>,
    /// `host` or `none`.
    pub network_mode: Option<String>,
    /// Lines of `/etc/hosts`: `name:address`.
    pub extra_hosts: Vec<String>,
    /// Limits and rights.
    pub limits: LimitSpec,
    /// Health check instead of the image's.
    pub health: Option<HealthSpec>,
    /// Signal that stops it.
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL.
    pub stop_grace_s: Option<u64>,
    /// Log driver and its options.
    pub log_driver: Option<String>,
    /// Options of the log driver.
    pub log_options: BTreeMap<String, String>,
    /// Labels that the stack itself sets.
    pub labels: BTreeMap<String, String>,
}

impl ContainerSpec {
    /// The digest of everything that a container is made of. The image counts by its manifest, never by the Engine's id.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("all keys are strings"))
    }
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortSpec {
    /// Address of the device to listen at; empty for all.
    pub address: String,
    /// Port of the device; 0 for any.
    pub host: u16,
    /// Port of the container.
    pub container: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MountSpec {
    /// What is mounted.
    pub source: Source,
    /// Where.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// How mounts that come later spread between a path of the device and the container; the Engine's default where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<String>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A volume of the Engine, by the name that it has there.
    Volume(String),
    /// A path of the device.
    Path(String),
    /// A secret's file, and which version of it: a new version is a new container.
    Secret {
        /// The file.
        path: String,
        /// Counter of its versions; it says nothing about the value.
        version: u64,
    },
}

/// Limits and rights of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitSpec {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory that it keeps when the device runs short.
    pub memory_reservation: Option<u64>,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// Weight against other containers.
    pub cpu_shares: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<u64>,
    /// Limits of its processes: soft and hard, by name.
    pub ulimits: BTreeMap<String, (i64, i64)>,
    /// Kernel settings.
    pub sysctls: BTreeMap<String, String>,
    /// Whether the root file system cannot be written.
    pub read_only: bool,
    /// Device files: host path, container path, rights.
    pub devices: Vec<(String, String, String)>,
    /// Capabilities given.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// Security options.
    pub security_options: Vec<String>,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthSpec {
    /// The Engine's form: `["CMD", ..]`, `["CMD-SHELL", ..]` or `["NONE"]`; empty keeps the image's.
    pub test: Vec<String>,
    /// Nanoseconds between two checks.
    pub interval_ns: Option<u64>,
    /// Nanoseconds that a check may take.
    pub timeout_ns: Option<u64>,
    /// Nanoseconds in which failures do not count.
    pub start_period_ns: Option<u64>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u32>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSpec {
    /// Its name in the Engine.
    pub name: String,
    /// Driver; the Engine's default where none is named.
    pub driver: Option<String>,
    /// Whether it has no way out.
    pub internal: bool,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Its name in the Engine.
    pub name: String,
    /// Folder of the device that it is kept in; the Engine's own where none is named.
    pub folder: Option<String>,
}
