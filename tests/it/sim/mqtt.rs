//! Models as MQTT clients of a real broker: ten thousand at once, and everything that the protocol offers. A program of this
//! machine in the broker's place.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::bench::{Bench, docker, scenario_name};
use crate::support::finish;

/// What the generator may hold for ten thousand clients, in KiB; the pages of its own program file are not its own.
const MOST_KIB: u64 = 60 << 10;

#[test]
fn ten_thousand_sensors_are_all_heard_in_little_memory() {
    let bench = Bench::alone();
    // What building takes is not the generator's.
    bench.run(&["build", "mqtt-broker", "--load"]).expect(0);
    let mut run = bench.start(&["ten_thousand_sensors", "--duration", "10s"]);
    let (mut own, mut all) = (0, 0);
    while run.is_going() {
        let status = run.status();
        own = own.max(kib(&status, "RssAnon"));
        all = all.max(kib(&status, "VmHWM"));
        sleep(Duration::from_millis(20));
    }
    run.finish().expect(0);
    let report = bench.report("ten_thousand_sensors");
    let result = &report["result"];
    let count = |claim: &str, what: &str| {
        let claims = result["claims"].as_array().unwrap();
        claims.iter().find(|c| c["id"] == claim).unwrap()["counts"][what].as_u64().unwrap()
    };
    assert_eq!(count("sensors.publish", "sensors"), 10_000);
    let sent = count("sensors.publish", "sent");
    assert!(sent >= 10_000, "{sent}");
    assert_eq!(count("sensors.publish", "acknowledged"), sent);
    assert_eq!(count("gateway.receives", "received"), sent);
    assert_eq!(count("mqtt.end_to_end", "lost"), 0);
    assert!(own > 0 && own < MOST_KIB, "{own} KiB for ten thousand clients");
    println!("{sent} messages in 10 s; memory {} MiB, {} with the program's file", own >> 10, all >> 10);
    for times in ["send_lag", "ack_latency", "delivery_latency"] {
        let of = |rank: &str| result[times][rank].as_u64().unwrap();
        println!("{times}: p50 {} us, p99 {} us, max {} us", of("p50_us"), of("p99_us"), of("max_us"));
    }
    bench.assert_clean();
}

fn kib(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Every quality of service, both versions, sizes, jitter, kept sessions, retained messages and wills, at one broker. The
/// link of those with a session is torn on the way.
const EVERYTHING: &str = "
simulation: {duration_s: 4, seed: 5}
links:
  lan: {latency: 1ms}
nodes:
  - {id: broker, type: broker, implementation: docker, docker: {image: xedgesim/mosquitto}}
  - {id: zero, type: sensor, implementation: model, config: {every: 200ms, qos: 0}}
  - {id: one, type: sensor, implementation: model, config: {every: 200ms, protocol: 5, jitter: 50%, payload: 20k}}
  - {id: two, type: sensor, implementation: model, count: 5, config: {every: 100ms, qos: 2}}
  - {id: five, type: sensor, implementation: model, count: 5, config: {every: 100ms, qos: 2, protocol: 5, keep_alive: 1s}}
  - {id: kept, type: sensor, implementation: model, config: {every: 200ms, retain: true}}
  - id: mortal
    type: sensor
    implementation: model
    via: lan
    config: {every: 200ms, qos: 2, clean_session: false, will: {topic: 'sensors/{id}', payload: gone, qos: 1}}
  - {id: gateway, type: gateway, implementation: model, via: lan, config: {qos: 2, clean_session: false}}
  - {id: listener, type: gateway, implementation: model, config: {qos: 1, protocol: 5}}
timeline:
  - {at: 2s, reset: lan}
";

#[test]
fn everything_that_the_protocol_offers_is_delivered() {
    let mut bench = Bench::new();
    let file = bench.own("everything", EVERYTHING);
    let ran = bench.sim(&[&file, "--duration", "4s"]).expect(0);
    let name = scenario_name(&ran);
    let report = bench.report(&name);
    assert_eq!(report["verdict"], "passed");
    let history = history(&bench, &name);
    let of = |node: &'static str, kind: &'static str| {
        history.iter().filter(move |e| e["node"] == node && e["kind"] == kind).collect::<Vec<&Value>>()
    };
    // A session that the broker kept: connected twice, subscribed once, and nothing missed in between.
    let sessions: Vec<bool> =
        of("gateway", "connected").iter().map(|e| e["session_present"].as_bool().unwrap()).collect();
    assert_eq!((sessions, of("gateway", "subscribed").len()), (vec![false, true], 1));
    assert_eq!(of("gateway", "subscribed")[0]["granted"], 2);
    // Exactly once, from end to end: the torn connection made nothing come twice.
    let twos = |node: &str| -> Vec<String> {
        let of_two = of("gateway", "received").into_iter().filter(|e| e["from"] == node);
        of_two.map(|e| e["seq"].to_string()).collect()
    };
    for node in ["mortal", "two-3", "five-5"] {
        let (mut seen, all) = (twos(node), twos(node).len());
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), all), (all, of_sensor(&report, node, "sent")), "{node}");
    }
    // The will of the torn one, heard by both gateways; a publisher that says goodbye has none.
    assert_eq!(of("listener", "unreadable").len(), 1);
    assert_eq!(of("listener", "unreadable")[0]["topic"], "sensors/mortal");
    assert_eq!(of_sensor(&report, "zero", "acknowledged"), 0);
    bench.assert_clean();
}

fn of_sensor(report: &Value, node: &str, what: &str) -> usize {
    let count = report["result"]["nodes"][node][what].as_u64().unwrap();
    usize::try_from(count).unwrap()
}

fn history(bench: &Bench, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(bench.output(&format!("reports/{name}/history.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const ENCRYPTED: &str = "
simulation: {duration_s: 2, seed: 5}
nodes:
  - id: broker
    type: broker
    implementation: docker
    docker:
      image: xedgesim/mosquitto
      ports: [8883]
      volumes: ['./tls/broker:/tls:ro', './tls/mosquitto.conf:/mosquitto/config/mosquitto.conf']
  - {id: sensor, type: sensor, implementation: model, config: {every: 200ms, tls: {ca: tls/CA.pem}}}
  - {id: gateway, type: gateway, implementation: model, config: {protocol: 5, tls: {ca: tls/CA.pem}}}
";

#[test]
fn models_speak_tls_and_trust_only_their_authority() {
    let bench = Bench::new();
    let folder = bench.project().join("tls");
    certificates(&folder);
    bench.scenario("encrypted", &ENCRYPTED.replace("CA.pem", "ours.pem"));
    bench.sim(&["encrypted", "--duration", "2s"]).expect(0).says("held mqtt.end_to_end");
    let report = bench.report("encrypted");
    assert!(of_sensor(&report, "sensor", "acknowledged") >= 5, "{report}");
    // Whom somebody else has signed is no broker of ours, and that is said.
    bench.scenario(
        "encrypted",
        &ENCRYPTED.replace("CA.pem", "theirs.pem").replace("seed", "ready_s: 4, seed"),
    );
    bench
        .sim(&["encrypted", "--duration", "2s"])
        .expect(2)
        .says("no TLS with the broker: invalid peer certificate");
    fs::write(folder.join("theirs.pem"), "no certificate").unwrap();
    bench.sim(&["encrypted", "--duration", "2s"]).expect(3).says("it has no certificate in it");
    bench.assert_clean();
}

/// Two authorities, and a broker that the first has signed.
fn certificates(folder: &Path) {
    let broker = folder.join("broker");
    fs::create_dir_all(&broker).unwrap();
    for name in ["ours", "theirs"] {
        openssl(
            folder,
            &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
                .into_iter()
                .chain(["-days", "2", "-subj", &format!("/CN={name}")])
                .chain(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
                .collect::<Vec<&str>>(),
        );
    }
    fs::write(folder.join("names"), "subjectAltName=DNS:broker\n").unwrap();
    openssl(
        folder,
        &[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=broker",
            "-keyout",
            "broker/key.pem",
            "-out",
            "request.pem",
        ],
    );
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            "request.pem",
            "-CA",
            "ours.pem",
            "-CAkey",
            "ours.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "broker/certificate.pem",
        ],
    );
    // The broker in its container is another user.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(broker.join("key.pem"), readable).unwrap();
    let conf =
        "listener 8883 0.0.0.0\ncertfile /tls/certificate.pem\nkeyfile /tls/key.pem\nallow_anonymous true\n";
    fs::write(folder.join("mosquitto.conf"), conf).unwrap();
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output();
    let output = output.expect("`openssl` starts (`apt-get install openssl`)");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The broker's own program, out of its image and on this machine, with the libraries that came with it.
#[test]
fn a_program_of_this_machine_stands_for_a_broker_and_leaves_nothing() {
    let bench = Bench::new();
    bench.run(&["build", "mqtt-broker", "--load"]).expect(0);
    let root = bench.project().join("broker");
    unpack("xedgesim/mosquitto", &root);
    let library = |folder: &str| root.join(folder).to_string_lossy().into_owned();
    let loader = library(if cfg!(target_arch = "aarch64") {
        "lib/ld-linux-aarch64.so.1"
    } else {
        "lib64/ld-linux-x86-64.so.2"
    });
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries =
        format!("{}:{}", library(&format!("usr/lib/{triple}")), library(&format!("lib/{triple}")));
    let program = library("usr/sbin/mosquitto");
    let text = format!(
        "
simulation: {{duration_s: 3, seed: 5}}
nodes:
  - id: broker
    type: broker
    implementation: process
    process: {{command: [{loader}, --library-path, '{libraries}', {program}, -v, -p, '{{port}}']}}
  - {{id: sensor, type: sensor, implementation: model, config: {{every: 200ms}}}}
  - {{id: gateway, type: gateway, implementation: model}}
timeline:
  - {{at: 1s, kill: broker}}
  - {{at: 1500ms, start: broker, recover_within: 10s}}
expect: [broker.starts, sensors.publish, gateway.receives, logs(broker) =~ /New client connected/]
"
    );
    bench.scenario("program", &text);
    let ran = bench.sim(&["program"]).expect(0);
    ran.says("no evidence: all that ran are programs of this machine");
    let report = bench.report("program");
    assert_eq!(report["result"]["containers"][0]["image"], format!("none: the program {loader}"));
    assert!(!bench.evidence("program").exists());
    assert_eq!(running(&program), 0, "left behind");
    // Nor after our own sudden end.
    let mut run = bench.start(&["program"]);
    run.until("publish");
    assert_eq!(running(&program), 1);
    run.signal(rustix::process::Signal::KILL);
    assert_eq!(run.finish().code, -1);
    while running(&program) > 0 {
        sleep(Duration::from_millis(20));
    }
    let absent = text.replace(&loader, "/no/such/program");
    bench.scenario("program", &absent);
    bench.sim(&["program"]).expect(1).says("failed to start /no/such/program").says("process.command");
    finish(bench.command(&["gc"])).expect(0);
}

/// The files of an image.
fn unpack(image: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let container = docker(&["create", image]);
    let script = format!("docker export {} | tar -x -C '{}'", container.trim(), to.display());
    let unpacked = Command::new("sh").args(["-c", &script]).status().unwrap();
    docker(&["rm", container.trim()]);
    assert!(unpacked.success());
}

/// How many processes have this in their command line.
fn running(program: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    let lines = all.filter_map(|path| fs::read(path).ok());
    lines.filter(|line| String::from_utf8_lossy(line).split('\0').any(|word| word == program)).count()
}
