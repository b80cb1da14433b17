//! `import compose` as a user runs it: five files of different shape and the seed's own, compared with what docker-compose
//! makes of the original and of what was rendered; and files with mistakes in them.

mod bad;
mod compare;
mod secret;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{Ran, root, run};

/// The fixtures: folder and file.
const FIXTURES: [(&str, &str); 6] = [
    ("agent", "compose.yaml"),
    ("anchors", "docker-compose.yml"),
    ("home", "compose.yaml"),
    ("multi", "compose.yml"),
    ("seed", "docker-compose.yml"),
    ("zigbee", "docker-compose.yml"),
];

fn fixtures() -> PathBuf {
    root().join("tests/it/import/fixtures")
}

/// A project of templates, images and scenarios, and beside it a folder `theirs` with the fixture.
struct Trial {
    folder: tempfile::TempDir,
    file: String,
}

impl Trial {
    fn new(name: &str, file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("project");
        for part in ["templates", "images", "scenarios"] {
            copy(&root().join(part), &project.join(part));
        }
        fs::copy(root().join("Cargo.toml"), project.join("Cargo.toml")).unwrap();
        copy(&fixtures().join(name), &folder.path().join("theirs"));
        Self { folder, file: file.to_owned() }
    }

    /// A trial whose Compose file has this text.
    fn of(text: &str) -> Self {
        let trial = Self::new("seed", "compose.yaml");
        fs::write(trial.theirs().join("compose.yaml"), text).unwrap();
        trial
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn theirs(&self) -> PathBuf {
        self.folder.path().join("theirs")
    }

    fn import(&self, flags: &[&str]) -> Ran {
        let file = format!("../theirs/{}", self.file);
        let mut arguments = vec!["import", "compose", &file, "--name", "stack"];
        arguments.extend(flags);
        run(&self.project(), &arguments)
    }

    /// The report as JSON.
    fn report(&self, flags: &[&str]) -> Value {
        let mut all = vec!["--format", "json"];
        all.extend(flags);
        serde_json::from_str(&self.import(&all).expect(0).stdout).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder, with its content.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        } else {
            found.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_stack_renders_for_every_environment_and_leaves_the_other_stack_alone() {
    for (name, file) in FIXTURES {
        let trial = Trial::new(name, file);
        let before = everything(&trial.project());
        let edge = run(&trial.project(), &["render", "--stack", "edge"]).expect(0).stdout;
        fs::remove_dir_all(trial.project().join("target")).unwrap();
        trial.import(&[]).expect(0).says("made templates/stacks/stack");
        let after = everything(&trial.project());
        assert!(before.iter().all(|file| after.contains(file)), "{name} changed what was there");
        for environment in ["production", "simulation"] {
            run(&trial.project(), &["render", "--stack", "stack", "--env", environment]).expect(0);
        }
        run(&trial.project(), &["render", "--stack", "stack", "--diff", "simulation"]).expect(0);
        assert_eq!(run(&trial.project(), &["render", "--stack", "edge"]).expect(0).stdout, edge, "{name}");
    }
}

#[test]
fn every_key_is_in_exactly_one_group() {
    for (name, file) in FIXTURES {
        let trial = Trial::new(name, file);
        let report = trial.report(&["--dry-run"]);
        let paths = |group: &str| -> Vec<String> {
            let all = report[group].as_array().unwrap().iter();
            let mut all: Vec<String> = all.map(|entry| entry["path"].as_str().unwrap().to_owned()).collect();
            all.dedup();
            all
        };
        let all: Vec<String> = ["taken", "decisions", "unsupported"].into_iter().flat_map(paths).collect();
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!(all.len(), once.len(), "{name}: a key is in two groups");
        let text = fs::read_to_string(trial.theirs().join(file)).unwrap();
        let tree = xedge_model::tree::Tree::parse(&xedge_model::yaml::Source::new(file, text)).unwrap();
        for (leaf, _) in tree.leaves() {
            let above = |path: &String| {
                leaf.strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            assert!(all.iter().any(above), "{name}: nothing is said of {leaf}");
        }
    }
}

#[test]
fn a_dry_run_writes_nothing_and_a_second_import_replaces_nothing() {
    let trial = Trial::new("home", "compose.yaml");
    let before = everything(&trial.project());
    let dry = trial.import(&["--dry-run"]).expect(0).says("would make images/postgres");
    assert_eq!(everything(&trial.project()), before);
    assert_eq!(trial.import(&[]).expect(0).stdout, dry.stdout);
    let made = everything(&trial.project());
    trial
        .import(&[])
        .expect(3)
        .says("templates/stacks/stack, ")
        .says("would be replaced")
        .says("--name NAME");
    assert_eq!(everything(&trial.project()), made);
}

#[test]
fn secrets_are_neither_in_the_report_nor_in_a_template() {
    let trial = Trial::new("home", "compose.yaml");
    let report = trial.report(&[]);
    let text = trial.import(&["--dry-run", "--name", "other"]);
    let said = format!("{report}{}{}", text.stdout, text.stderr);
    let project = everything(&trial.project());
    for secret in ["correct horse", "battery-staple"] {
        assert!(!said.contains(secret), "{said}");
        for (path, content) in &project {
            assert!(!String::from_utf8_lossy(content).contains(secret), "{}", path.display());
        }
    }
    let stack = fs::read_to_string(trial.project().join("templates/stacks/stack/stack.yaml")).unwrap();
    assert!(stack.contains("sample: sample-postgres-password"), "{stack}");
    let compose = fs::read_to_string(trial.project().join("templates/stacks/stack/compose.yaml.j2")).unwrap();
    assert!(compose.contains("telemetry:{{ device.postgres_password }}@database"), "{compose}");
}

#[test]
fn images_are_the_projects_or_become_definitions() {
    let seed = Trial::new("seed", "docker-compose.yml");
    seed.import(&[]).expect(0);
    let count = |folder: PathBuf| fs::read_dir(folder.join("images")).unwrap().count();
    assert_eq!(count(seed.project()), count(root()), "the seed's images are here");

    let multi = Trial::new("multi", "compose.yml");
    multi.import(&["--platform", "linux/arm64"]).expect(0);
    let api = multi.project().join("images/api");
    let text = fs::read_to_string(api.join("image.yaml")).unwrap();
    assert!(
        text.contains("name: stack/api\nplatforms: [linux/arm64]\nfrom:\n  dockerfile:\n    args:"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(api.join("api")).unwrap(), "a program\n");
    let text = fs::read_to_string(multi.project().join("images/nginx/image.yaml")).unwrap();
    assert!(text.contains("from: nginx:1.25\n"), "{text}");

    // Inside of the project the context stays where it is.
    let inside = Trial::new("multi", "compose.yml");
    copy(&inside.theirs(), &inside.project().join("deploy"));
    run(&inside.project(), &["import", "compose", "deploy/compose.yml", "--name", "stack"]).expect(0);
    let text = fs::read_to_string(inside.project().join("images/api/image.yaml")).unwrap();
    assert!(text.contains("    context: ../../deploy/api\n"), "{text}");
    assert!(!inside.project().join("images/api/Dockerfile").exists());
}

#[test]
fn config_files_come_out_as_they_went_in() {
    let trial = Trial::new("home", "compose.yaml");
    trial.import(&[]).expect(0);
    run(&trial.project(), &["render", "--stack", "stack", "--out", "out"]).expect(0);
    for file in ["mosquitto/mosquitto.conf", "dashboard/provisioning/all.yaml"] {
        let rendered = fs::read(trial.project().join("out").join(file)).unwrap();
        assert_eq!(rendered, fs::read(trial.theirs().join(file)).unwrap(), "{file}");
    }
}

/// What docker-compose 1.29 does not read, and so the comparison cannot have.
const NEWER: &str = r#"
name: newer
services:
  app:
    image: ghcr.io/acme/app:1.0
    user: "1000:1000"
    ports:
      - {target: 90-91, published: 9090-9091, host_ip: "::1", mode: host}
    env_file:
      - {path: absent.env, required: false}
    secrets:
      - db_password
      - {source: tls, target: /run/secrets/tls, mode: 0400}
    deploy:
      resources:
        limits: {memory: 1.5G, pids: 20}
    volumes:
      - {type: volume, source: data, target: /data, volume: {nocopy: true}}
    depends_on:
      other: {condition: service_started, required: true, restart: false}
  other:
    image: ghcr.io/acme/app:1.0
    scale: 1
    tty: true
    pull_policy: always
    platform: linux/arm64
    network_mode: host
    ports: ["80:80"]
secrets:
  db_password: {file: ./db.txt}
  tls: {file: ./tls.pem}
volumes:
  data: {name: my-data}
"#;

#[test]
fn keys_of_newer_files_are_taken_or_decided() {
    let trial = Trial::of(NEWER);
    let report = trial.report(&[]);
    let paths: Vec<&str> =
        report["decisions"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    let expected = [
        "secrets.db_password.file",
        "secrets.tls.file",
        "services.app.env_file[0]",
        "services.app.ports[0].mode",
        "services.app.secrets[1].mode",
        "services.app.volumes[0].volume.nocopy",
        "services.other.platform",
        "services.other.ports",
        "services.other.pull_policy",
        "services.other.tty",
        "volumes.data.name",
    ];
    assert_eq!(paths, expected);
    run(&trial.project(), &["render", "--stack", "stack", "--out", "out"]).expect(0);
    let rendered = fs::read_to_string(trial.project().join("out/compose.yaml")).unwrap();
    for line in [
        "      - \"[::1]:9091:91/tcp\"",
        "    mem_limit: \"1536m\"",
        "    pids_limit: 20",
        "      - \"data:/data\"",
        "      - tls",
        "    network_mode: host",
        "    file: \"../secrets/db_password\"",
    ] {
        assert!(rendered.lines().any(|known| known == line), "`{line}` is not in\n{rendered}");
    }
    // One image for both services, and secrets that the user of the container can read.
    assert_eq!(rendered.matches("image: \"stack/app:latest\"").count(), 2, "{rendered}");
    let stack = fs::read_to_string(trial.project().join("templates/stacks/stack/stack.yaml")).unwrap();
    assert!(stack.contains("  tls: {kind: file, owner: 1000}\n"), "{stack}");
}
