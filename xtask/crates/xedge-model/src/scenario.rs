//! `scenarios/*.yaml`: what runs, for how long, and what must hold. The seed's keys are kept as they are.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::ImageName;
use crate::duration::Span;
use crate::yaml::{Source, Spanned, YamlError, near};

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Duration and seed.
    pub simulation: Simulation,
    /// `production` runs images with the rendered production files of `stack`.
    #[serde(default)]
    pub profile: Option<Spanned<Profile>>,
    /// The stack (folder below templates/stacks) whose services the docker nodes are.
    #[serde(default)]
    pub stack: Option<Spanned<String>>,
    /// What runs.
    pub nodes: Vec<Node>,
    /// Links between nodes; absent means direct.
    #[serde(default)]
    pub network: Option<Network>,
    /// What must hold; absent means the seed's four claims.
    #[serde(default)]
    pub expect: Option<Vec<Spanned<Expectation>>>,
}

/// How long and with which seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// Length of the publishing phase in seconds.
    pub duration_s: Spanned<f64>,
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
    /// Folder with a Dockerfile, used when `image` names no image of this project.
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

/// Container ports, written as a map `1883: 1883` or a list of `"1883:1883"` (host first, as in Compose).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

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
    pub default_latency_us: Option<u64>,
    /// Loss rate of links that are not listed, 0 to 1.
    #[serde(default)]
    pub default_loss_rate: Option<f64>,
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

/// A claim that the run must show to be true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expectation {
    /// Every broker answers a CONNECT with a CONNACK.
    BrokerStarts,
    /// Every sensor publishes, and the broker acknowledges all of it (`QoS` 1).
    SensorsPublish,
    /// Every gateway receives readings.
    GatewayReceives,
    /// Every acknowledged reading arrives at the far end.
    EndToEnd,
    /// A CONNECT without user is refused.
    AnonymousRefused,
    /// A CONNECT as this user with a wrong password is refused.
    WrongPasswordRefused(String),
    /// A CONNECT as this user is accepted.
    LoginAccepted(String),
    /// A retained message is still there after the broker was stopped (SIGTERM) and started.
    RetainedSurvivesRestart,
}

impl Expectation {
    /// The seed's four claims, the default of a scenario without `expect`.
    pub const SEED: [Expectation; 4] = [
        Expectation::BrokerStarts,
        Expectation::SensorsPublish,
        Expectation::GatewayReceives,
        Expectation::EndToEnd,
    ];
}

const PLAIN: [(&str, Expectation); 6] = [
    ("broker.starts", Expectation::BrokerStarts),
    ("sensors.publish", Expectation::SensorsPublish),
    ("gateway.receives", Expectation::GatewayReceives),
    ("mqtt.end_to_end", Expectation::EndToEnd),
    ("auth.anonymous == refused", Expectation::AnonymousRefused),
    ("retained.survives(restart)", Expectation::RetainedSurvivesRestart),
];

/// An expectation that is not known.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` is not an expectation; {help}")]
pub struct UnknownExpectation {
    found: String,
    help: String,
}

impl FromStr for Expectation {
    type Err = UnknownExpectation;

    fn from_str(text: &str) -> Result<Self, UnknownExpectation> {
        if let Some((_, plain)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(plain.clone());
        }
        let user = |start: &str, end: &str| {
            text.strip_prefix(start)?.strip_suffix(end).filter(|u| !u.is_empty()).map(str::to_owned)
        };
        if let Some(user) = user("auth.login(", ") == accepted") {
            return Ok(Self::LoginAccepted(user));
        }
        if let Some(user) = user("auth.wrong_password(", ") == refused") {
            return Ok(Self::WrongPasswordRefused(user));
        }
        let templates = ["auth.login(USER) == accepted", "auth.wrong_password(USER) == refused"];
        let known = PLAIN.iter().map(|(name, _)| *name).chain(templates);
        let help = near(text, known.clone()).map_or_else(
            || format!("known: {}", known.collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        Err(UnknownExpectation { found: text.to_owned(), help })
    }
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LoginAccepted(user) => write!(f, "auth.login({user}) == accepted"),
            Self::WrongPasswordRefused(user) => write!(f, "auth.wrong_password({user}) == refused"),
            plain => {
                let known = PLAIN.iter().find(|(_, expectation)| expectation == plain);
                f.write_str(known.expect("every plain expectation is listed").0)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Expectation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortsVisitor)
    }
}

struct PortsVisitor;

impl<'de> Visitor<'de> for PortsVisitor {
    type Value = Ports;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map `1883: 1883` or a list of \"1883:1883\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ports, A::Error> {
        let mut ports = Vec::new();
        while let Some((container, _host)) = map.next_entry::<u16, u16>()? {
            ports.push(container);
        }
        Ok(Ports(ports))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ports, A::Error> {
        let mut ports = Vec::new();
        while let Some(text) = seq.next_element::<String>()? {
            let container = text.rsplit_once(':').map_or(text.as_str(), |(_, container)| container);
            let container = container.strip_suffix("/tcp").unwrap_or(container);
            ports.push(container.parse().map_err(|_| {
                A::Error::custom(format!("`{text}` is not a port mapping: expected \"1883:1883\""))
            })?);
        }
        Ok(Ports(ports))
    }
}

impl Scenario {
    /// Reads and checks one scenario; what depends on other files (images, stacks) is checked by the caller.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let scenario: Self = source.parse()?;
        scenario.check_simulation(source)?;
        scenario.check_nodes(source)?;
        scenario.check_network(source)?;
        scenario.check_profile(source)?;
        Ok(scenario)
    }

    /// What must hold.
    pub fn expectations(&self) -> Vec<Expectation> {
        match &self.expect {
            Some(list) => list.iter().map(|e| e.value.clone()).collect(),
            None => Expectation::SEED.to_vec(),
        }
    }

    fn check_simulation(&self, source: &Source) -> Result<(), YamlError> {
        let duration = &self.simulation.duration_s;
        if !duration.value.is_finite() || duration.value <= 0.0 || duration.value > 86_400.0 {
            return Err(source.error_at(duration, "`duration_s` must be more than 0 and at most 86400"));
        }
        match &self.expect {
            Some(list) if list.is_empty() => {
                Err(source.error("`expect` is empty: a gate must claim something"))
            }
            _ => Ok(()),
        }
    }

    fn check_nodes(&self, source: &Source) -> Result<(), YamlError> {
        if self.nodes.is_empty() {
            return Err(source.error("`nodes` is empty"));
        }
        let mut seen = BTreeMap::new();
        for node in &self.nodes {
            node.check(source)?;
            if let Some(line) = seen.insert(&node.id.value, node.id.referenced.line()) {
                let message = format!("node `{}` is there twice, first on line {line}", node.id.value);
                return Err(source.error_at(&node.id, message));
            }
        }
        Ok(())
    }

    fn check_network(&self, source: &Source) -> Result<(), YamlError> {
        let Some(network) = &self.network else { return Ok(()) };
        let known: Vec<&str> = self.nodes.iter().map(|n| n.id.value.as_str()).collect();
        for end in network.links.iter().flat_map(|link| [&link.src, &link.dst]) {
            if !known.contains(&end.value.as_str()) {
                return Err(source.unknown_name(end, "node", &end.value, &known));
            }
        }
        let shaped = network.model.as_ref().filter(|m| m.value == NetworkModel::Latency);
        match shaped {
            Some(model) => Err(source.error_at(
                model,
                "shaped links are not there yet: only `model: direct` can run, and nothing is claimed without them",
            )),
            None => Ok(()),
        }
    }

    fn check_profile(&self, source: &Source) -> Result<(), YamlError> {
        let production = self.profile.as_ref().filter(|p| p.value == Profile::Production);
        match (production, &self.stack) {
            (Some(profile), None) => Err(source
                .error_at(profile, "`profile: production` needs `stack`, the stack whose files are used")),
            (None, Some(stack)) => Err(source.error_at(stack, "`stack` needs `profile: production`")),
            _ => Ok(()),
        }
    }
}

impl Node {
    /// How many of it run.
    pub fn instances(&self) -> u32 {
        self.count.as_ref().map_or(1, |count| count.value)
    }

    fn check(&self, source: &Source) -> Result<(), YamlError> {
        let id = &self.id.value;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty()
            || id.len() > 63
            || !id.chars().all(fits)
            || !id.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            let message = format!("`{id}` is no node id: up to 63 letters, digits, `-`, `_` and `.`");
            return Err(source.error_at(&self.id, message));
        }
        if let Some(count) = self.count.as_ref().filter(|count| count.value == 0 || count.value > 10_000) {
            return Err(source.error_at(count, "`count` must be 1 to 10000"));
        }
        if self.config.qos > 1 {
            return Err(source.error_at(&self.id, "`config.qos` of this node must be 0 or 1"));
        }
        match self.implementation {
            Implementation::Docker => self.check_docker(source),
            Implementation::Model | Implementation::PythonModel => self.check_model(source),
        }
    }

    fn check_docker(&self, source: &Source) -> Result<(), YamlError> {
        let Some(docker) = &self.docker else {
            return Err(source.error_at(&self.id, format!("node `{}` needs `docker`", self.id.value)));
        };
        if let Some(count) = self.count.as_ref().filter(|count| count.value != 1) {
            return Err(source.error_at(count, "`count` is for built-in models"));
        }
        let Some(image) = &docker.value.image else {
            return match &docker.value.build_context {
                Some(context) => Err(source.error_at(context, NO_DOCKERFILES)),
                None => {
                    Err(source.error_at(docker, "`docker` needs `image`, the name of an image in images/"))
                }
            };
        };
        match ImageName::from_reference(&image.value) {
            Ok(_) => Ok(()),
            Err(error) => Err(source.error_at(image, error.to_string())),
        }
    }

    fn check_model(&self, source: &Source) -> Result<(), YamlError> {
        if let Some(script) = &self.script {
            return Err(source.error_at(
                script,
                "model scripts are not there yet: leave out `script` for the built-in model",
            ));
        }
        if let Some(docker) = &self.docker {
            return Err(source.error_at(docker, "`docker` needs `implementation: docker`"));
        }
        if self.role == Role::Broker {
            let message = format!(
                "node `{}`: a broker has no built-in model, use `implementation: docker`",
                self.id.value
            );
            return Err(source.error_at(&self.id, message));
        }
        Ok(())
    }
}

/// What is said of an image that would have to be built from a Dockerfile.
pub const NO_DOCKERFILES: &str =
    "building from a Dockerfile is not there yet: name an image of images/ in `image`";
