//! Versions of mosquitto and what differs between them (its list of changes, and mosquitto.conf(5)). Data, and reading a version.

use std::fmt;

use serde::Serialize;

/// A version of mosquitto as far as its configuration goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BrokerVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

/// The first 2.0.
pub(crate) const V2_0: BrokerVersion = BrokerVersion { major: 2, minor: 0, patch: 0 };
/// The first 2.1.
pub(crate) const V2_1: BrokerVersion = BrokerVersion { major: 2, minor: 1, patch: 0 };

impl BrokerVersion {
    /// From the version of a package, such as `2.0.11-1.2+deb12u2`, `1:2.1.2-1` or `2.0.18-r0`.
    pub fn of_package(text: &str) -> Option<Self> {
        let text = text.split_once(':').map_or(text, |(_epoch, rest)| rest);
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch = numbers.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(Self { major, minor, patch })
    }

    /// Whether the table of keys was made for it.
    pub fn is_known(self) -> bool {
        self.major == 2 && self.minor <= 1
    }
}

impl fmt::Display for BrokerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version that a key is new in, where it is not in 2.0.
pub(crate) fn since(key: &str) -> Option<BrokerVersion> {
    match key {
        "retain_expiry_interval" => Some(BrokerVersion { patch: 21, ..V2_0 }),
        key => NEW_IN_2_1.contains(&key).then_some(V2_1),
    }
}

/// A key that a version still takes but that goes away.
pub(crate) struct Deprecated {
    /// The first version that calls it deprecated.
    pub(crate) from: BrokerVersion,
    /// What becomes of it, and what to write instead.
    pub(crate) advice: &'static str,
}

/// What is known of a key's end.
pub(crate) fn deprecated(key: &str) -> Option<Deprecated> {
    let (_, from, advice) = *DEPRECATED.iter().find(|(name, ..)| *name == key)?;
    Some(Deprecated { from, advice })
}

const NEW_IN_2_1: &[&str] = &[
    "accept_protocol_versions",
    "bridge_ciphers",
    "bridge_ciphers_tls1.3",
    "bridge_max_topic_alias",
    "bridge_receive_maximum",
    "bridge_reload_type",
    "bridge_session_expiry_interval",
    "bridge_tcp_keepalive",
    "bridge_tcp_user_timeout",
    "bridge_tls_use_os_certs",
    "disable_client_cert_date_checks",
    "enable_control_api",
    "enable_proxy_protocol",
    "global_max_clients",
    "global_max_connections",
    "global_plugin",
    "listener_allow_anonymous",
    "listener_auto_id_prefix",
    "max_topic_alias_broker",
    "plugin_load",
    "plugin_use",
    "proxy_protocol_v2_require_tls",
    "websockets_origin",
];

const DEPRECATED: &[(&str, BrokerVersion, &str)] = &[
    ("acl_file", V2_1, "3.0 has it no more: load the acl-file plugin with `plugin`"),
    ("allow_duplicate_messages", V2_0, "3.0 behaves as with `true`: leave it out"),
    ("auto_id_prefix", V2_1, "3.0 has it no more: write `listener_auto_id_prefix` below the listener"),
    ("bind_address", V2_0, "3.0 has it no more: write `listener PORT ADDRESS`"),
    ("clientid_prefixes", V2_0, "3.0 has it no more: check client ids with a plugin"),
    ("dhparamfile", V2_1, "it has no effect any more: leave it out"),
    ("password_file", V2_1, "3.0 has it no more: load the password-file plugin with `plugin`"),
    (
        "per_listener_settings",
        V2_1,
        "3.0 has it no more: write `listener_allow_anonymous` below each listener",
    ),
    ("port", V2_0, "3.0 has it no more: write `listener PORT`"),
];
