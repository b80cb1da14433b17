//! `policy` as a user runs it, before a release too; and the real broker, which does what the rules say that it does.

mod broker;

use serde_json::Value;

use super::support::{command, copy, edit, finish, here, root, run};

const SEED: [&str; 2] = ["tests/data/seed/mosquitto.conf", "tests/data/seed/docker-compose.yml"];

#[test]
fn the_projects_own_stack_passes_and_leaves_a_record() {
    let project = copy();
    let ran = run(project.path(), &["policy", "check"]).expect(0).says(" 0 errors, 0 warnings");
    assert_eq!(ran.stdout, "");
    let file = project.path().join("target/xedge/policy/edge.production.json");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(!text.contains(project.path().to_str().unwrap()), "{text}");
    let record: Value = serde_json::from_str(&text).unwrap();
    // Nothing was built here: the lock says which mosquitto it will be.
    assert!(record["brokers"]["mosquitto"].as_str().unwrap().starts_with("2.0."), "{record}");
    assert!(record["accepted"].as_array().unwrap().iter().all(|accepted| accepted["owner"].is_string()));
}

#[test]
fn the_seeds_files_are_refused_line_by_line_also_as_json() {
    let ran = here(&[&["policy", "check", "--image", "mqtt-broker"], &SEED[..]].concat()).expect(3);
    assert!(ran.stdout.contains("tests/data/seed/mosquitto.conf:9:1: error: [data.rpo]"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("conf.broker"), "the version is known: {}", ran.stdout);
    let ran = here(&[&["--format", "json", "policy", "check"], &SEED[..]].concat()).expect(3);
    let all: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut rules: Vec<&str> = all.iter().map(|finding| finding["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&"conf.broker"), "nobody said which mosquitto it is");
    rules.sort_unstable();
    rules.dedup();
    assert!(rules.len() >= 5, "{rules:?}");
    assert!(all.iter().all(|finding| finding["line"].as_u64().unwrap() > 0));
}

#[test]
fn a_finding_names_template_and_value_and_ends_a_check() {
    let project = copy();
    edit(
        &project.path().join("templates/environments/production.yaml"),
        "save_every_s: 5",
        "save_every_s: 600",
    );
    let ran = run(project.path(), &["policy", "check"]).expect(3).says("cargo xtask policy explain data.rpo");
    let template = "comes from templates/services/mosquitto/mosquitto.conf.j2:";
    let value = "`broker.save_every_s` of templates/environments/production.yaml:";
    assert!(ran.stdout.contains(template) && ran.stdout.contains(value), "{}", ran.stdout);
    let mut github = command(project.path(), &["policy", "check"]);
    github.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", project.path());
    let notes = "::error file=templates/services/mosquitto/mosquitto.conf.j2,line=";
    finish(github).expect(3).says(notes).says("title=data.rpo::");
}

#[test]
fn an_expired_waiver_is_an_error() {
    let project = copy();
    let path = project.path().join("templates/policy.yaml");
    edit(&path, "expires: 2027-03-31", "expires: 2026-01-31");
    let ran = run(project.path(), &["policy", "check"]).expect(3);
    assert!(ran.stdout.contains("[policy.waiver] the waiver of `tls.listener` expired"), "{}", ran.stdout);
    assert!(ran.stdout.contains("[tls.listener]"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_rendered_is_a_finding() {
    let project = copy();
    let template = project.path().join("templates/services/mosquitto/mosquitto.conf.j2");
    edit(&template, "allow_anonymous false", "allow_anonymous false\nallow_anonymous true");
    let ran = run(project.path(), &["policy", "check"]).expect(3);
    assert!(ran.stdout.contains("error: [conf.duplicate]"), "{}", ran.stdout);
}

#[test]
fn rules_are_explained_and_a_misspelt_one_is_named() {
    let page = here(&["policy", "explain", "data.rpo"]).expect(0).stdout;
    assert!(page.starts_with("data.rpo (error)\n") && page.contains("SIGKILL"), "{page}");
    assert!(here(&["policy", "explain"]).expect(0).stdout.lines().count() > 20);
    here(&["policy", "explain", "data.rpp"]).expect(3).says("did you mean `data.rpo`?");
    assert!(root().join("templates/policy.yaml").is_file());
}
