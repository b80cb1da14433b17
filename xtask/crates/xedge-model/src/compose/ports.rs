//! Ports, published or only named. A range is as many ports as it spans.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::scalars::{BadValue, Scalar, Text};

/// The most ports that one range spans.
const MOST: usize = 1_000;

/// A published port, `[[ADDRESS:]HOST:]CONTAINER[/tcp|/udp]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Address on the host; absent means all.
    pub address: Option<IpAddr>,
    /// Port on the host; absent means that the Engine picks one.
    pub host: Option<u16>,
    /// Port in the container.
    pub container: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// A port that is named for the other containers, and not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposed {
    /// Port in the container.
    pub container: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
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

/// The protocol is always written: `22:22` alone is a number in base 60 to a YAML 1.1 reader.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        match self.host {
            Some(host) => write!(f, "{host}:")?,
            None if self.address.is_some() => f.write_str(":")?,
            None => {}
        }
        write!(f, "{}/{}", self.container, self.protocol)
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.protocol)
    }
}

/// One port only.
impl FromStr for Port {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match Ports::from_str(text)?.0[..] {
            [port] => Ok(port),
            _ => Err(BadValue(format!("`{text}` is more than one port"))),
        }
    }
}

/// The ports of a service, ranges taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(pub Vec<Port>);

/// One entry in short form.
impl FromStr for Ports {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let expected = "expected `1883:1883`, `127.0.0.1:1883:1883`, `1883` or ranges of one length such as \
                        `8000-8009:8000-8009`, with `/tcp` or `/udp` after it if need be";
        short(text).ok_or_else(|| BadValue(format!("`{text}` is not a port mapping: {expected}")))
    }
}

fn short(text: &str) -> Option<Ports> {
    let (numbers, protocol) = protocol(text)?;
    let (rest, container) =
        numbers.rsplit_once(':').map_or((None, numbers), |(rest, last)| (Some(rest), last));
    let container = range(container)?;
    let Some(rest) = rest else { return spread(None, None, container, protocol) };
    let (address, host) = rest.rsplit_once(':').map_or((None, rest), |(address, host)| (Some(address), host));
    let address = match address {
        None => None,
        Some(text) => Some(match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(text) => IpAddr::V6(text.parse().ok()?),
            None => IpAddr::V4(text.parse().ok()?),
        }),
    };
    let host = if host.is_empty() && address.is_some() { None } else { Some(range(host)?) };
    spread(address, host, container, protocol)
}

fn protocol(text: &str) -> Option<(&str, Protocol)> {
    match text.split_once('/') {
        None | Some((_, "tcp")) => Some((text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp)),
        Some((numbers, "udp")) => Some((numbers, Protocol::Udp)),
        Some(_) => None,
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0 && plain(text));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = port(first)?..=port(last)?;
    (range.len() <= MOST && !range.is_empty()).then_some(range)
}

/// Both ranges in step.
fn spread(
    address: Option<IpAddr>,
    host: Option<RangeInclusive<u16>>,
    container: RangeInclusive<u16>,
    protocol: Protocol,
) -> Option<Ports> {
    if host.as_ref().is_some_and(|host| host.len() != container.len()) {
        return None;
    }
    let mut hosts = host.into_iter().flatten();
    Some(Ports(
        container.map(|container| Port { address, host: hosts.next(), container, protocol }).collect(),
    ))
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PortsVisitor)
    }
}

struct PortsVisitor;

impl<'de> Visitor<'de> for PortsVisitor {
    type Value = Ports;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of port mappings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ports, A::Error> {
        let mut all = Vec::new();
        while let Some(Entry(ports)) = seq.next_element()? {
            all.extend(ports.0);
        }
        Ok(Ports(all))
    }
}

/// One entry of `ports`, short or long.
struct Entry(Ports);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor).map(Self)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Ports;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port mapping")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ports, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Ports, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ports, A::Error> {
        let long = LongPort::deserialize(MapAccessDeserializer::new(map))?;
        long.ports().ok_or_else(|| {
            A::Error::custom("no port mapping: `target` and `published` are ports or ranges of one length")
        })
    }
}

/// The long form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongPort {
    target: Text,
    #[serde(default)]
    published: Option<Text>,
    #[serde(default)]
    host_ip: Option<IpAddr>,
    #[serde(default)]
    protocol: Protocol,
}

impl LongPort {
    fn ports(&self) -> Option<Ports> {
        let host = match &self.published {
            None => None,
            Some(published) => Some(range(published)?),
        };
        spread(self.host_ip, host, range(&self.target)?, self.protocol)
    }
}

/// The ports that a service only names, ranges taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expose(pub Vec<Exposed>);

impl<'de> Deserialize<'de> for Expose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ExposeVisitor)
    }
}

struct ExposeVisitor;

impl<'de> Visitor<'de> for ExposeVisitor {
    type Value = Expose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ports")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Expose, A::Error> {
        let mut all = Vec::new();
        while let Some(Named(text)) = seq.next_element()? {
            let parsed = protocol(&text).and_then(|(numbers, protocol)| Some((range(numbers)?, protocol)));
            let (range, protocol) = parsed.ok_or_else(|| {
                A::Error::custom(format!("`{text}` is no port: expected `1883`, `3000-3005` or `53/udp`"))
            })?;
            all.extend(range.map(|container| Exposed { container, protocol }));
        }
        Ok(Expose(all))
    }
}

/// A port as text.
struct Named(String);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar("a port")).map(Self)
    }
}
