//! `scenarios/*.yaml`: what runs, for how long, and what must hold. The seed's keys are kept as they are.
//!
//! A production scenario without `nodes` is the short form: whoever has the stack fills in a node for each service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::duration::Span;
use crate::yaml::Spanned;

mod check;
mod expect;
mod ports;
mod short;

pub use expect::{Expectation, UnknownExpectation};
pub use ports::Ports;

/// The format version that this tool reads.
pub const FORMAT: u32 = 1;

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Format version of the file; scenarios are read without one too.
    #[serde(default)]
    pub format: Option<Spanned<u32>>,
    /// Duration and seed.
    pub simulation: Simulation,
    /// What a pass shows; evidence names it.
    #[serde(default)]
    pub level: Level,
    /// `production` runs images with the rendered production files of `stack`.
    #[serde(default)]
    pub profile: Option<Spanned<Profile>>,
    /// The stack (folder below templates/stacks) whose services the docker nodes are.
    #[serde(default)]
    pub stack: Option<Spanned<String>>,
    /// What runs; left out in the short form, until [`Scenario::run_all_of`] fills it in.
    #[serde(default = "short::no_nodes")]
    pub nodes: Spanned<Vec<Node>>,
    /// Links between nodes; absent means direct.
    #[serde(default)]
    pub network: Option<Network>,
    /// What must hold; absent means the seed's four claims, and without models those about every service.
    #[serde(default)]
    pub expect: Option<Spanned<Vec<Spanned<Expectation>>>>,
}

/// What a pass shows. It is part of the evidence, so that nobody takes a smoke test for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything that the scenario claims, of what the services are for.
    #[default]
    Scenario,
    /// That it starts, stays up, and its ports answer; nothing is said about what it does.
    Smoke,
}

impl Level {
    /// The word in a scenario and in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Smoke => "smoke",
        }
    }

    /// Whether it is the usual one, which evidence does not name.
    pub fn is_usual(&self) -> bool {
        *self == Self::Scenario
    }
}

/// How long and with which seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// Length of the publishing phase in seconds; without models, how long the services are watched.
    pub duration_s: Spanned<f64>,
    /// How many seconds a container has from its start to its first answer; absent means 30.
    #[serde(default)]
    pub ready_s: Option<Spanned<f64>>,
    /// Seed of every random draw.
    pub seed: u64,
    /// Step of model-only lockstep runs in microseconds; without effect where a real container takes part.
    #[serde(default)]
    pub time_quantum_us: Option<u64>,
}

/// Whose configuration the containers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What is in the image.
    Simulation,
    /// The rendered production files.
    Production,
}

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
    /// Settings of a built-in model.
    #[serde(default)]
    pub config: ModelConfig,
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
}

/// Settings of a built-in model; each has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Time between two readings of a sensor, or two aggregates of a gateway.
    pub every: Option<Span>,
    /// Topic to publish to; `{id}` becomes the node's id.
    pub topic: Option<String>,
    /// Topic filter to subscribe to.
    pub subscribe: Option<String>,
    /// MQTT quality of service, 0 or 1.
    pub qos: u8,
    /// User to log in as; its password comes from the secret store.
    pub user: Option<String>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { every: None, topic: None, subscribe: None, qos: 1, user: None }
    }
}

/// The network between nodes, in the seed's and upstream's words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// `direct` is what this version can do.
    #[serde(default)]
    pub model: Option<Spanned<NetworkModel>>,
    /// Latency of links that are not listed, in microseconds.
    #[serde(default)]
    pub default_latency_us: Option<Spanned<u64>>,
    /// Loss rate of links that are not listed, 0 to 1.
    #[serde(default)]
    pub default_loss_rate: Option<Spanned<f64>>,
    /// Listed links.
    #[serde(default)]
    pub links: Vec<Link>,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkModel {
    /// Straight to the other side.
    Direct,
    /// Through shaped links.
    Latency,
}

/// A directed link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Node that sends.
    pub src: Spanned<String>,
    /// Node that receives.
    pub dst: Spanned<String>,
    /// Latency in microseconds.
    #[serde(default)]
    pub latency_us: Option<u64>,
    /// Loss rate, 0 to 1.
    #[serde(default)]
    pub loss_rate: Option<f64>,
}
