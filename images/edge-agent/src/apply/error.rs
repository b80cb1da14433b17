//! Why a release was not installed, and what the device runs now.

use std::fmt;

use xedge_model::{Class, Failure};

use crate::Error;

/// Why an operation did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A service of the new release is not well.
    #[error("service {service}: {why}{}", Log(.log))]
    Unwell {
        /// The service.
        service: String,
        /// What it did not do.
        why: String,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// The change was begun and taken back.
    #[error("failed to bring up release {seq} of {stack}: {outcome}")]
    Undone {
        /// The stack.
        stack: String,
        /// The release that was to run.
        seq: u64,
        /// What runs now.
        outcome: Outcome,
        /// Why.
        #[source]
        cause: Box<Error>,
    },
    /// The change was begun, and neither finished nor taken back yet. Its journal stays.
    #[error("failed to finish a change of {stack}; it is written down and goes on with the next start")]
    Unfinished {
        /// The stack.
        stack: String,
        /// Why.
        #[source]
        cause: Box<Error>,
    },
    /// A change was cut short, and nothing may be changed now.
    #[error("failed to check a release of {stack}: a change of it was cut short and is not finished")]
    Pending {
        /// The stack.
        stack: String,
    },
    /// Nothing of what an operation is about is in the Engine. Its journal stays.
    #[error(
        "not one container of release {seq} of {stack} is in this Engine, and an operation on them is under way"
    )]
    AllGone {
        /// The stack.
        stack: String,
        /// The release.
        seq: u64,
    },
    /// There is no such stack.
    #[error("no release of {stack} is installed on this device")]
    NotInstalled {
        /// The stack.
        stack: String,
    },
    /// There is nothing to go back to.
    #[error("no earlier release of {stack} is kept on this device")]
    NoPrevious {
        /// The stack.
        stack: String,
    },
    /// A container that is kept for going back is gone.
    #[error("the container of {service} of release {seq} is gone: somebody removed it")]
    Gone {
        /// The service.
        service: String,
        /// The release.
        seq: u64,
    },
    /// A foreign container has the name that a service needs.
    #[error("a container named {name} is there that xedge did not make, and the release needs that name")]
    NameTaken {
        /// The name.
        name: String,
        /// The service.
        service: String,
    },
    /// A container that was started with `--rm` cannot be taken over: stopped, it is gone, and with it the way back.
    #[error(
        "failed to take over the container {name}: it was started with --rm, and would be gone once it is stopped"
    )]
    Vanishing {
        /// The container.
        name: String,
    },
    /// A container cannot be taken over.
    #[error("failed to take over the container {name}: {why}")]
    Adopt {
        /// The container.
        name: String,
        /// Why not.
        why: String,
    },
}

impl ApplyError {
    /// The stable code of the cause, where that is a refusal.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Undone { cause, .. } | Self::Unfinished { cause, .. } => cause.code(),
            _ => None,
        }
    }
}

/// What a device runs after a change that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What ran before.
    Back,
    /// Nothing, as before.
    Nothing,
    /// What ran before, but not all of it.
    Partly(Vec<String>),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Back => f.write_str("what ran before runs again"),
            Self::Nothing => f.write_str("it was taken away again, and nothing ran before"),
            Self::Partly(troubles) => {
                write!(f, "what ran before is back, but {}", troubles.join("; "))
            }
        }
    }
}

/// The last lines of a log, below a message.
struct Log<'a>(&'a [String]);

impl fmt::Display for Log<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

impl Failure for ApplyError {
    fn class(&self) -> Class {
        match self {
            Self::Unwell { .. } => Class::Failed,
            Self::Undone { cause, .. } => cause.class(),
            Self::Unfinished { .. } | Self::AllGone { .. } | Self::Pending { .. } => Class::Environment,
            Self::NotInstalled { .. }
            | Self::NoPrevious { .. }
            | Self::Gone { .. }
            | Self::NameTaken { .. }
            | Self::Vanishing { .. }
            | Self::Adopt { .. } => Class::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unwell { .. } => "mend the release, and deploy it again".to_owned(),
            Self::Undone { outcome: Outcome::Partly(_), .. } => {
                "`xedge-agent status` shows what runs; `xedge-agent watch` tries the rest again".to_owned()
            }
            Self::Undone { cause, .. } => return cause.hint(),
            Self::Unfinished { cause, .. } => cause.hint().unwrap_or_else(|| {
                "once that is mended, the running `xedge-agent watch` finishes it, or start it by hand"
                    .to_owned()
            }),
            Self::Pending { .. } => "`xedge-agent watch --once` finishes it, or takes it back".to_owned(),
            Self::AllGone { stack, .. } => format!(
                "name the Engine that they are in: `xedge-agent watch --once --engine SOCKET`; if somebody removed them: `xedge-agent remove {stack}`, which keeps the data"
            ),
            Self::NotInstalled { .. } => "`xedge-agent status` lists what is installed".to_owned(),
            Self::NoPrevious { .. } => {
                "apply an older content as a new release: `cargo xtask release --content-of FILE`".to_owned()
            }
            Self::Gone { service, .. } => {
                format!("deploy the release of {service} again: `cargo xtask deploy --bundle FILE`")
            }
            Self::NameTaken { name, service } => format!(
                "take it over with `--adopt {service}={name}`, or give it another name: `docker rename {name} {name}-old`"
            ),
            Self::Vanishing { name } => format!(
                "make it anew without --rm, with the same volumes (`docker update` cannot change that): `docker stop {name}`, then `docker run` as before"
            ),
            Self::Adopt { .. } => "`docker ps -a` lists the containers of this device".to_owned(),
        })
    }
}
