//! A service of a rendered stack as a container of the simulation: the same files and settings, and a list of every
//! difference that is left, each with its reason. A setting that is neither applied nor on the list stops the run.

use std::collections::BTreeMap;

use camino::Utf8Path;
use xedge_config::passwd::{Salt, secret_file};
use xedge_config::{Rendered, RenderedFile};
use xedge_model::compose::{Restart, Service};
use xedge_model::stack::{
    SECRETS_FOLDER, SecretReference, SubstituteError, placeholders, samples, substitute,
};
use xedge_sim::{ContainerPlan, FilePlan, RestartPolicy, VolumePlan};

use crate::commands::Context;
use crate::error::{Error, Result};

/// A difference between the run and production that is accepted, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(super) struct Difference {
    /// Service.
    pub(super) service: String,
    /// Setting.
    pub(super) setting: &'static str,
    /// Why the run is still a proof.
    pub(super) reason: &'static str,
}

/// Whether a service has a setting.
type IsSet = fn(&Service) -> bool;

/// Settings that a run cannot take over, and why it is still a proof. Everything else is applied or refused.
const ACCEPTED: [(&str, &str, IsSet); 8] = [
    ("container_name", "runs side by side need names of their own", |s| s.container_name.is_some()),
    ("ports", "published on a free loopback port: the wished one may be taken here", |s| {
        !s.ports.0.is_empty()
    }),
    ("networks", "every run has a network of its own; services find each other by the same names", |s| {
        !s.networks.0.is_empty()
    }),
    ("depends_on", "the run starts brokers first and waits for their CONNACK", |s| {
        !s.depends_on.0.is_empty()
    }),
    ("volumes", "fresh volumes that end with the run instead of the device's", |s| {
        s.named_volumes().next().is_some()
    }),
    ("secrets", "development passwords: production ones are not on this machine", |s| !s.secrets.is_empty()),
    ("logging", "the Engine's limits of log size; the run collects the log itself", |s| s.logging.is_some()),
    ("labels", "notes for people", |s| !s.labels.0.is_empty()),
];

/// Settings that would change what is proved, and that a run cannot take over yet.
const REFUSED: [(&str, IsSet); 22] = [
    ("user", |s| s.user.is_some()),
    ("healthcheck", |s| s.healthcheck.is_some()),
    ("hostname", |s| s.hostname.is_some()),
    ("entrypoint", |s| s.entrypoint.is_some()),
    ("working_dir", |s| s.working_dir.is_some()),
    ("group_add", |s| !s.group_add.is_empty()),
    ("init", |s| s.init.is_some()),
    ("expose", |s| !s.expose.0.is_empty()),
    ("network_mode", |s| s.network_mode.is_some()),
    ("extra_hosts", |s| !s.extra_hosts.0.is_empty()),
    ("mem_reservation", |s| s.mem_reservation.is_some()),
    ("cpu_shares", |s| s.cpu_shares.is_some()),
    ("shm_size", |s| s.shm_size.is_some()),
    ("ulimits", |s| !s.ulimits.0.is_empty()),
    ("sysctls", |s| !s.sysctls.0.is_empty()),
    ("devices", |s| !s.devices.is_empty()),
    ("cap_add", |s| !s.cap_add.is_empty()),
    ("stop_signal", |s| s.stop_signal.is_some()),
    ("aliases", |s| s.networks.0.iter().any(|network| !network.value.aliases.is_empty())),
    ("mount of a host path", |s| s.host_mounts().next().is_some()),
    ("volume without a name", |s| s.anonymous_volumes().next().is_some()),
    ("folder in memory", |s| s.memory_folders().len() > s.tmpfs.0.len()),
];

/// Not a setting of a service, but of what stands in its files and environment.
const SAMPLES: (&str, &str) =
    ("device_values", "the stack's samples: a device's own are checked against the same declarations");

/// The accepted differences of one service, or an error for a setting that cannot be simulated.
pub(super) fn differences(rendered: &Rendered, name: &str, service: &Service) -> Result<Vec<Difference>> {
    // A setting that Compose learns must be applied, accepted or refused here: without `..` it cannot be forgotten.
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
        expose: _,
        volumes: _,
        networks: _,
        network_mode: _,
        extra_hosts: _,
        depends_on: _,
        environment: _,
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
        healthcheck: _,
        stop_signal: _,
        stop_grace_period: _,
        logging: _,
        labels: _,
    } = service;
    if let Some((setting, _)) = REFUSED.iter().find(|(_, is_set)| is_set(service)) {
        let reason = format!("service `{name}` sets `{setting}`, which a simulation cannot take over yet");
        return Err(Error::BadFile { path: "compose.yaml".into(), reason }.into());
    }
    let set = ACCEPTED.iter().filter(|(_, _, is_set)| is_set(service));
    let set = set.map(|(setting, reason, _)| (*setting, *reason));
    let all = set.chain(has_device_values(rendered, service).then_some(SAMPLES));
    Ok(all.map(|(setting, reason)| Difference { service: name.to_owned(), setting, reason }).collect())
}

fn has_device_values(rendered: &Rendered, service: &Service) -> bool {
    let mounted =
        |file: &&RenderedFile| service.binds().any(|(folder, ..)| file.path().starts_with(folder.as_path()));
    let files = rendered.files().iter().filter(mounted).map(RenderedFile::bytes);
    let variables = service.environment.0.values().map(|value| value.as_bytes());
    files.chain(variables).any(|text| !placeholders(text).is_empty())
}

/// The text as a device sees it whose values are the samples.
fn with_samples(rendered: &Rendered, text: &[u8]) -> std::result::Result<Vec<u8>, SubstituteError> {
    let declared = rendered.device_values();
    substitute(text, declared, &samples(declared))
}

/// Gives a container the production settings and files of a service.
pub(super) fn apply(
    cx: &Context<'_>,
    rendered: &Rendered,
    service: &Service,
    passwords: &BTreeMap<String, String>,
    container: &mut ContainerPlan,
) -> Result<()> {
    for (name, value) in &service.environment.0 {
        let value = with_samples(rendered, value.as_bytes())?;
        container.env.insert(name.clone(), String::from_utf8_lossy(&value).into_owned());
    }
    if let Some(command) = &service.command {
        container.command = Some(command.0.iter().map(ToString::to_string).collect());
    }
    container.memory_bytes = service.memory_bytes().and_then(|bytes| i64::try_from(bytes).ok());
    container.nano_cpus = service.nano_cpus().and_then(|nano| i64::try_from(nano).ok());
    container.pids_limit = service.pids_limit.map(i64::from);
    container.read_only = service.read_only.unwrap_or(false);
    container.cap_drop = service.cap_drop.iter().map(ToString::to_string).collect();
    container.security_opt = service.security_opt.iter().map(ToString::to_string).collect();
    container.tmpfs = service.tmpfs.0.iter().map(|path| tmpfs(path)).collect();
    container.restart = match service.restart_policy() {
        Restart::No => RestartPolicy::No,
        Restart::Always => RestartPolicy::Always,
        Restart::UnlessStopped => RestartPolicy::UnlessStopped,
        Restart::OnFailure(tries) => RestartPolicy::OnFailure(tries.unwrap_or(0)),
    };
    container.stop_grace = service.stop_grace().unwrap_or(container.stop_grace);
    container.volumes = volumes(rendered, service)?;
    container.volumes.extend(secrets_volume(cx, rendered, service, passwords)?);
    Ok(())
}

fn tmpfs(entry: &str) -> (String, String) {
    let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
    (path.to_owned(), options.to_owned())
}

fn volumes(rendered: &Rendered, service: &Service) -> Result<Vec<VolumePlan>> {
    let mut volumes = Vec::new();
    for (source, target, read_only) in service.binds() {
        let below = |file: &RenderedFile| {
            let path = file.path().strip_prefix(source.as_path()).ok()?;
            let (path, mode) = (path.to_string(), file.mode());
            let bytes = with_samples(rendered, file.bytes());
            Some(bytes.map(|bytes| FilePlan { path, mode, uid: 0, gid: 0, bytes }))
        };
        let files = rendered.files().iter().filter_map(below).collect::<std::result::Result<_, _>>()?;
        volumes.push(VolumePlan {
            mount_path: target.to_string(),
            read_only,
            empty: true,
            files,
            ..VolumePlan::default()
        });
    }
    for (_, target, read_only) in service.named_volumes() {
        volumes.push(VolumePlan { mount_path: target.to_string(), read_only, ..VolumePlan::default() });
    }
    Ok(volumes)
}

/// The service's secret files, made now and kept nowhere but in the run's volume.
fn secrets_volume(
    cx: &Context<'_>,
    rendered: &Rendered,
    service: &Service,
    passwords: &BTreeMap<String, String>,
) -> Result<Option<VolumePlan>> {
    let mut files = Vec::new();
    for (name, target) in service.secret_targets() {
        let reference = rendered.secrets().iter().find(|reference| reference.name == name);
        let reference = reference.ok_or_else(|| Error::BadFile {
            path: "stack.yaml".into(),
            reason: format!("the secret `{name}` is mounted and not declared"),
        })?;
        let bytes = secret_file(reference, passwords, &salts(cx, reference)?)?;
        let path = target.strip_prefix(SECRETS_FOLDER).unwrap_or(Utf8Path::new(name)).to_string();
        let owner = reference.owner;
        files.push(FilePlan { path, mode: SecretReference::MODE, uid: owner, gid: owner, bytes });
    }
    let volume = VolumePlan {
        mount_path: SECRETS_FOLDER.to_owned(),
        read_only: true,
        empty: true,
        files,
        ..VolumePlan::default()
    };
    Ok(Some(volume).filter(|volume| !volume.files.is_empty()))
}

fn salts(cx: &Context<'_>, reference: &SecretReference) -> Result<BTreeMap<String, Salt>> {
    let mut salts = BTreeMap::new();
    for user in &reference.users {
        let mut salt = Salt::default();
        cx.environment.random(&mut salt)?;
        salts.insert(user.clone(), salt);
    }
    Ok(salts)
}

/// Every user that the stack's secrets name.
pub(super) fn users(rendered: &Rendered) -> impl Iterator<Item = &String> {
    rendered.secrets().iter().flat_map(|reference| &reference.users)
}

#[cfg(test)]
mod tests;
