//! What a run will do, with every image, file and secret already resolved. Plain data: nothing here acts.

mod expand;
mod extras;
mod link;
mod order;
pub(crate) mod reach;
mod secret;
mod session;
mod timeline;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use xedge_model::scenario::{Expectation, ModelConfig, Role, TimelineEntry};
use xedge_model::{Digest, Platform};

use crate::lockstep::VirtualPlan;

pub use expand::expand;
pub use extras::{ContainerExtras, HealthPace, Need, ProcessPlan};
pub use link::{Chance, Ends, LinkPlan, Shape, links};
pub(crate) use order::start_order;
pub use secret::{Credentials, Secret, redact};
pub use session::SessionSettings;

/// A whole run.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// Name of the scenario, for reports.
    pub scenario_name: String,
    /// Unique id of the run: lower-case letters, digits and `-`, at most 40 characters. Part of names in the Engine.
    pub run_id: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// Length of the publishing phase.
    pub duration: Duration,
    /// Whether `duration` is shorter than the scenario's: such a run is no evidence.
    pub shortened: bool,
    /// Whether containers, volumes and network stay after the run: such a run is no evidence.
    pub keep: bool,
    /// Containers, started each after what it needs, else brokers first and then in this order.
    pub containers: Vec<ContainerPlan>,
    /// Built-in models, one entry a client.
    pub models: Vec<ModelPlan>,
    /// What is done to nodes and links in the publishing phase.
    pub timeline: Vec<TimelineEntry>,
    /// Links that connections take.
    pub links: Vec<LinkPlan>,
    /// What must hold.
    pub expectations: Vec<Expectation>,
    /// Certificates of authorities that models trust, as PEM text, by the name that settings give.
    pub authorities: BTreeMap<String, Vec<u8>>,
    /// Passwords by user: of the models, and of the users that expectations name.
    pub credentials: Credentials,
    /// How the retained-message probe gets in; `None` derives it from the models.
    pub retained: Option<RetainedProbe>,
    /// How long things may take.
    pub limits: Limits,
    /// All of it again for a run in virtual time, where nothing else takes part.
    pub virtual_time: Option<VirtualPlan>,
}

/// One container.
#[derive(Clone, Debug)]
pub struct ContainerPlan {
    /// Node of the scenario; also the container's host name in the run's network.
    pub node_id: String,
    /// Broker, gateway or service.
    pub role: Role,
    /// What the Engine knows the image by: `sha256:…`.
    pub image_ref: String,
    /// Config digest and manifest digest: the created container's image must be one of them.
    pub accepted_ids: Vec<Digest>,
    /// Platform of the image.
    pub platform: Platform,
    /// Whether the Engine's machine has to emulate the platform. Checked against the Engine.
    pub emulated: bool,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Arguments instead of the image's.
    pub command: Option<Vec<String>>,
    /// Settings that most containers leave to the image and the Engine.
    pub extras: ContainerExtras,
    /// Port of the service inside of the container; published on loopback for brokers.
    pub service_port: u16,
    /// Named volumes, with the files to put into them before the start.
    pub volumes: Vec<VolumePlan>,
    /// Memory limit in bytes.
    pub memory_bytes: Option<i64>,
    /// CPU limit in billionths of a CPU.
    pub nano_cpus: Option<i64>,
    /// Limit of processes and threads.
    pub pids_limit: Option<i64>,
    /// What the Engine does when the main process ends.
    pub restart: RestartPolicy,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Capabilities to drop.
    pub cap_drop: Vec<String>,
    /// Security options, such as `no-new-privileges:true`.
    pub security_opt: Vec<String>,
    /// Temporary file systems: path to mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// Time between SIGTERM and SIGKILL; whole seconds count.
    pub stop_grace: Duration,
}

/// One volume. A fresh one takes over content and owner of the image's folder.
#[derive(Clone, Debug, Default)]
pub struct VolumePlan {
    /// Absolute path in the container.
    pub mount_path: String,
    /// Name under which several containers of the run share it; `None` is a volume of this container only.
    pub name: Option<String>,
    /// User and group id of the volume's folder itself; `None` leaves what the image has.
    pub owner: Option<(u32, u32)>,
    /// Whether the container sees it read-only.
    pub read_only: bool,
    /// Whether it hides what the image has at that path, as a bind mount does.
    pub empty: bool,
    /// Files to put into it.
    pub files: Vec<FilePlan>,
}

/// One file in a volume.
#[derive(Clone)]
pub struct FilePlan {
    /// Path relative to the volume, without `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Content; may be a secret, so it is not part of the debug output.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for FilePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:o}, {}:{}, {} bytes)", self.path, self.mode, self.uid, self.gid, self.bytes.len())
    }
}

/// What the Engine does when a container's main process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Starts it again, also after the Engine was restarted.
    Always,
    /// Starts it again unless it was stopped on purpose.
    UnlessStopped,
    /// Starts it again after a failure, at most this often; 0 is without limit.
    OnFailure(u32),
}

/// One MQTT client of the simulator.
#[derive(Clone, Debug)]
pub struct ModelPlan {
    /// Unique id, also the MQTT client id.
    pub id: String,
    /// Node of the scenario that it is one of; the same as `id` without `count`.
    pub group: String,
    /// Sensor, gateway or cloud.
    pub role: Role,
    /// Settings, with every default filled in.
    pub config: ModelSettings,
}

/// Settings of a model, after defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Time between two readings of a sensor, or two aggregates of a gateway.
    pub every: Duration,
    /// Topic to publish to; empty for a cloud.
    pub topic: String,
    /// Topic filter to subscribe to; empty for a sensor.
    pub subscribe: String,
    /// MQTT quality of service, 0 to 2.
    pub qos: u8,
    /// User to log in as.
    pub user: Option<String>,
    /// Random part of `every` in either direction, in millionths.
    pub jitter_ppm: u32,
    /// Bytes of a message, at least.
    pub payload: usize,
    /// Whether the broker keeps the last message of a topic.
    pub retain: bool,
    /// How it connects; the models of a node share it.
    pub session: Arc<SessionSettings>,
}

impl ModelSettings {
    /// Fills in the defaults of a role. `{id}` in a topic becomes the client's id.
    pub fn new(config: &ModelConfig, role: Role, id: &str) -> Self {
        let (every, topic, subscribe) = match role {
            Role::Sensor => (1, "sensors/{id}", ""),
            Role::Gateway => (5, "upstream/{id}", "sensors/+"),
            Role::Cloud | Role::Broker | Role::Service => (1, "", "upstream/+"),
        };
        let text =
            |own: &Option<String>, default: &str| own.as_deref().unwrap_or(default).replace("{id}", id);
        Self {
            every: config.every.map_or(Duration::from_secs(every), |span| span.0),
            topic: text(&config.topic, topic),
            subscribe: text(&config.subscribe, subscribe),
            qos: config.qos,
            user: config.user.clone(),
            jitter_ppm: config.jitter.map_or(0, |share| session::millionths(share.0)),
            payload: config.payload.map_or(0, |size| usize::try_from(size.0).unwrap_or(usize::MAX)),
            retain: config.retain,
            session: Arc::new(SessionSettings::new(config)),
        }
    }
}

/// Who publishes and who reads the retained message that must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedProbe {
    /// User that publishes; `None` is anonymous.
    pub publisher: Option<String>,
    /// User that reads; `None` is anonymous.
    pub reader: Option<String>,
    /// Topic that the first may write and the second may read.
    pub topic: String,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the start of a container to its first answer, or to the end of one that is to complete.
    pub ready: Duration,
    /// How long a container without health check must stay up before it counts as started.
    pub settle: Duration,
    /// For all models to connect and subscribe.
    pub connect: Duration,
    /// For acknowledged readings to arrive after the publishing phase.
    pub drain: Duration,
    /// 99th percentile of the sends' lag behind the plan above which the run is invalid.
    pub lag_p99: Duration,
    /// For one question of a probe.
    pub probe: Duration,
}

impl Limits {
    /// For containers that run natively.
    pub const NATIVE: Self = Self {
        ready: Duration::from_secs(30),
        settle: Duration::from_secs(1),
        connect: Duration::from_secs(30),
        drain: Duration::from_secs(10),
        lag_p99: Duration::from_millis(500),
        probe: Duration::from_secs(5),
    };

    /// For emulated containers, which start about ten times slower.
    pub const EMULATED: Self =
        Self { ready: Duration::from_mins(2), probe: Duration::from_secs(30), ..Self::NATIVE };
}

/// Where a run keeps its files, and whose it is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Folder of the lock files, shared by all runs of this machine and user.
    pub locks: Utf8PathBuf,
    /// Folder of this run's report; made if missing.
    pub report: Utf8PathBuf,
    /// Name of this machine: runs of other machines on the same Engine are never swept.
    pub host: String,
}

impl RunPlan {
    /// The only broker, which models connect to and claims ask; `None` if nothing in this plan needs one.
    pub fn broker(&self) -> Result<Option<&ContainerPlan>, crate::Error> {
        if self.models.is_empty() && !self.expectations.iter().any(Expectation::needs_broker) {
            return Ok(None);
        }
        let mut brokers = self.containers.iter().filter(|c| c.role == Role::Broker);
        match (brokers.next(), brokers.next()) {
            (Some(broker), None) => Ok(Some(broker)),
            (None, _) => Err(crate::Error::plan(
                &self.scenario_name,
                "there is no broker: add a node of `type: broker` with `implementation: docker`",
            )),
            (Some(_), Some(_)) => Err(crate::Error::plan(
                &self.scenario_name,
                "there is more than one broker: models and claims would not know which one is meant; the others can be `type: service`",
            )),
        }
    }

    /// Models of a role, in order.
    pub fn models_of(&self, role: Role) -> impl Iterator<Item = &ModelPlan> {
        self.models.iter().filter(move |m| m.role == role)
    }
}

#[cfg(test)]
impl ContainerPlan {
    /// A container that leaves everything to its image, for tests.
    pub(crate) fn sample(node_id: &str, role: Role) -> Self {
        Self {
            node_id: node_id.into(),
            role,
            image_ref: "sha256:x".into(),
            accepted_ids: vec![Digest::of(b"image")],
            platform: Platform::LinuxAmd64,
            emulated: false,
            env: BTreeMap::new(),
            command: None,
            extras: ContainerExtras::default(),
            service_port: 1883,
            volumes: vec![],
            memory_bytes: None,
            nano_cpus: None,
            pids_limit: None,
            restart: RestartPolicy::No,
            read_only: false,
            cap_drop: vec![],
            security_opt: vec![],
            tmpfs: BTreeMap::new(),
            stop_grace: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests;
