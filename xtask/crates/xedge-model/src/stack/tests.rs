//! Tests of stack.yaml.

use super::{Data, Operation, Probe, RelPath, StackDef, board_name, is_board};
use crate::compose::Compose;
use crate::yaml::{Source, YamlError};

const GOOD: &str = "\
format: 1
name: edge
compose: stacks/edge/compose.yaml.j2
files:
  - {template: services/a.j2, output: a/a.conf, mode: \"0644\"}
secrets:
  broker: {kind: mosquitto_passwd, users: [b, a], owner: 1883}
  mine: {kind: password, user: a, owner: 1}
gate: [one]
device_values:
  site: {pattern: \"[a-z]+\", sample: lab}
  zone: {pattern: \"[0-9]\", sample: \"1\", max_length: 1}
";

fn refused(from: &str, to: &str, part: &str) {
    assert!(GOOD.contains(from), "{from}");
    let error = StackDef::parse(&Source::new("s.yaml", GOOD.replace(from, to)), "edge").unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn references_are_ordered_and_carry_no_value() {
    let def = StackDef::parse(&Source::new("s.yaml", GOOD), "edge").unwrap();
    let text = serde_json::to_string(&def.references()).unwrap();
    assert_eq!(
        text,
        r#"[{"name":"broker","kind":"mosquitto_passwd","users":["a","b"],"owner":1883},{"name":"mine","kind":"password","users":["a"],"owner":1}]"#
    );
    assert_eq!(def.references()[0].target(), "/run/secrets/broker");
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    refused("name: edge", "name: other", "s.yaml:2:7: the stack's name is `other`");
    refused("gate: [one]", "gate: []", "s.yaml:9:7: `gate` is empty");
    refused("gate: [one]", "gates: [one]", "s.yaml:9:1: unknown key `gates`");
    refused("format: 1", "format: 2", "s.yaml:1:9: the file has format 2");
    refused("output: a/a.conf", "output: rendered.json", "rendering makes itself");
    refused("0644", "0666", "must not be writable");
    refused("users: [b, a]", "users: [a, a]", "`a` is there twice");
    refused("users: [b, a]", "users: [\"a:b\"]", "is no name of a user");
    refused("users: [b, a]", "user: a", "needs `users`");
    refused("user: a", "users: [a]", "needs `user`");
    refused("  mine:", "  ../mine:", "is no name of a secret");
    refused("kind: password", "kind: passwort", "unknown value `passwort`");
}

#[test]
fn device_values_are_read_in_order() {
    let def = StackDef::parse(&Source::new("s.yaml", GOOD), "edge").unwrap();
    let text = serde_json::to_string(&def.device_values()).unwrap();
    assert_eq!(
        text,
        r#"[{"name":"site","pattern":"[a-z]+","sample":"lab","maxLength":64},{"name":"zone","pattern":"[0-9]","sample":"1","maxLength":1}]"#
    );
}

#[test]
fn a_device_value_that_is_wrong_is_refused_with_its_place() {
    refused("site: {", "Site: {", "s.yaml:11:9: `Site` is no name of a device value");
    refused("[a-z]+", "[a-z+", "s.yaml:11:19: the pattern `[a-z+` is refused");
    refused("sample: lab", "sample: lab1", "s.yaml:11:37: the sample `lab1` does not fit");
    refused(
        "sample: lab",
        "sample: \"a\\n\"",
        "s.yaml:11:37: the sample `a\\n` does not fit: it holds \\u{a}",
    );
    refused("max_length: 1", "max_length: 0", "s.yaml:12:53: the length 0");
    refused("max_length: 1", "max_lenght: 1", "s.yaml:12:41: unknown key `max_lenght`");
    refused(", sample: lab", "", "s.yaml:11:10: missing field `sample`");
}

const OPERATION: &str = "\
gate: [one]
boards: [raspberrypi-4-model-b, imx8]
data: {version: 3, floor: 2}
probes:
  - {service: broker, mqtt: 1883, secret: mine}
  - {service: web, http: 8080, path: /ready?x=1}
  - {service: web, command: [test, -e, /run/ready]}
settle: 5s
start: 2m
";

const COMPOSE: &str = "\
services:
  broker:
    image: a/broker:latest
    ports: [\"2883:1883\", \"9001:9001\", \"53:53/udp\"]
    secrets: [broker, mine]
  web:
    image: a/web:latest
    ports: [\"80:8080\"]
secrets:
  broker: {file: ../secrets/broker}
  mine: {file: ../secrets/mine}
";

fn operation(stack: &str, compose: &str) -> Result<Operation, YamlError> {
    let source = Source::new("s.yaml", GOOD.replace("gate: [one]\n", stack));
    StackDef::parse(&source, "edge")?
        .operation(&source, &Compose::parse(&Source::new("c.yaml", compose)).unwrap())
}

#[test]
fn a_device_is_told_what_to_ask() {
    let found = operation(OPERATION, COMPOSE).unwrap();
    assert_eq!(found.boards, ["imx8", "raspberrypi-4-model-b"]);
    assert_eq!((found.data, found.settle_s, found.start_s), (Data { version: 3, floor: 2 }, 5, 120));
    let (broker, web) = (|| "broker".to_owned(), || "web".to_owned());
    let command = ["test", "-e", "/run/ready"].map(str::to_owned).to_vec();
    assert_eq!(
        found.probes,
        [
            // Nobody asked for it, but it is published.
            Probe::Tcp { service: broker(), port: 9001 },
            Probe::Mqtt { service: broker(), port: 2883, secret: Some("mine".to_owned()) },
            Probe::Http { service: web(), port: 80, path: "/ready?x=1".to_owned() },
            Probe::Command { service: web(), command },
        ]
    );
}

#[test]
fn a_stack_that_says_nothing_has_its_published_ports_asked() {
    let found = operation("gate: [one]\n", COMPOSE).unwrap();
    let tcp = |service: &str, port| Probe::Tcp { service: service.to_owned(), port };
    assert_eq!(found.probes, [tcp("broker", 2883), tcp("broker", 9001), tcp("web", 80)]);
    assert_eq!((found.boards.len(), found.data, found.settle_s, found.start_s), (0, Data::default(), 10, 60));
}

#[test]
fn an_operation_that_is_wrong_is_refused_with_its_place() {
    let refused = |from: &str, to: &str, part: &str| {
        assert!(OPERATION.contains(from), "{from}");
        let error = operation(&OPERATION.replacen(from, to, 1), COMPOSE).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    refused("imx8", "\"Raspberry Pi 4\"", "s.yaml:10:33: `Raspberry Pi 4` is no name of a board");
    refused("imx8", "raspberrypi-4-model-b", "is there twice");
    refused("floor: 2", "floor: 4", "s.yaml:11:7: `floor` is above `version`");
    refused("floor: 2", "flor: 2", "unknown key `flor`");
    refused("floor: 2", "floor: -1", "s.yaml:11:");
    refused("settle: 5s", "settle: 500ms", "s.yaml:16:9: `500ms` is not between 0s and 3600s");
    refused("start: 2m", "start: 0s", "`0s` is not between 1s and 3600s");
    refused("start: 2m", "start: 2h", "is not between 1s and 3600s");
    refused("service: broker", "service: brokr", "s.yaml:13:15: unknown service `brokr`");
    refused("mqtt: 1883", "mqtt: 2883", "s.yaml:13:29: no port of the device leads to port 2883 of broker");
    refused("mqtt: 1883", "mqtt: 0", "there is no port 0");
    refused("mqtt: 1883", "tcp: 1883", "s.yaml:13:42: `secret` belongs to `mqtt`");
    refused("mqtt: 1883", "mqtt: 1883, tcp: 1883", "exactly one of");
    refused(", mqtt: 1883, secret: mine", "", "exactly one of");
    refused("secret: mine", "secret: broker", "s.yaml:13:43: nobody can log in with the secret broker");
    refused("secret: mine", "secret: yours", "`yours` is no secret of the stack");
    refused("secret: mine", "secret: mine, path: /", "`path` belongs to `http`");
    refused("path: /ready", "path: ready", "s.yaml:14:38: a path begins with `/`");
    refused("[test, -e, /run/ready]", "[]", "a command has 1 to 64 parts");
    refused("[test, -e, /run/ready]", "test -e /run/ready", "s.yaml:15:");
    refused("http: 8080", "https: 8080", "unknown key `https`");
    let unused = COMPOSE
        .replace("secrets: [broker, mine]", "secrets: [broker]")
        .replace("  mine: {file: ../secrets/mine}\n", "");
    let error = operation(OPERATION, &unused).unwrap_err().to_string();
    assert!(error.contains("no service reads the secret `mine`"), "{error}");
}

#[test]
fn boards_are_named_as_they_call_themselves() {
    for (model, name) in [
        ("Raspberry Pi 4 Model B Rev 1.4\0", "raspberry-pi-4-model-b-rev-1-4"),
        ("  ODROID-N2+ ", "odroid-n2"),
        ("\u{fc}ber", "ber"),
        ("", ""),
    ] {
        assert_eq!(board_name(model), name);
        assert!(name.is_empty() || is_board(name));
    }
    let long = board_name(&"ab ".repeat(40));
    assert!(is_board(&long) && long.len() <= 63, "{long}");
    for bad in ["", "A", "a_b", "-a", "a-", "a--b", "a b"] {
        assert!(!is_board(bad), "{bad}");
    }
}

#[test]
fn two_files_in_each_others_way_are_refused() {
    let twice = "mode: \"0644\"}\n  - {template: services/b.j2, output: a/a.conf/b, mode: \"0644\"}";
    refused("mode: \"0644\"}", twice, "in each other's way");
}

#[test]
fn only_paths_below_the_folder_are_taken() {
    assert_eq!("a/b.conf".parse::<RelPath>().unwrap().as_str(), "a/b.conf");
    for text in ["", "/a", "../a", "a/../b", "./a", "a//b", "a/", "a\\b", "a\nb", "a\0", "c:/x", "."] {
        assert!(text.parse::<RelPath>().is_err(), "{text:?}");
    }
}
