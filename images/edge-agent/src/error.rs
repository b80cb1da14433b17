//! What can go wrong on a device, with its class and what to do about it.

use camino::Utf8PathBuf;
use xedge_bundle::{ReadError, Refusal};
use xedge_model::atomic::WriteError;
use xedge_model::{Class, Failure};

use crate::transfer::TransferError;

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
    /// What was sent is not taken.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The Engine refused, or did not answer.
    #[error("failed to {what}: {reason}")]
    Engine {
        /// What was asked of it.
        what: String,
        /// Its answer.
        reason: String,
    },
    /// What is signed cannot run on this device as it is.
    #[error("failed to plan {what}: {reason}")]
    Plan {
        /// The service, or the file.
        what: String,
        /// Why not.
        reason: String,
        /// What to do.
        hint: String,
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
            Self::Transfer(error) => error.class(),
            Self::Refused(refusal) => refusal.class(),
            Self::Damaged { .. } => Class::Integrity,
            Self::Plan { .. } => Class::Input,
            Self::Bundle { .. } | Self::Write(_) | Self::Read { .. } | Self::Engine { .. } => {
                Class::Environment
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::Write(error) => error.hint(),
            Self::Transfer(error) => error.hint(),
            Self::Plan { hint, .. } => Some(hint.clone()),
            Self::Damaged { .. } => Some("enrol the device again, from the machine with the keys".to_owned()),
            _ => None,
        }
    }
}
