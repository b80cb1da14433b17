//! What the Engine's API is told about a container to make. Pure.

use std::collections::HashMap;

use super::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HealthConfig, HostConfig, Mount, MountType,
    MountVolumeOptions, NetworkingConfig, PortBinding, ResourcesUlimits, RestartPolicy as Policy,
    RestartPolicyNameEnum,
};
use super::seconds;
use crate::engine::Creation;
use crate::plan::{ContainerPlan, RestartPolicy, VolumePlan};

pub(super) fn body(creation: &Creation<'_>) -> ContainerCreateBody {
    let plan = creation.plan;
    let extras = &plan.extras;
    let exposed: Vec<String> = ports(creation).into_keys().collect();
    ContainerCreateBody {
        image: Some(plan.image_ref.clone()),
        hostname: Some(extras.hostname.as_ref().unwrap_or(&plan.node_id).clone()),
        env: Some(plan.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        entrypoint: extras.entrypoint.clone(),
        cmd: plan.command.clone(),
        user: extras.user.clone(),
        working_dir: extras.workdir.clone(),
        exposed_ports: Some(exposed).filter(|exposed| !exposed.is_empty()),
        labels: Some(creation.labels.clone().into_iter().collect()),
        stop_signal: extras.stop_signal.clone(),
        stop_timeout: Some(seconds(plan.stop_grace).into()),
        healthcheck: extras.health_check.as_deref().map(health),
        host_config: Some(host_config(creation)),
        networking_config: (!extras.offline).then(|| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(creation.network.to_owned(), endpoint(plan))])),
        }),
        ..ContainerCreateBody::default()
    }
}

/// The names under which the others of a network find a container.
pub(super) fn endpoint(plan: &ContainerPlan) -> EndpointSettings {
    let names = std::iter::once(&plan.node_id).chain(&plan.extras.aliases);
    EndpointSettings { aliases: Some(names.cloned().collect()), ..EndpointSettings::default() }
}

/// A health check in place of the image's; no command switches that one off.
fn health(command: &[String]) -> HealthConfig {
    let kind = if command.is_empty() { "NONE" } else { "CMD" };
    let test = std::iter::once(kind.to_owned()).chain(command.iter().cloned()).collect();
    HealthConfig { test: Some(test), ..HealthConfig::default() }
}

/// The published ports. The Engine picks the host's; loopback only, so that nothing is open to the network.
fn ports(creation: &Creation<'_>) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) };
    let once = creation.plan.extras.published_tcp.iter().map(|port| (*port, 1));
    let service = Some((creation.plan.service_port, creation.published)).filter(|(_, times)| *times > 0);
    // The service's port last: it may be published more than once.
    let all = once.chain(service);
    all.map(|(port, times)| (format!("{port}/tcp"), Some(vec![binding.clone(); times]))).collect()
}

fn host_config(creation: &Creation<'_>) -> HostConfig {
    let plan = creation.plan;
    let extras = &plan.extras;
    HostConfig {
        memory: plan.memory_bytes,
        memory_reservation: extras.memory_reservation,
        cpu_shares: extras.cpu_shares,
        nano_cpus: plan.nano_cpus,
        pids_limit: plan.pids_limit,
        network_mode: Some(creation.network.to_owned()),
        port_bindings: Some(ports(creation)),
        restart_policy: Some(policy(plan.restart)),
        readonly_rootfs: Some(plan.read_only),
        cap_add: Some(extras.cap_add.clone()),
        cap_drop: Some(plan.cap_drop.clone()),
        security_opt: Some(plan.security_opt.clone()),
        group_add: Some(extras.group_add.clone()),
        devices: Some(extras.device_stubs.iter().map(|path| stub(path)).collect()),
        extra_hosts: Some(extras.extra_hosts.iter().map(|(name, to)| format!("{name}:{to}")).collect()),
        ulimits: Some(extras.ulimits.iter().map(|(name, limit)| ulimit(name, *limit)).collect()),
        sysctls: Some(extras.sysctls.clone().into_iter().collect()),
        shm_size: extras.shm_bytes,
        init: Some(extras.init).filter(|init| *init),
        tmpfs: Some(plan.tmpfs.clone().into_iter().collect()),
        mounts: Some(mounts(plan, creation)),
        ..HostConfig::default()
    }
}

/// A device file under the name that a container expects, with nothing behind it.
fn stub(path: &str) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some("/dev/null".to_owned()),
        path_in_container: Some(path.to_owned()),
        cgroup_permissions: Some("rwm".to_owned()),
    }
}

fn ulimit(name: &str, (soft, hard): (i64, i64)) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) }
}

fn mounts(plan: &ContainerPlan, creation: &Creation<'_>) -> Vec<Mount> {
    let mount = |volume: &VolumePlan| Mount {
        target: Some(volume.mount_path.clone()),
        source: creation.volumes.get(&volume.mount_path).cloned(),
        typ: Some(MountType::VOLUME),
        read_only: Some(volume.read_only),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(volume.empty),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    plan.volumes.iter().map(mount).collect()
}

fn policy(restart: RestartPolicy) -> Policy {
    let (name, retries) = match restart {
        RestartPolicy::No => (RestartPolicyNameEnum::NO, None),
        RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, None),
        RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        RestartPolicy::OnFailure(retries) => (RestartPolicyNameEnum::ON_FAILURE, Some(retries.into())),
    };
    Policy { name: Some(name), maximum_retry_count: retries }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};
    use xedge_model::scenario::Role;

    use super::body;
    use crate::engine::{Creation, Labels};
    use crate::plan::ContainerPlan;

    /// The request for a container, as JSON.
    fn request(role: Role, change: impl FnOnce(&mut ContainerPlan)) -> Value {
        let mut plan = ContainerPlan::sample("web", role);
        change(&mut plan);
        let published = if role == Role::Broker { 2 } else { 0 };
        let (volumes, labels) = (BTreeMap::new(), Labels::new());
        let creation = Creation {
            name: "xedge-r-web",
            plan: &plan,
            network: "xedge-r",
            further: &[],
            volumes: &volumes,
            published,
            labels: &labels,
        };
        serde_json::to_value(body(&creation)).unwrap()
    }

    #[test]
    fn what_a_plan_leaves_alone_is_left_to_image_and_engine() {
        let request = request(Role::Service, |_| {});
        for key in ["Entrypoint", "Cmd", "User", "WorkingDir", "Healthcheck", "StopSignal", "ExposedPorts"] {
            assert!(request.get(key).is_none(), "{key} is set in {request}");
        }
        assert_eq!(request["Hostname"], "web");
        let host = &request["HostConfig"];
        for key in ["Init", "ShmSize", "CpuShares", "MemoryReservation"] {
            assert!(host.get(key).is_none(), "{key} is set in {host}");
        }
        assert_eq!(host["PortBindings"], json!({}));
    }

    #[test]
    fn every_setting_of_a_plan_is_told() {
        let request = request(Role::Service, |plan| {
            let extras = &mut plan.extras;
            extras.entrypoint = Some(vec!["/bin/app".into()]);
            extras.hostname = Some("edge".into());
            extras.user = Some("7:8".into());
            extras.workdir = Some("/srv".into());
            extras.published_tcp = vec![8080];
            extras.group_add = vec!["dialout".into()];
            extras.cap_add = vec!["NET_RAW".into()];
            extras.device_stubs = vec!["/dev/ttyUSB0".into()];
            extras.extra_hosts = [("hub".into(), "host-gateway".into())].into();
            extras.ulimits = [("nofile".into(), (10, 20))].into();
            extras.sysctls = [("net.ipv4.ip_forward".into(), "1".into())].into();
            extras.stop_signal = Some("SIGINT".into());
            extras.shm_bytes = Some(1 << 20);
            extras.cpu_shares = Some(512);
            extras.memory_reservation = Some(1 << 24);
            extras.init = true;
            extras.health_check = Some(vec!["/probe".into(), "-q".into()]);
            extras.aliases = vec!["www".into()];
        });
        assert_eq!(request["Entrypoint"], json!(["/bin/app"]));
        assert_eq!((&request["Hostname"], &request["User"]), (&json!("edge"), &json!("7:8")));
        assert_eq!((&request["WorkingDir"], &request["StopSignal"]), (&json!("/srv"), &json!("SIGINT")));
        assert_eq!(request["Healthcheck"]["Test"], json!(["CMD", "/probe", "-q"]));
        let endpoints = &request["NetworkingConfig"]["EndpointsConfig"];
        assert_eq!(endpoints["xedge-r"]["Aliases"], json!(["web", "www"]));
        let host = &request["HostConfig"];
        let binding = json!([{"HostIp": "127.0.0.1", "HostPort": ""}]);
        assert_eq!(host["PortBindings"], json!({"8080/tcp": binding}));
        assert_eq!((&host["GroupAdd"], &host["CapAdd"]), (&json!(["dialout"]), &json!(["NET_RAW"])));
        assert_eq!(host["Devices"][0]["PathOnHost"], "/dev/null");
        assert_eq!(host["Devices"][0]["PathInContainer"], "/dev/ttyUSB0");
        assert_eq!(host["ExtraHosts"], json!(["hub:host-gateway"]));
        assert_eq!(host["Ulimits"], json!([{"Name": "nofile", "Soft": 10, "Hard": 20}]));
        assert_eq!(host["Sysctls"], json!({"net.ipv4.ip_forward": "1"}));
        assert_eq!((&host["ShmSize"], &host["Init"]), (&json!(1 << 20), &json!(true)));
        assert_eq!((&host["CpuShares"], &host["MemoryReservation"]), (&json!(512), &json!(1 << 24)));
    }

    #[test]
    fn a_check_can_be_switched_off_and_a_container_kept_offline() {
        let request = request(Role::Service, |plan| {
            plan.extras.health_check = Some(vec![]);
            plan.extras.offline = true;
        });
        assert_eq!(request["Healthcheck"]["Test"], json!(["NONE"]));
        assert!(request.get("NetworkingConfig").is_none(), "{request}");
    }

    #[test]
    fn a_broker_publishes_its_port_as_often_as_models_need_it() {
        let request = request(Role::Broker, |plan| plan.extras.published_tcp = vec![1883, 9001]);
        let bindings = &request["HostConfig"]["PortBindings"];
        assert_eq!(bindings["1883/tcp"].as_array().unwrap().len(), 2);
        assert_eq!(bindings["9001/tcp"].as_array().unwrap().len(), 1);
    }
}
