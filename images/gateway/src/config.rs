//! The configuration: a TOML file, over which two environment variables win. Checks everything before anything runs.

use std::fs;
use std::io;
use std::time::Duration;

use serde::Deserialize;

const DEFAULT_PORT: u16 = 1883;

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// The configuration file.
    pub(crate) path: String,
    /// Whether somebody asked for that file: then it must exist.
    pub(crate) path_is_explicit: bool,
    /// `GATEWAY_ID`.
    pub(crate) id: Option<String>,
    /// `MQTT_BROKER`, as `host:port`.
    pub(crate) broker: Option<String>,
}

/// Checked settings.
#[derive(Debug)]
pub(crate) struct Config {
    /// The gateway's name: MQTT client id, part of the upstream topic, name of the health socket.
    pub(crate) id: String,
    /// Topic filter of the sensors.
    pub(crate) subscribe: String,
    /// Topic of the results, without placeholders.
    pub(crate) upstream: String,
    /// Length of a window.
    pub(crate) every: Duration,
    /// A reading further from its sensor's mean than this many standard deviations is an outlier.
    pub(crate) outlier_sigma: f64,
    /// A window is closed early when it holds back this many acknowledgements.
    pub(crate) max_unacked: usize,
    /// The broker's host name or address.
    pub(crate) host: String,
    /// The broker's port.
    pub(crate) port: u16,
    /// User name and password, where the broker wants them.
    pub(crate) login: Option<Login>,
}

/// Who the gateway is to the broker.
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("failed to read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("failed to read {path} as configuration: {source}")]
    Parse { path: String, source: toml::de::Error },
    #[error("failed to use the configuration: {0}")]
    Value(String),
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    id: String,
    subscribe: String,
    upstream: String,
    every_s: f64,
    outlier_sigma: f64,
    max_unacked: usize,
    mqtt: Mqtt,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Mqtt {
    broker: Option<String>,
    username: Option<String>,
    password_file: Option<String>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            id: "gateway".to_owned(),
            subscribe: "sensors/+".to_owned(),
            upstream: "upstream/{id}".to_owned(),
            every_s: 5.0,
            outlier_sigma: 4.0,
            // Brokers send no more than their own limit before the first acknowledgement; mosquitto's is 20.
            max_unacked: 16,
            mqtt: Mqtt::default(),
        }
    }
}

impl Config {
    /// Reads the file, lets the environment win, and checks the whole.
    pub(crate) fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let path = || overrides.path.clone();
        let file = match fs::read_to_string(&overrides.path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path(), source })?
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && !overrides.path_is_explicit => File::default(),
            Err(source) => return Err(ConfigError::Read { path: path(), source }),
        };
        Self::check(file, overrides)
    }

    fn check(file: File, overrides: &Overrides) -> Result<Self, ConfigError> {
        let id = overrides.id.clone().unwrap_or(file.id);
        check_id(&id)?;
        let upstream = file.upstream.replace("{id}", &id);
        let broker = overrides.broker.clone().or(file.mqtt.broker.clone());
        let broker =
            broker.ok_or_else(|| value("no broker: set `[mqtt] broker` or MQTT_BROKER to host:port"))?;
        let (host, port) = split_broker(&broker)?;
        require(rumqttc::valid_filter(&file.subscribe), || {
            format!("`subscribe` is `{}`, which is not a topic filter", file.subscribe)
        })?;
        require(rumqttc::valid_topic(&upstream) && !upstream.is_empty(), || {
            format!("`upstream` is `{upstream}`, which is not a topic")
        })?;
        require(!rumqttc::matches(&upstream, &file.subscribe), || {
            format!("`upstream` ({upstream}) matches `subscribe`: the gateway would read its own results")
        })?;
        require((0.1..=3600.0).contains(&file.every_s), || "`every_s` is not within 0.1 to 3600".to_owned())?;
        require(file.outlier_sigma > 0.0, || "`outlier_sigma` is not above 0".to_owned())?;
        require((1..=128).contains(&file.max_unacked), || "`max_unacked` is not within 1 to 128".to_owned())?;
        Ok(Self {
            id,
            subscribe: file.subscribe,
            upstream,
            every: Duration::from_secs_f64(file.every_s),
            outlier_sigma: file.outlier_sigma,
            max_unacked: file.max_unacked,
            host,
            port,
            login: login(file.mqtt)?,
        })
    }
}

fn login(mqtt: Mqtt) -> Result<Option<Login>, ConfigError> {
    let password = match &mqtt.password_file {
        Some(path) => fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        None => String::new(),
    };
    match mqtt.username {
        Some(username) => Ok(Some(Login { username, password })),
        // MQTT 3.1.1 §3.1.2.9 knows no password without a user name.
        None if mqtt.password_file.is_some() => Err(value("`password_file` needs a `username`")),
        None => Ok(None),
    }
}

/// Letters, digits, `.`, `_`, `-`: fit for a topic level and for a client id.
fn check_id(id: &str) -> Result<(), ConfigError> {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    require((1..=64).contains(&id.len()) && id.chars().all(fit), || {
        format!("the id {id:?} is not 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    })
}

/// `host:port`, `host`, `[v6]:port` or `[v6]`.
fn split_broker(broker: &str) -> Result<(String, u16), ConfigError> {
    let wrong = || value(&format!("the broker {broker:?} is not host:port"));
    let (host, port) = match broker.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, port))) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
        Some(None) => return Err(wrong()),
        None => match broker.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (broker, None),
        },
    };
    let port = port.map_or(Ok(DEFAULT_PORT), |port| port.parse().map_err(|_| wrong()))?;
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    require(port != 0 && !host.is_empty() && host.chars().all(fit), || wrong().to_string())?;
    Ok((host.to_owned(), port))
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Value(otherwise())) }
}

fn value(problem: &str) -> ConfigError {
    ConfigError::Value(problem.to_owned())
}

#[cfg(test)]
mod tests;
