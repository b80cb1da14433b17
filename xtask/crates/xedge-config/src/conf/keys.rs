//! The keys of mosquitto 2.0 and 2.1 (mosquitto.conf(5)), where each may stand and what it takes. Data only.

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) level: Level,
    pub(super) kind: Kind,
    /// Whether it may be given more than once.
    pub(super) many: bool,
}

/// What a key is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Broker,
    /// The listener above it, or the default listener.
    Listener,
    /// The listener above it with `per_listener_settings true`, else the broker.
    Security,
    Bridge,
}

/// What a key takes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    /// A whole number in this range.
    Int(i64, i64),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A number and one of h, d, w, m, y; from 2.1 on of s, too.
    Expiration,
    /// `stdout`, `file PATH` and the like.
    LogDest,
    /// A port and perhaps an address; or port 0 and the path of a socket.
    Listener,
    /// Anything that is not empty.
    Text,
}

impl Kind {
    /// Says what was expected where the value does not fit.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Bool if matches!(value, "true" | "false") => Ok(()),
            Self::Bool => Err("`true` or `false`".into()),
            Self::Int(min, max) => match value.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(format!("a whole number from {min} to {max}")),
            },
            Self::OneOf(list) if list.contains(&value) => Ok(()),
            Self::OneOf(list) => Err(format!("one of {}", list.join(", "))),
            Self::Expiration if is_expiration(value) => Ok(()),
            Self::Expiration => Err("a number and one of h, d, w, m, y (2.1 takes s too)".into()),
            Self::LogDest if is_log_dest(value) => Ok(()),
            Self::LogDest => Err("one of stdout, stderr, syslog, topic, none, dlt or `file PATH`".into()),
            Self::Listener if is_listener(value) => Ok(()),
            Self::Listener => Err("a port and perhaps an address".into()),
            Self::Text if !value.is_empty() => Ok(()),
            Self::Text => Err("a value".into()),
        }
    }
}

fn is_expiration(value: &str) -> bool {
    let number = value.strip_suffix(['s', 'h', 'd', 'w', 'm', 'y']).unwrap_or_default();
    number.parse::<u32>().is_ok_and(|number| number > 0)
}

fn is_log_dest(value: &str) -> bool {
    matches!(value, "stdout" | "stderr" | "syslog" | "topic" | "none" | "dlt")
        || value.strip_prefix("file ").is_some_and(|path| path.trim_start().starts_with('/'))
}

fn is_listener(value: &str) -> bool {
    let words: Vec<&str> = value.split_whitespace().collect();
    match words[..] {
        [port] => port.parse::<u16>().is_ok_and(|port| port > 0),
        ["0", path] => path.starts_with('/'),
        [port, _address] => port.parse::<u16>().is_ok(),
        _ => false,
    }
}

/// The names of all keys.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

/// The key of this name; `plugin_opt_*` and `auth_opt_*` stand for what a plugin wants.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let plugin = |prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    if plugin("plugin_opt_") || plugin("auth_opt_") {
        return Some(&PLUGIN_OPTION);
    }
    KEYS.iter().find(|key| key.name == name)
}

const PLUGIN_OPTION: Key = one("plugin_opt_*", Level::Security, Kind::Text);

const fn one(name: &'static str, level: Level, kind: Kind) -> Key {
    Key { name, level, kind, many: false }
}

const fn many(name: &'static str, level: Level, kind: Kind) -> Key {
    Key { name, level, kind, many: true }
}

use Kind::{Bool, Expiration, Int, LogDest, OneOf, Text};
use Level::{Bridge, Broker, Listener, Security};

const COUNT: Kind = Int(0, i32::MAX as i64);
const LIMIT: Kind = Int(-1, i32::MAX as i64);
const LOG_TYPES: Kind = OneOf(&[
    "debug",
    "error",
    "warning",
    "notice",
    "information",
    "subscribe",
    "unsubscribe",
    "internal",
    "websockets",
    "none",
    "all",
]);
const BRIDGE_PROTOCOLS: Kind = OneOf(&["mqttv31", "mqttv311", "mqttv50"]);
const START_TYPES: Kind = OneOf(&["automatic", "lazy", "once"]);

#[rustfmt::skip]
const KEYS: &[Key] = &[
    one("allow_duplicate_messages", Broker, Bool),
    one("autosave_interval", Broker, COUNT),
    one("autosave_on_changes", Broker, Bool),
    one("check_retain_source", Broker, Bool),
    one("clientid_prefixes", Broker, Text),
    one("connection_messages", Broker, Bool),
    one("enable_control_api", Broker, Bool),
    one("global_max_clients", Broker, LIMIT),
    one("global_max_connections", Broker, LIMIT),
    many("global_plugin", Broker, Text),
    one("include_dir", Broker, Text),
    many("log_dest", Broker, LogDest),
    one("log_facility", Broker, Int(0, 7)),
    one("log_timestamp", Broker, Bool),
    one("log_timestamp_format", Broker, Text),
    many("log_type", Broker, LOG_TYPES),
    one("max_inflight_bytes", Broker, COUNT),
    one("max_inflight_messages", Broker, Int(0, 65_535)),
    one("max_keepalive", Broker, Int(10, 65_535)),
    one("max_packet_size", Broker, Int(20, 268_435_455)),
    one("max_queued_bytes", Broker, COUNT),
    one("max_queued_messages", Broker, COUNT),
    one("memory_limit", Broker, COUNT),
    one("message_size_limit", Broker, Int(0, 268_435_455)),
    one("per_listener_settings", Broker, Bool),
    one("persistence", Broker, Bool),
    one("persistence_file", Broker, Text),
    one("persistence_location", Broker, Text),
    one("persistent_client_expiration", Broker, Expiration),
    one("pid_file", Broker, Text),
    one("queue_qos0_messages", Broker, Bool),
    one("retain_available", Broker, Bool),
    one("retain_expiry_interval", Broker, Int(1, 10_000_000)),
    one("set_tcp_nodelay", Broker, Bool),
    one("sys_interval", Broker, Int(0, 65_535)),
    one("upgrade_outgoing_qos", Broker, Bool),
    one("user", Broker, Text),
    one("websockets_headers_size", Broker, COUNT),
    one("websockets_log_level", Broker, COUNT),

    many("listener", Listener, Kind::Listener),
    one("accept_protocol_versions", Listener, Text),
    one("bind_address", Listener, Text),
    one("bind_interface", Listener, Text),
    one("cafile", Listener, Text),
    one("capath", Listener, Text),
    one("certfile", Listener, Text),
    one("ciphers", Listener, Text),
    one("ciphers_tls1.3", Listener, Text),
    one("crlfile", Listener, Text),
    one("dhparamfile", Listener, Text),
    one("disable_client_cert_date_checks", Listener, Bool),
    one("enable_proxy_protocol", Listener, Int(1, 2)),
    one("http_dir", Listener, Text),
    one("keyfile", Listener, Text),
    one("listener_allow_anonymous", Listener, Bool),
    one("listener_auto_id_prefix", Listener, Text),
    one("max_connections", Listener, LIMIT),
    one("max_qos", Listener, Int(0, 2)),
    one("max_topic_alias", Listener, Int(0, 65_535)),
    one("max_topic_alias_broker", Listener, Int(0, 65_535)),
    one("mount_point", Listener, Text),
    one("port", Listener, Int(1, 65_535)),
    one("protocol", Listener, OneOf(&["mqtt", "websockets", "http_api"])),
    one("proxy_protocol_v2_require_tls", Listener, Bool),
    one("psk_hint", Listener, Text),
    one("require_certificate", Listener, Bool),
    one("socket_domain", Listener, OneOf(&["ipv4", "ipv6"])),
    one("tls_engine", Listener, Text),
    one("tls_engine_kpass_sha1", Listener, Text),
    one("tls_keyform", Listener, OneOf(&["pem", "engine"])),
    one("tls_version", Listener, OneOf(&["tlsv1.1", "tlsv1.2", "tlsv1.3"])),
    one("use_identity_as_username", Listener, Bool),
    one("use_subject_as_username", Listener, Bool),
    one("use_username_as_clientid", Listener, Bool),
    many("websockets_origin", Listener, Text),

    one("acl_file", Security, Text),
    one("allow_anonymous", Security, Bool),
    one("allow_zero_length_clientid", Security, Bool),
    many("auth_plugin", Security, Text),
    one("auth_plugin_deny_special_chars", Security, Bool),
    one("auto_id_prefix", Security, Text),
    one("password_file", Security, Text),
    many("plugin", Security, Text),
    many("plugin_load", Security, Text),
    many("plugin_use", Security, Text),
    one("psk_file", Security, Text),

    many("connection", Bridge, Text),
    one("address", Bridge, Text),
    one("addresses", Bridge, Text),
    one("bridge_alpn", Bridge, Text),
    one("bridge_attempt_unsubscribe", Bridge, Bool),
    one("bridge_bind_address", Bridge, Text),
    one("bridge_cafile", Bridge, Text),
    one("bridge_capath", Bridge, Text),
    one("bridge_certfile", Bridge, Text),
    one("bridge_ciphers", Bridge, Text),
    one("bridge_ciphers_tls1.3", Bridge, Text),
    one("bridge_identity", Bridge, Text),
    one("bridge_insecure", Bridge, Bool),
    one("bridge_keyfile", Bridge, Text),
    one("bridge_max_packet_size", Bridge, COUNT),
    one("bridge_max_topic_alias", Bridge, Int(0, 65_535)),
    one("bridge_outgoing_retain", Bridge, Bool),
    one("bridge_protocol_version", Bridge, BRIDGE_PROTOCOLS),
    one("bridge_psk", Bridge, Text),
    one("bridge_receive_maximum", Bridge, Int(1, 65_535)),
    one("bridge_reload_type", Bridge, OneOf(&["lazy", "immediate"])),
    one("bridge_require_ocsp", Bridge, Bool),
    one("bridge_session_expiry_interval", Bridge, Int(0, u32::MAX as i64)),
    one("bridge_tcp_keepalive", Bridge, Text),
    one("bridge_tcp_user_timeout", Bridge, COUNT),
    one("bridge_tls_use_os_certs", Bridge, Bool),
    one("bridge_tls_version", Bridge, OneOf(&["tlsv1.1", "tlsv1.2", "tlsv1.3"])),
    one("cleansession", Bridge, Bool),
    one("clientid", Bridge, Text),
    one("idle_timeout", Bridge, COUNT),
    one("keepalive_interval", Bridge, Int(5, 65_535)),
    one("local_cleansession", Bridge, Bool),
    one("local_clientid", Bridge, Text),
    one("local_password", Bridge, Text),
    one("local_username", Bridge, Text),
    one("notification_topic", Bridge, Text),
    one("notifications", Bridge, Bool),
    one("notifications_local_only", Bridge, Bool),
    one("password", Bridge, Text),
    one("remote_clientid", Bridge, Text),
    one("remote_password", Bridge, Text),
    one("remote_username", Bridge, Text),
    one("restart_timeout", Bridge, Text),
    one("round_robin", Bridge, Bool),
    one("start_type", Bridge, START_TYPES),
    one("threshold", Bridge, COUNT),
    many("topic", Bridge, Text),
    one("try_private", Bridge, Bool),
    one("username", Bridge, Text),
];
