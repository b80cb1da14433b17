//! What can go wrong on a device, with its class and what to do about it.

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::{ReadError, Refusal};
use xedge_model::atomic::WriteError;
use xedge_model::{Class, Failure};

use crate::check::Obstacle;
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
    /// A member of a release went bad in the store. It is thrown away, and can be had again.
    #[error("{path} is damaged: {reason}")]
    DamagedMember {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Standard output is gone.
    #[error("failed to write to standard output")]
    Stdout(#[source] std::io::Error),
    /// Another program cannot take this one's place.
    #[error("{program} cannot take this program's place: {reason}")]
    Program {
        /// The other program.
        program: Utf8PathBuf,
        /// What it did, or did not do.
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
    /// Something in the Engine has the name that a release needs, and is not its stack's.
    #[error(
        "a {kind} named {name} is there {}, and the release needs that name",
        .owner.as_ref().map_or("that xedge did not make".to_owned(), |owner| format!("of the stack {owner}"))
    )]
    Foreign {
        /// `volume` or `network`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The stack that it belongs to; `None` where it is none's.
        owner: Option<String>,
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
    /// An operation on what runs did not succeed.
    #[error(transparent)]
    Apply(#[from] crate::apply::ApplyError),
    /// There is no device here yet.
    #[error("this device is not enrolled: it trusts nobody yet")]
    NotEnrolled,
    /// It already trusts somebody.
    #[error("this device is already enrolled: {0}")]
    Enrolled(String),
    /// A file of the agent's state was written by a later agent.
    #[error("{path} has format {found}, this agent reads {known}: a later agent wrote it")]
    LaterState {
        /// The file.
        path: Utf8PathBuf,
        /// Its format.
        found: u64,
        /// What is read here.
        known: u64,
    },
    /// Somebody else is changing the device.
    #[error("another xedge-agent is at work{}", .holder.map(|pid| format!(": process {pid}")).unwrap_or_default())]
    Busy {
        /// Its process, where it said so.
        holder: Option<u32>,
    },
    /// Something that was given cannot be used.
    #[error("{what} is refused: {reason}")]
    Given {
        /// What it is; never a secret's value.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The device cannot take the release, for these reasons.
    #[error("the device cannot take the release{}", crate::check::in_words(.0))]
    Unfit(Vec<Obstacle>),
}

/// Whether a file lies in the folder of a stack.
fn is_of_a_stack(path: &Utf8Path) -> bool {
    path.parent().and_then(Utf8Path::parent).is_some_and(|folder| folder.file_name() == Some("stacks"))
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
            Self::Apply(error) => error.code(),
            Self::Unfit(obstacles) => crate::check::worst(obstacles).map(|obstacle| obstacle.code.as_str()),
            _ => None,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Transfer(error) => error.class(),
            Self::Program { .. } => Class::Failed,
            Self::Refused(refusal) => refusal.class(),
            Self::Apply(error) => error.class(),
            Self::Damaged { .. } | Self::NotEnrolled | Self::Enrolled(_) => Class::Integrity,
            Self::Unfit(obstacles) => crate::check::worst(obstacles).map_or(Class::Bug, Obstacle::class),
            Self::Given { .. } | Self::Plan { .. } | Self::Foreign { .. } => Class::Input,
            Self::LaterState { .. }
            | Self::Busy { .. }
            | Self::Bundle { .. }
            | Self::DamagedMember { .. }
            | Self::Write(_)
            | Self::Read { .. }
            | Self::Engine { .. }
            | Self::Stdout(_) => Class::Environment,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            // The same words as on the host, but the command that is here.
            Self::Refused(refusal) => {
                Some(format!("`xedge-agent why {}` says what that means and what to do", refusal.code))
            }
            Self::Apply(error) => error.hint(),
            Self::Write(error) => error.hint(),
            Self::Transfer(error) => error.hint(),
            Self::Program { .. } => {
                Some("the program that was here goes on; `xedge-agent --version` says which".to_owned())
            }
            Self::Foreign { owner: Some(_), .. } => {
                Some("remove that stack, or give one of the two another name: `xedge-agent status`".to_owned())
            }
            Self::Foreign { kind: "volume", name, .. } => Some(format!(
                "take it over with the container that uses it: `--adopt SERVICE=CONTAINER`; where nobody needs its data: `docker volume rm {name}`"
            )),
            Self::Foreign { kind, name, .. } => Some(format!("once nothing uses it: `docker {kind} rm {name}`")),
            Self::Plan { hint, .. } => Some(hint.clone()),
            Self::DamagedMember { .. } => {
                Some("send the release again: `cargo xtask deploy`, or `xedge-agent apply FILE`".to_owned())
            }
            Self::Damaged { path, .. } if is_of_a_stack(path) => {
                Some(format!(
                    "what runs goes on; move the file away, `sudo mv {path} {path}.damaged`, and deploy the release \
                     again: `cargo xtask deploy`, with `--adopt NAME` for a container that is in its way"
                ))
            }
            Self::Damaged { .. } => {
                Some("enrol the device again, from the machine with the keys: `cargo xtask deploy --reenroll`".to_owned())
            }
            Self::NotEnrolled => Some(
                "pin a root first: `cargo xtask deploy --host HOST`, or here `xedge-agent enroll --root FILE`".to_owned(),
            ),
            Self::Enrolled(_) => Some("to change whom it trusts: `xedge-agent enroll --root FILE --again`".to_owned()),
            Self::LaterState { .. } => Some("run the later agent: `xedge-agent --version`".to_owned()),
            Self::Busy { .. } => Some("wait until it is done: `xedge-agent status`".to_owned()),
            Self::Unfit(obstacles) => crate::check::worst(obstacles).map(|obstacle| {
                let code = obstacle.code;
                format!("{}; `xedge-agent why {code}` says more", obstacle.fix)
            }),
            _ => None,
        }
    }
}
