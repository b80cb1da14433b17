//! What a mosquitto.conf means for someone who asks: who may connect, what is kept, what is logged, where it listens.

use super::{Conf, Scope};

/// What mosquitto 2.0 would do with a file; defaults filled in (mosquitto.conf(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where it listens; at least one.
    pub listeners: Vec<Listener>,
    /// What is saved, or `None` without persistence.
    pub saving: Option<Saving>,
    /// Log destinations, ordered.
    pub log_dests: Vec<String>,
    /// Log levels, ordered; `all` stands for itself.
    pub log_types: Vec<String>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What the entries about it have as their scope.
    pub scope: Scope,
    /// Port; 0 for a socket in the file system.
    pub port: u16,
    /// Address or path; `None` is every address.
    pub address: Option<String>,
    /// Whether a client without a user gets in.
    pub anonymous: bool,
    /// The password file.
    pub password_file: Option<String>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// How data is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saving {
    /// Folder; `None` is the working folder.
    pub location: Option<String>,
    /// Seconds, or changes with `on_changes`; 0 is only at the end of the process.
    pub interval: u64,
    /// Whether `interval` counts changes.
    pub on_changes: bool,
}

impl Facts {
    /// Whether a client without a user gets in anywhere.
    pub fn anonymous(&self) -> bool {
        self.listeners.iter().any(|listener| listener.anonymous)
    }

    pub(super) fn of(conf: &Conf) -> Self {
        Self {
            listeners: listeners(conf),
            saving: saving(conf),
            log_dests: several(conf, "log_dest", &["stderr"]),
            log_types: several(conf, "log_type", &["error", "information", "notice", "warning"]),
        }
    }
}

fn value<'a>(conf: &'a Conf, scope: Scope, key: &str) -> Option<&'a str> {
    let entry = conf.entries.iter().find(|entry| entry.scope == scope && entry.key == key);
    entry.map(|entry| entry.value.as_str())
}

fn several(conf: &Conf, key: &str, default: &[&str]) -> Vec<String> {
    let mut all: Vec<String> =
        conf.entries.iter().filter(|entry| entry.key == key).map(|entry| entry.value.clone()).collect();
    if all.is_empty() {
        all = default.iter().map(|&word| word.to_owned()).collect();
    }
    all.sort();
    all
}

fn saving(conf: &Conf) -> Option<Saving> {
    let get = |key| value(conf, Scope::Broker, key);
    (get("persistence") == Some("true")).then(|| Saving {
        location: get("persistence_location").map(str::to_owned),
        interval: get("autosave_interval").and_then(|text| text.parse().ok()).unwrap_or(1_800),
        on_changes: get("autosave_on_changes") == Some("true"),
    })
}

fn listeners(conf: &Conf) -> Vec<Listener> {
    let mut all: Vec<Listener> = Vec::new();
    let count = conf.entries.iter().filter(|entry| entry.key == "listener").count();
    let port = value(conf, Scope::Broker, "port");
    let bind = value(conf, Scope::Broker, "bind_address");
    if port.is_some() || bind.is_some() {
        let port = port.and_then(|port| port.parse().ok()).unwrap_or(1883);
        all.push(listener(conf, Scope::Broker, port, bind, false));
    }
    for scope in (0..count).map(Scope::Listener) {
        let mut words = value(conf, scope, "listener").unwrap_or_default().split_whitespace();
        let port = words.next().and_then(|port| port.parse().ok()).unwrap_or(0);
        all.push(listener(conf, scope, port, words.next(), false));
    }
    if all.is_empty() {
        // Without any listener mosquitto 2.0 is in its local-only mode, and open to everyone on the machine.
        all.push(listener(conf, Scope::Broker, 1883, Some("localhost"), true));
    }
    all
}

fn listener(conf: &Conf, scope: Scope, port: u16, address: Option<&str>, open: bool) -> Listener {
    let per_listener = value(conf, Scope::Broker, "per_listener_settings") == Some("true");
    let security = if per_listener { scope } else { Scope::Broker };
    let get = |key| value(conf, security, key);
    Listener {
        scope,
        port,
        address: address.map(str::to_owned),
        // mosquitto 2.1 has a key for one listener, which counts more.
        anonymous: value(conf, scope, "listener_allow_anonymous")
            .or_else(|| get("allow_anonymous"))
            .map_or(open, |text| text == "true"),
        password_file: get("password_file").map(str::to_owned),
        tls: value(conf, scope, "certfile").is_some() || value(conf, scope, "psk_hint").is_some(),
    }
}
