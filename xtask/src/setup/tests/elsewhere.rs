//! Whether an Engine's loopback is ours, over what real Engines and kernels say.

use super::super::loopback::{
    Network, bridge_in, ignores_limits, interfaces, is_docker, is_elsewhere, is_rootless, local_addresses,
};
use super::looks::{Fake, answering};

/// Engine 20.10 with a pool that it chose itself.
const BRIDGE: &str = r#"{"Name":"bridge","Driver":"bridge","EnableIPv6":false,"IPAM":{"Driver":"default",
    "Options":null,"Config":[{"Subnet":"172.17.0.0/16"}]},"Internal":false,"Containers":{},"Options":{
    "com.docker.network.bridge.default_bridge":"true","com.docker.network.bridge.name":"docker0"},"Labels":{}}"#;
const VERSION: &str = r#"{"Platform":{"Name":"Docker Engine - Community"},"Components":[{"Name":"Engine",
    "Version":"28.0.4"},{"Name":"containerd","Version":"1.7.27"}],"Version":"28.0.4","ApiVersion":"1.48"}"#;
const INFO: &str = r#"{"Name":"vm","OSType":"linux","SecurityOptions":["name=seccomp,profile=default"]}"#;

/// The Engine's own machine.
const HOST_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 172.17.0.0/16 2 0 2
        +-- 172.17.0.0/31 1 0 0
           |-- 172.17.0.0
              /16 link UNICAST
           |-- 172.17.0.1
              /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
";
/// A job's container, in a network of its own.
const JOB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 172.18.0.0/16 2 0 2
        |-- 172.18.0.3
           /32 host LOCAL
";
const DEV: &str = "Inter-|   Receive                |  Transmit\n face |bytes    packets|bytes    packets\n";

fn network(trie: &str, names: &[&str]) -> Network {
    let dev = names.iter().fold(DEV.to_owned(), |dev, name| dev + "  " + name + ": 0 0 0\n");
    Network { addresses: local_addresses(trie), interfaces: interfaces(&dev) }
}

#[test]
fn the_default_bridge_is_ours_by_its_address_or_by_its_interface() {
    let bridge = bridge_in(BRIDGE).unwrap();
    assert!(network(HOST_TRIE, &["lo", "eth0"]).has(&bridge));
    assert!(network(JOB_TRIE, &["lo", "docker0"]).has(&bridge));
    assert!(!network(JOB_TRIE, &["lo", "eth0"]).has(&bridge));
    assert!(network("", &[]).has(&bridge), "where nothing is known, nothing is said");
    let named = BRIDGE.replace("/16\"}", "/16\",\"Gateway\":\"172.18.0.3\"}");
    assert!(network(JOB_TRIE, &["lo"]).has(&bridge_in(&named).unwrap()));
    for wrong in ["", "{}", "null", "{\"message\":\"network bridge not found\"}", "[1]"] {
        assert_eq!(bridge_in(wrong), None, "{wrong}");
    }
    assert_eq!(bridge_in(&BRIDGE.replace("172.17.0.0/16", "fd00::/8")), None);
}

#[test]
fn engines_with_other_networks_are_told_apart() {
    assert!(is_docker(VERSION));
    assert!(!is_docker(&VERSION.replace("Engine - Community", "Desktop 4.40.0 (187762)")));
    assert!(!is_docker(&VERSION.replace("\"Engine\"", "\"Podman Engine\"")));
    assert!(!is_docker("{}") && !is_docker(""));
    assert!(!is_rootless(INFO));
    assert!(is_rootless(&INFO.replace("seccomp,profile=default", "rootless")));
    assert!(is_rootless("not JSON"));
    assert!(is_rootless(r#"{"SecurityOptions":["name=seccomp,profile=default"],"Rootless":true}"#), "Podman");
    assert!(!is_rootless(r#"{"SecurityOptions":[],"Rootless":false}"#));
}

#[test]
fn limits_are_ignored_without_root_on_old_control_groups_only() {
    let ignores = |info: &str| {
        let fake = Fake::new();
        ignores_limits(&engine(&fake, VERSION, info))
    };
    assert!(ignores(r#"{"Rootless":true,"CgroupVersion":"1"}"#));
    assert!(ignores(r#"{"SecurityOptions":["name=rootless"],"CgroupVersion":"1"}"#));
    assert!(!ignores(r#"{"Rootless":true,"CgroupVersion":"2"}"#));
    assert!(!ignores(r#"{"SecurityOptions":[],"CgroupVersion":"1"}"#));
    assert!(!ignores_limits("unix:///nowhere/docker.sock"));
}

/// A job's container with the Engine's socket in it.
fn job() -> Fake {
    let fake = Fake::new();
    fake.file("/.dockerenv", "")
        .file("/proc/net/fib_trie", JOB_TRIE)
        .file("/proc/net/dev", &format!("{DEV}    lo: 0 0 0\n  eth0: 0 0 0\n"));
    fake
}

fn engine(fake: &Fake, version: &str, info: &str) -> String {
    let answers = [("/networks/bridge", BRIDGE), ("/version", version), ("/info", info)];
    answering(fake, answers.map(|(path, text)| (path, text.to_owned())).to_vec())
}

#[test]
fn a_jobs_container_with_a_mounted_socket_is_found_out() {
    let fake = job();
    let host = engine(&fake, VERSION, INFO);
    assert!(is_elsewhere(&fake.around(), &host));
    assert!(is_elsewhere(&fake.around(), host.strip_prefix("unix://").unwrap()), "also by its path");
    // `docker run --network host`.
    fake.file("/proc/net/fib_trie", HOST_TRIE);
    assert!(!is_elsewhere(&fake.around(), &host));
}

#[test]
fn nothing_is_said_where_it_would_be_a_guess() {
    let fake = job();
    assert!(!is_elsewhere(&fake.around(), &engine(&fake, VERSION, &INFO.replace("seccomp", "rootless"))));
    let fake = job();
    assert!(!is_elsewhere(&fake.around(), &engine(&fake, "{\"Version\":\"5\"}", INFO)));
    assert!(!is_elsewhere(&fake.around(), "unix:///nowhere/docker.sock"));
    assert!(!is_elsewhere(&fake.around(), "ssh://build"));

    let fake = job();
    let host = engine(&fake, VERSION, INFO);
    let mac = super::super::Surroundings { os: "macos".to_owned(), ..fake.around() };
    assert!(!is_elsewhere(&mac, &host));
    std::fs::remove_file(fake.path("root/.dockerenv")).unwrap();
    assert!(!is_elsewhere(&fake.around(), &host), "not a container: perhaps the Engine of a virtual machine");
}
