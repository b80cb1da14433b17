//! Settings of model nodes, under a node's `config`. Keys that are not ours are kept for scripts; whether there is a
//! script is not known here.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::units::{Share, Size};
use crate::duration::Span;

/// Settings of a model; each has a default.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// Time between two readings of a sensor, or two aggregates of a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Random part of `every`, both ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Share>,
    /// Topic to publish to; `{id}` becomes the node's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Topic filter to subscribe to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<String>,
    /// MQTT quality of service, 0 to 2.
    pub qos: u8,
    /// User to log in as; its password comes from the secret store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Bytes of each message; absent means as many as the reading needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Size>,
    /// Whether the broker keeps the last message of each topic.
    pub retain: bool,
    /// Whether the broker forgets the session when the connection ends.
    pub clean_session: bool,
    /// How long a connection may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Span>,
    /// What the broker publishes when the connection breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub will: Option<Will>,
    /// Encrypted, with the broker's certificate checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Version of MQTT.
    pub protocol: Protocol,
    /// The node that it sends to; absent means the only gateway, cloud or broker that there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Keys of a script's own.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// A message that the broker holds for the case that its sender disappears.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Will {
    /// Topic; `{id}` becomes the node's id.
    pub topic: String,
    /// Text of the message.
    #[serde(default)]
    pub payload: String,
    /// Quality of service, 0 to 2.
    #[serde(default)]
    pub qos: u8,
    /// Whether the broker keeps it.
    #[serde(default)]
    pub retain: bool,
}

/// Encryption of the connection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the authority that signed the broker's certificate, relative to the project.
    pub ca: String,
}

/// Version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Protocol {
    /// 3.1.1.
    #[default]
    #[serde(rename = "3.1.1")]
    V3,
    /// 5.
    #[serde(rename = "5")]
    V5,
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "3.1.1" => Ok(Self::V3),
            "5" => Ok(Self::V5),
            other => {
                let message = format!("`{other}` is no version of MQTT that models speak: 3.1.1 or 5");
                Err(serde::de::Error::custom(message))
            }
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            every: None,
            jitter: None,
            topic: None,
            subscribe: None,
            qos: 1,
            user: None,
            payload: None,
            retain: false,
            clean_session: true,
            keep_alive: None,
            will: None,
            tls: None,
            protocol: Protocol::default(),
            to: None,
            other: BTreeMap::new(),
        }
    }
}

impl ModelConfig {
    /// The keys that built-in models know.
    pub const KEYS: [&'static str; 14] = [
        "every",
        "jitter",
        "topic",
        "subscribe",
        "qos",
        "user",
        "payload",
        "retain",
        "clean_session",
        "keep_alive",
        "will",
        "tls",
        "protocol",
        "to",
    ];

    /// All of it as a script gets it, defaults filled in.
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("settings have string keys only")
    }
}

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConfigVisitor)
    }
}

struct ConfigVisitor;

impl<'de> Visitor<'de> for ConfigVisitor {
    type Value = ModelConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModelConfig, A::Error> {
        let mut config = ModelConfig::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "every" => config.every = map.next_value()?,
                "jitter" => config.jitter = map.next_value()?,
                "topic" => config.topic = map.next_value()?,
                "subscribe" => config.subscribe = map.next_value()?,
                "qos" => config.qos = map.next_value()?,
                "user" => config.user = map.next_value()?,
                "payload" => config.payload = map.next_value()?,
                "retain" => config.retain = map.next_value()?,
                "clean_session" => config.clean_session = map.next_value()?,
                "keep_alive" => config.keep_alive = map.next_value()?,
                "will" => config.will = map.next_value()?,
                "tls" => config.tls = map.next_value()?,
                "protocol" => config.protocol = map.next_value()?,
                "to" => config.to = map.next_value()?,
                _ => drop(config.other.insert(key, map.next_value()?)),
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::{ModelConfig, Protocol};
    use crate::yaml::Source;

    fn read(text: &str) -> Result<ModelConfig, String> {
        Source::new("c.yaml", text)
            .parse()
            .map_err(|error: crate::yaml::YamlError| error.message().to_owned())
    }

    #[test]
    fn known_keys_are_typed_and_others_kept() {
        let config =
            read("{every: 10s, jitter: 20%, protocol: 5, threshold: 2.5, deep: {a: [1, x]}}").unwrap();
        assert_eq!((config.qos, config.clean_session, config.protocol), (1, true, Protocol::V5));
        let json = config.json();
        assert_eq!(json["deep"]["a"][0], 1);
        assert_eq!((&json["threshold"], &json["every"]), (&2.5.into(), &"10s".into()));
        assert_eq!(read("{protocol: 3.1.1}").unwrap().protocol, Protocol::V3);
        assert_eq!(read("{}").unwrap(), ModelConfig::default());
    }

    #[test]
    fn every_key_is_one_that_is_read() {
        for key in ModelConfig::KEYS {
            let refused = read(&format!("{{{key}: [x]}}"));
            assert!(refused.is_err(), "{key} is kept as one of a script's");
        }
        assert!(read("{protocol: 4}").unwrap_err().contains("3.1.1 or 5"));
        assert!(read("{will: {payload: x}}").unwrap_err().contains("missing field `topic`"));
        assert!(read("{qos: 1, qos: 2}").unwrap_err().contains("duplicate key"));
    }
}
