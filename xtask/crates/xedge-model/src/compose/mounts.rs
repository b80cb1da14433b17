//! Mounts: named and anonymous volumes, files of the rendered folder, paths of the host, memory.

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::scalars::{BadValue, Size, Text};
use crate::stack::{RelPath, is_name};

/// A mount, `SOURCE:TARGET[:ro|:rw]` or in Compose's long form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Absolute path in the container.
    pub target: Utf8PathBuf,
    /// Whether the container cannot write to it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MountSource {
    /// A folder or file below the rendered folder.
    Bind(RelPath),
    /// A named volume.
    Volume(String),
    /// A volume without a name, which ends with the container.
    Anonymous,
    /// An absolute path of the host: a fact about the machine that the stack runs on, not part of what is signed.
    Host {
        /// The path.
        path: Utf8PathBuf,
        /// How mounts that come later on one side show on the other; absent means `rprivate`.
        propagation: Option<Propagation>,
    },
    /// A folder in memory.
    Tmpfs {
        /// The most it holds; absent means half of the memory.
        size: Option<Size>,
        /// Its permission bits; absent means 1777.
        mode: Option<u32>,
    },
}

/// How mounts spread between a host path and the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// To neither side, this folder only.
    Private,
    /// To neither side.
    Rprivate,
    /// To both sides, this folder only.
    Shared,
    /// To both sides.
    Rshared,
    /// From the host into the container, this folder only.
    Slave,
    /// From the host into the container.
    Rslave,
}

impl Propagation {
    const ALL: [Self; 6] =
        [Self::Private, Self::Rprivate, Self::Shared, Self::Rshared, Self::Slave, Self::Rslave];

    /// The word in a Compose file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Rprivate => "rprivate",
            Self::Shared => "shared",
            Self::Rshared => "rshared",
            Self::Slave => "slave",
            Self::Rslave => "rslave",
        }
    }
}

impl FromStr for Mount {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = |why: &str| BadValue(format!("`{text}` is not a mount: {why}"));
        let text: Text = text.parse()?;
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => return Err(bad("expected `./FOLDER:/TARGET:ro` or `VOLUME:/TARGET`")),
        };
        let mut mount = Self::new(source, target).map_err(|why| bad(&why))?;
        for option in options.split(',').filter(|_| !options.is_empty()) {
            mount.set(option).map_err(|why| bad(&why))?;
        }
        Ok(mount)
    }
}

impl Mount {
    fn new(source: Option<&str>, target: &str) -> Result<Self, String> {
        if !is_absolute(target) || target == "/" {
            return Err("the target must be an absolute path of plain parts".into());
        }
        let source = match source {
            None => MountSource::Anonymous,
            Some(source) => place(source)?,
        };
        Ok(Self { source, target: target.into(), read_only: false })
    }

    fn set(&mut self, option: &str) -> Result<(), String> {
        let spread = Propagation::ALL.into_iter().find(|known| known.name() == option);
        match (option, spread, &mut self.source) {
            ("rw", ..) => {}
            ("ro", ..) => self.read_only = true,
            (_, Some(spread), MountSource::Host { propagation, .. }) => *propagation = Some(spread),
            (_, Some(_), _) => return Err(format!("`{option}` is for paths of the host only")),
            _ => return Err(format!("`{option}` is no known option: ro, rw, rslave, rshared, rprivate")),
        }
        Ok(())
    }
}

/// What a source names.
fn place(source: &str) -> Result<MountSource, String> {
    match source.strip_prefix("./") {
        Some(below) => Ok(MountSource::Bind(below.parse().map_err(|e| format!("{e}"))?)),
        None if is_name(source) => Ok(MountSource::Volume(source.to_owned())),
        None if is_absolute(source) => Ok(MountSource::Host { path: source.into(), propagation: None }),
        None => {
            Err("the source must be `./…` below the Compose file, a named volume or an absolute path".into())
        }
    }
}

/// An absolute path of plain parts, written in the only possible way.
pub(super) fn is_absolute(text: &str) -> bool {
    let mut parts = Utf8Path::new(text).components();
    let rooted = parts.next() == Some(Utf8Component::RootDir);
    let plain = parts.all(|part| matches!(part, Utf8Component::Normal(_)));
    let rebuilt: Utf8PathBuf = Utf8Path::new(text).components().collect();
    rooted && plain && rebuilt.as_str() == text
}

/// The short form; a folder in memory has none and is shown for people.
impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options: Vec<&str> = if self.read_only { vec!["ro"] } else { Vec::new() };
        match &self.source {
            MountSource::Bind(source) => write!(f, "./{source}:")?,
            MountSource::Volume(name) => write!(f, "{name}:")?,
            MountSource::Anonymous => {}
            MountSource::Host { path, propagation } => {
                options.extend(propagation.map(Propagation::name));
                write!(f, "{path}:")?;
            }
            MountSource::Tmpfs { .. } => f.write_str("tmpfs:")?,
        }
        let options = options.join(",");
        write!(f, "{}{}{options}", self.target, if options.is_empty() { "" } else { ":" })
    }
}

impl<'de> Deserialize<'de> for Mount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MountVisitor)
    }
}

struct MountVisitor;

impl<'de> Visitor<'de> for MountVisitor {
    type Value = Mount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mount such as `./FOLDER:/TARGET:ro`, or its long form")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Mount, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mount, A::Error> {
        let long = LongMount::deserialize(MapAccessDeserializer::new(map))?;
        long.mount().map_err(|why| A::Error::custom(format!("no mount: {why}")))
    }
}

/// The long form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongMount {
    r#type: LongType,
    #[serde(default)]
    source: Option<Text>,
    target: Text,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    bind: Option<LongBind>,
    #[serde(default)]
    tmpfs: Option<LongTmpfs>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LongType {
    Volume,
    Bind,
    Tmpfs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongBind {
    #[serde(default)]
    propagation: Option<Propagation>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LongTmpfs {
    #[serde(default)]
    size: Option<Size>,
    #[serde(default)]
    mode: Option<u32>,
}

impl LongMount {
    fn mount(self) -> Result<Mount, String> {
        let mut mount = Mount::new(self.source.as_deref(), &self.target)?;
        mount.read_only = self.read_only;
        match (self.r#type, &mut mount.source) {
            (LongType::Volume, MountSource::Volume(_) | MountSource::Anonymous)
            | (LongType::Bind, MountSource::Bind(_)) => {}
            (LongType::Bind, MountSource::Host { propagation, .. }) => {
                *propagation = self.bind.as_ref().and_then(|bind| bind.propagation);
            }
            (LongType::Tmpfs, source @ MountSource::Anonymous) => {
                let LongTmpfs { size, mode } = self.tmpfs.unwrap_or_default();
                *source = MountSource::Tmpfs { size, mode };
            }
            (LongType::Tmpfs, _) => return Err("a folder in memory has no source".into()),
            (LongType::Volume | LongType::Bind, _) => return Err("type and source do not fit".into()),
        }
        Ok(mount)
    }
}
