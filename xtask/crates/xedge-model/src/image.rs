//! `images/<name>/image.yaml`: what an image is made of and how it runs.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::duration::Span;
use crate::yaml::{Source, Spanned, YamlError};
use crate::{ImageName, Platform, Reference, format};

/// The format version that this tool reads and writes.
pub const FORMAT: u32 = 1;

/// One image definition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageDef {
    /// Format version of the file.
    pub format: Spanned<u32>,
    /// Repository name, for example `xedgesim/mosquitto`.
    pub name: ImageName,
    /// The platforms it is built for.
    pub platforms: Spanned<Vec<Platform>>,
    /// What lies below everything else.
    pub from: From,
    /// Users and groups in `/etc/passwd` and `/etc/group`, beside root.
    #[serde(default)]
    pub users: Vec<User>,
    /// Empty folders.
    #[serde(default)]
    pub directories: Vec<Directory>,
    /// Rust programs, cross-compiled and linked statically.
    #[serde(default)]
    pub payloads: Vec<Payload>,
    /// How a container of it runs; over a base image, what is set here replaces what the base says.
    #[serde(default)]
    pub config: RunConfig,
}

/// The base of an image.
#[derive(Clone, Debug)]
pub enum From {
    /// Nothing.
    Scratch,
    /// Debian packages, unpacked without running maintainer scripts.
    Debian(DebianBase),
    /// An existing image whose layers are taken over by descriptor.
    Image(Reference),
    /// Built by a container engine from a Dockerfile, not reproducible.
    Dockerfile(DockerfileBuild),
}

/// A build from a Dockerfile.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DockerfileBuild {
    /// The folder that the build sees, relative to image.yaml's.
    pub context: Utf8PathBuf,
    /// The Dockerfile, relative to the context.
    pub file: Utf8PathBuf,
    /// The stage that becomes the image; absent means the last.
    pub target: Option<String>,
    /// Values of `ARG`.
    pub args: BTreeMap<String, String>,
    /// Secret files by id, for `RUN --mount=type=secret`; relative to the project's folder, never part of the image.
    pub secrets: BTreeMap<String, Utf8PathBuf>,
}

impl Default for DockerfileBuild {
    fn default() -> Self {
        Self {
            context: ".".into(),
            file: "Dockerfile".into(),
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }
}

/// The written forms: `scratch`, `dockerfile`, a reference, `{debian: …}`, `{dockerfile: …}`.
impl<'de> Deserialize<'de> for From {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromVisitor)
    }
}

struct FromVisitor;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromKey {
    Debian,
    Dockerfile,
}

impl<'de> Visitor<'de> for FromVisitor {
    type Value = From;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`scratch`, `dockerfile`, an image reference, or a map with `debian` or `dockerfile`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<From, E> {
        Ok(match text {
            "scratch" => From::Scratch,
            "dockerfile" => From::Dockerfile(DockerfileBuild::default()),
            reference => From::Image(reference.parse().map_err(E::custom)?),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<From, A::Error> {
        use serde::de::Error;
        let from = match map.next_key()? {
            Some(FromKey::Debian) => From::Debian(map.next_value()?),
            Some(FromKey::Dockerfile) => From::Dockerfile(map.next_value()?),
            None => return Err(A::Error::custom("`from` is empty: expected `debian` or `dockerfile`")),
        };
        match map.next_key::<String>()? {
            Some(second) => {
                Err(A::Error::custom(format!("`from` has one entry, `{second}` is a second one")))
            }
            None => Ok(from),
        }
    }
}

/// Packages of one Debian suite.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianBase {
    /// The suite's code name, for example `bookworm`; its updates and security pockets are always read too.
    pub suite: String,
    /// The packages that are wanted; what they depend on comes along.
    pub packages: Vec<String>,
    /// Dependencies that are left out, because only maintainer scripts or a full system need them.
    #[serde(default)]
    pub omit: Vec<String>,
}

/// A user with a group of the same name and number.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name of the user and of the group.
    pub name: String,
    /// Number of the user and of the group.
    pub id: u32,
    /// Home folder.
    pub home: Utf8PathBuf,
}

/// A folder in the image.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Absolute path.
    pub path: Utf8PathBuf,
    /// Number of its user and group.
    pub owner: u32,
    /// Permission bits, in octal.
    pub mode: Mode,
}

/// A Rust program of this project.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Cargo package.
    pub package: String,
    /// Binary target of that package.
    pub bin: String,
    /// Absolute path in the image.
    pub path: Utf8PathBuf,
}

/// The parts of the OCI image config that a definition sets (image-spec, config §properties).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// `uid:gid`.
    pub user: Option<String>,
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub command: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Ports such as `1883/tcp`.
    pub expose: Vec<String>,
    /// Paths that are always volumes.
    pub volumes: Vec<Utf8PathBuf>,
    /// Working folder.
    pub workdir: Option<Utf8PathBuf>,
    /// The signal that stops it.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Health check, run without a shell.
    pub healthcheck: Option<Healthcheck>,
}

/// A health check (Docker's extension of the config, honoured by Engine and Podman).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Healthcheck {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Time between two checks.
    pub interval: Span,
    /// Time after which a check has failed.
    pub timeout: Span,
    /// Time after the start in which failures do not count.
    pub start_period: Span,
    /// Failures in a row until the container is unhealthy.
    pub retries: u32,
}

/// Permission bits written in octal, `"0755"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode(pub u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bits = u32::from_str_radix(&text, 8).ok().filter(|bits| *bits <= 0o7777 && text.len() == 4);
        bits.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is not a mode: expected four octal digits, \"0755\""))
        })
    }
}

impl serde::Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

impl ImageDef {
    /// Reads and checks one definition.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let def: Self = format::parse(source, FORMAT)?;
        if def.platforms.value.is_empty() {
            return Err(source.error_at(&def.platforms, "an image needs at least one platform"));
        }
        let mut seen = def.platforms.value.clone();
        seen.sort();
        seen.dedup();
        if seen.len() != def.platforms.value.len() {
            return Err(source.error_at(&def.platforms, "a platform is named twice"));
        }
        let is_assembled = matches!(def.from, From::Scratch | From::Debian(_));
        if is_assembled && def.config.entrypoint.is_empty() && def.config.command.is_empty() {
            return Err(source.error("an image needs an entrypoint or a command"));
        }
        Ok(def)
    }
}
