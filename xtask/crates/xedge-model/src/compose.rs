//! The supported part of a Compose file (Compose specification), typed: what is not supported is refused, not dropped.
//!
//! A lone `$` is refused everywhere: Compose would fill it in from the environment of the machine it runs on. A file that was
//! written for another project is read by `cargo xtask import compose`, which brings it into this form or says why not.

mod check;
mod kernel;
pub mod keys;
mod mounts;
mod parts;
mod ports;
mod scalars;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use serde::Deserialize;

pub use kernel::{Device, ExtraHosts, HOST_GATEWAY, NetworkMode, NetworkUse, Networks, Ulimit, Ulimits};
pub use mounts::{Mount, MountSource, Propagation};
pub use parts::{Condition, DependsOn, Healthcheck, Logging, Restart, Test, Variables, Words};
pub use ports::{Expose, Exposed, Port, Ports, Protocol};
pub use scalars::{BadValue, Bytes, Cpus, Size, Text};

use crate::ImageName;
use crate::duration::Span;
use crate::stack::{RelPath, SECRETS_FOLDER};
use crate::yaml::{Source, Spanned, YamlError};

/// One Compose file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compose {
    /// Services by name.
    pub services: BTreeMap<String, Spanned<Service>>,
    /// Networks by name.
    #[serde(default)]
    pub networks: BTreeMap<String, Spanned<Option<NetworkDef>>>,
    /// Named volumes.
    #[serde(default)]
    pub volumes: BTreeMap<String, Spanned<Option<VolumeDef>>>,
    /// Secrets by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, Spanned<SecretFile>>,
}

/// A network's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkDef {
    /// Driver; absent means the Engine's default.
    #[serde(default)]
    pub driver: Option<Text>,
    /// Whether it has no way to the outside.
    #[serde(default)]
    pub internal: Option<bool>,
}

/// A named volume's settings: there are none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeDef {}

/// Where a secret's value is on the device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    /// Path, relative to the Compose file's folder.
    pub file: Text,
}

/// One service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// `name[:tag]`; which bytes that is, a bundle says by digest.
    pub image: Spanned<Text>,
    /// Name of the container.
    #[serde(default)]
    pub container_name: Option<Text>,
    /// Name of the machine that the container believes to be.
    #[serde(default)]
    pub hostname: Option<Text>,
    /// Program instead of the image's.
    #[serde(default)]
    pub entrypoint: Option<Words>,
    /// Arguments instead of the image's.
    #[serde(default)]
    pub command: Option<Words>,
    /// `uid[:gid]` instead of the image's.
    #[serde(default)]
    pub user: Option<Text>,
    /// Working folder instead of the image's.
    #[serde(default)]
    pub working_dir: Option<Text>,
    /// Further groups of the main process, by number or name.
    #[serde(default)]
    pub group_add: Vec<Text>,
    /// Whether an init process of the Engine's is process 1.
    #[serde(default)]
    pub init: Option<bool>,
    /// What happens when the container ends.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// Published ports.
    #[serde(default)]
    pub ports: Ports,
    /// Ports that are only named.
    #[serde(default)]
    pub expose: Expose,
    /// Mounts.
    #[serde(default)]
    pub volumes: Vec<Spanned<Mount>>,
    /// Networks; none means `default`.
    #[serde(default)]
    pub networks: Networks,
    /// A place outside of the stack's networks.
    #[serde(default)]
    pub network_mode: Option<NetworkMode>,
    /// Lines of `/etc/hosts`.
    #[serde(default)]
    pub extra_hosts: ExtraHosts,
    /// What must be there before it starts.
    #[serde(default)]
    pub depends_on: DependsOn,
    /// Environment variables.
    #[serde(default)]
    pub environment: Variables,
    /// Secrets by name.
    #[serde(default)]
    pub secrets: Vec<Spanned<Text>>,
    /// Memory limit.
    #[serde(default)]
    pub mem_limit: Option<Bytes>,
    /// Memory that it keeps when the machine runs short.
    #[serde(default)]
    pub mem_reservation: Option<Bytes>,
    /// Limit of processor time, in processors.
    #[serde(default)]
    pub cpus: Option<Cpus>,
    /// Weight against other containers when processors are short; 1024 is usual.
    #[serde(default)]
    pub cpu_shares: Option<u32>,
    /// Limit of processes and threads.
    #[serde(default)]
    pub pids_limit: Option<u32>,
    /// Size of `/dev/shm`.
    #[serde(default)]
    pub shm_size: Option<Size>,
    /// Limits of its processes.
    #[serde(default)]
    pub ulimits: Ulimits,
    /// Kernel settings of its namespaces.
    #[serde(default)]
    pub sysctls: Variables,
    /// Whether the root file system cannot be written.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// Folders in memory.
    #[serde(default)]
    pub tmpfs: Words,
    /// Device files of the host.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Capabilities given.
    #[serde(default)]
    pub cap_add: Vec<Text>,
    /// Capabilities taken away.
    #[serde(default)]
    pub cap_drop: Vec<Text>,
    /// Security options.
    #[serde(default)]
    pub security_opt: Vec<Text>,
    /// Health check instead of the image's.
    #[serde(default)]
    pub healthcheck: Option<Healthcheck>,
    /// The signal that stops it, instead of the image's.
    #[serde(default)]
    pub stop_signal: Option<Text>,
    /// Time between that signal and SIGKILL.
    #[serde(default)]
    pub stop_grace_period: Option<Span>,
    /// What happens to stdout and stderr.
    #[serde(default)]
    pub logging: Option<Logging>,
    /// Labels.
    #[serde(default)]
    pub labels: Variables,
}

impl Compose {
    /// Reads and checks one file; every name that is used must be declared, and the other way round.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let compose: Self = source.parse().map_err(explained)?;
        check::check(source, &compose)?;
        Ok(compose)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name).map(|service| &service.value)
    }

    /// Services with their names, each after those it depends on; else ordered by name.
    pub fn start_order(&self) -> Vec<(&str, &Service)> {
        let ordered = check::start_order(self).unwrap_or_default();
        ordered.into_iter().filter_map(|name| Some((name, self.service(name)?))).collect()
    }

    /// The file as plain YAML 1.1 and 1.2, in fixed order: the same value gives the same bytes.
    pub fn to_text(&self) -> String {
        text::emit(self)
    }

    /// Every setting by its dotted path, lists as one value, ordered: for comparisons.
    pub fn flatten(&self) -> BTreeMap<String, String> {
        text::flatten(self)
    }
}

impl Service {
    /// The image's name without tag.
    pub fn image_name(&self) -> ImageName {
        let (name, _tag) = ImageName::from_reference(&self.image.value).expect("checked when parsed");
        name
    }

    /// Bind mounts: source below the rendered folder, target, whether it is read-only.
    pub fn binds(&self) -> impl Iterator<Item = (&RelPath, &Utf8Path, bool)> {
        self.volumes.iter().filter_map(|mount| match &mount.value.source {
            MountSource::Bind(source) => Some((source, mount.value.target.as_path(), mount.value.read_only)),
            _ => None,
        })
    }

    /// Named volumes: name, target, whether it is read-only.
    pub fn named_volumes(&self) -> impl Iterator<Item = (&str, &Utf8Path, bool)> {
        self.volumes.iter().filter_map(|mount| match &mount.value.source {
            MountSource::Volume(name) => {
                Some((name.as_str(), mount.value.target.as_path(), mount.value.read_only))
            }
            _ => None,
        })
    }

    /// Paths of the host: path, target, whether it is read-only.
    pub fn host_mounts(&self) -> impl Iterator<Item = (&Utf8Path, &Utf8Path, bool)> {
        self.volumes.iter().filter_map(|mount| match &mount.value.source {
            MountSource::Host { path, .. } => {
                Some((path.as_path(), mount.value.target.as_path(), mount.value.read_only))
            }
            _ => None,
        })
    }

    /// Targets of volumes without a name.
    pub fn anonymous_volumes(&self) -> impl Iterator<Item = &Utf8Path> {
        let anonymous = |mount: &&Spanned<Mount>| mount.value.source == MountSource::Anonymous;
        self.volumes.iter().filter(anonymous).map(|mount| mount.value.target.as_path())
    }

    /// Folders in memory, from both ways of writing them: target, options as the Engine takes them.
    pub fn memory_folders(&self) -> Vec<(String, String)> {
        let short = self.tmpfs.0.iter().map(|entry| {
            let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
            (path.to_owned(), options.to_owned())
        });
        short.chain(self.volumes.iter().filter_map(|mount| memory_folder(&mount.value))).collect()
    }

    /// Secrets: name and where the container finds it.
    pub fn secret_targets(&self) -> impl Iterator<Item = (&str, camino::Utf8PathBuf)> {
        self.secrets.iter().map(|name| (&*name.value, Utf8Path::new(SECRETS_FOLDER).join(&*name.value)))
    }

    /// Memory limit in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.mem_limit.map(|limit| limit.0)
    }

    /// Limit of processor time in billionths of a processor, as the Engine's API takes it.
    pub fn nano_cpus(&self) -> Option<u64> {
        self.cpus.map(Cpus::nano)
    }

    /// Time between SIGTERM and SIGKILL; `None` is the Engine's 10 seconds.
    pub fn stop_grace(&self) -> Option<Duration> {
        self.stop_grace_period.map(|span| span.0)
    }

    /// What happens when the container ends.
    pub fn restart_policy(&self) -> Restart {
        self.restart.unwrap_or(Restart::No)
    }
}

/// Keys of other people's files get a better hint than a near name.
fn explained(error: YamlError) -> YamlError {
    let key = error.message().strip_prefix("unknown key `").and_then(|rest| rest.strip_suffix('`'));
    let hint = match key {
        Some("privileged") => {
            "a privileged container is root on the device: name what it needs under `devices` and `cap_add`"
        }
        Some("start_interval") => "docker-compose 1.29 and Engines before 25 refuse it: write `start_period`",
        Some("build") => {
            "a stack runs images of the project: describe it in images/NAME/image.yaml, `from: dockerfile`"
        }
        Some("version" | "name" | "env_file" | "deploy" | "extends" | "links" | "configs" | "external") => {
            "a stack does not have it: `cargo xtask import compose FILE` brings a file of others into this form"
        }
        _ => return error,
    };
    error.with_hint(hint)
}

fn memory_folder(mount: &Mount) -> Option<(String, String)> {
    let MountSource::Tmpfs { size, mode } = mount.source else { return None };
    let size = size.map(|size| format!("size={}", size.0));
    let mode = mode.map(|mode| format!("mode={mode:o}"));
    let read_only = mount.read_only.then(|| "ro".to_owned());
    let options: Vec<String> = [size, mode, read_only].into_iter().flatten().collect();
    Some((mount.target.to_string(), options.join(",")))
}

#[cfg(test)]
mod tests;
