//! The settings of a service that most containers leave to image and engine. Pure but for this machine's limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xedge_model::compose::{
    Compose, Condition, Healthcheck, NetworkMode, Protocol, Restart, Service, Test, Text, Words,
};
use xedge_sim::{ContainerExtras, HealthPace, Need};

use super::capabilities::reachable;
use super::ulimits::clamped;
use crate::error::{Error, Result};

/// The network of services that name none.
const DEFAULT: &str = "default";

/// What engines take where a health check leaves out a time: between checks, and for one.
const CHECK_TIME: Duration = Duration::from_secs(30);
/// How often it may fail in a row where it does not say.
const CHECK_RETRIES: u32 = 3;
/// The least time that a container has until its health check passes: this machine may be slow.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a service sets beyond the plain settings.
pub(super) fn extras(compose: &Compose, name: &str, service: &Service) -> ContainerExtras {
    let text = |text: &Option<Text>| text.as_ref().map(ToString::to_string);
    let ulimits = service.ulimits.0.iter().map(|(name, wanted)| {
        let limit = clamped(name, *wanted);
        (name.clone(), (limit.soft, limit.hard))
    });
    let (namespaced, _) = sysctls(service);
    ContainerExtras {
        process: None,
        authority: None,
        entrypoint: service.entrypoint.as_ref().map(words),
        hostname: text(&service.hostname),
        user: text(&service.user),
        workdir: text(&service.working_dir),
        published_tcp: published_tcp(service),
        group_add: texts(&service.group_add),
        cap_add: reachable(&texts(&service.cap_add)).0,
        device_stubs: service.devices.iter().map(|device| device.container.to_string()).collect(),
        extra_hosts: service.extra_hosts.0.clone(),
        ulimits: ulimits.collect(),
        sysctls: namespaced.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        stop_signal: text(&service.stop_signal),
        cpu_shares: service.cpu_shares.map(i64::from),
        memory_reservation: service.mem_reservation.and_then(|bytes| i64::try_from(bytes.0).ok()),
        shm_bytes: service.shm_size.and_then(|size| i64::try_from(size.0).ok()),
        init: service.init.unwrap_or(false),
        health_check: service.healthcheck.as_ref().and_then(health_check),
        health_pace: service.healthcheck.as_ref().map(health_pace),
        aliases: aliases(service),
        networks: networks(compose, service),
        offline: service.network_mode == Some(NetworkMode::None),
        needs: needs(service),
        completes: completes(compose, name),
    }
}

pub(super) fn texts(all: &[Text]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn words(words: &Words) -> Vec<String> {
    texts(&words.0)
}

/// The TCP ports that a service publishes, each once.
pub(in crate::simulate) fn published_tcp(service: &Service) -> Vec<u16> {
    let tcp = service.ports.0.iter().filter(|port| port.protocol == Protocol::Tcp);
    let ports: BTreeSet<u16> = tcp.map(|port| port.container).collect();
    ports.into_iter().collect()
}

/// Kernel settings: names and values.
type Sysctls<'a> = Vec<(&'a str, &'a str)>;

/// The kernel settings that belong to a container's own namespaces, and those that are the whole machine's.
pub(super) fn sysctls(service: &Service) -> (Sysctls<'_>, Sysctls<'_>) {
    let own = |(name, _): &(&str, &str)| {
        let starts = ["kernel.msg", "kernel.shm", "fs.mqueue.", "net.ipv4.", "net.ipv6."];
        *name == "kernel.sem"
            || *name == "net.core.somaxconn"
            || starts.iter().any(|start| name.starts_with(start))
    };
    service.sysctls.0.iter().map(|(name, value)| (name.as_str(), &**value)).partition(own)
}

fn health_check(check: &Healthcheck) -> Option<Vec<String>> {
    Some(match check.test.as_ref()? {
        Test::Disabled => Vec::new(),
        Test::Exec(command) => texts(command),
        Test::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_string()],
    })
}

fn health_pace(check: &Healthcheck) -> HealthPace {
    let time = |span: Option<xedge_model::duration::Span>| {
        span.map(|span| span.0).filter(|time| !time.is_zero()).unwrap_or(CHECK_TIME)
    };
    let retries = check.retries.filter(|retries| *retries > 0).unwrap_or(CHECK_RETRIES);
    let start = check.start_period.map_or(Duration::ZERO, |span| span.0);
    let timeout = time(check.timeout);
    let patience = start.saturating_add(time(check.interval).saturating_mul(retries)).saturating_add(timeout);
    HealthPace { patience: patience.max(PATIENCE), timeout, retries }
}

/// The others find a service by its name, which is the node's, by its container's, and by what its networks call it.
fn aliases(service: &Service) -> Vec<String> {
    let named = service.container_name.iter();
    let all = named.chain(service.networks.0.iter().flat_map(|network| &network.value.aliases));
    let all: BTreeSet<String> = all.map(ToString::to_string).collect();
    all.into_iter().collect()
}

/// The networks of a service, where the stack's services are not all in the same ones: then every run has just one.
fn networks(compose: &Compose, service: &Service) -> Vec<String> {
    let of = |service: &Service| -> BTreeSet<String> {
        let names: BTreeSet<String> =
            service.networks.0.iter().map(|network| network.value.name.to_string()).collect();
        if names.is_empty() { BTreeSet::from([DEFAULT.to_owned()]) } else { names }
    };
    let inside = |service: &&Service| service.network_mode.is_none();
    let sets: BTreeSet<BTreeSet<String>> =
        compose.services.values().map(|service| &service.value).filter(inside).map(of).collect();
    if sets.len() < 2 {
        return Vec::new();
    }
    match service.network_mode {
        None => of(service).into_iter().collect(),
        Some(NetworkMode::None) => Vec::new(),
        // On the host's network, it reaches the published ports of all.
        Some(NetworkMode::Host) => sets.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect(),
    }
}

fn needs(service: &Service) -> BTreeMap<String, Need> {
    let need = |condition: &Condition| match condition {
        Condition::Started => Need::Started,
        Condition::Healthy => Need::Healthy,
        Condition::Completed => Need::Completed,
    };
    service.depends_on.0.iter().map(|(name, condition)| (name.clone(), need(&condition.value))).collect()
}

/// Whether another service waits for this one's end.
fn completes(compose: &Compose, name: &str) -> bool {
    let waits = |service: &Service| {
        service.depends_on.0.get(name).is_some_and(|condition| condition.value == Condition::Completed)
    };
    compose.services.values().any(|service| waits(&service.value))
}

/// A service that others wait for to end, and that is started again whenever it does, would never have completed.
pub(in crate::simulate) fn check_completion(compose: &Compose) -> Result<()> {
    for (name, service) in compose.start_order() {
        let restart = service.restart_policy();
        if completes(compose, name) && matches!(restart, Restart::Always | Restart::UnlessStopped) {
            let reason = format!(
                "services wait until `{name}` has completed, which `restart: {restart}` never lets happen"
            );
            return Err(Error::BadFile { path: xedge_config::COMPOSE_FILE.into(), reason }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
