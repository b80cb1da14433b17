//! Tests of reading, checking and writing Compose files.

use super::{Bytes, Compose, Cpus, Mount, Port, Restart};
use crate::Failure;
use crate::yaml::Source;

const FULL: &str = r#"
services:
  broker:
    image: xedgesim/mosquitto:latest
    container_name: broker
    command: mosquitto -v
    user: 1883
    restart: unless-stopped
    ports: ["22:22", 1883, "127.0.0.1:8080:80/udp"]
    volumes: ["./mosquitto:/mosquitto/config:ro", "data:/mosquitto/data"]
    networks: [edge]
    environment: [A=1, "B=yes"]
    secrets: [passwd]
    mem_limit: 128m
    cpus: 0.5
    pids_limit: 64
    read_only: true
    tmpfs: /tmp
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    healthcheck: {test: [CMD, a, b], interval: 5s, timeout: 3s, retries: 2, start_period: 1s}
    stop_grace_period: 20s
    logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}
    labels: {a.b: c}
  gateway:
    image: xedgesim/gateway
    depends_on: {broker: {condition: service_healthy}}
    environment: {NUMBER: 5, WORD: "no"}
networks: {edge: {driver: bridge}}
volumes: {data: }
secrets: {passwd: {file: ../secrets/passwd}}
"#;

const WRITTEN: &str = r#"services:
  broker:
    image: "xedgesim/mosquitto:latest"
    container_name: broker
    command:
      - mosquitto
      - "-v"
    user: "1883"
    restart: unless-stopped
    ports:
      - "22:22/tcp"
      - "1883/tcp"
      - "127.0.0.1:8080:80/udp"
    volumes:
      - "./mosquitto:/mosquitto/config:ro"
      - "data:/mosquitto/data"
    networks:
      - edge
    environment:
      A: "1"
      B: "yes"
    secrets:
      - passwd
    mem_limit: "128m"
    cpus: 0.5
    pids_limit: 64
    read_only: true
    tmpfs:
      - /tmp
    cap_drop:
      - ALL
    security_opt:
      - "no-new-privileges:true"
    healthcheck:
      test:
        - CMD
        - a
        - b
      interval: "5s"
      timeout: "3s"
      retries: 2
      start_period: "1s"
    stop_grace_period: "20s"
    logging:
      driver: json-file
      options:
        max-file: "3"
        max-size: "10m"
    labels:
      a.b: c
  gateway:
    image: xedgesim/gateway
    depends_on:
      broker:
        condition: service_healthy
    environment:
      NUMBER: "5"
      WORD: "no"
networks:
  edge:
    driver: bridge
volumes:
  data: {}
secrets:
  passwd:
    file: "../secrets/passwd"
"#;

fn parse(text: &str) -> Result<Compose, crate::yaml::YamlError> {
    Compose::parse(&Source::new("c.yaml", text))
}

fn refused(from: &str, to: &str, part: &str) -> Option<String> {
    assert!(FULL.contains(from), "{from}");
    let error = parse(&FULL.replacen(from, to, 1)).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
    error.hint()
}

#[test]
fn what_is_written_reads_back_the_same() {
    let compose = parse(FULL).unwrap();
    assert_eq!(compose.to_text(), WRITTEN);
    assert_eq!(parse(WRITTEN).unwrap().to_text(), WRITTEN);
}

#[test]
fn accessors_give_what_an_engine_takes() {
    let compose = parse(FULL).unwrap();
    let broker = compose.service("broker").unwrap();
    assert_eq!(broker.image_name().as_str(), "xedgesim/mosquitto");
    assert_eq!(broker.memory_bytes(), Some(134_217_728));
    assert_eq!(broker.nano_cpus(), Some(500_000_000));
    assert_eq!(broker.stop_grace().unwrap().as_secs(), 20);
    assert_eq!(broker.restart_policy(), Restart::UnlessStopped);
    let binds: Vec<_> = broker.binds().map(|(s, t, ro)| (s.as_str(), t.as_str(), ro)).collect();
    assert_eq!(binds, [("mosquitto", "/mosquitto/config", true)]);
    let volumes: Vec<_> = broker.named_volumes().map(|(s, t, ro)| (s, t.as_str(), ro)).collect();
    assert_eq!(volumes, [("data", "/mosquitto/data", false)]);
    let secrets: Vec<_> = broker.secret_targets().map(|(s, t)| (s, t.to_string())).collect();
    assert_eq!(secrets, [("passwd", "/run/secrets/passwd".to_owned())]);
    assert_eq!((broker.ports.0[0].host, broker.ports.0[0].container), (Some(22), 22));
    assert_eq!(broker.ports.0[1].host, None);
    let order: Vec<_> = compose.start_order().into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["broker", "gateway"]);
}

#[test]
fn what_is_not_supported_is_refused_not_dropped() {
    let hint = refused("read_only: true", "privileged: true", "c.yaml:17:5: unknown key `privileged`");
    assert!(hint.is_some());
    assert_eq!(
        refused("mem_limit", "mem_limits", "unknown key `mem_limits`").unwrap(),
        "did you mean `mem_limit`?"
    );
    refused("networks: {edge", "name: x\nnetworks: {edge", "unknown key `name`");
    refused("interval: 5s", "start_interval: 5s", "unknown key `start_interval`");
    refused("driver: bridge", "external: true", "unknown key `external`");
    refused("restart: unless-stopped", "restart: sometimes", "is not a restart policy");
    refused("restart: unless-stopped", "restart: no\n    restart: always", "duplicate");
}

#[test]
fn nothing_reaches_outside_the_rendered_folder() {
    for source in ["/etc/../x", "../x", "./../x", "./", ".", "~/x", "./a/../../b"] {
        refused("./mosquitto:/", &format!("{source}:/"), "is not a mount");
    }
    for target in ["mosquitto", "/", "/a/../b", "/a//b", "/a/"] {
        refused("data:/mosquitto/data", &format!("data:{target}"), "the target must be an absolute path");
    }
    refused("data:/mosquitto/data", "data:/mosquitto/config", "two mounts have the target");
}

#[test]
fn the_machines_environment_has_no_say() {
    refused("xedgesim/mosquitto:latest", "${IMAGE}", "c.yaml:4:12: `$` is refused");
    refused("A=1", "A", "has no value");
    refused("NUMBER: 5", "NUMBER: ", "c.yaml:28:");
    refused("NUMBER: 5", "NUMBER: true", "c.yaml:28:");
    refused("NUMBER: 5", "NUMBER: \"a\\nb\"", "U+000A");
}

#[test]
fn names_must_be_declared_and_used() {
    assert_eq!(
        refused("networks: [edge]", "networks: [egde]", "c.yaml:11:16: unknown network `egde`").unwrap(),
        "did you mean `edge`?"
    );
    refused("data:/mosquitto", "date:/mosquitto", "unknown volume `date`");
    refused("secrets: [passwd]", "secrets: [password]", "unknown secret `password`");
    refused("{broker: {", "{brokers: {", "unknown service `brokers`");
    refused("    secrets: [passwd]\n", "", "no service uses the secret `passwd`");
    refused("    networks: [edge]\n", "", "no service uses the network `edge`");
    refused("  gateway:\n", "  gate way:\n", "is no name of a service");
    refused("user: 1883", "user: 1883\n    depends_on: [gateway]", "in a circle");
}

#[test]
fn sizes_and_shares_are_exact() {
    for (text, bytes) in [("6m", 6 << 20), ("1GB", 1 << 30), ("8388609", 8_388_609), ("10240k", 10 << 20)] {
        assert_eq!(text.parse::<Bytes>().unwrap().0, bytes);
    }
    for text in ["", "m", "5m", "-1g", "1.5g", "99999999999g", "1t"] {
        assert!(text.parse::<Bytes>().is_err(), "{text}");
    }
    for (text, nano, shown) in
        [("0.1", 100_000_000, "0.1"), ("2", 2_000_000_000, "2.0"), ("1.25", 1_250_000_000, "1.25")]
    {
        let cpus: Cpus = text.parse().unwrap();
        assert_eq!((cpus.nano(), cpus.to_string().as_str()), (nano, shown));
    }
    for text in ["", "0", "-1", "1e3", ".5", "1.", "0.1234567891", "NaN"] {
        assert!(text.parse::<Cpus>().is_err(), "{text}");
    }
}

#[test]
fn ports_and_mounts_show_what_they_read() {
    for text in ["1883:1883/tcp", "80/udp", "127.0.0.1:1:2/tcp", "[::1]:1:2/tcp", "127.0.0.1::2/udp"] {
        assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
    }
    for text in [
        "", "0", "65536", "1-2:1-2", "1-2:1-3", "2-1", "1-2000", "+1", "a:1", "1:2:3:4", "1:2/sctp",
        "::1:1:2", "1883:",
    ] {
        assert!(text.parse::<Port>().is_err(), "{text}");
    }
    for text in ["./a/b:/c:ro", "v:/c", "/c", "/:/host:ro,rslave", "/dev:/dev"] {
        assert_eq!(text.parse::<Mount>().unwrap().to_string(), text);
    }
    for text in ["v:/c:z", "v:/c:rslave", "v:/", "/a/:/c"] {
        assert!(text.parse::<Mount>().is_err(), "{text}");
    }
}

/// What existing files set beyond `FULL`, in every way of writing it.
const MORE: &str = r#"services:
  a:
    image: x
    hostname: h
    entrypoint: [/a, "$$HOME"]
    working_dir: /w
    group_add: [dialout, 20]
    init: true
    ports:
      - "8000-8001:9000-9001/udp"
      - {target: 80, published: "8080", host_ip: 127.0.0.1}
      - {target: 81, protocol: udp}
    expose: [1883, "3000-3001", 53/udp]
    volumes:
      - /scratch
      - {type: bind, source: /dev, target: /dev, bind: {propagation: rslave}}
      - {type: volume, source: v, target: /v, read_only: true}
      - {type: tmpfs, target: /t, tmpfs: {size: 64m, mode: 493}}
    networks: {n: {aliases: [other]}, default: }
    extra_hosts: ["db:10.0.0.1", "six=[::1]", "me:host-gateway"]
    mem_reservation: 8m
    cpu_shares: 512
    shm_size: 1m
    ulimits: {nofile: 100, nproc: {soft: 5, hard: -1}}
    sysctls: ["net.core.somaxconn=1024"]
    devices: [/dev/ttyUSB0, "/dev/a:/dev/b:r"]
    cap_add: [SYS_TIME]
    healthcheck: {disable: true}
    stop_signal: SIGINT
  b:
    image: y
    network_mode: host
    logging: {options: {a: b}}
networks: {n: {internal: true}}
volumes: {v: }
"#;

const MORE_WRITTEN: &str = r#"services:
  a:
    image: x
    hostname: h
    entrypoint:
      - /a
      - "$$HOME"
    working_dir: /w
    group_add:
      - dialout
      - "20"
    init: true
    ports:
      - "8000:9000/udp"
      - "8001:9001/udp"
      - "127.0.0.1:8080:80/tcp"
      - "81/udp"
    expose:
      - "1883/tcp"
      - "3000/tcp"
      - "3001/tcp"
      - "53/udp"
    volumes:
      - /scratch
      - "/dev:/dev:rslave"
      - "v:/v:ro"
      - type: tmpfs
        target: /t
        tmpfs:
          size: 67108864
          mode: 493
    networks:
      "n":
        aliases:
          - other
      default: {}
    extra_hosts:
      - "db:10.0.0.1"
      - "me:host-gateway"
      - "six:::1"
    mem_reservation: "8m"
    cpu_shares: 512
    shm_size: "1m"
    ulimits:
      nofile:
        soft: 100
        hard: 100
      nproc:
        soft: 5
        hard: -1
    sysctls:
      net.core.somaxconn: "1024"
    devices:
      - "/dev/ttyUSB0:/dev/ttyUSB0:rwm"
      - "/dev/a:/dev/b:r"
    cap_add:
      - SYS_TIME
    healthcheck:
      test:
        - NONE
    stop_signal: SIGINT
  b:
    image: "y"
    network_mode: host
    logging:
      options:
        a: b
networks:
  "n":
    internal: true
volumes:
  v: {}
"#;

#[test]
fn every_way_of_writing_comes_out_as_one() {
    let compose = parse(MORE).unwrap();
    assert_eq!(compose.to_text(), MORE_WRITTEN);
    assert_eq!(parse(MORE_WRITTEN).unwrap().to_text(), MORE_WRITTEN);
    let a = compose.service("a").unwrap();
    assert_eq!(&*a.entrypoint.as_ref().unwrap().0[1], "$HOME");
    assert_eq!(a.memory_folders(), [("/t".to_owned(), "size=67108864,mode=755".to_owned())]);
    assert_eq!(a.anonymous_volumes().count(), 1);
    let host: Vec<_> =
        a.host_mounts().map(|(path, target, ro)| (path.as_str(), target.as_str(), ro)).collect();
    assert_eq!(host, [("/dev", "/dev", false)]);
    let flat = compose.flatten();
    assert_eq!(flat["services.a.devices"], "/dev/ttyUSB0:/dev/ttyUSB0:rwm, /dev/a:/dev/b:r");
    assert_eq!(flat["services.a.ulimits.nproc.hard"], "-1");
}

#[test]
fn new_settings_have_their_mistakes() {
    for (from, to, message) in [
        ("network_mode: host", "network_mode: bridge", "unknown value `bridge`"),
        (
            "network_mode: host",
            "network_mode: host\n    ports: [1]",
            "`network_mode: host` publishes no `ports`",
        ),
        ("network_mode: host", "network_mode: none\n    networks: [n]", "exclude each other"),
        ("nofile: 100", "nofiles: 100", "`nofiles` is no limit"),
        ("{soft: 5, hard: -1}", "{soft: 5, hard: 4}", "`soft` is above `hard`"),
        ("/dev/ttyUSB0,", "ttyUSB0,", "is not a device"),
        ("db:10.0.0.1", "db:here", "neither an address nor"),
        ("{disable: true}", "{disable: true, test: [CMD, a]}", "exclude each other"),
        ("aliases: [other]", "ipv4_address: 10.0.0.2", "unknown key `ipv4_address`"),
        ("source: v, target: /v", "source: /v, target: /v", "type and source do not fit"),
        ("target: /t, tmpfs", "source: v, target: /t, tmpfs", "a folder in memory has no source"),
        ("8000-8001:9000-9001/udp", "8000-8001:9000/udp", "is not a port mapping"),
        ("published: \"8080\"", "published: \"8080-8081\"", "ranges of one length"),
    ] {
        assert!(MORE.contains(from), "{from}");
        let error = parse(&MORE.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn keys_of_other_peoples_files_say_what_to_do() {
    let hint = refused("read_only: true", "privileged: true", "unknown key `privileged`").unwrap();
    assert!(hint.contains("root on the device"), "{hint}");
    let hint = refused("read_only: true", "env_file: x", "unknown key `env_file`").unwrap();
    assert!(hint.contains("cargo xtask import compose FILE"), "{hint}");
}
