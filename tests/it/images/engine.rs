//! Images in the real Engine: the one that runs is the one in the layout, by digest, and it does what it should.
//!
//! Images here have names and digests of their own, so that neither a run beside these tests nor the user's tags notice them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::layout::{Layout, index_of, piped};
use crate::support::{edit, project_with_packages, run};

/// Runs the Engine's own command line; standard output if it succeeds, else all that it says.
fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output().expect("docker starts: `cargo xtask setup`");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&[output.stdout, output.stderr].concat()))
    }
}

/// A broker image with a name and a digest that nothing else has. Removed from the Engine at the end, even after a panic.
struct Broker {
    project: TempDir,
    name: String,
    container: String,
}

impl Broker {
    fn new(purpose: &str) -> Self {
        let project = project_with_packages();
        let container = format!("xedge-it-{purpose}-{}", std::process::id());
        let name = format!("xedge-it/{purpose}-{}", std::process::id());
        let definition = project.path().join("images/mqtt-broker/image.yaml");
        edit(&definition, "name: xedgesim/mosquitto", &format!("name: {name}"));
        edit(&definition, "image.title: mosquitto", &format!("image.title: {container}"));
        Self { project, name, container }
    }

    fn path(&self) -> &Path {
        self.project.path()
    }

    /// Builds it; the digests by which an Engine may call it: of the config, or of the manifest in containerd's store.
    fn build(&self) -> [String; 2] {
        let stdout = run(self.path(), &["build", "mqtt-broker"]).expect(0).stdout;
        let layout = Layout::of(self.path());
        let index = layout.json(&layout.find(&index_of(&stdout, &self.name)));
        let mut all = index["manifests"].as_array().unwrap().iter();
        let entry = all.find(|entry| entry["platform"]["architecture"] == architecture()).unwrap();
        let config = layout.json(entry)["config"]["digest"].clone();
        [config, entry["digest"].clone()].map(|digest| digest.as_str().unwrap().to_owned())
    }

    /// The Engine's digest of `NAME:latest`.
    fn loaded(&self) -> Result<String, String> {
        docker(&["image", "inspect", "--format", "{{.Id}}", &format!("{}:latest", self.name)])
    }

    fn clean(&self) {
        let _ = docker(&["rm", "--force", "--volumes", &self.container]);
        let _ = docker(&["rmi", "--force", &format!("{}:latest", self.name)]);
    }

    /// Removes it and fails if something of it is still there.
    fn finish(self, id: &str) {
        self.clean();
        assert!(
            self.loaded().is_err() && docker(&["image", "inspect", id]).is_err(),
            "the image is still there"
        );
        assert!(docker(&["container", "inspect", &self.container]).is_err(), "the container is still there");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.clean();
    }
}

/// This machine's, in the words of images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("no image is built for {other}"),
    }
}

#[test]
fn a_saved_archive_is_loaded_under_its_digest_and_runs_as_a_broker() {
    let broker = Broker::new("save");
    let digests = broker.build();
    let archive = broker.path().join("broker.tar");
    let file = archive.to_str().unwrap();
    let saved = run(broker.path(), &["image", "save", "mqtt-broker", "--output", file]).expect(0);
    assert_eq!(saved.stdout.trim_end(), file);
    docker(&["load", "--input", file]).unwrap();
    let id = broker.loaded().unwrap();
    assert!(digests.contains(&id), "{id} is none of {digests:?}");

    docker(&[
        "run",
        "--detach",
        "--name",
        &broker.container,
        "--network",
        "none",
        "--health-interval",
        "1s",
        &id,
    ])
    .unwrap();
    wait_until_healthy(&broker.container);
    check_user_and_folders(&broker);
    check_there_is_no_shell(&broker);
    broker.finish(&id);
}

#[track_caller]
fn wait_until_healthy(container: &str) {
    let (start, limit) = (Instant::now(), Duration::from_mins(1));
    loop {
        let state: Value =
            serde_json::from_str(&docker(&["inspect", "--format", "{{json .State}}", container]).unwrap())
                .unwrap();
        match state["Health"]["Status"].as_str() {
            Some("healthy") => return,
            Some("starting") if state["Running"] == true && start.elapsed() < limit => {
                std::thread::sleep(Duration::from_millis(200));
            }
            _ => panic!("{state:#}\n{:?}", docker(&["logs", container])),
        }
    }
}

/// Writes a file with the only program in the image that can, as the container's own user.
fn write_in(container: &str, file: &str) -> Result<String, String> {
    docker(&["exec", container, "/usr/bin/mosquitto_passwd", "-b", "-c", file, "user", "secret"])
}

fn check_user_and_folders(broker: &Broker) {
    for folder in ["config", "data", "log"] {
        let file = format!("/mosquitto/{folder}/probe");
        write_in(&broker.container, &file).unwrap();
        let copied = broker.path().join(format!("{folder}.tar"));
        let copied = copied.to_str().unwrap();
        let command = format!("docker cp {}:{file} - >{copied}", broker.container);
        piped("sh", &["-c", &command], b"");
        let listed = piped("tar", &["--numeric-owner", "-tvf", copied], b"");
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.contains(" 1883/1883 "), "{folder}: {listed}");
    }
    let refused = write_in(&broker.container, "/probe");
    assert!(refused.is_err(), "the user of the container may write anywhere");
}

fn check_there_is_no_shell(broker: &Broker) {
    for shell in ["sh", "/bin/sh", "bash", "/bin/busybox"] {
        let said = docker(&["exec", &broker.container, shell, "-c", "true"]).unwrap_err();
        assert!(said.contains("no such file") || said.contains("not found"), "{shell}: {said}");
    }
}

#[test]
fn build_load_puts_the_built_image_into_the_engine() {
    let broker = Broker::new("load");
    let digests = broker.build();
    assert!(broker.loaded().is_err(), "a name that only this test has is in use");
    let build = || run(broker.path(), &["build", "--load", "mqtt-broker"]).expect(0).stdout;
    let first = build();
    let id = broker.loaded().unwrap();
    assert!(digests.contains(&id), "{id} is none of {digests:?}");
    assert_eq!(build(), first);
    assert_eq!(broker.loaded().unwrap(), id);
    broker.finish(&id);
}

#[test]
fn a_damaged_image_never_gets_into_the_engine() {
    let broker = Broker::new("damage");
    let digests = broker.build();
    let layout = Layout::of(broker.path());
    let config: Value = serde_json::from_slice(&fs::read(layout.path(&digests[1])).unwrap()).unwrap();
    let layer = config["layers"][0]["digest"].as_str().unwrap();
    let mut bytes = fs::read(layout.path(layer)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(layout.path(layer), bytes).unwrap();
    run(broker.path(), &["build", "--load", "mqtt-broker"]).expect(6).says(layer).says("hint:");
    assert!(broker.loaded().is_err(), "a damaged image is in the Engine");
}
