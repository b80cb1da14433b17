//! Every key of a scenario, wrong in every way: refused at its place, with its message.

use crate::Failure as _;
use crate::scenario::Scenario;
use crate::tree::{At, Tree, Value};
use crate::yaml::Source;

/// Every key that there is, each in use.
const FULL: &str = include_str!("full.yaml");

fn read(text: &str) -> Result<Scenario, crate::yaml::YamlError> {
    Scenario::parse(&Source::new("s.yaml", text))
}

/// A text, what stands there instead, where the problem is (at the `|`), and the start of what is said.
type Mistake<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Fails unless each of these mistakes in `text` is refused at its place; tells all that are not.
#[track_caller]
fn refused(text: &str, mistakes: &[Mistake<'_>]) {
    let problems: Vec<String> = mistakes.iter().filter_map(|mistake| problem(text, *mistake)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn problem(text: &str, (from, to, mark, message): Mistake<'_>) -> Option<String> {
    assert!(text.contains(from), "`{from}` is not in the scenario");
    let text = text.replacen(from, to, 1);
    let Err(error) = read(&text) else { return Some(format!("{to}: is taken")) };
    let (before, after) = mark.split_once('|').unwrap();
    let at = text.find(&format!("{before}{after}")).unwrap_or_else(|| panic!("no `{mark}`")) + before.len();
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = text[..start].lines().count() + 1;
    let wanted = format!("failed to read s.yaml:{line}:{}: {message}", at - start + 1);
    (!error.to_string().starts_with(&wanted)).then(|| format!("{to}: wanted {wanted}\nfound {error}\n"))
}

#[test]
fn the_full_scenario_is_valid() {
    let scenario = read(FULL).unwrap();
    assert!(!scenario.is_virtual() && scenario.timeline.len() == 6 && scenario.links.len() == 2);
}

/// Values that are names or texts of the user's: any text is good there, and a number is a text.
const FREE: [&str; 19] = [
    "stack",
    "service",
    "topic",
    "subscribe",
    "payload",
    "environment",
    "command",
    "ca",
    "script",
    "threshold",
    "bind",
    "build_context",
    "image",
    "path",
    "id",
    "user",
    "TZ",
    "volumes",
    "mode",
];

/// Every scalar with every kind of wrong value is an error, and one that names a line of that very value or of what it is
/// part of; nothing ends in a panic.
#[test]
fn every_value_of_a_wrong_kind_is_refused_at_its_place() {
    let tree = Tree::parse(&Source::new("s.yaml", FULL)).unwrap();
    let mut all = Vec::new();
    scalars(&tree, "", &mut all);
    assert!(all.len() > 120, "{}", all.len());
    let mut problems = Vec::new();
    for (key, at, text) in all {
        for wrong in ["[1]", "{a: 1}", "zzz zzz", "-1", "99999999999999999999999", "''"] {
            let lines: Vec<&str> = FULL.lines().collect();
            let (line, column) =
                (usize::try_from(at.line).unwrap() - 1, usize::try_from(at.column).unwrap() - 1);
            let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            let rest = &lines[line][column..];
            let quoted = if rest.starts_with('"') { text.len() + 2 } else { text.len() };
            changed[line] = format!("{}{wrong}{}", &lines[line][..column], &rest[quoted..]);
            let is_shape = wrong.starts_with(['[', '{']);
            let is_free = FREE.contains(&key.as_str()) || key.parse::<u16>().is_ok();
            match read(&changed.join("\n")) {
                Ok(_) if !is_free => problems.push(format!("{key}: {wrong} instead of {text} is taken")),
                Ok(_) => {}
                Err(error) => {
                    let error = error.to_string();
                    let there = format!("s.yaml:{}:", at.line);
                    if is_shape && !error.contains(&there) {
                        problems.push(format!("{key}: {wrong}: {error}"));
                    }
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn scalars(tree: &Tree, key: &str, all: &mut Vec<(String, At, String)>) {
    match &tree.value {
        Value::Map(entries) => entries.iter().for_each(|(key, value)| scalars(value, &key.name, all)),
        Value::List(items) => items.iter().for_each(|item| scalars(item, key, all)),
        _ => all.push((key.to_owned(), tree.at, tree.text().unwrap_or_default())),
    }
}

/// Every map refuses a key that it does not know, but for those that name things of the user's.
#[test]
fn every_map_refuses_a_key_that_it_does_not_know() {
    for (start, is_open) in [
        ("simulation: {", false),
        ("lan: {", false),
        ("up: {", false),
        ("stall: {", false),
        ("will: {", false),
        ("tls: {", false),
        ("process: {", false),
        ("limits: {memory", false),
        ("- {at: 20s, ", false),
        ("runs: {", false),
        ("limits: {lag", false),
        ("data: {path", false),
        ("{src: ", false),
        ("network: {", false),
        ("environment: {", true),
        ("config: {threshold", true),
    ] {
        assert!(FULL.contains(start), "{start}");
        let at = FULL.find(start).unwrap() + start.find('{').unwrap() + 1;
        let text = format!("{}zzz: 1, {}", &FULL[..at], &FULL[at..]);
        match read(&text) {
            Ok(_) => assert!(is_open, "{start} takes any key"),
            Err(error) => assert!(error.to_string().contains("unknown key `zzz`"), "{start}: {error}"),
        }
    }
}

#[test]
fn values_out_of_range_are_refused() {
    refused(
        FULL,
        &[
            (
                "time_quantum_us: 1000",
                "time_quantum_us: 0",
                "time_quantum_us: |0",
                "`time_quantum_us` must be",
            ),
            ("ready_s: 30", "ready_s: 0", "ready_s: |0", "`ready_s` must be more than 0"),
            ("loss: 0.001", "loss: 1.1", "loss: |1.1", "`loss` must be 0 to 1"),
            ("loss: 0.001", "loss: .nan", "loss: |.nan", "`loss` must be 0 to 1"),
            ("p: 0.01", "p: -0.1", "p: |-0.1", "`p` must be 0 to 1"),
            ("for: 200ms", "for: 0ms", "for: |0ms", "`for` must be more than 0"),
            ("rate: 2mbit", "rate: 8bit", "rate: |8bit", "`rate` must be at least 1kbit"),
            ("latency: 20ms", "latency: 1m", "latency: |1m", "`latency` must be less than 1m"),
            ("down: {latency: 80ms", "down: {latency: 2h", "latency: |2h", "`latency` must be less than 1m"),
            ("loss_rate: 0.1", "loss_rate: 2", "loss_rate: |2", "`loss_rate` must be 0 to 1"),
            (
                "default_loss_rate: 0.0",
                "default_loss_rate: -1",
                "rate: |-1",
                "`default_loss_rate` must be 0 to 1",
            ),
            (
                "latency_us: 5000",
                "latency_us: 99999999",
                "latency_us: |99999999",
                "`latency_us` must be at most",
            ),
            ("qos: 2", "qos: 3", "qos: |3", "`qos` must be 0, 1 or 2"),
            ("qos: 1, retain", "qos: 9, retain", "qos: |9, retain", "`qos` must be 0, 1 or 2"),
            ("every: 10s", "every: 0s", "every: |0s", "`every` must be more than 0"),
            ("payload: 64B", "payload: 2MiB", "payload: |2MiB", "`payload` must be at most 1MiB"),
            (
                "keep_alive: 60s",
                "keep_alive: 1500ms",
                "keep_alive: |1500ms",
                "`keep_alive` must be whole seconds",
            ),
            (
                "keep_alive: 60s",
                "keep_alive: 99999s",
                "keep_alive: |99999s",
                "`keep_alive` must be whole seconds",
            ),
            ("protocol: 5", "protocol: 4", "protocol: |4", "`4` is no version of MQTT"),
            ("memory: 128m", "memory: 1m", "memory: |1m", "`memory` must be at least 6m"),
            ("cpus: 0.5", "cpus: 0", "cpus: |0", "`cpus` must be 0.01 to 1024"),
            ("pids: 100", "pids: 0", "pids: |0", "`pids` must be at least 1"),
            ("size: 64m", "size: 1k", "size: |1k", "`size` must be at least 4k"),
            ("path: /mosquitto/data", "path: data", "path: |data", "`data` is no place for a volume"),
            ("lag_p99: 20ms", "lag_p99: 0s", "lag_p99: |0s", "`lag_p99` must be more than 0"),
            ("repeat: 5", "repeat: 0", "repeat: |0", "`repeat` must be at least 1"),
            (
                "repeat: 5",
                "repeat: 500",
                "repeat: |500",
                "`repeat` must be at least 1, and at most 1000 runs",
            ),
            (
                "min_pass_rate: 1.0",
                "min_pass_rate: 0",
                "pass_rate: |0",
                "`min_pass_rate` must be more than 0",
            ),
            ("seeds: [42, 43, 44]", "seeds: []", "seeds: |[]", "`seeds` is empty"),
            ("seeds: [42, 43, 44]", "seeds: [42, 42]", "seeds: [42, |42]", "the same seed twice"),
            ("count: 10", "count: 10001", "count: |10001", "`count` must be 1 to 10000"),
        ],
    );
}

#[test]
fn names_must_be_there() {
    refused(
        FULL,
        &[
            ("from: gateway", "from: gatway", "from: |gatway", "unknown node `gatway`"),
            ("to: mqtt-broker, l", "to: gateway, l", "to: |gateway, l", "`gateway` has no link to itself"),
            ("from: gateway, to: mqtt-broker", "from: gateway", "from: |gateway", "`from` needs `to`"),
            ("from: gateway, to: mqtt-broker", "to: gateway", "to: |gateway", "`to` needs `from`"),
            ("via: lan", "via: lann", "via: |lann", "unknown link `lann`"),
            ("via: lan", "via: wan", "via: |wan", "`wan` has ends of its own"),
            ("    via: lan\n", "", "  |lan: {", "nothing goes through `lan`"),
            ("src: sensor", "src: senso", "src: |senso", "unknown node `senso`"),
            ("to: gateway}", "to: gatewai}", "to: |gatewai", "unknown node `gatewai`"),
            ("to: gateway}", "to: sensor}", "to: |sensor}", "`sensor` would send to itself"),
            ("kill: mqtt-broker", "kill: broker", "kill: |broker", "unknown node `broker`"),
            ("kill: mqtt-broker", "kill: sensor", "kill: |sensor", "`sensor` is no container and no process"),
            ("partition: lan", "partition: LAN", "partition: |LAN", "unknown link `LAN`"),
            ("peak(mqtt-broker)", "peak(mqtt)", "- |memory.peak(mqtt)", "unknown container `mqtt`"),
            ("logs(mqtt-broker)", "logs(sensor)", "- |logs(sensor)", "unknown container `sensor`"),
            (
                "recovers(mqtt-broker)",
                "recovers(relay)",
                "- |node.recovers",
                "nothing in `timeline` makes `relay` recover",
            ),
            (
                "ratio{qos=2}",
                "ratio{qos=0}",
                "- |mqtt.delivery_ratio{qos=0}",
                "no sensor publishes with quality",
            ),
        ],
    );
}

#[test]
fn a_timeline_that_finds_nothing_to_do_is_refused() {
    refused(
        FULL,
        &[
            ("at: 20s, kill", "at: 60s, kill", "at: |60s", "`at` must be before the end, 60 s"),
            ("for: 5s", "for: 50s", "for: |50s", "it would go on after the end, 60 s"),
            ("for: 3s", "for: 0s", "for: |0s", "`for` must be more than 0"),
            ("down_for: 2s", "down_for: 40s", "down_for: |40s", "it would go on after the end"),
            (
                "recover_within: 5s",
                "recover_within: 0s",
                "recover_within: |0s",
                "`recover_within` must be more",
            ),
            ("at: 25s, start", "at: 19s, start", "at: |19s", "`mqtt-broker` runs at that time"),
            (
                "start: mqtt-broker",
                "pause: mqtt-broker, for: 1s",
                "at: |25s",
                "`mqtt-broker` was killed before",
            ),
            ("at: 40s", "at: 31s", "at: |31s", "`mqtt-broker` is still restarting or paused"),
            ("reset: lan", "partition: lan, for: 1s", "at: |52s", "`lan` is still partitioned"),
            (
                "kill: mqtt-broker",
                "kill: mqtt-broker, start: relay",
                "- |{at: 20s",
                "`kill` and `start` are two entries",
            ),
            (
                "kill: mqtt-broker, signal: KILL",
                "signal: TERM",
                "- |{at: 20s",
                "nothing is done here: expected `kill`",
            ),
            ("kill: mqtt-broker", "kill: mqtt-broker, for: 1s", "- |{at: 20s", "`kill` takes no `for`"),
        ],
    );
}

#[test]
fn keys_without_effect_are_refused() {
    refused(
        FULL,
        &[
            (
                "    count: 10\n",
                "    count: 10\n    limits: {pids: 1}\n",
                "|{pids: 1}",
                "`limits` needs `implementation: docker`",
            ),
            (
                "    count: 10\n",
                "    count: 10\n    volumes: {a: {path: /a}}\n",
                "|{a: {path",
                "`volumes` needs",
            ),
            (
                "    count: 10\n",
                "    count: 10\n    script: a.py\n",
                "|a.py",
                "`script` needs `implementation: python_model`",
            ),
            (
                "implementation: docker",
                "implementation: process",
                "- id: |mqtt-broker",
                "node `mqtt-broker` needs `process`",
            ),
            ("    process: {", "    count: 2\n    process: {", "count: |2", "`count` is for models"),
            (
                "    process: {",
                "    limits: {pids: 1}\n    process: {",
                "limits: |{pids: 1}",
                "`limits` is for containers",
            ),
            (
                "    process: {",
                "    script: x.py\n    process: {",
                "|x.py",
                "`script` needs another `implementation`",
            ),
            (
                "    docker:\n",
                "    config: {qos: 0}\n    docker:\n",
                "config: |{qos: 0}",
                "`config` is for built-in models",
            ),
            (
                "config: {every: 10s,",
                "config: {subscribe: x, every: 10s,",
                "subscribe: |x",
                "`subscribe` has no effect on a sensor",
            ),
            (
                "config: {subscribe",
                "config: {retain: true, subscribe",
                "config: {retain: |true",
                "`retain` has no effect on a cloud",
            ),
            ("config: {every: 10s", "config: {evry: 10s", "config: {|evry", "unknown key `evry`"),
            ("[mosquitto, ", "['', ", "command: |['', ", "`command` is empty"),
            (
                "model: latency",
                "model: direct",
                "default_latency_us: |10000",
                "links with latency or loss need `model: latency`",
            ),
            (
                "- id: cloud",
                "- id: sensor-3",
                "id: |sensor-3",
                "`sensor-3` is also one of those that `count` makes",
            ),
            (
                "data:/var",
                "data:/mosquitto/data\", \"x:/var",
                "|\"data:/mosq",
                "`/mosquitto/data` is the place of two",
            ),
        ],
    );
}

/// A scenario of models alone, with one text replaced.
#[test]
fn what_models_alone_cannot_show_is_refused() {
    const MODELS: &str = "\
simulation: {duration_s: 10, seed: 1}
nodes:
  - {id: sensor, type: sensor, config: {every: 1s}}
  - {id: gateway, type: gateway}
  - {id: script, type: gateway, script: a.py, config: {user: x}}
expect:
  - sensors.publish
";
    let scenario = read(MODELS).unwrap();
    assert!(scenario.is_virtual());
    let seed = read(&MODELS.replace("expect:\n  - sensors.publish\n", "")).unwrap().expectations().unwrap();
    assert_eq!(
        seed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        "sensors.publish gateway.receives mqtt.end_to_end"
    );
    refused(
        MODELS,
        &[
            ("every: 1s", "keep_alive: 1s", "keep_alive: |1s", "`keep_alive` needs a broker"),
            ("every: 1s", "user: ann", "user: |ann", "`user` needs a broker"),
            (
                "- sensors.publish",
                "- mqtt.ack_latency.p50 < 1s\n  - sensors.publish",
                "- |mqtt.ack",
                "`mqtt.ack_latency.p50 < 1s` needs a container",
            ),
            (
                "- sensors.publish",
                "- broker.starts",
                "- |broker.starts",
                "`broker.starts` needs a container or process",
            ),
            (
                "expect:",
                "links: {l: {from: sensor, to: gateway}}\ntimeline: [{at: 1s, reset: l}]\nexpect:",
                "{at: |1s",
                "the timeline is for",
            ),
        ],
    );
}

#[test]
fn a_gate_claims_that_something_happens() {
    let only = |claims: &str| {
        let start = FULL.find("expect:\n").unwrap();
        let end = FULL.find("runs:").unwrap();
        read(&format!("{}expect: [{claims}]\n{}", &FULL[..start], &FULL[end..]))
    };
    for claims in
        ["mqtt.duplicates <= 3", "mqtt.acked_lost == 0, auth.anonymous == refused", "\"logs(relay) !~ /x/\""]
    {
        let error = only(claims).map(drop).unwrap_err();
        assert!(error.message().starts_with("all of these would hold if nothing happened"), "{error}");
        assert!(error.hint().is_some());
    }
    for claims in ["mqtt.duplicates <= 3, broker.starts", "node.recovers(mqtt-broker) < 9s"] {
        assert!(only(claims).is_ok(), "{claims}");
    }
    assert!(only("").map(drop).unwrap_err().message().starts_with("`expect` is empty"));
}
