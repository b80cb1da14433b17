//! Settings of a container that most leave to the image and the engine. Plain data, as the rest of a plan.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;

/// A program of this machine that is a node; `{port}` in it becomes a free port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessPlan {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment variables, on top of this process's.
    pub env: BTreeMap<String, String>,
    /// Folder that it runs in.
    pub folder: Utf8PathBuf,
}

/// Settings of a container that Compose files know and most containers leave alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerExtras {
    /// A program of this machine that stands in the container's place.
    pub process: Option<ProcessPlan>,
    /// Who signed the certificate that a broker shows at its port, as PEM text; `None` is without TLS.
    pub authority: Option<Vec<u8>>,
    /// Program instead of the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Name of the machine that it believes to be, instead of its node's.
    pub hostname: Option<String>,
    /// `uid[:gid]` or names, instead of the image's.
    pub user: Option<String>,
    /// Working folder instead of the image's.
    pub workdir: Option<String>,
    /// TCP ports beside `service_port` that are published on loopback.
    pub published_tcp: Vec<u16>,
    /// Further groups of the main process.
    pub group_add: Vec<String>,
    /// Capabilities to add.
    pub cap_add: Vec<String>,
    /// Device files that the container expects; each is `/dev/null` under that name.
    pub device_stubs: Vec<String>,
    /// Lines of `/etc/hosts`: name to address, or to `host-gateway`.
    pub extra_hosts: BTreeMap<String, String>,
    /// Resource limits: name to soft and hard value.
    pub ulimits: BTreeMap<String, (i64, i64)>,
    /// Kernel settings of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// The signal that stops it, instead of the image's.
    pub stop_signal: Option<String>,
    /// Weight against other containers when processors are short.
    pub cpu_shares: Option<i64>,
    /// Memory in bytes that it keeps when the machine runs short.
    pub memory_reservation: Option<i64>,
    /// Size of `/dev/shm` in bytes.
    pub shm_bytes: Option<i64>,
    /// Whether an init process of the engine's is process 1.
    pub init: bool,
    /// Health check instead of the image's: an argument list; an empty one switches the image's off.
    pub health_check: Option<Vec<String>>,
    /// How patient the health check is; `None` leaves that to the run's limits.
    pub health_pace: Option<HealthPace>,
    /// Further names under which the others of the run find it.
    pub aliases: Vec<String>,
    /// Networks to join, each reached only by those who are in it; none is the one that all without any share.
    pub networks: Vec<String>,
    /// Whether it has no network at all; it publishes no ports then.
    pub offline: bool,
    /// Other containers that must be in some state before this one starts.
    pub needs: BTreeMap<String, Need>,
    /// Whether its main process is to end with 0 before the run goes on, as a migration does.
    pub completes: bool,
}

/// State that another container must be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It was started.
    Started,
    /// It answers: its health check passes, or what stands for one.
    Healthy,
    /// It ended with 0.
    Completed,
}

/// How patient a health check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPace {
    /// From the start to the first pass.
    pub patience: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Failures in a row that make a container unhealthy.
    pub retries: u32,
}
