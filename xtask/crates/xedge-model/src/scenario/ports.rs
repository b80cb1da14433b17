//! Container ports in both forms that scenarios use. The host's side is a wish that nobody grants.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Container ports, written as a map `1883: 1883` or a list of `"1883:1883"` (host first, as in Compose).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortsVisitor)
    }
}

struct PortsVisitor;

impl<'de> Visitor<'de> for PortsVisitor {
    type Value = Ports;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map `1883: 1883` or a list of \"1883:1883\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ports, A::Error> {
        let mut ports = Vec::new();
        while let Some((container, _host)) = map.next_entry::<u16, u16>()? {
            ports.push(container);
        }
        Ok(Ports(ports))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ports, A::Error> {
        let mut ports = Vec::new();
        while let Some(text) = seq.next_element::<String>()? {
            let container = text.rsplit_once(':').map_or(text.as_str(), |(_, container)| container);
            let container = container.strip_suffix("/tcp").unwrap_or(container);
            ports.push(container.parse().map_err(|_| {
                A::Error::custom(format!("`{text}` is not a port mapping: expected \"1883:1883\""))
            })?);
        }
        Ok(Ports(ports))
    }
}

#[cfg(test)]
mod tests {
    use super::Ports;
    use crate::yaml::Source;

    #[test]
    fn maps_and_lists_name_container_ports() {
        let ports = |text: &str| Source::new("s.yaml", text).parse::<Ports>();
        assert_eq!(ports("1883: 11883\n").unwrap(), Ports(vec![1883]));
        assert_eq!(ports("[\"11883:1883\", \"8883/tcp\"]").unwrap(), Ports(vec![1883, 8883]));
        assert!(ports("[\"1883:mqtt\"]").is_err());
        assert!(ports("70000: 1").is_err());
    }
}
