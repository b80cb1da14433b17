//! Tests of stack.yaml.

use super::{RelPath, StackDef};
use crate::yaml::Source;

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
