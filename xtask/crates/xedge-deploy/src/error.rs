//! What can go wrong on the way to a device and there, with its class and what to do about it.

use std::io;

use camino::Utf8PathBuf;
use xedge_bundle::{Code, ReadError};
use xedge_model::{Class, Failure};
use xedge_wire::{FrameError, Problem};

use crate::host::Host;
use crate::preflight::Finding;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a deployment, or a look at a device, did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program of this machine could not be started.
    #[error("failed to start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// ssh did not get through.
    #[error("failed to connect to {host}: {why}{}", shown(.detail))]
    Connect {
        /// The device.
        host: String,
        /// What kind of refusal it is.
        why: Refused,
        /// What ssh said.
        detail: String,
        /// The ssh command that a person would type.
        typed: String,
    },
    /// A connection that was there is gone.
    #[error("failed to {what}: the connection to {host} broke{}", shown(.detail))]
    Broken {
        /// The device.
        host: String,
        /// What was being done.
        what: String,
        /// What ssh or the agent said last.
        detail: String,
    },
    /// A command on the device failed.
    #[error("failed to {what} on {host}{}", shown(.detail))]
    Command {
        /// The device.
        host: String,
        /// What was being done.
        what: String,
        /// What it said.
        detail: String,
    },
    /// The device itself refuses or failed.
    #[error("{}", first(.problem))]
    Device {
        /// The device.
        host: String,
        /// What it said.
        problem: Box<Problem>,
        /// The causes, outermost first.
        source: Option<Cause>,
    },
    /// What answers is not an agent, or not one of this protocol.
    #[error("failed to understand the agent of {host}")]
    Protocol {
        /// The device.
        host: String,
        /// What is wrong.
        source: FrameError,
    },
    /// The agent answered something else than what was asked.
    #[error("failed to understand the agent of {host}: it answered {answer} to {question}")]
    Answer {
        /// The device.
        host: String,
        /// What was asked.
        question: &'static str,
        /// What came.
        answer: &'static str,
    },
    /// The agent is newer than this program.
    #[error(
        "failed to talk to the agent of {host}: it is {agent} and speaks version {theirs}, this xedge speaks version {ours}"
    )]
    Newer {
        /// The device.
        host: String,
        /// Version of the agent.
        agent: String,
        /// Version of its protocol.
        theirs: u32,
        /// Version of ours.
        ours: u32,
    },
    /// The agent is older than this program.
    #[error("failed to talk to the agent of {host}: {agent} is older than this xedge")]
    Older {
        /// The device.
        host: String,
        /// Version of the agent.
        agent: String,
    },
    /// The device cannot take a deployment as it is.
    #[error("found {} on {host}:{}", counted(.findings.len()), listed(.findings))]
    Unready {
        /// The device.
        host: String,
        /// Everything that is in the way.
        findings: Vec<Finding>,
    },
    /// There is no agent, and it may not be installed now.
    #[error("failed to find xedge-agent on {host}")]
    NoAgent {
        /// The device.
        host: String,
    },
    /// The device pins a root that the bundle does not have.
    #[error(transparent)]
    OtherRoot(Box<OtherRoot>),
    /// A value that the stack declares was not given, or does not fit.
    #[error("failed to deploy {stack}: {} [{}]", .problems.join("; "), Code::DeviceValues)]
    Values {
        /// The stack.
        stack: String,
        /// What is wrong with each.
        problems: Vec<String>,
        /// What to type.
        hint: String,
    },
    /// The bundle is refused already here.
    #[error(transparent)]
    Bundle(#[from] ReadError),
    /// A file of this machine could not be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of this machine is not what it must be.
    #[error("failed to use {path}: {reason}")]
    BadFile {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// Somebody stopped it.
    #[error("stopped by Ctrl-C")]
    Interrupted,
}

/// The device pins a root that the bundle does not have.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to deploy to {host}: it was enrolled for {device} with the root {pinned}, and the bundle is of {bundle} keys with the root {ours} [{code}]"
)]
pub struct OtherRoot {
    /// The device.
    pub host: String,
    /// Status of the device.
    pub device: String,
    /// Digest of the root it pins.
    pub pinned: String,
    /// Status of the bundle's keys.
    pub bundle: String,
    /// Digest of the bundle's root.
    pub ours: String,
    /// What the device would refuse it for.
    pub code: Code,
}

/// Why ssh did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The key of the host is not known.
    #[error("its host key is not known here")]
    UnknownKey,
    /// The key of the host is another one than before.
    #[error("its host key CHANGED: another machine answers, or this one was set up anew")]
    ChangedKey,
    /// No key of ours was taken.
    #[error("it takes none of this user's keys")]
    Denied,
    /// There is no such name.
    #[error("its name is not known")]
    NoName,
    /// Nothing answers there.
    #[error("nothing answers")]
    Silent,
    /// Anything else.
    #[error("ssh gave up")]
    Other,
}

/// The causes that a device named, as causes of an error.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl Refused {
    pub(crate) fn of(complaints: &str) -> Self {
        let says = |words: &str| complaints.contains(words);
        if says("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            Self::ChangedKey
        } else if says("Host key verification failed") || says("host key is known for") {
            Self::UnknownKey
        } else if says("Permission denied") || says("Too many authentication failures") {
            Self::Denied
        } else if says("Could not resolve hostname") {
            Self::NoName
        } else if says("Connection refused") || says("timed out") || says("No route to host") {
            Self::Silent
        } else {
            Self::Other
        }
    }

    fn hint(self, typed: &str) -> String {
        match self {
            Self::UnknownKey => {
                format!(
                    "compare the fingerprint with the one that the device shows (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), then accept it: `{typed} true`"
                )
            }
            Self::ChangedKey => {
                format!(
                    "only if you know why: remove the old key with the `ssh-keygen -R` line that `{typed} true` prints, and compare the new one"
                )
            }
            Self::Denied => {
                format!(
                    "give the device your key: `{}`; or name another user: `--user USER`",
                    typed.replacen("ssh", "ssh-copy-id", 1)
                )
            }
            Self::NoName => "is the name right? by its address: `--host ADDRESS`".to_owned(),
            Self::Silent => format!("is it on, and in this network? try `{typed} true`"),
            Self::Other => format!("see its own words: `{typed} -v true`"),
        }
    }
}

impl Error {
    /// What a device said, as an error with its causes.
    pub(crate) fn device(host: &str, problem: Problem) -> Self {
        let causes = problem.messages.get(1..).unwrap_or_default();
        let source = causes.iter().rev().fold(None, |source: Option<Cause>, text| {
            Some(Cause { text: text.clone(), source: source.map(Box::new) })
        });
        Self::Device { host: host.to_owned(), problem: Box::new(problem), source }
    }

    /// Whether trying again may help, since only the way to the device failed.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Connect { why: Refused::Silent | Refused::Other, .. })
    }

    /// Whether trying again after a while may help: the way failed, or the device is being changed by somebody else.
    pub fn may_pass(&self) -> bool {
        self.is_broken() || self.code() == Some(Code::Busy.as_str())
    }

    /// The stable code, where it is a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Device { problem, .. } => problem.code.as_deref(),
            Self::Bundle(ReadError::Refused(refusal)) => Some(refusal.code.as_str()),
            Self::OtherRoot(roots) => Some(roots.code.as_str()),
            Self::Values { .. } => Some(Code::DeviceValues.as_str()),
            Self::Unready { findings, .. } => worst(findings)?.code.map(Code::as_str),
            _ => None,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Connect { why: Refused::UnknownKey | Refused::ChangedKey, .. } | Self::OtherRoot(_) => {
                Class::Integrity
            }
            Self::Spawn { .. }
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Command { .. }
            | Self::Protocol { .. }
            | Self::Answer { .. }
            | Self::NoAgent { .. }
            | Self::Older { .. } => Class::Environment,
            Self::Unready { findings, .. } => worst(findings).map_or(Class::Environment, Finding::class),
            Self::Device { problem, .. } => problem.class(),
            Self::Newer { .. } | Self::Values { .. } | Self::BadFile { .. } => Class::Input,
            Self::Bundle(error) => error.class(),
            Self::Read { source, .. } => Class::of_read(source),
            Self::Interrupted => Class::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Spawn { program, .. } if program == "ssh" => {
                "install it: `sudo apt install openssh-client`".to_owned()
            }
            Self::Connect { why, typed, .. } => why.hint(typed),
            Self::Broken { .. } => "run the same command again: what the device already has is not sent twice".to_owned(),
            Self::Device { problem, .. } => return problem.hint.clone(),
            Self::Protocol { host, .. } | Self::Answer { host, .. } => {
                let ssh = host.parse::<Host>().map_or_else(|_| format!("ssh {host}"), |host| host.typed(None));
                format!("look at it: `{ssh} sudo xedge-agent status`")
            }
            Self::Newer { .. } => "use the xedge that deployed to it last, or a newer one".to_owned(),
            Self::Unready { host, findings } => {
                let commands = findings.iter().map(|finding| finding.mend.as_str());
                format!("on {host}: {}", commands.collect::<Vec<_>>().join("; "))
            }
            Self::Older { host, .. } => format!("a deployment replaces it: `cargo xtask deploy --host {host}`"),
            Self::NoAgent { host } => format!("the first deployment installs it: `cargo xtask deploy --host {host}`"),
            Self::OtherRoot(roots) if roots.device == "development" && roots.bundle == "production" => {
                "enrol it for production: the same command with `--reenroll`".to_owned()
            }
            Self::OtherRoot(_) => {
                "deploy a bundle that was signed with the keys it was enrolled with; its administrator can also enrol it anew: `xedge-agent enroll --help`".to_owned()
            }
            Self::Values { hint, .. } | Self::BadFile { hint, .. } => hint.clone(),
            Self::Bundle(error) => return error.hint(),
            Self::Command { .. } | Self::Spawn { .. } | Self::Read { .. } | Self::Interrupted => return None,
        })
    }
}

fn shown(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {}", last_line(detail)) }
}

/// The line that says why: the last one that is not empty.
pub(crate) fn last_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default()
}

fn first(problem: &Problem) -> String {
    let message = problem.messages.first().map_or("the device failed without a word", String::as_str);
    match &problem.code {
        Some(code) if !message.contains(&format!("[{code}]")) => format!("{message} [{code}]"),
        _ => message.to_owned(),
    }
}

/// The finding that decides the exit code: of those that block, the first with the gravest class.
fn worst(findings: &[Finding]) -> Option<&Finding> {
    let blocking = || findings.iter().filter(|finding| finding.blocks);
    let class = Class::worst(blocking().map(Finding::class))?;
    blocking().filter(|finding| finding.class() == class).min_by_key(|finding| finding.code.is_none())
}

fn counted(count: usize) -> String {
    if count == 1 { "one problem".to_owned() } else { format!("{count} problems") }
}

fn listed(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| format!("\n  {}: `{}`", finding.in_words(), finding.mend));
    lines.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_hints_can_be_typed() {
        let error = Error::Answer { host: "pi@rpi:2222".into(), question: "a", answer: "b" };
        assert_eq!(error.hint().as_deref(), Some("look at it: `ssh -p 2222 pi@rpi sudo xedge-agent status`"));
    }
}
