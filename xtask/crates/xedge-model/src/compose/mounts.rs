//! Ports and mounts in Compose's short form.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::scalars::{BadValue, Scalar, Text};
use crate::stack::{RelPath, is_name};

/// A published port, `[[ADDRESS:]HOST:]CONTAINER[/tcp|/udp]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Address on the host; absent means all.
    pub address: Option<Ipv4Addr>,
    /// Port on the host; absent means that the Engine picks one.
    pub host: Option<u16>,
    /// Port in the container.
    pub container: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl FromStr for Port {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let parse = || {
            let (numbers, protocol) = match text.split_once('/') {
                None => (text, Protocol::Tcp),
                Some((numbers, "tcp")) => (numbers, Protocol::Tcp),
                Some((numbers, "udp")) => (numbers, Protocol::Udp),
                Some(_) => return None,
            };
            let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
            let parts: Vec<&str> = numbers.split(':').collect();
            let (address, host, container) = match parts[..] {
                [container] => (None, None, port(container)?),
                [host, container] => (None, Some(port(host)?), port(container)?),
                [address, host, container] => {
                    (Some(address.parse().ok()?), Some(port(host)?), port(container)?)
                }
                _ => return None,
            };
            Some(Self { address, host, container, protocol })
        };
        let expected = "expected `1883:1883`, `127.0.0.1:1883:1883` or `1883`, with `/tcp` or `/udp` after it if need be";
        parse().ok_or_else(|| BadValue(format!("`{text}` is not a port mapping: {expected}")))
    }
}

/// The protocol is always written: `22:22` alone is a number in base 60 to a YAML 1.1 reader.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.address {
            write!(f, "{address}:")?;
        }
        if let Some(host) = self.host {
            write!(f, "{host}:")?;
        }
        write!(f, "{}/{}", self.container, self.protocol)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar("a port mapping"))?.parse().map_err(Error::custom)
    }
}

/// A mount, `SOURCE:TARGET[:ro|:rw]`.
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
}

impl FromStr for Mount {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = |why: &str| BadValue(format!("`{text}` is not a mount: {why}"));
        let text: Text = text.parse()?;
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, read_only) = match parts[..] {
            [source, target] | [source, target, "rw"] => (source, target, false),
            [source, target, "ro"] => (source, target, true),
            _ => return Err(bad("expected `./FOLDER:/TARGET:ro` or `VOLUME:/TARGET`")),
        };
        if !is_target(target) {
            return Err(bad("the target must be an absolute path of plain parts"));
        }
        let source = match source.strip_prefix("./") {
            Some(below) => MountSource::Bind(below.parse().map_err(|e| bad(&format!("{e}")))?),
            None if is_name(source) => MountSource::Volume(source.to_owned()),
            None => return Err(bad("the source must be `./…` below the Compose file, or a named volume")),
        };
        Ok(Self { source, target: target.into(), read_only })
    }
}

/// An absolute path of plain parts, written in the only possible way, and not the root itself.
fn is_target(text: &str) -> bool {
    let mut parts = Utf8Path::new(text).components();
    let rooted = parts.next() == Some(Utf8Component::RootDir);
    let plain = parts.clone().count() > 0 && parts.all(|part| matches!(part, Utf8Component::Normal(_)));
    let rebuilt: Utf8PathBuf = Utf8Path::new(text).components().collect();
    rooted && plain && rebuilt.as_str() == text
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            MountSource::Bind(source) => write!(f, "./{source}")?,
            MountSource::Volume(name) => f.write_str(name)?,
        }
        write!(f, ":{}{}", self.target, if self.read_only { ":ro" } else { "" })
    }
}

impl<'de> Deserialize<'de> for Mount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}
