//! What a run in virtual time consists of: nodes, the links between them, and how long. Plain data with every name
//! resolved; nothing here acts.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde_json::{Map, Value};
use xedge_model::scenario::Role;

use super::link::LinkPlan;
use crate::Error;
use crate::mqtt::topic;

/// A whole run in virtual time.
#[derive(Clone, Debug)]
pub struct VirtualPlan {
    /// Name of the scenario, for messages.
    pub scenario_name: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// Length of the run.
    pub duration: Duration,
    /// Step in which scripts and lockstep containers are led through time.
    pub quantum: Duration,
    /// How long built-in nodes go on after the end, for what is under way.
    pub drain: Duration,
    /// How long a script or container has for an answer.
    pub patience: Patience,
    /// Every node, `count` expanded.
    pub nodes: Vec<VirtualNode>,
    /// Every direction of every link.
    pub links: Vec<LinkPlan>,
    /// The link of pairs that no other link is for.
    pub default_link: Option<usize>,
}

/// How long a script or container has for an answer, on the clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From its start to the answer to INIT.
    pub ready: Duration,
    /// For one step.
    pub step: Duration,
}

/// A node.
#[derive(Clone, Debug)]
pub struct VirtualNode {
    /// Unique id.
    pub id: String,
    /// Node of the scenario that it is one of.
    pub group: String,
    /// Sensor, gateway, cloud, or a service that is asked by name.
    pub role: Role,
    /// What runs it.
    pub runs: Runs,
    /// Time between two readings of a sensor, or two aggregates of a gateway.
    pub every: Duration,
    /// Random part of `every`, in millionths, either way.
    pub jitter_ppm: u32,
    /// Bytes of a reading, at least.
    pub payload: usize,
    /// Topic that it publishes to; empty for none.
    pub topic: String,
    /// Topic filter that it subscribes to; empty for none.
    pub subscribe: String,
    /// The node that it sends to, instead of those that subscribe.
    pub to: Option<String>,
    /// The directions of the link that it names: from it, and to it.
    pub via: Option<(usize, usize)>,
}

/// What runs a node.
#[derive(Clone, Debug)]
pub enum Runs {
    /// The built-in model of its role.
    Model,
    /// A Python script of the user's.
    Script(ScriptPlan),
    /// A program in a container that waits for us.
    Container(ContainerCommand),
}

/// A Python script.
#[derive(Clone, Debug)]
pub struct ScriptPlan {
    /// The file.
    pub file: Utf8PathBuf,
    /// The file as the scenario names it.
    pub shown: String,
    /// Line of the scenario that names it.
    pub line: u64,
    /// Settings of the node, handed over as they are.
    pub config: Map<String, Value>,
}

/// A program in a container.
#[derive(Clone, Debug)]
pub struct ContainerCommand {
    /// What to run in it.
    pub command: Vec<String>,
    /// Settings of the node, handed over as they are.
    pub config: Map<String, Value>,
}

impl VirtualNode {
    /// Whether it is led through time from outside.
    pub fn is_external(&self) -> bool {
        !matches!(self.runs, Runs::Model)
    }
}

impl VirtualPlan {
    /// Refuses a plan that could not be run.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |message: String| Err(Error::plan(&self.scenario_name, message));
        if self.quantum.is_zero() || self.duration.is_zero() {
            return wrong("its duration or step is 0".to_owned());
        }
        let names = self.names();
        if names.len() != self.nodes.len() {
            return wrong("two nodes would have the same id".to_owned());
        }
        for node in &self.nodes {
            if node.every.is_zero() {
                return wrong(format!("`every` of {} is 0", node.id));
            }
            if let Some(to) = node.to.as_deref().filter(|to| self.find(&names, to).is_none()) {
                return wrong(format!("{} sends to `{to}`, and there is no such node", node.id));
            }
            if !node.topic.is_empty() && !topic::is_name(&node.topic) {
                return wrong(format!("`{}` of {} is no topic", node.topic, node.id));
            }
            if !node.subscribe.is_empty() && !topic::is_filter(&node.subscribe) {
                return wrong(format!("`{}` of {} is no topic filter", node.subscribe, node.id));
            }
        }
        Ok(())
    }

    /// Numbers of the nodes by id.
    pub(super) fn names(&self) -> BTreeMap<&str, u32> {
        self.nodes.iter().zip(0..).map(|(node, number)| (node.id.as_str(), number)).collect()
    }

    /// A node by its id, or by the scenario's where that is one node only.
    pub(super) fn find(&self, names: &BTreeMap<&str, u32>, id: &str) -> Option<u32> {
        let alone = || {
            let mut of_group = (0..).zip(&self.nodes).filter(|(_, node)| node.group == id);
            let first = of_group.next()?.0;
            of_group.next().is_none().then_some(first)
        };
        names.get(id).copied().or_else(alone)
    }

    /// The nodes that a node's messages go to: the one that it names, else all that subscribe to its topic. Readings go to
    /// gateways, what gateways say to clouds.
    pub(super) fn listeners(&self, names: &BTreeMap<&str, u32>, from: &VirtualNode) -> Vec<u32> {
        if let Some(to) = &from.to {
            return self.find(names, to).into_iter().collect();
        }
        let wanted = match from.role {
            Role::Sensor => Role::Gateway,
            Role::Gateway => Role::Cloud,
            Role::Cloud | Role::Broker | Role::Service => return Vec::new(),
        };
        let hears = |node: &VirtualNode| {
            node.role == wanted && !from.topic.is_empty() && topic::matches(&node.subscribe, &from.topic)
        };
        (0..).zip(&self.nodes).filter(|(_, node)| hears(node)).map(|(number, _)| number).collect()
    }
}
