//! The schema against the reader, key by key, and against files that are right and wrong.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema;
use crate::Failure as _;
use crate::scenario::{
    Docker, Implementation, Link, LinkShape, Lockstep, ModelConfig, NamedLink, Network, Node, NodeLimits,
    Process, Role, RunLimits, Runs, Scenario, Signal, Simulation, Stall, TimelineEntry, Tls, Volume, Will,
};
use crate::yaml::Source;

const FULL: &str = include_str!("../check/full.yaml");

/// The file as an editor's validator sees it.
fn json(text: &str) -> Value {
    Source::new("f.yaml", text).parse().unwrap()
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// The names that a reader knows, which it tells whoever writes another one.
fn known<T: DeserializeOwned>(text: &str) -> BTreeSet<String> {
    let error = Source::new("f.yaml", text).parse::<T>().map(drop).unwrap_err();
    let hint = error.hint().unwrap_or_else(|| panic!("{error}"));
    hint.strip_prefix("known here: ")
        .unwrap_or_else(|| panic!("{hint}"))
        .split(", ")
        .map(str::to_owned)
        .collect()
}

fn keys<T: DeserializeOwned>() -> BTreeSet<String> {
    known::<T>("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz: 1\n")
}

#[test]
fn the_schema_knows_exactly_the_keys_that_the_reader_knows() {
    let schema = schema();
    let in_schema = |path: &str| -> BTreeSet<String> {
        let object = schema.pointer(path).unwrap_or_else(|| panic!("no {path}"));
        object["properties"]
            .as_object()
            .unwrap_or_else(|| panic!("{path}: {object}"))
            .keys()
            .cloned()
            .collect()
    };
    for (path, keys) in [
        ("", keys::<Scenario>()),
        ("/properties/simulation", keys::<Simulation>()),
        ("/properties/runs", keys::<Runs>()),
        ("/properties/limits", keys::<RunLimits>()),
        ("/properties/network", keys::<Network>()),
        ("/properties/network/properties/links/items", keys::<Link>()),
        ("/$defs/node", keys::<Node>()),
        ("/$defs/node/properties/process", keys::<Process>()),
        ("/$defs/node/properties/limits", keys::<NodeLimits>()),
        ("/$defs/node/properties/volumes/additionalProperties", keys::<Volume>()),
        ("/$defs/docker", keys::<Docker>()),
        ("/$defs/docker/properties/lockstep", keys::<Lockstep>()),
        ("/$defs/config", ModelConfig::KEYS.into_iter().map(str::to_owned).collect()),
        ("/$defs/config/properties/will", keys::<Will>()),
        ("/$defs/config/properties/tls", keys::<Tls>()),
        ("/$defs/link", keys::<NamedLink>()),
        ("/$defs/shape", keys::<LinkShape>()),
        ("/$defs/shape/properties/stall", keys::<Stall>()),
        ("/$defs/entry", keys::<TimelineEntry>()),
    ] {
        assert_eq!(in_schema(path), keys, "{path}");
    }
    let words = |path: &str| -> BTreeSet<String> {
        let list = schema.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("no {path}"));
        list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words("/$defs/node/properties/type/anyOf/0/enum"), known::<Role>("zzzzzzzzzzzzzzzzzzzzzz\n"));
    let implementations = known::<Implementation>("zzzzzzzzzzzzzzzzzzzzzz\n");
    assert_eq!(words("/$defs/node/properties/implementation/anyOf/0/enum"), implementations);
    assert_eq!(words("/$defs/entry/properties/signal/anyOf/0/enum"), known::<Signal>("zzzzzzzzzzzzzzzz\n"));
}

#[test]
fn every_scenario_of_this_project_is_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../scenarios");
    let validator = validator();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let file = path.display();
            Scenario::parse_all(&Source::new(file.to_string(), text.clone())).unwrap();
            let errors: Vec<String> =
                validator.iter_errors(&json(&text)).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{file}: {errors:?}");
            count += 1;
        }
    }
    assert!(count >= 4);
}

#[test]
fn what_has_another_shape_is_refused_by_both() {
    let validator = validator();
    assert!(validator.is_valid(&json(FULL)));
    let matrix = format!("{FULL}matrix: {{n: [1, 2]}}\n").replace("count: 10", "count: ${n}");
    assert!(validator.is_valid(&json(&matrix)));
    for (from, to) in [
        ("duration_s: 60", "duration_s: soon"),
        ("duration_s: 60", "duration_s: 1e9"),
        ("duration_s: 60, ", ""),
        ("seed: 42", "seed: -1"),
        ("level: scenario", "level: other"),
        ("type: broker", "type: brokr"),
        ("implementation: docker", "implementation: model"),
        ("port: 1883", "port: 99999"),
        ("ports: {1883: 1883}", "ports: {1883: x}"),
        ("latency: 20ms", "latency: 20"),
        ("rate: 2mbit", "rate: 2mbps"),
        ("p: 0.01, ", ""),
        ("loss: 0.001", "loss: 2"),
        ("jitter: 20%", "jitter: 20"),
        ("qos: 2", "qos: 3"),
        ("protocol: 5", "protocol: 4"),
        ("will: {topic: a, ", "will: {"),
        ("config: {every: 10s", "config: {evry: 10s"),
        ("memory: 128m", "memory: 128"),
        ("path: /mosquitto/data, ", ""),
        ("at: 20s, ", ""),
        ("kill: mqtt-broker", "kill: mqtt-broker, start: relay"),
        ("signal: KILL", "signal: HUP"),
        ("repeat: 5", "repeat: 0"),
        ("lag_p99: 20ms", "lag: 20ms"),
        ("stack: edge", "stak: edge"),
        ("script: scenarios/models/gateway.py", "script: [a.py]"),
        ("process: {command: [mosquitto, ", "process: {comand: [mosquitto, "),
    ] {
        assert!(FULL.contains(from), "{from}");
        let text = FULL.replacen(from, to, 1);
        assert!(Scenario::parse(&Source::new("s.yaml", text.clone())).is_err(), "the reader takes {to}");
        assert!(!validator.is_valid(&json(&text)), "the schema takes {to}");
    }
}
