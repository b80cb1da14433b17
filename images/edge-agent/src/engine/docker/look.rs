//! What the Engine's API says about a container, in plain types. Pure.

use std::collections::{BTreeMap, HashMap};

use xedge_wire::Health;

use super::models::{
    ContainerInspectResponse, ContainerSummary, HealthStatusEnum, MountPoint, NetworkSettings, RestartPolicy,
    RestartPolicyNameEnum,
};
use crate::engine::{Container, PortSpec, Published, Restart, health_command};

/// A container as the Engine has it.
pub(super) fn container(found: ContainerInspectResponse) -> Container {
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let test = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
    let host = found.host_config.unwrap_or_default();
    let policy = host.restart_policy.unwrap_or_default();
    Container {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: image_id(&found.image.unwrap_or_default()),
        labels: sorted(config.labels.unwrap_or_default()),
        running: state.running.unwrap_or(false) && !state.restarting.unwrap_or(false),
        restarting: state.restarting.unwrap_or(false),
        restarts: found.restart_count.and_then(|count| count.try_into().ok()).unwrap_or(0),
        exit_code: state.exit_code.unwrap_or(0),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.unwrap_or_default(),
        restart: restart(&policy),
        auto_remove: host.auto_remove.unwrap_or(false),
        health: health(state.health.and_then(|health| health.status)),
        health_check: health_command(&test),
        addresses: addresses(found.network_settings.unwrap_or_default()),
        mounts: found.mounts.unwrap_or_default().into_iter().filter_map(mounted).collect(),
    }
}

/// The ports of the device that these running containers have. An Engine lists a port once for each address.
pub(super) fn published(listed: Vec<ContainerSummary>) -> Vec<Published> {
    let mut all = Vec::new();
    for container in listed {
        let name = container.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
        let labels = sorted(container.labels.unwrap_or_default());
        for port in container.ports.unwrap_or_default() {
            let Some(host) = port.public_port else { continue };
            all.push(Published {
                port: PortSpec {
                    address: port.ip.unwrap_or_default(),
                    host,
                    container: port.private_port,
                    protocol: port.typ.map_or_else(|| "tcp".to_owned(), |protocol| protocol.to_string()),
                },
                container: name.trim_start_matches('/').to_owned(),
                labels: labels.clone(),
            });
        }
    }
    all.sort_by(|a, b| (&a.container, &a.port).cmp(&(&b.container, &b.port)));
    all
}

/// An image's id with its prefix, which Podman leaves out in places.
pub(super) fn image_id(id: &str) -> String {
    if id.is_empty() || id.starts_with("sha256:") { id.to_owned() } else { format!("sha256:{id}") }
}

fn restart(policy: &RestartPolicy) -> Restart {
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS) => Restart::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => Restart::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => Restart::OnFailure,
        _ => Restart::No,
    }
}

fn health(status: Option<HealthStatusEnum>) -> Health {
    match status {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        _ => Health::None,
    }
}

fn addresses(settings: NetworkSettings) -> Vec<String> {
    let networks: BTreeMap<String, _> = settings.networks.unwrap_or_default().into_iter().collect();
    let addresses =
        networks.into_values().flat_map(|endpoint| [endpoint.ip_address, endpoint.global_ipv6_address]);
    addresses.flatten().filter(|address| !address.is_empty()).collect()
}

/// What is mounted, by target: the name of a volume, or a path.
fn mounted(mount: MountPoint) -> Option<(String, String)> {
    let source = mount.name.filter(|name| !name.is_empty()).or(mount.source)?;
    Some((mount.destination?, source))
}

pub(super) fn sorted(labels: HashMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::models::HostConfig;
    use super::*;

    #[test]
    fn a_container_that_goes_with_its_end_is_known() {
        let look = |auto_remove| {
            let host_config = Some(HostConfig { auto_remove, ..HostConfig::default() });
            container(ContainerInspectResponse { host_config, ..ContainerInspectResponse::default() })
        };
        assert!(look(Some(true)).auto_remove);
        assert!(!look(Some(false)).auto_remove && !look(None).auto_remove);
    }
}
