//! What becomes of each key, and what makes a container another one.

use std::time::Duration;

use serde_json::json;
use xedge_model::compose::Condition;

use super::Case;
use crate::engine::{NetworkSpec, Restart, Source};

/// Every key of a service, each with a value of its own.
const ALL: &str = r#"
services:
  app:
    image: x/app:1
    container_name: the-app
    hostname: host
    entrypoint: [/bin/app, -v]
    command: [run, "a b"]
    user: "7:8"
    working_dir: /srv
    group_add: [dialout]
    init: true
    restart: on-failure:3
    ports: ["127.0.0.1:8080:80", "1883:1883", "53:53/udp", "9"]
    expose: ["3000"]
    volumes:
      - ./app:/etc/app:ro
      - ./one.conf:/etc/one.conf:ro
      - data:/data
      - /anonymous
      - /dev/shm:/shm:ro,rslave
      - {type: tmpfs, target: /cache, tmpfs: {size: 1m}}
    networks:
      front: {aliases: [www, app]}
      back: {}
    extra_hosts: ["hub:host-gateway"]
    depends_on: {db: {condition: service_healthy}}
    environment: {A: "1"}
    secrets: [key]
    mem_limit: 64m
    mem_reservation: 32m
    cpus: 0.5
    cpu_shares: 512
    pids_limit: 32
    shm_size: 1m
    ulimits: {nofile: {soft: 10, hard: 20}}
    sysctls: {net.ipv4.ip_forward: "1"}
    read_only: true
    tmpfs: ["/run:size=64k"]
    devices: ["/dev/null:/dev/x:r"]
    cap_add: [NET_RAW]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    healthcheck: {test: [CMD, /probe], interval: 2s, timeout: 1s, start_period: 3s, retries: 4}
    stop_signal: SIGINT
    stop_grace_period: 1500ms
    logging: {driver: json-file, options: {max-size: 5m}}
    labels: {team: edge}
  db:
    image: x/db:1
    network_mode: none
  plain:
    image: x/plain:1
networks:
  front: {driver: bridge}
  back: {internal: true}
volumes: {data: }
secrets:
  key: {file: ../secrets/key}
"#;

fn all() -> Case {
    let mut case = Case::new(ALL)
        .file("app/app.conf", "0600", "a=1\n")
        .file("app/more/b.conf", "0644", "b=1\n")
        .file("one.conf", "0644", "one\n");
    case.secrets.insert("key".into(), 4);
    case
}

#[test]
fn every_key_is_carried_over() {
    let plan = all().planned();
    let app = &plan.services["app"];
    assert_eq!((&*app.name, app.image.to_string()), ("the-app", "x/app".to_owned()));
    assert_eq!((app.user, app.stop_grace), (Some((7, 8)), Duration::from_millis(1500)));
    assert_eq!(app.depends_on, [("db".to_owned(), Condition::Healthy)].into());
    let spec = serde_json::to_value(&app.spec).unwrap();
    for (key, want) in [
        ("service", json!("app")),
        ("hostname", json!("host")),
        ("entrypoint", json!(["/bin/app", "-v"])),
        ("command", json!(["run", "a b"])),
        ("user", json!("7:8")),
        ("workingDir", json!("/srv")),
        ("groups", json!(["dialout"])),
        ("init", json!(true)),
        ("restart", json!("on-failure")),
        ("restartAttempts", json!(3)),
        ("environment", json!({"A": "1"})),
        ("tmpfs", json!({"/run": "size=64k", "/cache": "size=1048576"})),
        ("networkMode", json!(null)),
        ("extraHosts", json!(["hub:host-gateway"])),
        ("stopSignal", json!("SIGINT")),
        ("stopGraceS", json!(2)),
        ("logDriver", json!("json-file")),
        ("logOptions", json!({"max-size": "5m"})),
        ("labels", json!({"team": "edge"})),
        ("networks", json!({"edge_front": ["app", "www"], "edge_back.internal": ["app"]})),
    ] {
        assert_eq!(spec[key], want, "{key}");
    }
    let port = |address: &str, host: u16, container: u16, protocol: &str| json!({"address": address, "host": host, "container": container, "protocol": protocol});
    let ports = [
        port("127.0.0.1", 8080, 80, "tcp"),
        port("", 1883, 1883, "tcp"),
        port("", 53, 53, "udp"),
        port("", 0, 9, "tcp"),
    ];
    assert_eq!(spec["ports"], json!(ports));
    let limits = json!({
        "memory": 64 << 20, "memoryReservation": 32 << 20, "nanoCpus": 500_000_000, "cpuShares": 512, "pids": 32,
        "shmSize": 1 << 20, "ulimits": {"nofile": [10, 20]}, "sysctls": {"net.ipv4.ip_forward": "1"},
        "readOnly": true, "devices": [["/dev/null", "/dev/x", "r"]], "capAdd": ["NET_RAW"], "capDrop": ["ALL"],
        "securityOptions": ["no-new-privileges:true"],
    });
    assert_eq!(spec["limits"], limits);
    let health = json!({
        "test": ["CMD", "/probe"], "intervalNs": 2_000_000_000_u64, "timeoutNs": 1_000_000_000,
        "startPeriodNs": 3_000_000_000_u64, "retries": 4,
    });
    assert_eq!(spec["health"], health);
}

#[test]
fn mounts_lie_where_nothing_is_hidden_and_nothing_changes() {
    let plan = all().planned();
    let mounts = &plan.services["app"].spec.mounts;
    let by_target = |target: &str| mounts.iter().find(|mount| mount.target == target).unwrap();
    let [folder, file] = &plan.mounts[..] else { panic!("{:?}", plan.mounts) };
    let (folder, file) = if folder.files.len() == 2 { (folder, file) } else { (file, folder) };
    let home = super::Home::new("/var/lib/xedge").stack("edge");
    assert_eq!(by_target("/etc/app").source, Source::Path(home.mount(&folder.digest).into()));
    assert_eq!(
        by_target("/etc/one.conf").source,
        Source::Path(home.mount(&file.digest).join("one.conf").into())
    );
    let paths: Vec<(&str, u32)> = folder.files.iter().map(|f| (f.path.as_str(), f.mode)).collect();
    assert_eq!(paths, [("app.conf", 0o600), ("more/b.conf", 0o644)]);
    assert_eq!(folder.owner, (7, 8));
    assert_eq!(by_target("/data").source, Source::Volume("edge_data".into()));
    assert_eq!(by_target("/anonymous").source, Source::Volume("edge_app.anonymous".into()));
    let shm = by_target("/shm");
    assert_eq!((&shm.source, shm.read_only), (&Source::Path("/dev/shm".into()), true));
    assert_eq!(shm.propagation.as_deref(), Some("rslave"));
    let secret = by_target("/run/secrets/key");
    let path = "/var/lib/xedge/stacks/edge/secrets/key.4".to_owned();
    assert_eq!((&secret.source, secret.read_only), (&Source::Secret { path, version: 4 }, true));
    assert_eq!(mounts.len(), 6);
}

#[test]
fn order_networks_and_volumes_are_the_stacks() {
    let plan = all().planned();
    assert_eq!(plan.order, ["db", "app", "plain"]);
    let network = |name: &str, driver: Option<&str>, internal| NetworkSpec {
        name: name.into(),
        driver: driver.map(str::to_owned),
        internal,
    };
    let networks = [
        network("edge_back.internal", None, true),
        network("edge_default", None, false),
        network("edge_front", Some("bridge"), false),
    ];
    assert_eq!(plan.networks, networks);
    let volumes: Vec<_> = plan.volumes.iter().map(|volume| (&*volume.name, &volume.folder)).collect();
    assert_eq!(volumes, [("edge_app.anonymous", &None), ("edge_data", &None)]);
    let rest = &plan.services["plain"];
    assert_eq!((&*rest.name, rest.stop_grace), ("edge-plain", Duration::from_secs(10)));
    assert_eq!(rest.spec.restart, Restart::No);
    assert_eq!(rest.user, Some((1883, 7)), "the image's");
    assert_eq!(rest.spec.networks, [("edge_default".to_owned(), vec!["plain".to_owned()])].into());
    let db = &plan.services["db"].spec;
    assert_eq!((&db.network_mode, db.networks.len()), (&Some("none".into()), 0));
}

#[test]
fn a_device_bounds_what_is_signed() {
    let mut case = all();
    case.bounds.memory = Some(48 << 20);
    case.bounds.nano_cpus = Some(1_000_000_000);
    case.bounds.volume_root = Some("/mnt/disk".into());
    let plan = case.planned();
    let limits = |service: &str| plan.services[service].spec.limits.clone();
    assert_eq!((limits("app").memory, limits("app").memory_reservation), (Some(48 << 20), Some(32 << 20)));
    assert_eq!(limits("app").nano_cpus, Some(500_000_000), "the smaller one");
    assert_eq!(limits("plain").nano_cpus, Some(1_000_000_000), "where nothing is signed");
    assert_eq!(plan.volumes[1].folder.as_deref(), Some("/mnt/disk/edge/data"));
    case.bounds.memory = Some(16 << 20);
    assert_eq!(case.planned().services["app"].spec.limits.memory_reservation, Some(16 << 20));
}

#[test]
fn volumes_that_were_there_stay_where_they_are() {
    let mut case = all();
    let source = |case: &Case| {
        let mounts = case.planned().services["app"].spec.mounts.clone();
        mounts.into_iter().find(|mount| mount.target == "/data").unwrap().source
    };
    case.adopted.insert("data".into(), "old_volume".into());
    assert_eq!(source(&case), Source::Volume("old_volume".into()));
    let made: Vec<_> = case.planned().volumes.into_iter().map(|volume| volume.name).collect();
    assert_eq!(made, ["edge_app.anonymous"], "the other is not ours to make");
    case.adopted.insert("data".into(), "/srv/old".into());
    assert_eq!(source(&case), Source::Path("/srv/old".into()));
}

#[test]
fn only_what_a_container_is_made_of_makes_it_another() {
    let before = all();
    let (app, other) = (before.digest("app"), before.digest("plain"));
    assert_eq!(all().digest("app"), app, "the same input gives the same plan");
    let changed = |change: &dyn Fn(&mut Case)| {
        let mut case = all();
        change(&mut case);
        let plan = case.planned();
        assert_eq!(plan.services["plain"].spec.digest(), other, "another service stays");
        plan.services["app"].spec.digest() != app
    };
    let rewrite = |case: &mut Case, from: &str, to: &str| {
        let text = String::from_utf8(case.files[0].2.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        case.files[0].2 = text.replace(from, to).into_bytes();
    };
    assert!(changed(&|case| case.files[1].2 = b"a=2\n".to_vec()), "a file of its folder");
    assert!(changed(&|case| case.files[1].1 = "0640".into()), "a mode");
    assert!(changed(&|case| *case.secrets.get_mut("key").unwrap() += 1), "a new value of a secret");
    assert!(changed(&|case| rewrite(case, "cpus: 0.5", "cpus: 0.6")));
    assert!(changed(&|case| rewrite(case, "\"7:8\"", "\"7:9\"")));
    assert!(changed(&|case| rewrite(case, "internal: true", "internal: false")));
    assert!(!changed(&|case| rewrite(case, "the-app", "an-app")), "its name is no part of it");
    assert!(!changed(&|case| rewrite(case, "x/app:1", "x/app:2")), "nor is a tag");
    assert!(!changed(&|case| rewrite(case, "expose: [\"3000\"]", "expose: [\"4000\"]")), "nor a note");
    let mut spec = before.planned().services["app"].spec.clone();
    spec.image = "sha256:…".into();
    assert_eq!(spec.digest(), app, "the Engine's id of the image does not count");
    spec.manifest = None;
    assert_ne!(spec.digest(), app, "its manifest does");
}

#[test]
fn values_of_the_device_are_put_in_their_places() {
    let compose = "services:\n  app:\n    image: x/app:1\n    environment: {SITE: \"@{site}\"}\n    volumes: [\"./app:/etc/app:ro\"]\n";
    let mut case = Case::new(compose).file("app/app.conf", "0644", "prefix = \"@{site}/up\"\n");
    case.device_values = json!([{"name": "site", "pattern": "[a-z]+", "sample": "lab", "maxLength": 8}]);
    case.values = [("site".into(), "north".into()), ("old".into(), "of an earlier release".into())].into();
    let plan = case.planned();
    assert_eq!(plan.services["app"].spec.environment["SITE"], "north");
    assert_eq!(plan.mounts[0].files[0].bytes, b"prefix = \"north/up\"\n");
    let north = case.digest("app");
    case.values.insert("site".into(), "south".into());
    assert_ne!(case.digest("app"), north);
}

/// What an image keeps is there for the container of the next release, whether or not the stack knows of it.
#[test]
fn places_where_an_image_keeps_data_are_volumes_with_names() {
    let compose = "services:
  app: {image: x/app, volumes: ['data:/data'], tmpfs: [/cache]}
  other: {image: x/other}
volumes: {data: null}
";
    let mut case = Case::new(compose);
    let config = br#"{"config": {"Volumes": {"/data": {}, "/cache/": {}, "/var/lib/a_b-c": {}}}}"#;
    case.images.insert("app".into(), config.to_vec());
    case.bounds.volume_root = Some("/mnt/disk".into());
    let plan = case.planned();
    let mounts: Vec<_> = plan.services["app"].spec.mounts.iter().map(|m| (&*m.target, &m.source)).collect();
    let named = |name: &str| Source::Volume(name.to_owned());
    let own = "edge_app.var.lib.a_5fb-c";
    assert_eq!(mounts, [("/data", &named("edge_data")), ("/var/lib/a_b-c", &named(own))]);
    let volumes: Vec<_> = plan.volumes.iter().map(|v| (&*v.name, v.folder.as_deref().unwrap())).collect();
    let folder = "/mnt/disk/edge/app.var.lib.a_5fb-c";
    assert_eq!(volumes, [(own, folder), ("edge_data", "/mnt/disk/edge/data")]);
    assert!(plan.services["other"].spec.mounts.is_empty());

    case.adopted.insert("app.var.lib.a_5fb-c".into(), "0123abcd".into());
    let plan = case.planned();
    assert_eq!(plan.services["app"].spec.mounts[1].source, named("0123abcd"), "what was there before");
    assert_eq!(plan.volumes.len(), 1);
}
