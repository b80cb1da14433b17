//! What can go wrong while members of a release come to the device.

use camino::Utf8PathBuf;
use xedge_model::{Class, Failure};
use xedge_wire::FrameError;

/// Why something that was sent was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A member of a release is not on the device, or not whole.
    #[error("failed to find {count} members of the release on this device, first `{member}`")]
    Incomplete {
        /// The first of them.
        member: String,
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
    /// Host and agent speak different versions.
    #[error("failed to understand the host: it speaks version {host} of the protocol, this agent {agent}")]
    Wire {
        /// The host's.
        host: u32,
        /// This agent's.
        agent: u32,
    },
    /// A message came before the one that it needs.
    #[error("failed to answer `{message}`: {needs} comes first")]
    Order {
        /// The message.
        message: &'static str,
        /// What must come before it.
        needs: &'static str,
    },
    /// More bytes were announced than anything of this kind has.
    #[error("failed to take {what}: {bytes} bytes are more than the {most} that it may have")]
    TooLong {
        /// What it is.
        what: String,
        /// How many bytes were announced.
        bytes: u64,
        /// How many it may have.
        most: u64,
    },
    /// The release does not declare what was sent.
    #[error("failed to take {what}: the release does not declare it")]
    Undeclared {
        /// What it is, by name.
        what: String,
    },
    /// Another session sent another release meanwhile.
    #[error(
        "failed to install the release that was sent: another session sent another one for {stack} meanwhile"
    )]
    Replaced {
        /// The stack.
        stack: String,
    },
    /// What came is no message.
    #[error("failed to understand the host")]
    Frame(#[from] FrameError),
    /// The registry did not give what was asked for.
    #[error("failed to fetch {reference}: {reason}")]
    Fetch {
        /// What was asked for.
        reference: String,
        /// What the Engine says.
        reason: String,
        /// Whether a login of this device's was used.
        with_login: bool,
    },
    /// There is no bundle where one was to be.
    #[error("failed to find a bundle in {folder}: it has no file `*.xedge`")]
    NoBundle {
        /// The folder.
        folder: Utf8PathBuf,
    },
}

impl Failure for TransferError {
    fn class(&self) -> Class {
        match self {
            Self::Unwanted { .. }
            | Self::Offset { .. }
            | Self::Architecture { .. }
            | Self::Order { .. }
            | Self::TooLong { .. }
            | Self::Undeclared { .. }
            | Self::NoBundle { .. } => Class::Input,
            Self::Incomplete { .. }
            | Self::Receiving { .. }
            | Self::Wire { .. }
            | Self::Replaced { .. }
            | Self::Fetch { .. }
            | Self::Frame(_) => Class::Environment,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Incomplete { .. } | Self::Replaced { .. } => {
                "send it again: `cargo xtask deploy`, or `xedge-agent apply FILE`"
            }
            Self::Receiving { .. } => "wait for the other transfer, or end it: `pgrep -a xedge-agent`",
            Self::Architecture { .. } => "releases are made for amd64 and arm64: see `docker version`",
            Self::Wire { .. } => {
                "bring the agent up to date: `cargo xtask deploy` does, or `xedge-agent upgrade FILE`"
            }
            Self::Unwanted { .. }
            | Self::Offset { .. }
            | Self::Order { .. }
            | Self::TooLong { .. }
            | Self::Undeclared { .. } => {
                "use the xedge that made the bundle: `cargo xtask deploy --bundle FILE`"
            }
            Self::Frame(_) => "a session is for `cargo xtask deploy`; people use `xedge-agent --help`",
            Self::Fetch { reference, with_login, .. } => {
                let host = reference.split('/').next().unwrap_or_default();
                let login = if *with_login { "is the login still right?" } else { "does it want a login?" };
                return Some(format!("can this device's Engine fetch it? {login} `docker login {host}`"));
            }
            Self::NoBundle { .. } => "make one with `cargo xtask release`, and copy it there",
        };
        Some(hint.to_owned())
    }
}
