//! What the Engine's API is told about a container to make. Pure.

use std::collections::{BTreeMap, HashMap};

use super::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig,
    Mount, MountBindOptions, MountBindOptionsPropagationEnum as Spread, MountType, NetworkingConfig,
    PortBinding, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use super::signed;
use crate::engine::{ContainerSpec, HealthSpec, MountSpec, Restart, Source};

/// The request for a container that starts again as `restart` says.
pub(super) fn body(
    spec: &ContainerSpec,
    labels: &BTreeMap<String, String>,
    restart: Restart,
) -> ContainerCreateBody {
    let exposed: Vec<String> = ports(spec).into_keys().collect();
    let first = spec.networks.iter().next();
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        hostname: spec.hostname.clone(),
        env: Some(spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        user: spec.user.clone(),
        working_dir: spec.working_dir.clone(),
        exposed_ports: Some(exposed).filter(|exposed| !exposed.is_empty()),
        labels: Some(labels.clone().into_iter().collect()),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: spec.stop_grace_s.map(signed),
        healthcheck: spec.health.as_ref().map(health),
        host_config: Some(host_config(spec, restart)),
        networking_config: first.map(|(name, names)| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(name.clone(), endpoint(names))])),
        }),
        ..ContainerCreateBody::default()
    }
}

/// The names under which the others of a network find a container.
pub(super) fn endpoint(names: &[String]) -> EndpointSettings {
    EndpointSettings { aliases: Some(names.to_vec()), ..EndpointSettings::default() }
}

/// A restart policy as the API takes it.
pub(super) fn policy(restart: Restart, attempts: u32) -> RestartPolicy {
    let (name, retries) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure => (RestartPolicyNameEnum::ON_FAILURE, Some(attempts.into())),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: retries }
}

fn health(check: &HealthSpec) -> HealthConfig {
    HealthConfig {
        test: Some(check.test.clone()).filter(|test| !test.is_empty()),
        interval: check.interval_ns.map(signed),
        timeout: check.timeout_ns.map(signed),
        start_period: check.start_period_ns.map(signed),
        retries: check.retries.map(i64::from),
        ..HealthConfig::default()
    }
}

fn ports(spec: &ContainerSpec) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut all: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    for port in &spec.ports {
        let host_port = if port.host == 0 { String::new() } else { port.host.to_string() };
        let binding = PortBinding { host_ip: Some(port.address.clone()), host_port: Some(host_port) };
        let key = format!("{}/{}", port.container, port.protocol);
        all.entry(key).or_default().get_or_insert_default().push(binding);
    }
    all
}

fn host_config(spec: &ContainerSpec, restart: Restart) -> HostConfig {
    let limits = &spec.limits;
    let network = spec.network_mode.clone().or_else(|| spec.networks.keys().next().cloned());
    HostConfig {
        memory: limits.memory.map(signed),
        memory_reservation: limits.memory_reservation.map(signed),
        cpu_shares: limits.cpu_shares.map(i64::from),
        nano_cpus: limits.nano_cpus.map(signed),
        pids_limit: limits.pids.map(i64::from),
        network_mode: network,
        port_bindings: Some(ports(spec).into_iter().collect()),
        restart_policy: Some(policy(restart, spec.restart_attempts)),
        readonly_rootfs: Some(limits.read_only),
        cap_add: Some(limits.cap_add.clone()),
        cap_drop: Some(limits.cap_drop.clone()),
        security_opt: Some(limits.security_options.clone()),
        group_add: Some(spec.groups.clone()),
        devices: Some(limits.devices.iter().map(device).collect()),
        extra_hosts: Some(spec.extra_hosts.clone()),
        ulimits: Some(limits.ulimits.iter().map(|(name, limit)| ulimit(name, *limit)).collect()),
        sysctls: Some(limits.sysctls.clone().into_iter().collect()),
        shm_size: limits.shm_size.map(signed),
        init: Some(spec.init).filter(|init| *init),
        tmpfs: Some(spec.tmpfs.clone().into_iter().collect()),
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        log_config: log(spec),
        ..HostConfig::default()
    }
}

/// The Engine's own driver takes options too, so either may be there without the other.
fn log(spec: &ContainerSpec) -> Option<HostConfigLogConfig> {
    if spec.log_driver.is_none() && spec.log_options.is_empty() {
        return None;
    }
    let config = Some(spec.log_options.clone().into_iter().collect());
    Some(HostConfigLogConfig { typ: Some(spec.log_driver.clone().unwrap_or_default()), config })
}

fn device((host, container, rights): &(String, String, String)) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(host.clone()),
        path_in_container: Some(container.clone()),
        cgroup_permissions: Some(rights.clone()),
    }
}

fn ulimit(name: &str, (soft, hard): (i64, i64)) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) }
}

fn mount(mount: &MountSpec) -> Mount {
    let (kind, source) = match &mount.source {
        Source::Volume(name) => (MountType::VOLUME, Some(name.clone())),
        Source::Path(path) | Source::Secret { path, .. } => (MountType::BIND, Some(path.clone())),
    };
    let spread = mount.propagation.as_deref().and_then(spread);
    Mount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(kind),
        read_only: Some(mount.read_only),
        bind_options: spread
            .map(|spread| MountBindOptions { propagation: Some(spread), ..MountBindOptions::default() }),
        ..Mount::default()
    }
}

fn spread(name: &str) -> Option<Spread> {
    match name {
        "private" => Some(Spread::PRIVATE),
        "rprivate" => Some(Spread::RPRIVATE),
        "shared" => Some(Spread::SHARED),
        "rshared" => Some(Spread::RSHARED),
        "slave" => Some(Spread::SLAVE),
        "rslave" => Some(Spread::RSLAVE),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

/// A container that Podman must not start at boot by itself: whether it is to run, the agent decides.
pub(super) fn lasting(restart: Restart) -> Restart {
    if restart == Restart::Always { Restart::UnlessStopped } else { restart }
}

/// What makes a volume of the local driver a folder of the device.
pub(super) fn bound(folder: &str) -> HashMap<String, String> {
    let options = [("type", "none"), ("o", "bind"), ("device", folder)];
    options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
