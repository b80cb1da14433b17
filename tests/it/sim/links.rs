//! Links between containers, and between models and containers, on every engine: everything takes them, and nothing is lost.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;
use serde_json::Value;

use super::bench::{self, Bench, SMALL, scenario_name};
use super::podman::Podman;
use crate::support::finish;

/// Two gateway containers and models, each on a link of its own; one link is cut for a while, another one torn.
const LINKED: &str = "
simulation: {duration_s: 7, seed: 5}
links:
  wan: {from: gateway, to: broker, latency: 50ms, down: {latency: 80ms}}
  site: {latency: 30ms, jitter: 5ms}
  lan: {latency: 20ms, rate: 2mbit}
nodes:
  - {id: broker, type: broker, implementation: docker, docker: {image: xedgesim/mosquitto}}
  - id: gateway
    type: gateway
    implementation: docker
    docker: {image: xedgesim/gateway, environment: {MQTT_BROKER: 'broker:1883', GATEWAY_ID: gateway}}
  - id: other
    type: gateway
    implementation: docker
    via: site
    docker: {image: xedgesim/gateway, environment: {MQTT_BROKER: 'broker:1883', GATEWAY_ID: other}}
  - {id: sensor, type: sensor, implementation: model, count: 3, via: lan, config: {every: 200ms}}
  - {id: cloud, type: cloud, implementation: model}
timeline:
  - {at: 1s, partition: wan, for: 1500ms}
  - {at: 3s, reset: site}
";

#[test]
fn containers_take_links_on_docker() {
    let bench = Bench::here();
    linked(bench, &|_| {});
}

#[test]
fn containers_take_links_on_podman() {
    let podman = Podman::start();
    let host = podman.host();
    let bench = Bench::here();
    let home = bench.home().to_owned();
    linked(bench, &|command| {
        command.env("DOCKER_HOST", &host);
    });
    let left = podman.locks().iter().filter(|lock| Path::new(lock).starts_with(&home)).count();
    assert_eq!(left, 0, "left in the engine");
}

/// Without root it has to refuse.
#[test]
fn containers_take_links_in_the_embedded_engine() {
    let bench = Bench::here().on(bench::Arm::Embedded);
    if geteuid().is_root() {
        linked(bench, &|_| {});
    } else {
        let file = bench.project().join("scenarios/mqtt_test.yaml");
        bench.sim(&[file.to_str().unwrap()]).expect(1).says("it needs root");
    }
}

fn linked(mut bench: Bench, prepare: &dyn Fn(&mut Command)) {
    let file = bench.own("linked", LINKED);
    let mut command = bench.command(&["sim", &file, "--duration", "6s"]);
    prepare(&mut command);
    let ran = finish(command).expect(0).says("held mqtt.end_to_end");
    let report = bench.report(&scenario_name(&ran));
    let link = |name: &str| {
        let links = report["result"]["links"].as_array().unwrap();
        links.iter().find(|link| link["name"] == name).unwrap_or_else(|| panic!("no {name} in {links:?}"))
    };
    took(link("wan"), 1, [50_000, 80_000]);
    took(link("site"), 2, [25_000, 25_000]);
    took(link("lan"), 3, [20_000, 20_000]);
    let (wan, site) = (link("wan"), link("site"));
    assert_eq!((number(wan, "partitions"), number(site, "reset")), (1, 1));
    assert!(number(&wan["down"], "held") > 0, "readings were sent to the gateway meanwhile: {wan}");
    bench.assert_clean();
}

/// How many connections a link had, and that no piece was faster through it than it says.
#[track_caller]
fn took(link: &Value, connections: u64, slowest: [u64; 2]) {
    assert_eq!(number(link, "connections"), connections, "{link}");
    for (way, latency) in ["up", "down"].iter().zip(slowest) {
        let way = &link[*way];
        assert!(number(way, "bytes") > 0 && number(way, "delay_min_us") >= latency, "{link}");
    }
    let (direct, linked) = (&link["round_trip"]["direct_us"], number(&link["round_trip"], "linked_us"));
    assert!(direct.is_u64() && linked >= slowest.iter().sum(), "{link}");
}

#[track_caller]
fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// A listener of ours stands at the port of the target: where somebody has it on every address, that is said.
#[test]
fn a_port_that_somebody_has_on_every_address_is_the_environments_fault() {
    let bench = Bench::new();
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let store = format!(
        "  - {{id: store, type: service, implementation: docker, docker: {{image: xedgesim/mosquitto, ports: ['{port}:{port}']}}}}\n  - {{id: sensor"
    );
    let links = "links: {wan: {from: broker, to: store, latency: 5ms}}\n";
    bench.scenario("taken", &format!("{SMALL}{links}").replace("  - {id: sensor", &store));
    let ran = bench.sim(&["taken"]).expect(1);
    ran.says("failed to listen at ")
        .says(&format!(":{port} for what broker sends to store through a link"))
        .says(&format!("hint: something on this machine has port {port} on every address"));
    bench.assert_clean();
}

#[test]
fn a_link_that_nothing_can_take_is_refused_and_one_that_nothing_took_makes_a_run_invalid() {
    let bench = Bench::new();
    let with = |text: &str| format!("{SMALL}{text}");
    bench.scenario("apart", &with("links: {wan: {from: sensor, to: gateway, latency: 5ms}}\n"));
    bench.sim(&["apart"]).expect(3).says("link `wan` would stay unused: nothing connects sensor and gateway");
    // A port that nobody asks for.
    let idle = with("links: {wan: {from: idle, to: broker, latency: 5ms}}\n").replace(
        "  - {id: sensor",
        "  - {id: idle, type: service, implementation: docker, docker: {image: xedgesim/mosquitto}}\n  - {id: sensor",
    );
    bench.scenario("idle", &idle);
    bench.sim(&["idle"]).expect(4).says("INVALID link.used(wan): no connection took it");
    assert_eq!(bench.report("idle")["verdict"], "invalid");
    bench.assert_clean();
}
