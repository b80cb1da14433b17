//! What a service asks of the kernel and the host: networks, devices, limits, names.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::mounts::is_absolute;
use super::scalars::{BadValue, Scalar, Text};
use crate::yaml::Spanned;

/// A service's place outside of the stack's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The host's own interfaces and ports.
    Host,
    /// No network but loopback.
    None,
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::None => "none",
        })
    }
}

/// The networks that a service is in, as they were written; none means `default`.
#[derive(Clone, Debug, Default)]
pub struct Networks(pub Vec<Spanned<NetworkUse>>);

/// A service in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkUse {
    /// The network's name.
    pub name: Text,
    /// Further names of the service in it.
    pub aliases: Vec<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkSettings {
    #[serde(default)]
    aliases: Vec<Text>,
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NetworksVisitor)
    }
}

struct NetworksVisitor;

impl<'de> Visitor<'de> for NetworksVisitor {
    type Value = Networks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of networks, or a map of networks to `aliases`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Networks, A::Error> {
        let mut all = Networks::default();
        while let Some(name) = seq.next_element::<Spanned<Text>>()? {
            all.push(Spanned::new(
                NetworkUse { name: name.value, aliases: Vec::new() },
                name.referenced,
                name.defined,
            ))?;
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Networks, A::Error> {
        let mut all = Networks::default();
        while let Some((name, settings)) = map.next_entry::<Text, Spanned<Option<NetworkSettings>>>()? {
            let aliases = settings.value.unwrap_or_default().aliases;
            all.push(Spanned::new(NetworkUse { name, aliases }, settings.referenced, settings.defined))?;
        }
        Ok(all)
    }
}

impl Networks {
    fn push<E: Error>(&mut self, network: Spanned<NetworkUse>) -> Result<(), E> {
        let name = &network.value.name;
        if self.0.iter().any(|known| known.value.name == *name) {
            return Err(E::custom(format!("`{name}` is there twice")));
        }
        self.0.push(network);
        Ok(())
    }
}

/// A device file of the host, `HOST[:CONTAINER[:rwm]]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Path on the host.
    pub host: Utf8PathBuf,
    /// Path in the container.
    pub container: Utf8PathBuf,
    /// What is allowed, of `r`, `w` and `m`.
    pub permissions: String,
}

impl FromStr for Device {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || {
            BadValue(format!(
                "`{text}` is not a device: expected `/dev/ttyUSB0` or `/dev/ttyUSB0:/dev/tty0:rw`"
            ))
        };
        let text: Text = text.parse()?;
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, permissions) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, container] => (host, container, "rwm"),
            [host, container, permissions] => (host, container, permissions),
            _ => return Err(bad()),
        };
        let known = !permissions.is_empty() && permissions.chars().all(|c| matches!(c, 'r' | 'w' | 'm'));
        if !is_absolute(host) || !is_absolute(container) || !known {
            return Err(bad());
        }
        Ok(Self { host: host.into(), container: container.into(), permissions: permissions.to_owned() })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.host, self.container, self.permissions)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar("a device"))?.parse().map_err(Error::custom)
    }
}

/// Lines of `/etc/hosts`: names to an address, or to `host-gateway`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraHosts(pub BTreeMap<String, String>);

/// The address of the host as the container sees it, for the Engine to fill in.
pub const HOST_GATEWAY: &str = "host-gateway";

impl ExtraHosts {
    fn insert<E: Error>(&mut self, name: &str, address: &str) -> Result<(), E> {
        let inner = address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address);
        if inner != HOST_GATEWAY && inner.parse::<IpAddr>().is_err() {
            return Err(E::custom(format!("`{address}` is neither an address nor `{HOST_GATEWAY}`")));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(E::custom(format!("`{}` is no name of a host", name.escape_debug())));
        }
        match self.0.insert(name.to_owned(), inner.to_owned()) {
            Some(_) => Err(E::custom(format!("`{name}` is there twice"))),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for ExtraHosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HostsVisitor)
    }
}

struct HostsVisitor;

impl<'de> Visitor<'de> for HostsVisitor {
    type Value = ExtraHosts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of `NAME:ADDRESS`, or a map of names to addresses")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ExtraHosts, A::Error> {
        let mut all = ExtraHosts::default();
        while let Some(entry) = seq.next_element::<Text>()? {
            let (name, address) = entry
                .split_once(['=', ':'])
                .ok_or_else(|| A::Error::custom(format!("`{entry}` is not NAME:ADDRESS")))?;
            all.insert(name, address)?;
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtraHosts, A::Error> {
        let mut all = ExtraHosts::default();
        while let Some((name, address)) = map.next_entry::<Text, Text>()? {
            all.insert(&name, &address)?;
        }
        Ok(all)
    }
}

/// A limit of a process; -1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ulimit {
    /// What holds until the process raises it.
    pub soft: i64,
    /// How far it can.
    pub hard: i64,
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UlimitVisitor)
    }
}

struct UlimitVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SoftHard {
    soft: i64,
    hard: i64,
}

impl<'de> Visitor<'de> for UlimitVisitor {
    type Value = Ulimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or `soft` and `hard`")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Ulimit, E> {
        let number = i64::try_from(number).map_err(|_| E::custom(format!("`{number}` is too much")))?;
        limit(number, number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Ulimit, E> {
        limit(number, number)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ulimit, A::Error> {
        let SoftHard { soft, hard } = SoftHard::deserialize(MapAccessDeserializer::new(map))?;
        limit(soft, hard)
    }
}

fn limit<E: Error>(soft: i64, hard: i64) -> Result<Ulimit, E> {
    if soft < -1 || hard < -1 {
        return Err(E::custom("a limit is a number from 0, or -1 for none"));
    }
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(E::custom("`soft` is above `hard`"));
    }
    Ok(Ulimit { soft, hard })
}

/// Limits of processes by name, such as `nofile`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ulimits(pub BTreeMap<String, Ulimit>);

/// The names that Linux knows.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl<'de> Deserialize<'de> for Ulimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = BTreeMap::<String, Ulimit>::deserialize(deserializer)?;
        match all.keys().find(|name| !ULIMITS.contains(&name.as_str())) {
            Some(name) => {
                Err(D::Error::custom(format!("`{name}` is no limit: known are {}", ULIMITS.join(", "))))
            }
            None => Ok(Self(all)),
        }
    }
}
