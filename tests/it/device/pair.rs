//! Releases of a stack of two brokers, made once: the first, one that changes a single service, and three that go wrong on
//! the device only, since each of them passed its gate.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use xedge_model::Platform;

use crate::sim::bench::{Bench, copy_there};
use crate::support::{edit, waive};

const STACK: &str = r#"format: 1
name: pair
compose: stacks/pair/compose.yaml.j2
files:
  - {template: services/pair/hub.conf.j2, output: hub/mosquitto.conf, mode: "0644"}
  - {template: services/pair/side.conf.j2, output: side/mosquitto.conf, mode: "0644"}
probes:
  - {service: hub, mqtt: 1883}
settle: 3s
start: 20s
gate: [pair]
"#;

const COMPOSE: &str = r#"services:
  hub:
    image: xedgesim/mosquitto
    restart: unless-stopped
    ports: ["11883:1883"]
    volumes: ["./hub:/mosquitto/config:ro", "hub-data:/mosquitto/data"]
    healthcheck: {test: [CMD, /usr/bin/mosquitto_sub, -t, health, -E, -W, "3"], interval: 1s, retries: 3}
  side:
    image: xedgesim/mosquitto
    restart: unless-stopped
    ports: ["11884:1883"]
    depends_on: [hub]
    volumes: ["./side:/mosquitto/config:ro"]
    healthcheck: {test: [CMD, /usr/bin/mosquitto_sub, -t, health, -E, -W, "3"], interval: 1s, retries: 3}
volumes:
  hub-data:
"#;

/// Saves each retained message at once.
const HUB: &str = "listener 1883\nallow_anonymous true\npersistence true\npersistence_location /mosquitto/data/\n\
     autosave_on_changes true\nautosave_interval 1\n";
const SIDE: &str = "listener 1883\nallow_anonymous true\n";
const SCENARIO: &str =
    "simulation: {duration_s: 1, seed: 1, ready_s: 20}\nprofile: production\nstack: pair\n";

/// The port of the service that never changes, and of the one that does.
pub const HUB_PORT: u16 = 11883;
/// See [`HUB_PORT`].
pub const SIDE_PORT: u16 = 11884;

/// Bundles, in the order of their numbers.
#[derive(Debug)]
pub struct Shelf {
    /// What devices trust.
    pub root: PathBuf,
    /// The data folder's keys and roots, which made them.
    pub home: PathBuf,
    /// Release 1.
    pub first: PathBuf,
    /// Release 2: only the configuration of `side` is another one.
    pub second: PathBuf,
    /// Release 3: `side` ends five seconds after its start.
    pub ends: PathBuf,
    /// Release 4: `hub` takes connections and refuses every login.
    pub refuses: PathBuf,
    /// Release 5: `hub` does not listen where its health check asks, if the device says `address=127.0.0.2`.
    pub unwell: PathBuf,
    /// Release 6: as release 2, on a device that had none of the bad ones. The only one for other platforms than this machine's.
    pub last: PathBuf,
}

impl Shelf {
    /// The bundles of this test process.
    pub fn get() -> &'static Self {
        static SHELF: OnceLock<Shelf> = OnceLock::new();
        SHELF.get_or_init(Self::make)
    }

    fn make() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pair");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let bench = Bench::new();
        let rules = ["auth.anonymous", "data.persist", "log.sink", "tls.listener"];
        waive(bench.project(), "pair", &rules);
        // Each gate runs every platform, and emulated ones take their time.
        let platforms = platforms(Platform::of_machine(std::env::consts::ARCH).unwrap());
        let image = bench.project().join("images/mqtt-broker/image.yaml");
        edit(&image, ALL_PLATFORMS, &platforms);
        let release = |name: &str| {
            let printed = bench.run(&["release", "--stack", "pair"]).expect(0).stdout;
            let bundle = bench.project().join(printed.lines().last().unwrap());
            let kept = folder.join(format!("{name}.xedge"));
            fs::copy(bundle, &kept).unwrap();
            kept
        };
        Self {
            first: with(&bench, &[], || release("first")),
            second: with(&bench, &[(Part::Side, "max_connections 50\n", "")], || release("second")),
            ends: {
                let quiet = "mosquitto_sub, -h, hub, -t, none, -W, \"5\"]\n    healthcheck: {test: [NONE]}";
                let port = "    ports: [\"11884:1883\"]\n";
                let entry = format!("    entrypoint: [/usr/bin/{quiet}\n");
                let last = COMPOSE.rfind("    healthcheck").unwrap();
                let checked = &COMPOSE[last..COMPOSE.len() - "volumes:\n  hub-data:\n".len()];
                with(
                    &bench,
                    &[
                        (Part::Compose, &entry, port),
                        (Part::SideHealth, "", checked),
                        (Part::Stack, "settle: 8s", "settle: 3s"),
                    ],
                    || release("ends"),
                )
            },
            refuses: with(
                &bench,
                &[
                    (Part::Hub, "allow_anonymous false", "allow_anonymous true"),
                    (Part::Compose, "{test: [NONE]}", HEALTH),
                ],
                || release("refuses"),
            ),
            unwell: with(
                &bench,
                &[
                    (Part::Hub, "listener 1883 {{ device.address }}", "listener 1883"),
                    (Part::Compose, "", "    ports: [\"11883:1883\"]\n"),
                    (Part::Compose, "-h, 127.0.0.1, -t, health", "-t, health"),
                    (Part::Stack, ADDRESS, "probes:\n  - {service: hub, mqtt: 1883}\n"),
                ],
                || release("unwell"),
            ),
            last: {
                edit(&image, &platforms, ALL_PLATFORMS);
                with(&bench, &[(Part::Side, "max_connections 60\n", "")], || release("last"))
            },
            root: {
                for part in ["keys", "trust"] {
                    copy_there(bench.home().join(part).as_std_path(), &folder.join(part));
                }
                folder.join("trust/1.root.json")
            },
            home: folder,
        }
    }
}

/// The platforms that the broker's image is made for.
pub const ALL_PLATFORMS: &str = "platforms: [linux/amd64, linux/arm64]";

/// The same line with one of them.
pub fn platforms(one: Platform) -> String {
    format!("platforms: [{one}]")
}

const HEALTH: &str =
    "{test: [CMD, /usr/bin/mosquitto_sub, -t, health, -E, -W, \"3\"], interval: 1s, retries: 3}";
const ADDRESS: &str =
    "device_values:\n  address: {pattern: \"[0-9.]+\", sample: \"0.0.0.0\", max_length: 15}\n";

/// A text of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Stack,
    Compose,
    /// The compose file again, after the first change to it.
    SideHealth,
    Hub,
    Side,
}

/// The stack with these changes `(where, new, old)`; an empty old text means that the new one is added at the end.
fn with<T>(bench: &Bench, changes: &[(Part, &str, &str)], then: impl FnOnce() -> T) -> T {
    let (mut stack, mut compose) = (STACK.to_owned(), COMPOSE.to_owned());
    let (mut hub, mut side) = (HUB.to_owned(), SIDE.to_owned());
    for (part, new, old) in changes {
        let text = match part {
            Part::Stack => &mut stack,
            Part::Compose | Part::SideHealth => &mut compose,
            Part::Hub => &mut hub,
            Part::Side => &mut side,
        };
        if old.is_empty() {
            text.push_str(new);
            continue;
        }
        // The service that changes stands last.
        let at = if *part == Part::SideHealth { text.rfind(old) } else { text.find(old) };
        let at = at.unwrap_or_else(|| panic!("`{old}` is not in\n{text}"));
        text.replace_range(at..at + old.len(), new);
    }
    for (file, text) in [
        ("templates/stacks/pair/stack.yaml", stack.as_str()),
        ("templates/stacks/pair/compose.yaml.j2", &compose),
        ("templates/services/pair/hub.conf.j2", &hub),
        ("templates/services/pair/side.conf.j2", &side),
        ("scenarios/pair.yaml", SCENARIO),
    ] {
        let path = bench.project().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    then()
}
