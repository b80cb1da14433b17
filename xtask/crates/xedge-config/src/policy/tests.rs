//! Tests of the policy: what each rule refuses and what it lets pass, the seed's own files, waivers, and the project's stack.

mod cases;
mod waivers;

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::{Declared, Finding, ImageFacts, RULES, Severity, Subject, check, rule};
use crate::conf::BrokerVersion;
use crate::tests::{Copy, templates};
use cases::{CASES, Case, Edit};

const CONF: &str = "listener 8883
certfile /run/secrets/tls-cert
keyfile /run/secrets/tls-key
max_connections 200
allow_anonymous false
password_file /mosquitto/config/passwd
acl_file /mosquitto/config/acl
persistence true
persistence_location /mosquitto/data/
autosave_interval 5
persistent_client_expiration 7d
max_queued_messages 1000
max_queued_bytes 524288
max_packet_size 262144
memory_limit 134217728
log_dest stdout
log_type error
log_type warning
log_type notice
";

const COMPOSE: &str = "services:
  mosquitto:
    image: xedgesim/mosquitto@sha256:0000000000000000000000000000000000000000000000000000000000000000
    restart: unless-stopped
    user: \"1883\"
    ports: [\"8883:8883\"]
    volumes: [\"./config:/mosquitto/config:ro\", \"data:/mosquitto/data\"]
    mem_limit: 160m
    cpus: 0.5
    pids_limit: 32
    read_only: true
    cap_drop: [ALL]
    security_opt: [\"no-new-privileges:true\"]
    logging: {driver: json-file, options: {max-size: 5m, max-file: \"3\"}}
    environment: {TZ: UTC}
volumes:
  data:
";

const PASSWD: &str = "sensor:$7$101$c2FsdHNhbHRzYWx0$aGFzaA==\n";
const ACL: &str = "pattern write sensors/%u/#\n";

fn files() -> BTreeMap<&'static str, String> {
    let all = [("mosquitto.conf", CONF), ("compose.yaml", COMPOSE), ("passwd", PASSWD), ("acl", ACL)];
    all.into_iter().map(|(name, text)| (name, text.to_owned())).collect()
}

fn edited(edits: &[Edit]) -> BTreeMap<&'static str, String> {
    let mut files = files();
    for (file, from, to) in edits {
        let text = files.get_mut(file).unwrap_or_else(|| panic!("no file {file}"));
        assert!(text.contains(from), "{file} holds `{from}`");
        *text = text.replacen(from, to, 1);
    }
    files
}

fn found(files: BTreeMap<&'static str, String>, package: Option<&str>) -> Vec<Finding> {
    let files = files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    let image = package.map(|version| ImageFacts { broker: BrokerVersion::of_package(version), user: None });
    check(&Subject::of_files(files, image, &Declared::default()).unwrap())
}

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.rule.id).collect()
}

const DEBIAN: &str = "2.0.11-1.2+deb12u2";

#[test]
fn the_base_of_all_cases_is_clean() {
    let all = found(files(), Some(DEBIAN));
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn every_rule_refuses_its_red_case_at_its_line_and_lets_the_green_one_pass() {
    for Case { rule, red, at: (file, text), green, package: [before, after] } in CASES {
        let files = edited(red);
        let line = files[file].lines().position(|line| line.contains(text)).expect("the marked line") + 1;
        let all = found(files, *before);
        let places: Vec<(&str, usize)> = all
            .iter()
            .filter(|finding| finding.rule.id == *rule)
            .map(|finding| (finding.place.file.as_str(), finding.place.line))
            .collect();
        assert!(places.contains(&(file, line)), "{rule}: {file}:{line} not in {places:?} of {:?}", ids(&all));
        let all = found(edited(green), *after);
        assert!(!ids(&all).contains(rule), "{rule}: the green case is refused: {all:#?}");
    }
}

/// Rules that rendering or the whole stack decide; see the tests of these names.
const ELSEWHERE: [&str; 5] = ["ops.docs", "parity.diff", "policy.waiver", "render.inject", "render.strict"];

#[test]
fn no_rule_is_without_a_case() {
    for rule in RULES {
        let has = CASES.iter().any(|case| case.rule == rule.id);
        assert!(has != ELSEWHERE.contains(&rule.id), "{}", rule.id);
    }
    for case in CASES {
        assert!(rule(case.rule).is_some(), "{}", case.rule);
    }
}

#[test]
fn rules_are_ordered_and_explained() {
    assert!(RULES.is_sorted_by_key(|rule| rule.id));
    for rule in RULES {
        let page = rule.page();
        assert!(page.starts_with(rule.id) && page.contains("Risk: ") && page.contains("Fix: "), "{page}");
    }
}

fn seed(names: &[&'static str]) -> Vec<Finding> {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/data/seed");
    found(
        names.iter().map(|name| (*name, std::fs::read_to_string(folder.join(name)).unwrap())).collect(),
        Some(DEBIAN),
    )
}

#[test]
fn the_seeds_production_configuration_is_refused_line_by_line() {
    let all = seed(&["mosquitto.conf", "docker-compose.yml"]);
    let places: Vec<(&str, &str, usize)> = all
        .iter()
        .map(|finding| (finding.rule.id, finding.place.file.as_str(), finding.place.line))
        .collect();
    for expected in [
        ("tls.listener", "mosquitto.conf", 2),
        ("authz.acl", "mosquitto.conf", 2),
        ("data.bounds", "mosquitto.conf", 2),
        ("auth.users", "mosquitto.conf", 6),
        ("data.rpo", "mosquitto.conf", 9),
        ("log.sink", "mosquitto.conf", 13),
        ("log.level", "mosquitto.conf", 14),
        ("image.pin", "docker-compose.yml", 6),
        ("image.pin", "docker-compose.yml", 18),
        ("run.limits", "docker-compose.yml", 5),
        ("run.hardening", "docker-compose.yml", 17),
    ] {
        assert!(places.contains(&expected), "{expected:?} not in {places:?}");
    }
    let alone = seed(&["mosquitto.conf"]);
    let mut errors: Vec<&str> = ids(&alone);
    errors.sort_unstable();
    errors.dedup();
    assert_eq!(errors, ["auth.users", "authz.acl", "data.bounds", "data.rpo", "log.level", "tls.listener"]);
}

fn reviewed(copy: &Copy) -> Vec<Finding> {
    let declared = Declared::read(&copy.root()).unwrap();
    let rendered = copy.render("production").unwrap();
    let facts = ImageFacts { broker: BrokerVersion::of_package(DEBIAN), user: Some("1883".into()) };
    let images = ["mosquitto", "gateway"].map(|service| (service.to_owned(), facts.clone())).into();
    check(&Subject::of_rendered(&rendered, images, &declared).unwrap())
}

#[test]
fn a_finding_in_a_stack_names_the_template_and_the_value() {
    let copy = Copy::new().change("environments/production.yaml", "save_every_s: 5", "save_every_s: 900");
    let all = reviewed(&copy);
    let finding = all.iter().find(|finding| finding.rule.id == "data.rpo").expect("a finding");
    assert_eq!(finding.place.file, "mosquitto/mosquitto.conf");
    let origin = finding.origin.as_ref().expect("an origin");
    assert!(origin.template.file.ends_with("services/mosquitto/mosquitto.conf.j2"), "{origin}");
    let (name, place) = &origin.values[0];
    assert_eq!(name, "broker.save_every_s");
    assert!(place.file.ends_with("environments/production.yaml") && place.line > 1, "{place}");
    let json = serde_json::to_value(finding).unwrap();
    assert_eq!(json["rule"], "data.rpo");
    assert_eq!(json["origin"]["values"][0]["name"], "broker.save_every_s");
    assert!(finding.to_string().contains("comes from"), "{finding}");
}

#[test]
fn what_cannot_be_rendered_is_a_finding_too() {
    let id = |copy: Copy| {
        let error = copy.render("production").unwrap_err();
        Finding::of_error(&error).map(|finding| (finding.rule.id, finding.severity))
    };
    let conf = "services/mosquitto/mosquitto.conf.j2";
    let broken = |from: &str, to: &str| id(Copy::new().change(conf, from, to));
    assert_eq!(
        broken("max_packet_size", "{{ broker.nothing }}\nmax_packet_size"),
        Some(("render.strict", Severity::Error))
    );
    assert_eq!(
        broken("allow_anonymous false", "allow_anonymus false"),
        Some(("schema.unknown", Severity::Error))
    );
    let twice = "allow_anonymous false\nallow_anonymous true";
    assert_eq!(broken("allow_anonymous false", twice), Some(("conf.duplicate", Severity::Error)));
    let value = Copy::new().change(
        "environments/production.yaml",
        "client_expiration: 7d",
        "client_expiration: \"7d\\nx\"",
    );
    assert_eq!(id(value), Some(("render.inject", Severity::Error)));
    drop(Copy::new().render("production").unwrap());
}

#[test]
fn an_unexplained_difference_is_a_finding() {
    let compare = |copy: &Copy| {
        let (from, to) = (copy.render("simulation").unwrap(), copy.render("production").unwrap());
        let reasons = crate::parity::reasons(&copy.root()).unwrap();
        crate::parity::compare(&from, &to, &reasons).and_then(|table| table.check())
    };
    compare(&Copy::new()).unwrap();
    let copy = Copy::new().change("parity.yaml", "      - compose.yaml services.*.cpus\n", "");
    let finding = Finding::of_error(&compare(&copy).unwrap_err()).unwrap();
    assert_eq!(finding.rule.id, "parity.diff");
}

#[test]
fn a_stack_that_nothing_watches_is_a_finding() {
    let text = |target: &str| format!("format: 1\nmonitoring: [{{stack: edge, target: {target}}}]\n");
    let declared =
        |text: String| Declared::parse(&xedge_model::yaml::Source::new("policy.yaml", text)).unwrap();
    let rendered = crate::render(&templates(), "edge", "production").unwrap();
    let watched = |declared: &Declared| {
        !ids(&check(&Subject::of_rendered(&rendered, BTreeMap::new(), declared).unwrap()))
            .contains(&"ops.docs")
    };
    assert!(watched(&declared(text("the control room"))));
    assert!(!watched(&declared(text("\" \""))));
    assert!(!watched(&Declared::default()));
}

#[test]
fn what_a_folder_brings_in_is_read_where_it_is_named() {
    let mut files =
        edited(&[("mosquitto.conf", "allow_anonymous false\n", "include_dir /mosquitto/config/more\n")]);
    assert!(ids(&found(files.clone(), Some(DEBIAN))).contains(&"schema.unknown"), "nothing is there");
    files.insert("more/b.conf", "allow_anonymous true\n".to_owned());
    files.insert("more/a.txt", "no such key\n".to_owned());
    let all = found(files.clone(), Some(DEBIAN));
    let place = all
        .iter()
        .find(|finding| finding.rule.id == "auth.anonymous")
        .map(|finding| finding.place.to_string());
    assert_eq!(place.as_deref(), Some("more/b.conf:1:1"));
    files.insert("more/A.conf", "allow_anonymous false\n".to_owned());
    let all = found(files, Some(DEBIAN));
    let twice = all.iter().find(|finding| finding.rule.id == "conf.duplicate").expect("a finding");
    assert_eq!(twice.place.to_string(), "more/b.conf:1:1");
    assert!(twice.message.contains("line 1 of more/A.conf"), "{}", twice.message);
}

#[test]
fn no_secret_is_shown() {
    let secret = "hunter2-hunter2-hunter2";
    let all = found(
        edited(&[
            ("passwd", "sensor:$7$101$c2FsdHNhbHRzYWx0$aGFzaA==", &format!("sensor:{secret}")),
            ("compose.yaml", "{TZ: UTC}", &format!("{{MQTT_PASSWORD: {secret}}}")),
            (
                "mosquitto.conf",
                "log_dest stdout",
                &format!("connection up\naddress up:1883\nremote_password {secret}\nlog_dest stdout"),
            ),
        ]),
        Some(DEBIAN),
    );
    let shown: String =
        all.iter().map(|finding| format!("{finding}{}", serde_json::json!(finding))).collect();
    assert_eq!(ids(&all).iter().filter(|id| **id == "secret.plain").count(), 2, "{all:#?}");
    assert!(ids(&all).contains(&"auth.users") && !shown.contains(secret), "{shown}");
}
