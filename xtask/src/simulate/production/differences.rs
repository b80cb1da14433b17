//! What a run cannot take over from a service's production settings, each with the reason why it is still a proof.

use xedge_config::{Rendered, RenderedFile};
use xedge_model::compose::{HOST_GATEWAY, MountSource, NetworkMode, Protocol, Service, Test};
use xedge_model::stack::placeholders;
use xedge_sim::EngineKind;

use super::capabilities::reachable;
use super::extras::{sysctls, texts};
use super::ulimits::clamped;
use super::volumes::{is_file_of_host, single};

/// A difference between the run and production that is accepted, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(in crate::simulate) struct Difference {
    /// Service.
    pub(in crate::simulate) service: String,
    /// Setting.
    pub(in crate::simulate) setting: &'static str,
    /// Why the run is still a proof.
    pub(in crate::simulate) reason: String,
}

/// Whether a service has a setting.
type IsSet = fn(&Service) -> bool;

/// Differences that need no more than the setting to be there. What is neither here nor below is applied as it stands.
const ACCEPTED: [(&str, &str, IsSet); 10] = [
    ("container_name", "runs side by side need names of their own; the others find it by this one", |s| {
        s.container_name.is_some()
    }),
    ("ports", "published on a free loopback port: the wished one may be taken here", |s| {
        s.ports.0.iter().any(|port| port.protocol == Protocol::Tcp)
    }),
    ("ports", "UDP is not published: claims are about TCP", |s| {
        s.ports.0.iter().any(|port| port.protocol == Protocol::Udp)
    }),
    ("networks", "networks of the run's own; services find each other by the same names", |s| {
        !s.networks.0.is_empty()
    }),
    (
        "network_mode",
        "in the run's networks instead of the host's: it reaches services by name, not on localhost",
        |s| s.network_mode == Some(NetworkMode::Host),
    ),
    ("extra_hosts", "host-gateway is this machine's", |s| {
        s.extra_hosts.0.values().any(|address| address == HOST_GATEWAY)
    }),
    ("secrets", "development passwords: production ones are not on this machine", |s| !s.secrets.is_empty()),
    ("healthcheck", "the run asks it itself, about once a second", |s| {
        s.healthcheck.as_ref().is_some_and(|check| check.test != Some(Test::Disabled))
    }),
    ("logging", "the Engine's limits of log size; the run collects the log itself", |s| s.logging.is_some()),
    ("labels", "notes for people", |s| !s.labels.0.is_empty()),
];

/// Not a setting of a service, but of what stands in its files and environment.
const SAMPLES: &str = "the stack's samples: a device's own are checked against the same declarations";

/// The accepted differences of one service. `brokers` are the services that the scenario runs as brokers.
pub(in crate::simulate) fn differences(
    rendered: &Rendered,
    name: &str,
    service: &Service,
    brokers: &[&str],
    engine: EngineKind,
) -> Vec<Difference> {
    let set = ACCEPTED.iter().filter(|(_, _, is_set)| is_set(service));
    let mut all: Vec<(&'static str, String)> =
        set.map(|(setting, reason, _)| (*setting, (*reason).to_owned())).collect();
    all.extend(of_values(rendered, service, brokers));
    match engine {
        EngineKind::Embedded => all.extend(embedded(service)),
        EngineKind::Virtual => {}
        EngineKind::Docker | EngineKind::Podman => all.extend(opened(rendered, service)),
    }
    if has_device_values(rendered, service) {
        all.push(("device_values", SAMPLES.to_owned()));
    }
    all.into_iter()
        .map(|(setting, reason)| Difference { service: name.to_owned(), setting, reason })
        .collect()
}

/// The differences that depend on what a setting says.
fn of_values(rendered: &Rendered, service: &Service, brokers: &[&str]) -> Vec<(&'static str, String)> {
    // A setting that Compose learns must be applied or listed: without `..` it cannot be forgotten.
    let Service {
        image: _,
        container_name: _,
        hostname: _,
        entrypoint: _,
        command: _,
        user: _,
        working_dir: _,
        group_add: _,
        init: _,
        restart: _,
        ports: _,
        // Between containers every port is open, named or not.
        expose: _,
        volumes: _,
        // What of them depends on the engine is told apart.
        networks: _,
        network_mode: _,
        extra_hosts: _,
        depends_on,
        environment: _,
        secrets: _,
        mem_limit: _,
        mem_reservation: _,
        cpus: _,
        cpu_shares: _,
        pids_limit: _,
        shm_size: _,
        ulimits,
        sysctls: _,
        read_only: _,
        tmpfs: _,
        devices,
        cap_add,
        cap_drop: _,
        security_opt: _,
        healthcheck: _,
        stop_signal: _,
        stop_grace_period: _,
        logging: _,
        labels: _,
    } = service;
    let mut all = mounts(rendered, service);
    if depends_on.0.keys().any(|other| brokers.contains(&other.as_str())) {
        all.push(("depends_on", "the run waits for a broker's CONNACK in any case".to_owned()));
    }
    for (limit, wanted) in &ulimits.0 {
        let reached = clamped(limit, *wanted);
        if reached != *wanted {
            let (soft, hard) = (reached.soft, reached.hard);
            all.push((
                "ulimits",
                format!("{limit} is {soft} and {hard}, the most that this machine can reach"),
            ));
        }
    }
    for (sysctl, _) in sysctls(service).1 {
        all.push((
            "sysctls",
            format!("{sysctl} is left as it is: it is the whole machine's, not a container's"),
        ));
    }
    let (_, missing) = reachable(&texts(cap_add));
    if !missing.is_empty() {
        all.push(("cap_add", format!("without {}, which this machine cannot give", missing.join(", "))));
    }
    for device in devices {
        let reason = format!("{} is /dev/null: the device is not on this machine", device.container);
        all.push(("devices", reason));
    }
    all
}

/// Networks that are closed in production and open in an Engine that publishes their ports.
fn opened(rendered: &Rendered, service: &Service) -> Vec<(&'static str, String)> {
    let internal = |name: &str| {
        let defined = rendered.compose().networks.get(name).and_then(|network| network.value.as_ref());
        defined.is_some_and(|network| network.internal == Some(true))
    };
    let names = service.networks.0.iter().map(|network| &network.value.name).filter(|name| internal(name));
    let told = |name| format!("`{name}` has a way to the outside, so that ports can be published");
    names.map(|name| ("networks", told(name))).collect()
}

/// What the embedded engine lacks.
fn embedded(service: &Service) -> Vec<(&'static str, String)> {
    let mut all = vec![
        (
            "networks",
            "no way to the outside and no name server: other services' names are in /etc/hosts".to_owned(),
        ),
        (
            "security_opt",
            "no seccomp filter and no AppArmor profile: what those refuse is not refused".to_owned(),
        ),
        ("devices", "nobody can make device files where the machine has no control groups".to_owned()),
    ];
    // What this machine lacks is told already.
    let (given, _) = reachable(&texts(&service.cap_add));
    for name in given.iter().filter(|name| is_withheld(name)) {
        all.push(("cap_add", format!("without {name}, which the embedded engine does not give")));
    }
    all
}

/// Capabilities that the embedded engine does not add even where the machine has them.
pub(super) fn is_withheld(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    matches!(name.strip_prefix("CAP_").unwrap_or(&name), "SYS_RESOURCE" | "ALL")
}

fn mounts(rendered: &Rendered, service: &Service) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if service.named_volumes().next().is_some() {
        all.push(("volumes", "fresh volumes that end with the run instead of the device's".to_owned()));
    }
    for mount in service.volumes.iter().map(|mount| &mount.value) {
        let target = &mount.target;
        match &mount.source {
            MountSource::Host { path, .. } if is_file_of_host(path) => {
                all.push(("volumes", format!("{path} of the host is left out")));
            }
            MountSource::Host { path, .. } => {
                all.push(("volumes", format!("an empty volume at {target} instead of {path} of the host")));
            }
            MountSource::Bind(source) if single(rendered, source).is_some() => {
                all.push((
                    "volumes",
                    format!("{target} lies in a volume of its folder, which can be written"),
                ));
            }
            MountSource::Bind(_)
            | MountSource::Volume(_)
            | MountSource::Anonymous
            | MountSource::Tmpfs { .. } => {}
        }
    }
    all
}

fn has_device_values(rendered: &Rendered, service: &Service) -> bool {
    let mounted =
        |file: &&RenderedFile| service.binds().any(|(folder, ..)| file.path().starts_with(folder.as_path()));
    let files = rendered.files().iter().filter(mounted).map(RenderedFile::bytes);
    let variables = service.environment.0.values().map(|value| value.as_bytes());
    files.chain(variables).any(|text| !placeholders(text).is_empty())
}
