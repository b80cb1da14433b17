//! How a device asks whether a service is well, and what it must be to take a release. Types and their rules; nothing is asked
//! here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{SecretKind, SecretReference, is_name};

/// What a device waits for after everything answered, where a stack says nothing, in seconds.
pub const SETTLE_S: u32 = 10;
/// What a service has to answer after its start, where a stack says nothing, in seconds.
pub const START_S: u32 = 60;
/// The longest of both, in seconds.
pub const MAX_WAIT_S: u32 = 3_600;
/// The most parts that a command has, and the most bytes of each and of a path.
const MAX_PARTS: usize = 64;
const MAX_TEXT: usize = 1_024;

/// A question that a service must answer after its start. Ports are those of the device, and TCP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Probe {
    /// The port takes a connection and keeps it.
    Tcp {
        /// The service.
        service: String,
        /// The port.
        port: u16,
    },
    /// The port answers `GET` of the path with a status of 200 to 399.
    Http {
        /// The service.
        service: String,
        /// The port.
        port: u16,
        /// The path, with a query if there is one.
        path: String,
    },
    /// The port answers an MQTT `CONNECT` by a `CONNACK` that accepts it.
    Mqtt {
        /// The service.
        service: String,
        /// The port.
        port: u16,
        /// The secret that has user and password: of the kind `password` or `mosquitto_options`. Anonymous without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
    /// The command exits with 0 in the service's container.
    Command {
        /// The service.
        service: String,
        /// Program and arguments, without a shell.
        command: Vec<String>,
    },
}

/// What a release writes, and who can read it: the way back that a stack allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The version of the data that the release writes.
    pub version: u64,
    /// The lowest version that a release must write to read this one's data. A device that once ran this release takes none below.
    pub floor: u64,
}

impl Probe {
    /// The service that is asked.
    pub fn service(&self) -> &str {
        match self {
            Self::Tcp { service, .. }
            | Self::Http { service, .. }
            | Self::Mqtt { service, .. }
            | Self::Command { service, .. } => service,
        }
    }

    /// The port of the device that is asked; a command needs none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } | Self::Http { port, .. } | Self::Mqtt { port, .. } => Some(*port),
            Self::Command { .. } => None,
        }
    }

    /// The secret that is needed to ask.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Mqtt { secret, .. } => secret.as_deref(),
            Self::Tcp { .. } | Self::Http { .. } | Self::Command { .. } => None,
        }
    }

    /// What probes are sorted by: service, then kind, then the rest.
    pub fn order(&self) -> (&str, &Self) {
        (self.service(), self)
    }

    /// Says why a probe can never be asked, given the stack's secrets.
    pub fn check(&self, secrets: &[SecretReference]) -> Result<(), String> {
        let ensure = |holds: bool, problem: &str| if holds { Ok(()) } else { Err(problem.to_owned()) };
        ensure(is_name(self.service()), "a probe's service has no proper name")?;
        ensure(self.port() != Some(0), "there is no port 0 to ask")?;
        match self {
            Self::Tcp { .. } => Ok(()),
            Self::Http { path, .. } => {
                let graphic = path.bytes().all(|byte| byte.is_ascii_graphic());
                let fits = path.starts_with('/') && graphic && path.len() <= MAX_TEXT;
                ensure(fits, "a path begins with `/` and has printable ASCII without spaces")
            }
            Self::Mqtt { secret, .. } => secret.as_deref().map_or(Ok(()), |name| check_secret(name, secrets)),
            Self::Command { command, .. } => {
                let part = |part: &String| part.len() <= MAX_TEXT && !part.contains('\0');
                let some = command.first().is_some_and(|program| !program.is_empty());
                let fits = some && command.len() <= MAX_PARTS && command.iter().all(part);
                ensure(fits, "a command has 1 to 64 parts of at most 1024 bytes, the first one a program")
            }
        }
    }
}

fn check_secret(name: &str, secrets: &[SecretReference]) -> Result<(), String> {
    let Some(secret) = secrets.iter().find(|secret| secret.name == name) else {
        return Err(format!("`{}` is no secret of the stack", name.escape_debug()));
    };
    match secret.kind {
        SecretKind::Password | SecretKind::MosquittoOptions if secret.users.len() == 1 => Ok(()),
        _ => Err(format!(
            "nobody can log in with the secret {name}: it needs the kind `password` or `mosquitto_options`"
        )),
    }
}

/// For people: `mqtt on port 1883`.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { port, .. } => write!(f, "tcp on port {port}"),
            Self::Http { port, path, .. } => write!(f, "http {path} on port {port}"),
            Self::Mqtt { port, .. } => write!(f, "mqtt on port {port}"),
            Self::Command { command, .. } => write!(f, "the command {}", command.join(" ")),
        }
    }
}

/// Whether this can name a kind of board, such as `raspberrypi-4-model-b`: what [`board_name`] makes of a model.
pub fn is_board(text: &str) -> bool {
    !text.is_empty() && board_name(text) == text
}

/// The name of the board that calls itself so: lower-case letters and digits, everything else one `-`, at most 63 characters.
pub fn board_name(model: &str) -> String {
    let words = model.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    name.chars().take(63).collect::<String>().trim_end_matches('-').to_owned()
}
