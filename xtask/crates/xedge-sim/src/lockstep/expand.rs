//! From a scenario to a plan in virtual time: nodes with `count` expanded, links with their directions. Names were checked
//! when the scenario was read; files are looked for by nobody here.

use std::time::Duration;

use camino::Utf8Path;
use serde_json::{Map, Value};
use xedge_model::duration::Span;
use xedge_model::scenario::{Direction, LinkShape, Network, NetworkModel, Node, Scenario};

use super::link::{LinkPlan, Shape};
use super::plan::{ContainerCommand, Patience, Runs, ScriptPlan, VirtualNode, VirtualPlan};
use crate::plan::{Limits, ModelSettings};

/// Step of scripts and containers where the scenario names none: upstream's.
const QUANTUM_US: u64 = 1_000;
/// How long a script or container has for one step.
const STEP: Duration = Duration::from_secs(10);

impl VirtualPlan {
    /// The plan of a scenario; scripts are relative to `root`.
    pub fn of(scenario: &Scenario, name: &str, root: &Utf8Path) -> Self {
        let simulation = &scenario.simulation;
        let (links, default_link) = links(scenario);
        let ready = simulation.ready_s.as_ref();
        let ready = ready.map_or(Limits::NATIVE.ready, |seconds| Duration::from_secs_f64(seconds.value));
        Self {
            scenario_name: name.to_owned(),
            seed: simulation.seed,
            duration: Duration::from_secs_f64(simulation.duration_s.value),
            quantum: Duration::from_micros(simulation.time_quantum_us.unwrap_or(QUANTUM_US)),
            drain: Limits::NATIVE.drain,
            patience: Patience { ready, step: STEP },
            nodes: scenario.nodes.value.iter().flat_map(|node| nodes(node, &links, root)).collect(),
            links,
            default_link,
        }
    }
}

fn nodes(node: &Node, links: &[LinkPlan], root: &Utf8Path) -> Vec<VirtualNode> {
    let group = &node.id.value;
    let ids: Vec<String> = match &node.count {
        Some(count) => (1..=count.value).map(|n| format!("{group}-{n}")).collect(),
        None => vec![group.clone()],
    };
    let link = |name: &str, direction| links.iter().position(|link| link.name == named(name, direction));
    let via = node
        .via
        .as_ref()
        .and_then(|via| Some((link(&via.value, Direction::Up)?, link(&via.value, Direction::Down)?)));
    let runs = runs(node, root);
    ids.into_iter()
        .map(|id| {
            let settings = ModelSettings::new(&node.config, node.role, &id);
            VirtualNode {
                group: group.clone(),
                role: node.role,
                runs: runs.clone(),
                every: settings.every,
                jitter_ppm: settings.jitter_ppm,
                payload: settings.payload,
                topic: settings.topic,
                subscribe: settings.subscribe,
                to: node.config.to.clone(),
                via,
                id,
            }
        })
        .collect()
}

fn runs(node: &Node, root: &Utf8Path) -> Runs {
    let config = || match node.config.json() {
        Value::Object(config) => config,
        _ => Map::new(),
    };
    let lockstep = node.docker.as_ref().and_then(|docker| docker.value.lockstep.as_ref());
    match (&node.script, lockstep) {
        (Some(script), _) => Runs::Script(ScriptPlan {
            file: root.join(&script.value),
            shown: script.value.clone(),
            line: script.referenced.line(),
            config: config(),
        }),
        (None, Some(lockstep)) => {
            Runs::Container(ContainerCommand { command: lockstep.command.clone(), config: config() })
        }
        (None, None) => Runs::Model,
    }
}

fn named(link: &str, direction: Direction) -> String {
    format!("{link}.{}", direction.as_str())
}

/// Every direction of every link, and which of them is for the pairs that have no other.
fn links(scenario: &Scenario) -> (Vec<LinkPlan>, Option<usize>) {
    let mut links = Vec::new();
    for (name, link) in &scenario.links {
        for direction in [Direction::Up, Direction::Down] {
            let ends = link.value.from.as_ref().zip(link.value.to.as_ref());
            let ends = ends.map(|(from, to)| match direction {
                Direction::Down => (to.value.clone(), from.value.clone()),
                Direction::Up | Direction::Both => (from.value.clone(), to.value.clone()),
            });
            let shape = shape(&link.value.direction(direction));
            links.push(LinkPlan { name: named(name, direction), ends, shape });
        }
    }
    let Some(network) = &scenario.network else { return (links, None) };
    let default = default_shape(network);
    links.extend(network.links.iter().map(|link| LinkPlan {
        name: format!("{}->{}", link.src.value, link.dst.value),
        ends: Some((link.src.value.clone(), link.dst.value.clone())),
        shape: Shape {
            latency_us: link.latency_us.unwrap_or(default.latency_us),
            loss: link.loss_rate.unwrap_or(default.loss),
            ..Shape::default()
        },
    }));
    if default == Shape::default() {
        return (links, None);
    }
    links.push(LinkPlan { name: "default".to_owned(), ends: None, shape: default });
    let last = links.len() - 1;
    (links, Some(last))
}

/// What pairs get that are not listed; with `model: latency` upstream's 10 ms where the scenario says nothing.
fn default_shape(network: &Network) -> Shape {
    let is_latency = network.model.as_ref().is_some_and(|model| model.value == NetworkModel::Latency);
    let latency = network.default_latency_us.as_ref().map(|latency| latency.value);
    Shape {
        latency_us: latency.unwrap_or(if is_latency { 10_000 } else { 0 }),
        loss: network.default_loss_rate.as_ref().map_or(0.0, |loss| loss.value),
        ..Shape::default()
    }
}

fn shape(shape: &LinkShape) -> Shape {
    let micros = |span: Span| u64::try_from(span.0.as_micros()).unwrap_or(u64::MAX);
    Shape {
        latency_us: shape.latency.map_or(0, micros),
        jitter_us: shape.jitter.map_or(0, micros),
        stall: shape.stall.map(|stall| (stall.p, micros(stall.for_))),
        rate_bps: shape.rate.map(|rate| rate.0),
        loss: shape.loss.unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use xedge_model::scenario::Scenario;
    use xedge_model::yaml::Source;

    use super::super::plan::{Runs, VirtualPlan};

    fn plan(text: &str) -> VirtualPlan {
        let scenario = Scenario::parse(&Source::new("s.yaml", text)).unwrap();
        VirtualPlan::of(&scenario, "s", "/project".into())
    }

    #[test]
    fn nodes_and_links_are_those_of_the_scenario() {
        let plan = plan(
            "
simulation: { duration_s: 2.5, seed: 9, time_quantum_us: 5000 }
links:
  lan: { latency: 20ms, jitter: 5ms, stall: { p: 0.01, for: 200ms }, rate: 2mbit, down: { loss: 0.5 } }
  wan: { from: gw, to: c, latency: 50ms }
network: { model: latency, links: [ { src: s, dst: gw, loss_rate: 0.25 } ] }
nodes:
  - { id: s, type: sensor, implementation: model, count: 2, via: lan, config: { every: 250ms, to: gw } }
  - { id: p, type: sensor, script: scenarios/models/sensor.py, config: { unit: C } }
  - { id: gw, type: gateway, implementation: model }
  - { id: c, type: cloud, implementation: model }
",
        );
        let ids: Vec<&str> = plan.nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["s-1", "s-2", "p", "gw", "c"]);
        assert_eq!((plan.quantum.as_millis(), plan.duration.as_millis(), plan.seed), (5, 2_500, 9));
        assert_eq!((plan.nodes[1].topic.as_str(), plan.nodes[1].to.as_deref()), ("sensors/s-2", Some("gw")));
        let Runs::Script(script) = &plan.nodes[2].runs else { panic!("{:?}", plan.nodes[2].runs) };
        assert_eq!((script.file.as_str(), script.line), ("/project/scenarios/models/sensor.py", 9));
        assert_eq!(script.config["unit"], "C");

        let names: Vec<&str> = plan.links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["lan.up", "lan.down", "wan.up", "wan.down", "s->gw", "default"]);
        assert_eq!((plan.nodes[0].via, plan.nodes[3].via, plan.default_link), (Some((0, 1)), None, Some(5)));
        let lan = &plan.links[1].shape;
        assert_eq!(
            (lan.latency_us, lan.jitter_us, lan.rate_bps, lan.loss),
            (20_000, 5_000, Some(2_000_000), 0.5)
        );
        assert_eq!(lan.stall, Some((0.01, 200_000)));
        assert_eq!(plan.links[3].ends, Some(("c".into(), "gw".into())));
        // Upstream's default latency, the listed loss.
        assert_eq!((plan.links[4].shape.latency_us, plan.links[4].shape.loss), (10_000, 0.25));
    }
}
