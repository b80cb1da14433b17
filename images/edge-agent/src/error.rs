//! What can go wrong on a device, with its class and what to do about it.

use camino::Utf8PathBuf;
use xedge_bundle::{ReadError, Refusal};
use xedge_model::atomic::WriteError;
use xedge_model::{Class, Failure};

/// A result of the agent.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the agent did not do what it was asked. Each part of the agent adds its own kinds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The bundle could not be read.
    #[error("failed to read `{member}` of the bundle")]
    Bundle {
        /// The member.
        member: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the agent could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file could not be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the agent's state is damaged. It is never taken for an empty one.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A member of a release is not on the device, or not whole.
    #[error("failed to find {count} members of the release on this device, first `{}`", member.name)]
    Incomplete {
        /// The first of them.
        member: xedge_wire::Want,
        /// How many.
        count: usize,
    },
    /// The host sent a member that is there already, or that the release does not have.
    #[error("failed to take `{member}`: it was not asked for")]
    Unwanted {
        /// The member.
        member: String,
    },
    /// The host sent a member from another place than the one that was asked for.
    #[error("failed to take `{member}` from byte {from}: byte {expected} is due")]
    Offset {
        /// The member.
        member: String,
        /// Where its bytes begin.
        from: u64,
        /// Where they must begin.
        expected: u64,
    },
    /// Another process writes the same member.
    #[error("failed to take {path}: another session receives it")]
    Receiving {
        /// The part.
        path: Utf8PathBuf,
    },
    /// The Engine runs containers of a kind that no release is made for.
    #[error("failed to find a platform for this device: its Engine runs {architecture}")]
    Architecture {
        /// Go's word for it, as the Engine says it.
        architecture: String,
    },
    /// The Engine refused, or did not answer.
    #[error("failed to {what}: {reason}")]
    Engine {
        /// What was asked of it.
        what: String,
        /// Its answer.
        reason: String,
    },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refusal) => Self::Refused(refusal),
            ReadError::Io { member, source } => Self::Bundle { member, source },
        }
    }
}

impl Error {
    /// The stable code, where the error is a refusal.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => Some(refusal.code.as_str()),
            _ => None,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class(),
            Self::Damaged { .. } => Class::Integrity,
            Self::Unwanted { .. } | Self::Offset { .. } | Self::Architecture { .. } => Class::Input,
            Self::Incomplete { .. } | Self::Receiving { .. } => Class::Environment,
            Self::Bundle { .. } | Self::Write(_) | Self::Read { .. } | Self::Engine { .. } => {
                Class::Environment
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::Write(error) => error.hint(),
            Self::Damaged { .. } => Some("enrol the device again, from the machine with the keys".to_owned()),
            Self::Incomplete { .. } => {
                Some("send the release again: `cargo xtask deploy`, or `xedge-agent apply FILE`".to_owned())
            }
            Self::Receiving { .. } => {
                Some("wait for the other transfer, or end it: `pgrep -a xedge-agent`".to_owned())
            }
            Self::Architecture { .. } => {
                Some("releases are made for amd64 and arm64: see `docker info`".to_owned())
            }
            _ => None,
        }
    }
}
