//! What runs in a scenario: nodes, the parts that they play, and what runs them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::config::ModelConfig;
use super::places::Mounts;
use super::ports::Ports;
use super::units::Size;
use crate::yaml::Spanned;

/// A thing that runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Unique name; also the host name of a container.
    pub id: Spanned<String>,
    /// What part it plays.
    #[serde(rename = "type")]
    pub role: Role,
    /// What runs it.
    #[serde(default)]
    pub implementation: Implementation,
    /// The seed's port: the service's port of a container, and without effect on a built-in model.
    #[serde(default)]
    pub port: Option<u16>,
    /// Container settings, for `implementation: docker`.
    #[serde(default)]
    pub docker: Option<Spanned<Docker>>,
    /// Service of the stack whose production settings the container gets.
    #[serde(default)]
    pub service: Option<Spanned<String>>,
    /// A script of the user's, for `implementation: python_model`.
    #[serde(default)]
    pub script: Option<Spanned<String>>,
    /// How many alike; `id` becomes `id-1`, `id-2`, …
    #[serde(default)]
    pub count: Option<Spanned<u32>>,
    /// Named link that everything from and to this node goes through.
    #[serde(default)]
    pub via: Option<Spanned<String>>,
    /// A program of this machine, for `implementation: process`.
    #[serde(default)]
    pub process: Option<Spanned<Process>>,
    /// What a container may use at most.
    #[serde(default)]
    pub limits: Option<Spanned<NodeLimits>>,
    /// Fresh volumes of a container, by name.
    #[serde(default)]
    pub volumes: BTreeMap<String, Spanned<Volume>>,
    /// Settings of a model.
    #[serde(default)]
    pub config: ModelConfig,
}

impl Node {
    /// Whether it is a container that talks the lockstep protocol.
    pub fn is_lockstep(&self) -> bool {
        self.docker.as_ref().is_some_and(|docker| docker.value.lockstep.is_some())
    }

    /// Whether it lives on the wall clock: a container of a service, or a program.
    pub fn is_real(&self) -> bool {
        match self.implementation {
            Implementation::Docker => !self.is_lockstep(),
            Implementation::Process => true,
            Implementation::Model | Implementation::PythonModel => false,
        }
    }

    /// Whether it is a built-in model: an MQTT client where there is a broker.
    pub fn is_built_in(&self) -> bool {
        matches!(self.implementation, Implementation::Model | Implementation::PythonModel)
            && self.script.is_none()
    }
}

/// The part that a node plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// MQTT broker.
    #[serde(alias = "mqtt_broker")]
    Broker,
    /// Publishes readings.
    #[serde(alias = "sensor_model")]
    Sensor,
    /// Subscribes to readings, aggregates, publishes upstream.
    #[serde(alias = "gateway_model")]
    Gateway,
    /// Subscribes to what gateways publish upstream.
    Cloud,
    /// Any other container: a web server, a database, a program of one's own.
    #[serde(alias = "app", alias = "database")]
    Service,
}

impl Role {
    /// The name in a scenario.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Sensor => "sensor",
            Self::Gateway => "gateway",
            Self::Cloud => "cloud",
            Self::Service => "service",
        }
    }
}

/// What runs a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Implementation {
    /// A container of an image of this project.
    Docker,
    /// The built-in model of that role, or a script.
    #[default]
    PythonModel,
    /// The built-in model of that role.
    Model,
    /// A program of this machine.
    Process,
}

/// A container's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Docker {
    /// `name[:tag]` of an image in images/.
    #[serde(default)]
    pub image: Option<Spanned<String>>,
    /// Folder with a Dockerfile. The image of images/ that is called like it is run where `image` is left out.
    #[serde(default)]
    pub build_context: Option<Spanned<String>>,
    /// Container port to wished host port; a request, never a bind on the host.
    #[serde(default)]
    pub ports: Ports,
    /// Environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Arguments instead of the image's.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Files and named volumes to mount.
    #[serde(default)]
    pub volumes: Mounts,
    /// Talks the lockstep protocol instead of being a service.
    #[serde(default)]
    pub lockstep: Option<Lockstep>,
}

/// How a container is talked to in lockstep.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockstep {
    /// Started in the container; the protocol goes over its standard input and output.
    #[serde(default = "service_module")]
    pub command: Vec<String>,
}

/// What upstream starts.
fn service_module() -> Vec<String> {
    ["python3", "-u", "-m", "service"].map(str::to_owned).to_vec()
}

/// A program of this machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Program and arguments; `{port}` becomes a free port.
    pub command: Spanned<Vec<String>>,
    /// Environment variables, on top of this machine's.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What a container may use at most.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeLimits {
    /// Memory.
    #[serde(default)]
    pub memory: Option<Size>,
    /// CPUs.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u32>,
}

/// A fresh volume of a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Where it is in the container.
    pub path: String,
    /// Makes it a file system in memory that is full after this much.
    #[serde(default)]
    pub size: Option<Size>,
}
