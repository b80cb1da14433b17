//! Stacks of any services: what holds, what fails and how it is told, and that every setting reaches the container.

use std::fs;

use serde_json::{Value, json};
use xedge_config::Record;

use super::bench::{Bench, docker};
use super::signed::{Evidence, starts_foreign};

/// The short form, with little time to wait for what never comes.
pub const SHORT: &str =
    "simulation: {duration_s: 2, seed: 1, ready_s: 5}\nprofile: production\nstack: demo\n";

/// A broker that the others call `hub`, with a health check that is asked often.
pub const HUB: &str = r#"
  hub:
    image: xedgesim/mosquitto
    ports: ["11883:1883"]
    volumes: ["./hub:/mosquitto/config:ro"]
    healthcheck: {test: [CMD, /usr/bin/mosquitto_sub, -t, health, -E, -W, "3"], interval: 1s, retries: 3}
"#;

impl Bench {
    /// The same with the stack `demo` of these services, and a scenario of it.
    pub fn stack(self, services: &str, rest: &str, scenario: &str) -> Self {
        let write = |path: &str, text: &str| {
            let path = self.project().join("templates").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let stack = "format: 1\nname: demo\ncompose: stacks/demo/compose.yaml.j2\n\
             files: [{template: services/hub.conf.j2, output: hub/mosquitto.conf, mode: \"0644\"}]\ngate: [demo]\n";
        write("stacks/demo/stack.yaml", stack);
        write("stacks/demo/compose.yaml.j2", &format!("services:{services}{rest}"));
        write("services/hub.conf.j2", "listener 1883\nallow_anonymous true\n");
        self.scenario("demo", scenario);
        self
    }

    pub fn claims(&self) -> Vec<Value> {
        self.report("demo")["result"]["claims"].as_array().unwrap().clone()
    }

    /// `docker inspect` of the one container of this node that a kept run left.
    fn inspect(&self, node: &str) -> Value {
        let all: Vec<Value> = self
            .objects()
            .iter()
            .filter_map(|object| object.strip_prefix("container "))
            .map(|id| serde_json::from_str::<Value>(&docker(&["inspect", id])).unwrap()[0].take())
            .collect();
        let has_name = |found: &&Value| found["Name"].as_str().unwrap().ends_with(&format!("-{node}"));
        all.iter().find(has_name).unwrap_or_else(|| panic!("no container of {node}")).clone()
    }
}

#[test]
fn a_stack_without_models_is_gated_as_a_whole() {
    gated_as_a_whole(Bench::new());
}

pub fn gated_as_a_whole(bench: Bench) {
    let services = format!(
        "{HUB}    depends_on: {{init: {{condition: service_completed_successfully}}}}
    restart: unless-stopped
  init:
    image: xedgesim/mosquitto
    entrypoint: [/usr/bin/mosquitto_passwd, -c, -b, /mosquitto/data/made, user, pass]
    command: []
    healthcheck: {{disable: true}}
  listener:
    image: xedgesim/mosquitto
    entrypoint: [/usr/bin/mosquitto_sub, -h, hub, -t, news]
    command: []
    depends_on: {{hub: {{condition: service_healthy}}}}
    healthcheck: {{disable: true}}
"
    );
    let bench = bench.stack(&services, "", SHORT);
    let ran = bench.sim(&["demo"]).expect(0);
    assert_eq!(ran.stdout, "demo passed target/xedge/gates/demo.dsse.json\n");
    assert_order(&ran.stderr, &["starting init", "init completed", "starting hub", "starting listener"]);
    bench.assert_clean();

    let claims = bench.claims();
    let ids: Vec<&str> = claims.iter().map(|claim| claim["id"].as_str().unwrap()).collect();
    let want = [
        "service.healthy(hub)",
        "service.answers(hub, 1883)",
        "service.runs(hub, 2s)",
        "service.runs(listener, 2s)",
    ];
    assert_eq!(ids, want);
    assert!(claims.iter().all(|claim| claim["state"] == "held"), "{claims:?}");
    assert!(claims[0]["counts"]["checks"].as_u64().unwrap() >= 2, "{}", claims[0]);
    assert!(claims[1]["counts"]["answered_ms"].is_u64(), "{}", claims[1]);
    assert!(claims[2]["counts"]["ran_ms"].as_u64().unwrap() >= 2_000, "{}", claims[2]);
    what_was_recorded(&bench);

    bench.run(&["render", "--out", bench.home().join("out").as_str(), "--stack", "demo"]).expect(0);
    let record = fs::read(bench.home().join("out/rendered.json")).unwrap();
    let record: Record = serde_json::from_slice(&record).unwrap();
    let gated = Evidence::of(&bench, "demo").accept(Some(&record.digest)).unwrap();
    assert_eq!(gated.config(), Some(&record.digest));
    if starts_foreign() {
        let planned = bench.run(&["release", "--stack", "demo", "--dry-run"]).expect(0);
        assert!(planned.stdout.contains("gate    demo: evidence is there\n"), "{}", planned.stdout);
    }
}

#[track_caller]
fn assert_order(text: &str, parts: &[&str]) {
    let at: Vec<usize> = parts
        .iter()
        .map(|part| text.find(part).unwrap_or_else(|| panic!("no `{part}` in\n{text}")))
        .collect();
    assert!(at.is_sorted(), "{parts:?} are not in this order in\n{text}");
}

fn what_was_recorded(bench: &Bench) {
    let report = bench.report("demo");
    let roles = report["result"]["containers"].as_array().unwrap().iter().map(|c| c["role"].clone());
    assert_eq!(roles.collect::<Vec<_>>(), [json!("service"), json!("service"), json!("service")]);
    let read = |file: &str| fs::read_to_string(bench.output("reports/demo").join(file)).unwrap();
    let history: Vec<Value> =
        read("history.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |node: &str, kind: &str| {
        history.iter().find(|event| event["node"] == node && event["kind"] == kind).cloned()
    };
    assert_eq!(event("init", "completed").unwrap()["code"], 0);
    assert!(event("hub", "ready").is_some() && event("hub", "probe").is_some());
    let junit = quick_junit::Report::deserialize_from_str(&read("junit.xml")).unwrap();
    assert_eq!(junit.test_suites[0].test_cases[1].name.as_str(), "service.answers(hub, 1883)");
}

#[test]
fn every_setting_reaches_the_container_or_the_list() {
    let services = r#"
  hub:
    image: xedgesim/mosquitto
    container_name: front
    hostname: edge
    user: "1883:1883"
    working_dir: /mosquitto
    group_add: ["20"]
    init: true
    ports: ["11883:1883", "5353:5353/udp"]
    volumes:
      - ./hub/mosquitto.conf:/mosquitto/config/mosquitto.conf:ro
      - shared:/mosquitto/data
      - /var/lib/elsewhere:/srv/host
      - /etc/localtime:/etc/localtime:ro
      - {type: tmpfs, target: /scratch, tmpfs: {size: 1m}}
    networks: {back: {aliases: [mqtt]}}
    devices: ["/dev/ttyUSB0:/dev/tty0"]
    cap_add: [ALL]
    cap_drop: [CHOWN]
    ulimits: {nofile: 2000000000, nproc: {soft: 1000, hard: 2000}}
    sysctls: {net.core.somaxconn: 200, vm.max_map_count: 262144}
    extra_hosts: ["gate:host-gateway", "other:192.0.2.7"]
    shm_size: 32m
    cpu_shares: 512
    stop_signal: SIGTERM
    logging: {driver: json-file}
  listener:
    image: xedgesim/mosquitto
    entrypoint: [/usr/bin/mosquitto_sub, -h, mqtt, -t, news]
    command: []
    restart: unless-stopped
    depends_on: [hub]
    volumes: ["shared:/mosquitto/data"]
    networks: [back, side]
    healthcheck: {disable: true}
"#;
    let rest = "networks: {back: {}, side: {internal: true}}\nvolumes: {shared: {}}\n";
    let bench = Bench::new().stack(services, rest, SHORT);
    bench.sim(&["demo", "--keep"]).expect(0);
    the_container_has_it(&bench.inspect("hub"));
    let (hub, listener) = (bench.inspect("hub"), bench.inspect("listener"));
    assert_eq!(networks(&hub).len(), 1);
    assert_eq!(networks(&listener).len(), 2);
    let shared = |of: &Value| {
        let mounts = of["Mounts"].as_array().unwrap().iter();
        mounts.clone().find(|mount| mount["Destination"] == "/mosquitto/data").unwrap()["Name"].clone()
    };
    assert_eq!(shared(&hub), shared(&listener), "the named volume is not shared");

    let parity = fs::read_to_string(bench.output("reports/demo/parity.json")).unwrap();
    for part in [
        "\"nofile is ",
        "\"vm.max_map_count is left as it is",
        "\"/dev/tty0 is /dev/null",
        "\"an empty volume at /srv/host instead of /var/lib/elsewhere of the host\"",
        "\"/etc/localtime of the host is left out\"",
        "\"UDP is not published",
        "\"host-gateway is this machine's\"",
        "\"`side` has a way to the outside",
    ] {
        assert!(parity.contains(part), "{part} is not in\n{parity}");
    }
    bench.run(&["gc"]).expect(0);
    bench.assert_clean();
}

fn networks(of: &Value) -> Vec<&String> {
    of["NetworkSettings"]["Networks"].as_object().unwrap().keys().collect()
}

fn the_container_has_it(hub: &Value) {
    let (config, host) = (&hub["Config"], &hub["HostConfig"]);
    assert_eq!((&config["Hostname"], &config["User"]), (&json!("edge"), &json!("1883:1883")));
    assert_eq!((&config["WorkingDir"], &config["StopSignal"]), (&json!("/mosquitto"), &json!("SIGTERM")));
    let device = &host["Devices"][0];
    assert_eq!(
        (&device["PathOnHost"], &device["PathInContainer"]),
        (&json!("/dev/null"), &json!("/dev/tty0"))
    );
    assert_eq!((&host["GroupAdd"], &host["Init"]), (&json!(["20"]), &json!(true)));
    let added = host["CapAdd"].as_array().unwrap();
    assert!(["ALL", "CAP_NET_RAW", "NET_RAW"].iter().any(|name| added.contains(&json!(name))), "{host}");
    assert_eq!((&host["ShmSize"], &host["CpuShares"]), (&json!(32 << 20), &json!(512)));
    assert_eq!(host["ExtraHosts"], json!(["gate:host-gateway", "other:192.0.2.7"]));
    assert_eq!(host["Sysctls"], json!({"net.core.somaxconn": "200"}));
    assert_eq!(host["Tmpfs"], json!({"/scratch": "size=1048576"}));
    let limit = |name: &str| {
        let limits = host["Ulimits"].as_array().unwrap();
        limits.iter().find(|limit| limit["Name"] == name).unwrap()["Hard"].as_i64().unwrap()
    };
    assert_eq!(limit("nproc"), 2_000);
    assert!(limit("nofile") < 2_000_000_000, "not clamped: {host}");
    let ports = hub["NetworkSettings"]["Ports"].as_object().unwrap();
    let published: Vec<&String> =
        ports.iter().filter(|(_, at)| !at.is_null()).map(|(port, _)| port).collect();
    assert_eq!(published, ["1883/tcp"]);
    assert_eq!(ports["1883/tcp"][0]["HostIp"], "127.0.0.1");
    let names = hub["NetworkSettings"]["Networks"].as_object().unwrap().values().next().unwrap();
    for name in ["hub", "front", "mqtt"] {
        assert!(names["Aliases"].as_array().unwrap().contains(&json!(name)), "{names}");
    }
}

#[test]
fn what_never_becomes_healthy_fails_with_its_last_words() {
    let services =
        HUB.replace("-t, health", "-p, \"9\", -t, health").replace("retries: 3", "retries: 1, timeout: 1s");
    let bench = Bench::new().stack(&services, "", SHORT);
    let ran = bench.sim(&["demo"]).expect(2);
    assert_eq!(ran.stdout, "demo failed target/xedge/reports/demo\n");
    ran.says("failed to get an answer from node hub within 3 s: its health check ends with 1")
        .says("mosquitto version");
    assert!(!bench.evidence("demo").exists());
    bench.assert_clean();
}

#[test]
fn what_ends_at_once_fails_with_its_last_words() {
    let services = "
  hub:
    image: xedgesim/mosquitto
    command: [--no-such-option]
    volumes: [\"./hub:/mosquitto/config:ro\"]
    healthcheck: {disable: true}
";
    for restart in ["", "    restart: always\n"] {
        let bench = Bench::new().stack(&format!("{services}{restart}"), "", SHORT);
        let ran = bench.sim(&["demo"]).expect(2).says("node hub running: its container ended at once");
        assert!(ran.stderr.contains("--no-such-option") && !ran.stderr.contains("code 0"), "{}", ran.stderr);
        bench.assert_clean();
    }
}

#[test]
fn what_should_complete_and_fails_stops_the_start() {
    let services = format!(
        "{HUB}    depends_on: {{init: {{condition: service_completed_successfully}}}}
  init:
    image: xedgesim/mosquitto
    entrypoint: [/usr/bin/mosquitto_passwd, -D, /mosquitto/data/none, nobody]
    command: []
"
    );
    let bench = Bench::new().stack(&services, "", SHORT);
    let ran =
        bench.sim(&["demo"]).expect(2).says("node init").says("before it had completed with exit code 1");
    assert!(!ran.stderr.contains("starting hub"), "{}", ran.stderr);
    bench.assert_clean();
}

#[test]
fn a_port_where_nothing_listens_is_a_failed_claim() {
    silent_port(Bench::new());
}

pub fn silent_port(bench: Bench) {
    let services = HUB.replace("\"11883:1883\"", "\"11883:1883\", \"8080:80\"");
    let scenario = SHORT.replace("ready_s: 5", "ready_s: 2") + "expect: [\"service.answers(hub, 80)\"]\n";
    let bench = bench.stack(&services, "", &scenario);
    bench
        .sim(&["demo", "--duration", "1s"])
        .expect(2)
        .says("FAILED service.answers(hub, 80): it took no connection in");
    let claims = bench.claims();
    assert!(claims[0]["counts"]["attempts"].as_u64().unwrap() > 1, "{claims:?}");
    bench.assert_clean();
}

#[test]
fn services_without_a_common_network_do_not_reach_each_other() {
    kept_apart(Bench::new());
}

pub fn kept_apart(bench: Bench) {
    let services = |network: &str| {
        format!(
            "{HUB}    networks: [back]
  stranger:
    image: xedgesim/mosquitto
    entrypoint: [/usr/bin/mosquitto_sub, -h, hub, -t, news]
    command: []
    depends_on: {{hub: {{condition: service_healthy}}}}
    healthcheck: {{disable: true}}
    networks: [{network}]
  other: {{image: xedgesim/mosquitto, networks: [side], healthcheck: {{disable: true}}}}
"
        )
    };
    let rest = "networks: {back: {}, side: {}}\n";
    let bench = bench.stack(&services("side"), rest, SHORT);
    bench.sim(&["demo", "--duration", "1s"]).expect(2).says("failed to keep node stranger running");
    bench.assert_clean();
    let compose = bench.project().join("templates/stacks/demo/compose.yaml.j2");
    fs::write(compose, format!("services:{}{rest}", services("back"))).unwrap();
    bench.sim(&["demo", "--duration", "1s"]).expect(0);
    bench.assert_clean();
}

#[test]
fn a_service_needs_no_stack_and_no_broker() {
    let bench = Bench::new();
    let scenario = "
simulation: {duration_s: 1, seed: 1}
nodes:
  - id: web
    type: app
    implementation: docker
    docker: {image: xedgesim/mosquitto, ports: [\"1883\"]}
  - {id: idle, type: database, implementation: docker, docker: {build_context: containers/mqtt-broker}}
expect:
  - service.healthy(web)
  - service.answers(web, 1883)
  - service.runs(idle, 1s)
";
    bench.scenario("plain", scenario);
    bench.sim(&["plain"]).expect(0).says("held service.healthy(web)").says("held service.runs(idle, 1s)");
    bench.assert_clean();
}
