//! A stack of one broker without secrets: its gate takes two seconds, and no payload is compiled for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use camino::Utf8PathBuf;
use serde_json::Value;
use xedge_model::Digest;

use crate::sim::bench::Bench;
use crate::support::{Ran, waive};

const STACK: &str = r#"format: 1
name: tiny
compose: stacks/tiny/compose.yaml.j2
files:
  - {template: services/tiny/mosquitto.conf.j2, output: mosquitto/mosquitto.conf, mode: "0644"}
gate: [tiny]
"#;
const COMPOSE: &str = r#"services:
  broker:
    image: xedgesim/mosquitto:latest
    ports: ["{{ mqtt_host_port }}:{{ mqtt_port }}"]
    volumes: ["./mosquitto:/mosquitto/config:ro"]
    networks: [tiny]
networks:
  tiny: {driver: bridge}
"#;
const BROKER: &str = "listener {{ mqtt_port }} 0.0.0.0\nallow_anonymous true\nmax_connections 9\n";
const SCENARIO: &str = "simulation: {duration_s: 2, seed: 5}
profile: production
stack: tiny
nodes:
  - {id: broker, type: broker, implementation: docker, service: broker, docker: {image: xedgesim/mosquitto}}
  - {id: sensor, type: sensor, implementation: model, config: {every: 200ms}}
  - {id: gateway, type: gateway, implementation: model}
";

/// The template that tests change to get another configuration.
pub const TEMPLATE: &str = "templates/services/tiny/mosquitto.conf.j2";

/// What the run of a scenario says, and nothing else.
pub const SIMULATED: &str = "held broker.starts";

/// A project with the small stack.
pub fn tiny() -> Bench {
    let bench = Bench::new();
    write_stack(&bench);
    bench
}

/// Adds the small stack to a project.
pub fn write_stack(bench: &Bench) {
    for (file, text) in [
        ("templates/stacks/tiny/stack.yaml", STACK),
        ("templates/stacks/tiny/compose.yaml.j2", COMPOSE),
        (TEMPLATE, BROKER),
        ("scenarios/tiny.yaml", SCENARIO),
    ] {
        let path = bench.project().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let rules = ["auth.anonymous", "data.persist", "log.sink", "run.restart", "tls.listener"];
    waive(bench.project(), "tiny", &rules);
}

/// Arguments of `release` for the small stack.
pub fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["release", "--stack", "tiny"], more].concat()
}

/// Runs `release`.
pub fn release(bench: &Bench, more: &[&str]) -> Ran {
    bench.run(&arguments(more))
}

/// What a release printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    pub reference: String,
    pub config: String,
    pub bundle: String,
}

impl Printed {
    #[track_caller]
    pub fn of(ran: &Ran) -> Self {
        let lines: Vec<&str> = ran.stdout.lines().collect();
        let [reference, config, bundle] = lines[..] else { panic!("not three lines: {lines:?}") };
        let (name, digest) = reference.split_once('@').unwrap();
        assert!(name.ends_with("xedgesim/mosquitto"), "{name}");
        digest.parse::<Digest>().unwrap();
        config.strip_prefix("tiny.production@").unwrap().parse::<Digest>().unwrap();
        Self { reference: reference.to_owned(), config: config.to_owned(), bundle: bundle.to_owned() }
    }
}

/// Every file below a folder that is there, with its digest.
pub fn listing(folder: &Path) -> BTreeMap<String, Digest> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files
                    .insert(entry.path().display().to_string(), Digest::of(&fs::read(entry.path()).unwrap()));
            }
        }
    }
    files
}

/// Everything that a release leaves behind but for the images in the layout, and the empty lock file that the embedded
/// registry makes when it is first asked.
pub fn traces(bench: &Bench) -> BTreeMap<String, Digest> {
    let mut all = listing(bench.home().as_std_path());
    for folder in ["bundles", "gates", "reports"] {
        all.extend(listing(bench.output(folder).as_std_path()));
    }
    all.retain(|path, _| !path.ends_with("/registry/content/uploads/lock"));
    all
}

/// The names in a folder, sorted; none if it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Where the embedded registry keeps the tags of a repository.
pub fn tags_folder(bench: &Bench, repository: &str) -> Utf8PathBuf {
    bench.home().join(format!("registry/content/repositories/{repository}/_tags"))
}

/// The numbers that the registry knows, without those of stamps.
pub fn numbers(bench: &Bench) -> Vec<String> {
    let mut names = names(tags_folder(bench, "xedge-releases/tiny").as_std_path());
    names.retain(|name| name.starts_with("seq-") && !name.contains('.'));
    names
}

/// The files of this machine's record.
pub fn records(bench: &Bench) -> Vec<String> {
    names(bench.home().join("releases/tiny").as_std_path())
}

/// One release of this machine's record.
pub fn record(bench: &Bench, seq: u64) -> Value {
    let path = bench.home().join(format!("releases/tiny/{seq}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Fails unless there is a bundle of this version, and it verifies as this release.
#[track_caller]
pub fn assert_verified(bench: &Bench, version: &str, seq: u64) {
    let file = bench.output(&format!("bundles/tiny-{version}.xedge"));
    let ran = bench.run(&["verify", file.as_str()]).expect(0);
    let start = format!("tiny {version} (release {seq}) verified");
    assert!(ran.stdout.starts_with(&start), "`{start}` is not in {}", ran.stdout);
}
