//! Whether the ports that an Engine publishes on loopback are open on ours. They are not where a container was given
//! the Engine's socket and has a network of its own, as in a CI job that runs in `container:`. Starts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::Deserialize;

use super::{Surroundings, engine, probe};

/// Whether the Engine at `host` (a socket or an address, as in `DOCKER_HOST`) publishes its ports somewhere else.
///
/// Only said where it is certain: this process is in a container, the Engine is Docker's own, neither in a virtual
/// machine nor rootless, and its default bridge is not in our network.
pub fn is_elsewhere(around: &Surroundings, host: &str) -> bool {
    if around.os != "linux" || !probe::is_container(around) {
        return false;
    }
    let ask = |path| engine::ask(host, path);
    let Some(bridge) = ask("/networks/bridge").as_deref().and_then(bridge_in) else { return false };
    let ours = Network {
        addresses: local_addresses(&probe::read(around, "/proc/net/fib_trie").unwrap_or_default()),
        interfaces: interfaces(&probe::read(around, "/proc/net/dev").unwrap_or_default()),
    };
    !ours.has(&bridge)
        && ask("/version").is_some_and(|version| is_docker(&version))
        && ask("/info").is_some_and(|info| !is_rootless(&info))
}

/// Whether the Engine at `host` takes limits of memory, CPU and processes and does not apply them: without root, on
/// a system whose control groups (version 1) cannot be handed to users.
pub fn ignores_limits(host: &str) -> bool {
    engine::ask(host, "/info")
        .is_some_and(|info| is_rootless(&info) && info.contains(r#""CgroupVersion":"1""#))
}

/// The default bridge of an Engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bridge {
    interface: String,
    gateway: Ipv4Addr,
}

/// The network that this process sees.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// Its own IPv4 addresses.
    pub(super) addresses: BTreeSet<Ipv4Addr>,
    /// Its interfaces.
    pub(super) interfaces: BTreeSet<String>,
}

impl Network {
    /// Whether the bridge is part of it. One of both is enough: an Engine may keep the bridge without an address.
    /// Without any interface nothing is known, and nothing is said.
    pub(super) fn has(&self, bridge: &Bridge) -> bool {
        self.interfaces.is_empty()
            || self.interfaces.contains(&bridge.interface)
            || self.addresses.contains(&bridge.gateway)
    }
}

/// The bridge in an answer to `/networks/bridge`; `None` where the Engine has none.
pub(super) fn bridge_in(answer: &str) -> Option<Bridge> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        driver: String,
        #[serde(rename = "IPAM")]
        ipam: Ipam,
        options: BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Ipam {
        config: Vec<Pool>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Pool {
        subnet: String,
        gateway: Option<String>,
    }
    let mut answer: Answer = serde_json::from_str(answer).ok()?;
    let interface = answer.options.remove("com.docker.network.bridge.name")?;
    let gateway = answer.ipam.config.iter().find_map(|pool| match &pool.gateway {
        Some(gateway) => gateway.parse().ok(),
        // An Engine that chose its pool itself does not name the gateway: it is the first address.
        None => first_address(&pool.subnet),
    })?;
    (answer.driver == "bridge").then_some(Bridge { interface, gateway })
}

fn first_address(subnet: &str) -> Option<Ipv4Addr> {
    let network: Ipv4Addr = subnet.split_once('/')?.0.parse().ok()?;
    Some(Ipv4Addr::from(u32::from(network).checked_add(1)?))
}

/// This network's own addresses in `/proc/net/fib_trie`: a leaf (`|-- ADDRESS`) with an entry `host LOCAL` below it.
pub(super) fn local_addresses(trie: &str) -> BTreeSet<Ipv4Addr> {
    let (mut addresses, mut leaf) = (BTreeSet::new(), None);
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.ends_with("host LOCAL") {
            addresses.extend(leaf);
        }
    }
    addresses
}

/// The interfaces in `/proc/net/dev`.
pub(super) fn interfaces(dev: &str) -> BTreeSet<String> {
    dev.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Whether an answer to `/version` is of Docker's Engine and not of Docker Desktop or Podman, which have other networks.
pub(super) fn is_docker(answer: &str) -> bool {
    let Ok(answer) = serde_json::from_str::<serde_json::Value>(answer) else { return false };
    let desktop = answer["Platform"]["Name"].as_str().is_some_and(|name| name.contains("Desktop"));
    let mut components = answer["Components"].as_array().into_iter().flatten();
    !desktop && components.any(|component| component["Name"] == "Engine")
}

/// Whether an answer to `/info` is of an Engine without root, whose bridge lies in a network of its own.
pub(super) fn is_rootless(answer: &str) -> bool {
    let Ok(answer) = serde_json::from_str::<serde_json::Value>(answer) else { return true };
    // Podman's own field.
    if answer["Rootless"] == true {
        return true;
    }
    let mut options = answer["SecurityOptions"].as_array().into_iter().flatten();
    options.any(|option| option.as_str().is_some_and(|option| option.contains("rootless")))
}
