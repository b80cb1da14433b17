//! Tests of the forms for work by hand. Engines run them in tests/it/forms.rs.

use camino::Utf8Path;
use xedge_model::compose::Compose;
use xedge_model::yaml::Source;

use super::production;
use crate::outputs::{Form, Output, backup, output};

/// The keys that Podman documents for its first generator, 4.4 (podman-systemd.unit), and systemd's that are used.
const KEYS: &[(&str, &[&str])] = &[
    ("Unit", &["Description", "Requires", "After"]),
    (
        "Container",
        &[
            "AddCapability",
            "AddDevice",
            "Annotation",
            "ContainerName",
            "DropCapability",
            "Environment",
            "Exec",
            "ExposeHostPort",
            "Group",
            "Image",
            "Label",
            "Network",
            "NoNewPrivileges",
            "Notify",
            "PodmanArgs",
            "PublishPort",
            "ReadOnly",
            "RunInit",
            "SeccompProfile",
            "Timezone",
            "User",
            "VolatileTmp",
            "Volume",
        ],
    ),
    ("Network", &["Driver", "Internal"]),
    ("Volume", &["User", "Group", "Label"]),
    ("Service", &["Restart", "TimeoutStopSec"]),
    ("Install", &["WantedBy"]),
];

/// Reads units as strictly as a generator does: known sections and keys only, and nothing named that is not there.
fn read(units: &Output) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for file in &units.files {
        let mut section = "";
        for line in file.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{}: {line}", file.name));
            let keys = KEYS.iter().find(|(name, _)| *name == section).unwrap().1;
            assert!(keys.contains(&key), "{}: [{section}] {key}", file.name);
            found.push((file.name.clone(), key.to_owned(), value.to_owned()));
        }
        let kind = Utf8Path::new(&file.name).extension().unwrap();
        let own = format!("[{}{}]", kind[..1].to_uppercase(), &kind[1..]);
        assert!(file.text.lines().any(|line| line == own), "{} has {own}", file.name);
    }
    let is_there = |name: &str| units.files.iter().any(|file| file.name == name);
    for (file, key, value) in &found {
        match key.as_str() {
            "Network" => {
                assert!(["host", "none"].contains(&value.as_str()) || is_there(value), "{file}: {value}");
            }
            "Volume" => {
                let from = value.split(':').next().unwrap();
                assert!(from.starts_with('/') || is_there(from), "{file}: {value}");
            }
            "Requires" => assert!(is_there(&value.replace(".service", ".container")), "{file}: {value}"),
            _ => {}
        }
    }
    found
}

fn compose(text: &str) -> Compose {
    Compose::parse(&Source::new("c.yaml", text)).unwrap()
}

#[test]
fn units_say_what_the_compose_file_says() {
    let rendered = production();
    let units = output(Form::Quadlet, "edge", rendered.compose(), Utf8Path::new("/etc/xedge/edge"));
    let names: Vec<&str> = units.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "edge-edge.network",
            "edge-mosquitto-data.volume",
            "edge-mosquitto-log.volume",
            "edge-mosquitto.container",
            "edge-gateway.container"
        ]
    );
    let found = read(&units);
    let broker = |key: &str| -> Vec<&str> {
        let of = found.iter().filter(|(file, k, _)| file == "edge-mosquitto.container" && k == key);
        of.map(|(_, _, value)| value.as_str()).collect()
    };
    assert_eq!(broker("Image"), ["docker.io/xedgesim/mosquitto:latest"]);
    assert_eq!(broker("ContainerName"), ["mosquitto"]);
    assert_eq!(broker("PublishPort"), ["1883:1883/tcp"]);
    assert_eq!(broker("ReadOnly"), ["true"]);
    assert_eq!(broker("NoNewPrivileges"), ["true"]);
    assert_eq!(broker("DropCapability"), ["ALL"]);
    assert_eq!(broker("VolatileTmp"), ["false"]);
    assert_eq!(
        broker("Volume"),
        [
            "/etc/xedge/edge/mosquitto:/mosquitto/config:ro",
            "edge-mosquitto-data.volume:/mosquitto/data",
            "edge-mosquitto-log.volume:/mosquitto/log",
            "/etc/xedge/secrets/mosquitto-passwd:/run/secrets/mosquitto-passwd:ro",
            "/etc/xedge/secrets/mosquitto_sub:/run/secrets/mosquitto_sub:ro",
        ]
    );
    assert_eq!(
        broker("PodmanArgs"),
        ["--network-alias=mosquitto", "--memory=160m", "--cpus=0.5", "--pids-limit=32", "--stop-timeout=30"]
    );
    assert_eq!((broker("Restart"), broker("TimeoutStopSec")), (vec!["always"], vec!["40"]));
    let gateway =
        |key: &str| found.iter().find(|(file, k, _)| file.starts_with("edge-gateway") && k == key).unwrap();
    assert_eq!(gateway("Requires").2, "edge-mosquitto.service");
    assert_eq!(gateway("Environment").2, "MQTT_BROKER=mosquitto:1883");
}

const AWKWARD: &str = r#"
services:
  a:
    image: "registry.example/x/a:1"
    entrypoint: [/bin/sh, -c]
    command: ["echo \"100% $$HOME\"; it's"]
    environment: {A: "two words", B: "50%", C: 'it''s'}
    labels: {l: "a b"}
    volumes: [data:/data:ro, "/dev/shm:/shm", /anonymous]
    tmpfs: ["/run:size=1m"]
    network_mode: none
    user: "1:2"
    init: true
    cap_add: [NET_ADMIN]
    security_opt: ["seccomp:unconfined"]
    ulimits: {nofile: 100}
    healthcheck: {test: [CMD, test, "a b"], interval: 5s, retries: 2}
    restart: "on-failure:3"
  b:
    image: plain
    depends_on: {a: {condition: service_healthy}, c: {condition: service_completed_successfully}}
    networks: {one: {aliases: [bee]}, two: {}}
    ports: ["127.0.0.1:80:80", "53:53/udp"]
    volumes: [data:/data]
  c: {image: x/c, restart: "no"}
networks: {one: {internal: true}, two: {driver: bridge}}
volumes: {data: {}, unused: {}}
"#;

#[test]
fn words_reach_the_program_as_they_were_written() {
    let compose = compose(&AWKWARD.replace(", unused: {}", ""));
    let units = output(Form::Quadlet, "s", &compose, Utf8Path::new("/f/s"));
    let found = read(&units);
    let of = |file: &str, key: &str| -> Vec<&str> {
        let of = found.iter().filter(|(name, k, _)| name == file && k == key);
        of.map(|(_, _, value)| value.as_str()).collect()
    };
    assert_eq!(of("s-a.container", "Image"), ["registry.example/x/a:1"]);
    assert_eq!(of("s-b.container", "Image"), ["docker.io/library/plain"]);
    assert_eq!(of("s-a.container", "Exec"), [r#"-c "echo \"100%% $$HOME\"; it's""#]);
    assert_eq!(of("s-a.container", "Environment"), [r#""A=two words""#, "B=50%%", r#""C=it's""#]);
    assert_eq!(of("s-a.container", "Network"), ["none"]);
    assert_eq!(of("s-a.container", "DropCapability"), [""], "an early generator would drop all");
    assert_eq!(of("s-a.container", "Restart"), ["on-failure"]);
    assert_eq!(of("s-a.container", "Volume"), ["s-data.volume:/data:ro", "/dev/shm:/shm", "/anonymous"]);
    let args = of("s-a.container", "PodmanArgs");
    for wanted in [
        "--entrypoint=/bin/sh",
        "--user=1:2",
        "--tmpfs=/run:size=1m",
        "--security-opt=seccomp=unconfined",
        "--ulimit=nofile=100:100",
        r#""--health-cmd=test 'a b'""#,
        "--health-interval=5s",
        "--health-retries=2",
    ] {
        assert!(args.contains(&wanted), "{wanted}: {args:?}");
    }
    assert_eq!(of("s-one.network", "Internal"), ["true"]);
    assert_eq!(of("s-b.container", "Network"), ["s-one.network", "s-two.network"]);
    assert!(
        units.notes.iter().any(|note| note.contains("`b` waits for the start of `a` only")),
        "{:?}",
        units.notes
    );
    assert!(
        units.notes.iter().any(|note| note.contains("service_completed_successfully")),
        "{:?}",
        units.notes
    );
}

#[test]
fn a_script_waits_for_what_compose_would_wait_for() {
    let compose = compose(&AWKWARD.replace(", unused: {}", ""));
    let made = output(Form::Run, "s", &compose, Utf8Path::new("/f/s"));
    let [script] = &made.files[..] else { panic!("one file: {made:?}") };
    let at = |part: &str| script.text.find(part).unwrap_or_else(|| panic!("{part} in\n{}", script.text));
    let (a, c, b) = (at("--name=s-a-1"), at("--name=s-c-1"), at("--name=s-b-1"));
    let healthy = at("until [ \"$(docker inspect --format '{{.State.Health.Status}}' s-a-1)\" = healthy ]");
    let completed = at("[ \"$(docker wait s-c-1)\" = 0 ]");
    assert!(a < healthy && c < completed && healthy < b && completed < b, "{}", script.text);
    assert!(b < at("docker network connect --alias=b s_two s-b-1"));
    at("docker network create --internal s_one");
    at(r"--env=C='it'\''s'".replace("--env=C='it'", "--env='C=it'").as_str());
    assert_eq!(output(Form::Compose, "s", &compose, Utf8Path::new("/f/s")), Output::default());
}

#[test]
fn volumes_are_saved_and_restored_by_their_real_names() {
    let made = backup("edge", production().compose());
    assert_eq!(
        made.save,
        [
            "docker stop --time 30 mosquitto",
            "docker cp mosquitto:/mosquitto/data/. - > edge_mosquitto-data.tar",
            "docker cp mosquitto:/mosquitto/log/. - > edge_mosquitto-log.tar",
            "docker start mosquitto",
        ]
    );
    assert_eq!(
        made.restore,
        [
            "docker compose --project-name edge --file edge/compose.yaml down",
            "docker volume rm edge_mosquitto-data edge_mosquitto-log",
            "docker compose --project-name edge --file edge/compose.yaml up --no-start",
            "docker cp - mosquitto:/mosquitto/data < edge_mosquitto-data.tar",
            "docker cp - mosquitto:/mosquitto/log < edge_mosquitto-log.tar",
            "docker compose --project-name edge --file edge/compose.yaml up --detach",
        ]
    );
    // The service that can write is taken: nothing can be restored through a read-only mount.
    let shared = backup("s", &compose(&AWKWARD.replace(", unused: {}", "")));
    assert_eq!(shared.save[1], "docker cp s-b-1:/data/. - > s_data.tar");
    assert_eq!(backup("s", &compose("services: {a: {image: x}}\n")).save, Vec::<String>::new());
}
