//! A stack of one broker whose gate takes two seconds and compiles nothing.

use std::fs;
use std::process::Command;

use xedge_oci::{ImageEntry, Layout};

use super::place::Place;
use crate::sim::bench::Bench;
use crate::support::{Ran, edit, finish, waive};

/// The image of the stack's broker: this project's own, with another name and another file in it.
pub const IMAGE: &str = "xedgesim/it-push";

const STACK: &str = r#"
format: 1
name: tiny
compose: stacks/tiny/compose.yaml.j2
files:
  - {template: services/tiny/mosquitto.conf.j2, output: tiny/mosquitto.conf, mode: "0644"}
gate: [tiny]
"#;

const COMPOSE: &str = r#"
services:
  broker:
    image: xedgesim/it-push:latest
    volumes: ["./tiny:/mosquitto/config:ro"]
    networks: [tiny]
networks:
  tiny: {driver: bridge}
"#;

const BROKER: &str = "listener {{ mqtt_port }} 0.0.0.0\nallow_anonymous true\n";

const SCENARIO: &str = "
simulation: {duration_s: 2, seed: 5}
profile: production
stack: tiny
nodes:
  - {id: broker, type: broker, implementation: docker, service: broker, docker: {image: xedgesim/it-push}}
  - {id: sensor, type: sensor, implementation: model, config: {every: 200ms}}
  - {id: gateway, type: gateway, implementation: model}
";

/// Where the image's own configuration is changed.
const CONFIGURATION: &str = "images/mqtt-broker/rootfs/mosquitto/config/mosquitto.conf";

/// A project with the stack `tiny`, and the images of it that came into the Engine.
pub struct Tiny {
    bench: Bench,
    loaded: Vec<String>,
}

impl Tiny {
    /// A copy of this project, without evidence.
    pub fn new() -> Self {
        let mut bench = Bench::new();
        // Its own content each time: who is done first removes the image from the Engine by digest.
        let mark = format!("# {}\nlog_type all", bench.home());
        bench.own_broker(IMAGE, "log_type all", &mark);
        let templates = bench.project().join("templates");
        for folder in ["stacks/tiny", "services/tiny"] {
            fs::create_dir_all(templates.join(folder)).unwrap();
        }
        fs::write(templates.join("stacks/tiny/stack.yaml"), STACK).unwrap();
        fs::write(templates.join("stacks/tiny/compose.yaml.j2"), COMPOSE).unwrap();
        fs::write(templates.join("services/tiny/mosquitto.conf.j2"), BROKER).unwrap();
        bench.scenario("tiny", SCENARIO);
        let rules = ["auth.anonymous", "data.persist", "log.sink", "run.restart"];
        waive(bench.project(), "tiny", &rules);
        Self { bench, loaded: Vec::new() }
    }

    /// The project and its data folder.
    pub fn bench(&self) -> &Bench {
        &self.bench
    }

    /// Makes the image another one, which has no evidence.
    pub fn change(&self) {
        edit(&self.bench.project().join(CONFIGURATION), "log_type all", "# changed\nlog_type all");
    }

    /// Makes evidence.
    #[track_caller]
    pub fn gate(&mut self) {
        self.bench.sim(&["tiny"]).expect(0);
        let entry = self.entry();
        let ids = entry.platforms().values().map(|image| image.config_blob().digest.to_string());
        self.loaded.extend(ids);
    }

    /// The layout with what was built last.
    pub fn layout(&self) -> Layout {
        Layout::open(&self.bench.output("layout")).unwrap()
    }

    /// The image as it was built last.
    pub fn entry(&self) -> ImageEntry {
        self.layout().image(&IMAGE.parse().unwrap()).unwrap()
    }

    /// Runs any command without the user's own logins, proxies and choice of registry.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    /// The same, ready to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        for name in ["XEDGE_REGISTRY", "XEDGE_CA", "XEDGE_PLAIN_HTTP", "HTTPS_PROXY", "https_proxy"] {
            command.env_remove(name);
        }
        let none = self.bench.home().join("none");
        command.env("DOCKER_CONFIG", &none).env("REGISTRY_AUTH_FILE", none.join("auth.json"));
        command
    }

    /// Runs `push` of the stack to this place.
    pub fn push(&self, place: &Place, more: &[&str]) -> Ran {
        let flags = place.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.run(&[&["push", "--stack", "tiny"], &flags[..], more].concat())
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        for id in &self.loaded {
            let _ = Command::new("docker").args(["image", "rm", "--force", id]).output();
        }
    }
}
