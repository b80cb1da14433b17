//! The request for a container, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::body;
use crate::engine::{ContainerSpec, HealthSpec, LimitSpec, MountSpec, PortSpec, Restart, Source};

fn request(spec: &ContainerSpec, restart: Restart) -> Value {
    let labels = BTreeMap::from([("xedge.release".to_owned(), "edge".to_owned())]);
    serde_json::to_value(body(spec, &labels, restart)).expect("a request is JSON")
}

#[test]
fn what_a_spec_leaves_alone_is_left_to_image_and_engine() {
    let request = request(&ContainerSpec::default(), Restart::No);
    let keys =
        ["Hostname", "Entrypoint", "Cmd", "User", "WorkingDir", "Healthcheck", "StopSignal", "StopTimeout"];
    for key in keys.into_iter().chain(["ExposedPorts", "NetworkingConfig"]) {
        assert!(request.get(key).is_none(), "{key} is set in {request}");
    }
    let host = &request["HostConfig"];
    for key in ["Init", "ShmSize", "CpuShares", "Memory", "NanoCpus", "PidsLimit", "LogConfig", "NetworkMode"]
    {
        assert!(host.get(key).is_none(), "{key} is set in {host}");
    }
    assert_eq!(host["RestartPolicy"], json!({"Name": "no"}));
}

/// A spec in which everything has a value of its own.
fn full() -> ContainerSpec {
    let mount = |source: Source, target: &str, propagation: Option<&str>| MountSpec {
        source,
        target: target.into(),
        read_only: true,
        propagation: propagation.map(str::to_owned),
    };
    let port = |address: &str, host| PortSpec {
        address: address.into(),
        host,
        container: 80,
        protocol: "tcp".into(),
    };
    ContainerSpec {
        image: "sha256:abc".into(),
        hostname: Some("host".into()),
        entrypoint: Some(vec!["/app".into()]),
        command: Some(vec!["run".into()]),
        user: Some("7:8".into()),
        working_dir: Some("/srv".into()),
        groups: vec!["dialout".into()],
        init: true,
        restart_attempts: 3,
        environment: [("A".into(), "1=2".into())].into(),
        ports: vec![port("127.0.0.1", 8080), port("", 0)],
        mounts: vec![
            mount(Source::Volume("v".into()), "/v", None),
            mount(Source::Path("/p".into()), "/p", Some("rslave")),
            mount(Source::Secret { path: "/s".into(), version: 2 }, "/s", None),
        ],
        tmpfs: [("/run".into(), "size=1".into())].into(),
        networks: [("n".into(), vec!["app".into(), "www".into()]), ("o".into(), vec!["app".into()])].into(),
        extra_hosts: vec!["hub:host-gateway".into()],
        limits: LimitSpec {
            memory: Some(1 << 26),
            memory_reservation: Some(1 << 25),
            nano_cpus: Some(5),
            cpu_shares: Some(6),
            pids: Some(7),
            shm_size: Some(8),
            ulimits: [("nofile".into(), (10, 20))].into(),
            sysctls: [("net.x".into(), "1".into())].into(),
            read_only: true,
            devices: vec![("/dev/h".into(), "/dev/c".into(), "r".into())],
            cap_add: vec!["NET_RAW".into()],
            cap_drop: vec!["ALL".into()],
            security_options: vec!["no-new-privileges".into()],
        },
        health: Some(HealthSpec {
            test: vec!["NONE".into()],
            interval_ns: Some(1),
            timeout_ns: Some(2),
            start_period_ns: Some(3),
            retries: Some(4),
        }),
        stop_signal: Some("SIGINT".into()),
        stop_grace_s: Some(9),
        log_options: [("max-size".into(), "5m".into())].into(),
        ..ContainerSpec::default()
    }
}

#[test]
fn every_setting_of_a_spec_is_told() {
    let request = request(&full(), Restart::OnFailure);
    for (key, want) in [
        ("Image", json!("sha256:abc")),
        ("Hostname", json!("host")),
        ("Entrypoint", json!(["/app"])),
        ("Cmd", json!(["run"])),
        ("User", json!("7:8")),
        ("WorkingDir", json!("/srv")),
        ("Env", json!(["A=1=2"])),
        ("ExposedPorts", json!({"80/tcp": {}})),
        ("Labels", json!({"xedge.release": "edge"})),
        ("StopSignal", json!("SIGINT")),
        ("StopTimeout", json!(9)),
        (
            "Healthcheck",
            json!({"Test": ["NONE"], "Interval": 1, "Timeout": 2, "StartPeriod": 3, "Retries": 4}),
        ),
        ("NetworkingConfig", json!({"EndpointsConfig": {"n": {"Aliases": ["app", "www"]}}})),
    ] {
        assert_eq!(request[key], want, "{key}");
    }
}

#[test]
fn every_limit_and_mount_of_a_spec_is_told() {
    let request = request(&full(), Restart::OnFailure);
    let bindings = json!([{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "", "HostPort": ""}]);
    for (key, want) in [
        ("Memory", json!(1 << 26)),
        ("MemoryReservation", json!(1 << 25)),
        ("NanoCpus", json!(5)),
        ("CpuShares", json!(6)),
        ("PidsLimit", json!(7)),
        ("ShmSize", json!(8)),
        ("Ulimits", json!([{"Name": "nofile", "Soft": 10, "Hard": 20}])),
        ("Sysctls", json!({"net.x": "1"})),
        ("ReadonlyRootfs", json!(true)),
        ("Devices", json!([{"PathOnHost": "/dev/h", "PathInContainer": "/dev/c", "CgroupPermissions": "r"}])),
        ("CapAdd", json!(["NET_RAW"])),
        ("CapDrop", json!(["ALL"])),
        ("SecurityOpt", json!(["no-new-privileges"])),
        ("GroupAdd", json!(["dialout"])),
        ("Init", json!(true)),
        ("RestartPolicy", json!({"Name": "on-failure", "MaximumRetryCount": 3})),
        ("PortBindings", json!({"80/tcp": bindings})),
        ("Tmpfs", json!({"/run": "size=1"})),
        ("NetworkMode", json!("n")),
        ("ExtraHosts", json!(["hub:host-gateway"])),
        ("LogConfig", json!({"Type": "", "Config": {"max-size": "5m"}})),
    ] {
        assert_eq!(request["HostConfig"][key], want, "{key}");
    }
    let mounts = json!([
        {"Type": "volume", "Source": "v", "Target": "/v", "ReadOnly": true},
        {"Type": "bind", "Source": "/p", "Target": "/p", "ReadOnly": true, "BindOptions": {"Propagation": "rslave"}},
        {"Type": "bind", "Source": "/s", "Target": "/s", "ReadOnly": true},
    ]);
    assert_eq!(request["HostConfig"]["Mounts"], mounts);
}

#[test]
fn a_place_outside_of_networks_is_one() {
    let spec = ContainerSpec { network_mode: Some("host".into()), ..ContainerSpec::default() };
    let request = request(&spec, Restart::Always);
    assert_eq!(request["HostConfig"]["NetworkMode"], "host");
    assert!(request.get("NetworkingConfig").is_none(), "{request}");
}
