//! A service of a Compose file as a container of this device. Each key is named here; a new one does not compile until it is.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;
use xedge_bundle::manifest;
use xedge_model::compose::{self, Compose, MountSource, Service, Test};

use super::{Input, MountFile, MountFolder, ServicePlan, folders, refused, user};
use crate::Result;
use crate::engine::{
    ContainerSpec, HealthSpec, LimitSpec, MountSpec, NetworkSpec, PortSpec, Restart, Source, VolumeSpec,
};

/// Time that the Engine gives a container to stop, where nobody says otherwise.
const GRACE: Duration = Duration::from_secs(10);
/// The network of services that name none.
const DEFAULT: &str = "default";
/// Start of the labels that are the agent's own.
const OWN_LABELS: &str = "xedge.";

/// What the services of a stack have in common.
pub(super) struct Stack<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) compose: &'a Compose,
    /// The configuration's files by path, with the device's values in them.
    pub(super) files: &'a BTreeMap<Utf8PathBuf, MountFile>,
}

/// A service, the folders that it mounts, and the volumes that have no name in the stack.
pub(super) struct Made {
    pub(super) plan: ServicePlan,
    pub(super) folders: Vec<MountFolder>,
    pub(super) volumes: Vec<VolumeSpec>,
}

struct Mounts {
    all: Vec<MountSpec>,
    folders: Vec<MountFolder>,
    volumes: Vec<VolumeSpec>,
}

impl Stack<'_> {
    /// The name that an object of this stack has in the Engine.
    fn named(&self, name: &str) -> String {
        format!("{}_{name}", self.input.manifest.stack)
    }

    /// The name of a network. Whether there is a way out of one cannot be changed later, so it is part of the name; `.` is in
    /// no name of a stack's.
    fn network(&self, name: &str) -> String {
        let settings = self.compose.networks.get(name).and_then(|network| network.value.as_ref());
        let internal = settings.and_then(|settings| settings.internal).unwrap_or(false);
        self.named(name) + if internal { ".internal" } else { "" }
    }

    /// The networks, the one of services that name none among them where it is used.
    pub(super) fn networks(&self) -> Vec<NetworkSpec> {
        let settings = |name: &str| self.compose.networks.get(name).and_then(|network| network.value.clone());
        let services = || self.compose.services.values().map(|service| &service.value);
        let uses_default = services().any(|service| {
            service.network_mode.is_none()
                && (service.networks.0.is_empty()
                    || service.networks.0.iter().any(|network| &*network.value.name == DEFAULT))
        });
        let declared = self.compose.networks.keys().map(String::as_str).filter(|name| *name != DEFAULT);
        let mut networks: Vec<NetworkSpec> = declared
            .chain(Some(DEFAULT).filter(|_| uses_default))
            .map(|name| {
                let settings = settings(name).unwrap_or_default();
                NetworkSpec {
                    name: self.network(name),
                    driver: settings.driver.map(|driver| driver.to_string()),
                    internal: settings.internal.unwrap_or(false),
                }
            })
            .collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        networks
    }

    /// The named volumes that the device keeps for this stack; not those that were there before.
    pub(super) fn volumes(&self) -> Vec<VolumeSpec> {
        let ours = self.compose.volumes.keys().filter(|name| !self.input.adopted.contains_key(*name));
        ours.map(|name| self.kept(name)).collect()
    }

    fn kept(&self, name: &str) -> VolumeSpec {
        let root = self.input.bounds.volume_root.as_ref();
        let folder = root.map(|root| root.join(&self.input.manifest.stack).join(name).into_string());
        VolumeSpec { name: self.named(name), folder }
    }

    /// The volume of this name, or what was there before in its place.
    fn volume(&self, name: &str) -> Source {
        match self.input.adopted.get(name) {
            Some(path) if path.starts_with('/') => Source::Path(path.clone()),
            Some(other) => Source::Volume(other.clone()),
            None => Source::Volume(self.named(name)),
        }
    }

    /// A service, and what it mounts.
    pub(super) fn service(&self, name: &str, service: &Service, listed: &manifest::Service) -> Result<Made> {
        let platform = self.input.platform;
        let no_image = |what: &str| {
            refused(name, &format!("{what} for {platform}"), "release it for the platform of this device")
        };
        let manifest = listed.manifests.get(&platform).ok_or_else(|| no_image("it has no image"))?;
        let config = self.input.images.get(name).ok_or_else(|| no_image("its image has no config"))?;
        let user = match &service.user {
            Some(text) => user::numbers(text),
            None => user::image_user(config),
        };
        let Mounts { all: mounts, folders, volumes } = self.mounts(name, service, user, config)?;
        let spec = ContainerSpec {
            manifest: Some(manifest.clone()),
            mounts,
            networks: self.joined(name, service),
            limits: self.limits(service),
            ..spec(name, service)?
        };
        let plan = ServicePlan {
            name: service.container_name.as_ref().map_or_else(|| self.container(name), ToString::to_string),
            image: listed.image.clone(),
            spec,
            depends_on: service.depends_on.0.iter().map(|(name, on)| (name.clone(), on.value)).collect(),
            stop_grace: service.stop_grace().unwrap_or(GRACE),
            user,
        };
        Ok(Made { plan, folders, volumes })
    }

    fn container(&self, service: &str) -> String {
        format!("{}-{service}", self.input.manifest.stack)
    }

    /// The networks of a service, with the names that it has in each.
    fn joined(&self, name: &str, service: &Service) -> BTreeMap<String, Vec<String>> {
        if service.network_mode.is_some() {
            return BTreeMap::new();
        }
        let own = || vec![name.to_owned()];
        if service.networks.0.is_empty() {
            return BTreeMap::from([(self.network(DEFAULT), own())]);
        }
        let joined = service.networks.0.iter().map(|network| {
            let further = network.value.aliases.iter().map(ToString::to_string).filter(|alias| alias != name);
            (self.network(&network.value.name), own().into_iter().chain(further).collect())
        });
        joined.collect()
    }

    fn mounts(
        &self,
        name: &str,
        service: &Service,
        user: Option<(u32, u32)>,
        config: &[u8],
    ) -> Result<Mounts> {
        let (mut mounts, mut folders, mut volumes) = (Vec::new(), Vec::new(), Vec::new());
        let nameless = |volumes: &mut Vec<VolumeSpec>, target: &str| {
            let volume = named_after(name, target);
            if !self.input.adopted.contains_key(&volume) {
                volumes.push(self.kept(&volume));
            }
            self.volume(&volume)
        };
        for mount in &service.volumes {
            let mount = &mount.value;
            let mut propagation = None;
            let source = match &mount.source {
                MountSource::Bind(_) if !mount.read_only => {
                    let reason = format!("`{mount}` can be written, and what is signed must not change");
                    return Err(refused(name, &reason, "write `:ro` behind it, in the stack"));
                }
                MountSource::Bind(below) => {
                    let (folder, file) = folders::select(name, self.files, below.as_path(), user)?;
                    let mut path = self.input.home.mount(&folder.digest);
                    path.extend(file);
                    folders.push(folder);
                    Source::Path(path.into_string())
                }
                MountSource::Volume(volume) => self.volume(volume),
                // Its data is to be there for the container after this one.
                MountSource::Anonymous => nameless(&mut volumes, mount.target.as_str()),
                MountSource::Host { path, propagation: spread } => {
                    propagation = spread.map(|spread| spread.name().to_owned());
                    Source::Path(path.to_string())
                }
                // Among the folders in memory, below.
                MountSource::Tmpfs { .. } => continue,
            };
            let target = mount.target.to_string();
            mounts.push(MountSpec { source, target, read_only: mount.read_only, propagation });
        }
        for (secret, target) in service.secret_targets() {
            let source = self.secret(name, secret)?;
            mounts.push(MountSpec { source, target: target.into(), read_only: true, propagation: None });
        }
        // The Engine would make a new volume there with each container.
        let in_memory = service.memory_folders();
        for target in user::image_volumes(config) {
            let is_here = |path: &str| path.trim_end_matches('/') == target;
            if !mounts.iter().any(|mount| is_here(&mount.target))
                && !in_memory.iter().any(|(path, _)| is_here(path))
            {
                let source = nameless(&mut volumes, &target);
                mounts.push(MountSpec { source, target, read_only: false, propagation: None });
            }
        }
        Ok(Mounts { all: mounts, folders, volumes })
    }

    fn secret(&self, service: &str, name: &str) -> Result<Source> {
        let file = self.compose.secrets.get(name).map(|secret| &*secret.value.file);
        if file != Some(&*format!("../secrets/{name}")) {
            let reason = format!("the secret `{name}` is not kept at ../secrets/{name}");
            return Err(refused(service, &reason, super::NEWER));
        }
        // One that is missing is an obstacle of its own (`check`), listed with all others; the Engine makes no such container.
        let version = self.input.secrets.get(name).copied().unwrap_or(0);
        Ok(Source::Secret { path: self.input.home.secret(name, version).into_string(), version })
    }

    /// What is signed, or what the device allows where that is less.
    fn limits(&self, service: &Service) -> LimitSpec {
        let bounds = &self.input.bounds;
        let least = |signed: Option<u64>, allowed: Option<u64>| match (signed, allowed) {
            (Some(signed), Some(allowed)) => Some(signed.min(allowed)),
            (signed, allowed) => signed.or(allowed),
        };
        let memory = least(service.memory_bytes(), bounds.memory);
        let reserved = service.mem_reservation.map(|reserved| reserved.0);
        LimitSpec {
            memory,
            memory_reservation: reserved.map(|reserved| reserved.min(memory.unwrap_or(reserved))),
            nano_cpus: least(service.nano_cpus(), bounds.nano_cpus),
            cpu_shares: service.cpu_shares,
            pids: service.pids_limit,
            shm_size: service.shm_size.map(|size| size.0),
            ulimits: service.ulimits.0.iter().map(|(name, u)| (name.clone(), (u.soft, u.hard))).collect(),
            sysctls: pairs(&service.sysctls),
            read_only: service.read_only.unwrap_or(false),
            devices: service
                .devices
                .iter()
                .map(|device| {
                    (device.host.to_string(), device.container.to_string(), device.permissions.clone())
                })
                .collect(),
            cap_add: texts(&service.cap_add),
            cap_drop: texts(&service.cap_drop),
            security_options: texts(&service.security_opt),
        }
    }
}

/// The name of a volume that the stack gives none, after its service and its place. No name of a stack's has a `.`, and no two
/// places have the same name.
fn named_after(service: &str, target: &str) -> String {
    let letters = target.bytes().map(|byte| match byte {
        b'/' => ".".to_owned(),
        byte if byte == b'-' || byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("_{byte:02x}"),
    });
    std::iter::once(service.to_owned()).chain(letters).collect()
}

/// What of a container follows from its service alone.
fn spec(name: &str, service: &Service) -> Result<ContainerSpec> {
    let Service {
        // The image is known by its digest, and a name is not part of what a container is made of.
        image: _,
        container_name: _,
        hostname,
        entrypoint,
        command,
        user,
        working_dir,
        group_add,
        init,
        restart,
        ports,
        // Between containers every port is open.
        expose: _,
        // Mounts, networks, dependencies and limits need to know of the stack and the device.
        volumes: _,
        networks: _,
        network_mode,
        extra_hosts,
        depends_on: _,
        environment,
        secrets: _,
        mem_limit: _,
        mem_reservation: _,
        cpus: _,
        cpu_shares: _,
        pids_limit: _,
        shm_size: _,
        ulimits: _,
        sysctls: _,
        read_only: _,
        tmpfs: _,
        devices: _,
        cap_add: _,
        cap_drop: _,
        security_opt: _,
        healthcheck,
        stop_signal,
        stop_grace_period: _,
        logging,
        labels,
    } = service;
    if let Some(label) = labels.0.keys().find(|label| label.starts_with(OWN_LABELS)) {
        let reason = format!("the label `{label}` is one of the agent's own");
        return Err(refused(name, &reason, "give it another name, in the stack"));
    }
    let (restart, restart_attempts) = policy(*restart);
    let words = |words: &compose::Words| texts(&words.0);
    let text = |text: &compose::Text| text.to_string();
    Ok(ContainerSpec {
        service: name.to_owned(),
        hostname: hostname.as_ref().map(text),
        entrypoint: entrypoint.as_ref().map(words),
        command: command.as_ref().map(words),
        user: user.as_ref().map(text),
        working_dir: working_dir.as_ref().map(text),
        groups: texts(group_add),
        init: init.unwrap_or(false),
        restart,
        restart_attempts,
        environment: pairs(environment),
        ports: ports.0.iter().map(port).collect(),
        tmpfs: service.memory_folders().into_iter().collect(),
        network_mode: network_mode.map(|mode| mode.to_string()),
        extra_hosts: extra_hosts.0.iter().map(|(name, address)| format!("{name}:{address}")).collect(),
        health: healthcheck.as_ref().map(health),
        stop_signal: stop_signal.as_ref().map(text),
        stop_grace_s: service.stop_grace().map(whole_seconds),
        log_driver: logging.as_ref().and_then(|logging| logging.driver.as_ref()).map(text),
        log_options: logging.as_ref().map_or_else(BTreeMap::new, |logging| pairs(&logging.options)),
        labels: pairs(labels),
        ..ContainerSpec::default()
    })
}

fn policy(restart: Option<compose::Restart>) -> (Restart, u32) {
    match restart {
        None | Some(compose::Restart::No) => (Restart::No, 0),
        Some(compose::Restart::Always) => (Restart::Always, 0),
        Some(compose::Restart::UnlessStopped) => (Restart::UnlessStopped, 0),
        Some(compose::Restart::OnFailure(attempts)) => (Restart::OnFailure, attempts.unwrap_or(0)),
    }
}

fn port(port: &compose::Port) -> PortSpec {
    PortSpec {
        address: port.address.map_or_else(String::new, |address| address.to_string()),
        host: port.host.unwrap_or(0),
        container: port.container,
        protocol: port.protocol.to_string(),
    }
}

fn health(check: &compose::Healthcheck) -> HealthSpec {
    let nanoseconds = |span: Option<xedge_model::duration::Span>| {
        span.map(|span| u64::try_from(span.0.as_nanos()).unwrap_or(u64::MAX))
    };
    HealthSpec {
        test: match &check.test {
            None => Vec::new(),
            Some(Test::Disabled) => vec!["NONE".to_owned()],
            Some(Test::Exec(words)) => [vec!["CMD".to_owned()], texts(words)].concat(),
            Some(Test::Shell(line)) => vec!["CMD-SHELL".to_owned(), line.to_string()],
        },
        interval_ns: nanoseconds(check.interval),
        timeout_ns: nanoseconds(check.timeout),
        start_period_ns: nanoseconds(check.start_period),
        retries: check.retries,
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn texts(texts: &[compose::Text]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn pairs(variables: &compose::Variables) -> BTreeMap<String, String> {
    variables.0.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}
