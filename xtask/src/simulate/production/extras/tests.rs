//! Every setting of a service as the plan of its container.

use std::time::Duration;

use xedge_model::compose::Compose;
use xedge_model::yaml::Source;
use xedge_sim::Need;

use super::{check_completion, extras};

/// A Compose file with these services, and the networks and volumes that they use.
fn compose(text: &str) -> Compose {
    Compose::parse(&Source::new("compose.yaml", text)).unwrap()
}

fn of(compose: &Compose, name: &str) -> xedge_sim::ContainerExtras {
    extras(compose, name, compose.service(name).unwrap())
}

#[test]
fn a_service_without_settings_has_none() {
    let plain = of(&compose("services: {web: {image: a/web}}\n"), "web");
    assert_eq!(plain, xedge_sim::ContainerExtras::default());
}

#[test]
fn settings_are_taken_over() {
    let text = r#"
services:
  web:
    image: a/web
    container_name: front
    hostname: edge
    entrypoint: [/bin/app]
    user: "7:8"
    working_dir: /srv
    group_add: [dialout, 20]
    init: true
    ports: ["127.0.0.1:8080:80", "53:53/udp", "9000-9001:9000-9001"]
    extra_hosts: ["hub:host-gateway"]
    sysctls: {net.ipv4.ip_forward: 1, vm.max_map_count: 262144}
    devices: ["/dev/ttyUSB0:/dev/tty0:rw"]
    cap_add: [NET_RAW]
    shm_size: 64m
    cpu_shares: 512
    mem_reservation: 32m
    stop_signal: SIGINT
    networks: {default: {aliases: [www]}}
"#;
    let web = of(&compose(text), "web");
    assert_eq!(web.entrypoint.as_deref(), Some(&["/bin/app".to_owned()][..]));
    assert_eq!((web.hostname.as_deref(), web.user.as_deref()), (Some("edge"), Some("7:8")));
    assert_eq!((web.workdir.as_deref(), web.stop_signal.as_deref()), (Some("/srv"), Some("SIGINT")));
    assert_eq!(
        (web.group_add, web.cap_add),
        (vec!["dialout".to_owned(), "20".into()], vec!["NET_RAW".into()])
    );
    assert_eq!(web.published_tcp, [80, 9000, 9001]);
    assert_eq!(web.extra_hosts["hub"], "host-gateway");
    assert_eq!(web.sysctls.into_keys().collect::<Vec<_>>(), ["net.ipv4.ip_forward"]);
    assert_eq!(web.device_stubs, ["/dev/tty0"]);
    assert_eq!((web.shm_bytes, web.cpu_shares), (Some(64 << 20), Some(512)));
    assert_eq!((web.memory_reservation, web.init), (Some(32 << 20), true));
    assert_eq!(web.aliases, ["front", "www"]);
    assert!(web.networks.is_empty(), "one network is enough: {:?}", web.networks);
}

#[test]
fn a_health_check_is_as_patient_as_it_says() {
    let check = |check: &str| {
        let text = format!("services: {{web: {{image: a/web, healthcheck: {check}}}}}\n");
        let web = of(&compose(&text), "web");
        (web.health_check, web.health_pace.unwrap())
    };
    let (command, pace) =
        check("{test: curl localhost, interval: 5s, timeout: 2s, retries: 4, start_period: 1m}");
    assert_eq!(command.unwrap(), ["/bin/sh", "-c", "curl localhost"]);
    assert_eq!(
        (pace.patience, pace.timeout, pace.retries),
        (Duration::from_secs(82), Duration::from_secs(2), 4)
    );
    let (command, pace) = check("{test: [CMD, /probe], interval: 500ms, timeout: 500ms, retries: 1}");
    assert_eq!((command.unwrap(), pace.patience), (vec!["/probe".to_owned()], Duration::from_secs(3)));
    let (command, pace) = check("{interval: 1m}");
    assert_eq!((command, pace.patience), (None, Duration::from_secs(210)));
    assert_eq!(check("{test: [NONE]}").0, Some(Vec::new()));
}

#[test]
fn services_without_a_common_network_are_kept_apart() {
    let text = "
services:
  db: {image: a/db, networks: [back]}
  app: {image: a/app, networks: [back, front]}
  web: {image: a/web, networks: [front]}
  agent: {image: a/agent, network_mode: host}
  job: {image: a/job, network_mode: none}
networks: {back: {}, front: {}}
";
    let compose = compose(text);
    let networks = |name: &str| of(&compose, name).networks;
    assert_eq!(networks("db"), ["back"]);
    assert_eq!(networks("app"), ["back", "front"]);
    assert_eq!(networks("agent"), ["back", "front"]);
    assert!(networks("job").is_empty() && of(&compose, "job").offline && !of(&compose, "agent").offline);
}

#[test]
fn conditions_are_needs_and_who_is_waited_for_completes() {
    let text = |restart: &str| {
        format!(
            "
services:
  init: {{image: a/init, restart: \"{restart}\"}}
  db: {{image: a/db}}
  app:
    image: a/app
    depends_on: {{init: {{condition: service_completed_successfully}}, db: {{condition: service_healthy}}}}
  web: {{image: a/web, depends_on: [app]}}
"
        )
    };
    let compose = |restart: &str| compose(&text(restart));
    let good = compose("no");
    let needs: Vec<_> = of(&good, "app").needs.into_iter().collect();
    assert_eq!(needs, [("db".to_owned(), Need::Healthy), ("init".to_owned(), Need::Completed)]);
    assert_eq!(of(&good, "web").needs["app"], Need::Started);
    assert!(of(&good, "init").completes && !of(&good, "db").completes);
    check_completion(&good).unwrap();
    check_completion(&compose("on-failure:3")).unwrap();
    let error = check_completion(&compose("always")).unwrap_err().chain().join(": ");
    assert!(error.contains("`init` has completed, which `restart: always` never lets happen"), "{error}");
}

#[test]
fn limits_come_down_to_what_this_machine_reaches() {
    let web =
        of(&compose("services: {web: {image: a/web, ulimits: {nofile: 2000000000, nproc: 5}}}\n"), "web");
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let hard: i64 = line.split_whitespace().nth(4).unwrap().parse().unwrap_or(i64::MAX);
    assert_eq!(web.ulimits["nofile"], (hard.min(2_000_000_000), hard.min(2_000_000_000)));
    assert_eq!(web.ulimits["nproc"], (5, 5));
}
