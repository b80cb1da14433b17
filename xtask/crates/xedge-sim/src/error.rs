//! What can go wrong in a run, whose fault it is, and what to do about it.

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use xedge_model::atomic::WriteError;
use xedge_model::{Class, Digest, Failure, Platform};

/// An error of a run. A claim that does not hold is no error: it is part of the `Outcome`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No Engine answers at this address.
    #[error("failed to reach a Docker Engine at {host}: {detail}")]
    NoEngine {
        /// Address as it was given.
        host: String,
        /// What the connection said.
        detail: String,
    },
    /// Only an Engine with Docker's API can do this.
    #[error("failed to use Docker's API: the embedded engine has none")]
    NeedsDocker,
    /// No OCI runtime is installed.
    #[error("failed to start the embedded engine: neither crun nor runc is installed")]
    NoRuntime,
    /// The embedded engine was asked for by somebody who is not root.
    #[error(
        "failed to start the embedded engine: it needs root for namespaces, mounts and the images' owners"
    )]
    Rootless,
    /// The embedded engine was asked for on another system than Linux.
    #[error("failed to start the embedded engine: it needs Linux's namespaces")]
    NotLinux,
    /// The embedded engine could not do something.
    #[error("failed to {action}: {message}")]
    Embedded {
        /// What was asked of it.
        action: String,
        /// What the runtime or the kernel said.
        message: String,
    },
    /// The Engine answered before and does not any more.
    #[error("failed to {action}: the Engine at {host} does not answer: {detail}")]
    EngineLost {
        /// Address as it was given.
        host: String,
        /// What was asked of it.
        action: String,
        /// What the connection said.
        detail: String,
    },
    /// The Engine answered with an error.
    #[error("failed to {action}: the Engine answered {status}: {message}")]
    EngineRefused {
        /// What was asked of it.
        action: String,
        /// HTTP status code; 0 where the error came inside of a stream.
        status: u16,
        /// The Engine's own words.
        message: String,
    },
    /// The image is not in the Engine.
    #[error("failed to run node {node}: the Engine has no image {image}")]
    MissingImage {
        /// Node of the scenario.
        node: String,
        /// What the plan asked for.
        image: String,
    },
    /// The Engine would run another image than the plan says.
    #[error(
        "failed to run node {node}: the Engine took image {found}, which is not the one under test ({wanted})"
    )]
    WrongImage {
        /// Node of the scenario.
        node: String,
        /// Image of the created container.
        found: String,
        /// The digests that would have been right.
        wanted: String,
    },
    /// The image is for another platform than the plan says.
    #[error("failed to run node {node}: image {image} is for {found}, and the plan says {platform}")]
    WrongPlatform {
        /// Node of the scenario.
        node: String,
        /// Image of the created container.
        image: String,
        /// Platform of the image in the Engine.
        found: String,
        /// Platform of the plan.
        platform: Platform,
    },
    /// The image is for a platform that this Engine cannot run.
    #[error("failed to run node {node}: the Engine's machine cannot run {platform} images: {detail}")]
    ForeignPlatform {
        /// Node of the scenario.
        node: String,
        /// Platform of the image.
        platform: Platform,
        /// What the kernel or the container said.
        detail: String,
    },
    /// A container ended although nobody stopped it.
    #[error("failed to keep node {node} running: its container ended {when}{how}\n{log}")]
    Exited {
        /// Node of the scenario.
        node: String,
        /// `at once` or `during the run`.
        when: &'static str,
        /// ` with exit code N`, or ` and was started again`, when its code is no longer known.
        how: String,
        /// Its last log lines.
        log: String,
    },
    /// A container runs and does not answer.
    #[error("failed to get an answer from node {node} within {waited_s} s: {detail}\n{log}")]
    NotReady {
        /// Node of the scenario.
        node: String,
        /// How long it had.
        waited_s: u64,
        /// What the last attempt said.
        detail: String,
        /// Its last log lines.
        log: String,
    },
    /// The plan asks for what cannot be run.
    #[error("failed to plan scenario {scenario}: {message}")]
    Plan {
        /// Name of the scenario.
        scenario: String,
        /// What is wrong with it.
        message: String,
    },
    /// A script did not play its part.
    #[error("{0}")]
    Script(Box<ScriptFailure>),
    /// A program in a container did not play its part.
    #[error("failed to lead node {node} through time in its container, {when}: {detail}\n{log}")]
    Lockstep {
        /// Node of the scenario.
        node: String,
        /// In virtual time.
        when: String,
        /// What it did, or did not.
        detail: String,
        /// Its last lines on standard error.
        log: String,
    },
    /// Python could not be started.
    #[error("failed to start the script of node {node} with python3")]
    NoPython {
        /// Node of the scenario.
        node: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The lock file of a run cannot be used.
    #[error("failed to use the run lock {path}")]
    Lock {
        /// The lock file.
        path: Utf8PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A run of the same id is going on.
    #[error("failed to start run {run_id}: {path} is held by a run that is going on")]
    RunExists {
        /// Id of the run.
        run_id: String,
        /// The lock file.
        path: Utf8PathBuf,
    },
    /// The archive to load cannot be read.
    #[error("failed to read the image archive")]
    Archive(#[source] std::io::Error),
    /// A file of the report could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file of the report could not be made.
    #[error("failed to make {what} of the report: {detail}")]
    Report {
        /// The file.
        what: &'static str,
        /// What the writer said.
        detail: String,
    },
    /// A program of this machine that is a node cannot be run.
    #[error("failed to {action} {program}")]
    Program {
        /// What was tried.
        action: &'static str,
        /// Its name.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// More connections than this process may have open.
    #[error("{needed} files and connections are needed at once, and this process may have {limit}")]
    Descriptors {
        /// How many the models need.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// Containers cannot be joined by a link.
    #[error("failed to listen at {address} for what {clients} sends to {targets} through a link: {detail}")]
    LinkAddress {
        /// Nodes that connect.
        clients: String,
        /// Nodes that they connect to.
        targets: String,
        /// The gateway of their network, at the port of the targets.
        address: SocketAddr,
        /// Kind of what went wrong.
        kind: std::io::ErrorKind,
        /// What the kernel said.
        detail: String,
    },
    /// The caller cancelled the run.
    #[error("failed to finish run {run_id}: interrupted")]
    Interrupted {
        /// Id of the run.
        run_id: String,
    },
}

/// What a script did wrong; large, and rare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to lead node {node} through time ({script}, line {line} of the scenario), {when}: {detail}\n{log}"
)]
pub struct ScriptFailure {
    /// Node of the scenario.
    pub node: String,
    /// The script as the scenario names it.
    pub script: String,
    /// Line of the scenario that names it.
    pub line: u64,
    /// In virtual time.
    pub when: String,
    /// What it did, or did not.
    pub detail: String,
    /// Its last log lines.
    pub log: String,
}

impl Error {
    pub(crate) fn plan(scenario: &str, message: impl Into<String>) -> Self {
        Self::Plan { scenario: scenario.to_owned(), message: message.into() }
    }

    pub(crate) fn wrong_image(node: &str, found: &str, accepted: &[Digest]) -> Self {
        let wanted = accepted.iter().map(Digest::as_str).collect::<Vec<_>>().join(", ");
        Self::WrongImage { node: node.to_owned(), found: found.to_owned(), wanted }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NoEngine { .. }
            | Self::NeedsDocker
            | Self::NoRuntime
            | Self::Rootless
            | Self::NotLinux
            | Self::Embedded { .. }
            | Self::EngineLost { .. }
            | Self::EngineRefused { .. }
            | Self::ForeignPlatform { .. }
            | Self::LinkAddress { .. }
            | Self::Program { .. }
            | Self::Descriptors { .. }
            | Self::Lock { .. }
            | Self::RunExists { .. }
            | Self::Archive(_)
            | Self::NoPython { .. }
            | Self::Report { .. } => Class::Environment,
            Self::Write(error) => error.class(),
            Self::WrongImage { .. } | Self::WrongPlatform { .. } => Class::Integrity,
            Self::Exited { .. } | Self::NotReady { .. } | Self::Lockstep { .. } => Class::Failed,
            Self::MissingImage { .. } | Self::Plan { .. } | Self::Script(_) => Class::Input,
            Self::Interrupted { .. } => Class::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoEngine { detail, .. } if detail.contains("Permission denied") => {
                Some("this user may not speak to it; what helps: `cargo xtask doctor`".into())
            }
            Self::NoEngine { .. } | Self::NeedsDocker | Self::NotLinux => {
                Some("install and start a Docker Engine with `cargo xtask setup`".into())
            }
            Self::Program { .. } => {
                Some("install it, or name it with its whole path under `process.command` of its node".into())
            }
            Self::Descriptors { needed, .. } => {
                Some(format!("raise the limit with `ulimit -Hn {needed}` as root, or take fewer models"))
            }
            Self::NoRuntime => {
                Some("`apt-get install crun` as root, or everything with `cargo xtask setup`".into())
            }
            Self::Rootless => {
                Some("run it as root, or install and start a Docker Engine with `cargo xtask setup`".into())
            }
            Self::EngineLost { .. } => {
                Some("the Engine stopped during the run: look at it with `cargo xtask doctor`".into())
            }
            Self::MissingImage { .. } => {
                Some("somebody removed the image in between: again with `cargo xtask sim`".into())
            }
            Self::WrongImage { .. } | Self::WrongPlatform { .. } => {
                Some("the Engine made the container of another image: again with `cargo xtask sim`".into())
            }
            Self::ForeignPlatform { .. } => {
                Some("install the emulation of foreign platforms (binfmt) with `cargo xtask setup`".into())
            }
            Self::EngineRefused { message, .. } => way_out(message).map(str::to_owned),
            Self::Write(error) => error.hint(),
            Self::Exited { .. } | Self::NotReady { .. } | Self::Lockstep { .. } => Some(
                "its whole log is in the report; look into the container with `cargo xtask sim --keep`"
                    .into(),
            ),
            Self::Script(_) => Some(
                "mend the script, whose last lines these are, and run it again with `cargo xtask sim`".into(),
            ),
            Self::NoPython { .. } => {
                Some("`apt-get install python3` as root, or everything with `cargo xtask setup`".into())
            }
            Self::LinkAddress { address, kind, .. } => Some(unreachable_gateway(address.port(), *kind)),
            Self::Embedded { .. }
            | Self::Plan { .. }
            | Self::Lock { .. }
            | Self::RunExists { .. }
            | Self::Archive(_)
            | Self::Report { .. }
            | Self::Interrupted { .. } => None,
        }
    }
}

/// What helps where a listener of ours cannot stand for a container.
fn unreachable_gateway(port: u16, kind: std::io::ErrorKind) -> String {
    match kind {
        std::io::ErrorKind::AddrInUse => {
            format!("something on this machine has port {port} on every address: `ss -ltnp 'sport = :{port}'` names it")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("this user may not listen on port {port}: run as root, or let the target use a port from 1024 on")
        }
        _ => "links between containers need the engine's networks on this machine, which those of another host, a virtual machine or a rootless engine are not: run where the engine runs, as root, or with `--engine embedded`".to_owned(),
    }
}

/// What mends a refusal, by the words that Engines and their runtimes have for it.
fn way_out(message: &str) -> Option<&'static str> {
    let table = [
        (
            "address pool",
            "all of the Engine's address pools are in use: remove left networks with `cargo xtask gc`",
        ),
        (
            "cgroups in hybrid mode",
            "crun does not work with this machine's control groups: in containers.conf, below `[engine]`, `runtime = \"runc\"`",
        ),
        (
            "RLIMIT_",
            "containers get higher limits than this machine allows: in containers.conf, below `[containers]`, `default_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]`",
        ),
        (
            "/dev/net/tun",
            "Podman without root makes networks with this device: as root, `chmod 666 /dev/net/tun`",
        ),
    ];
    table.into_iter().find(|(words, _)| message.contains(words)).map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use xedge_model::{Class, Failure, Platform};

    use super::{Error, ScriptFailure};

    fn all() -> Vec<(Error, Class)> {
        let text = || "x".to_owned();
        let io = || std::io::Error::other("the disk said no");
        vec![
            (Error::NoEngine { host: text(), detail: text() }, Class::Environment),
            (Error::NeedsDocker, Class::Environment),
            (Error::NoRuntime, Class::Environment),
            (Error::Rootless, Class::Environment),
            (Error::NotLinux, Class::Environment),
            (Error::Embedded { action: text(), message: text() }, Class::Environment),
            (Error::EngineLost { host: text(), action: text(), detail: text() }, Class::Environment),
            (Error::EngineRefused { action: text(), status: 500, message: text() }, Class::Environment),
            (Error::MissingImage { node: text(), image: text() }, Class::Input),
            (Error::WrongImage { node: text(), found: text(), wanted: text() }, Class::Integrity),
            (
                Error::WrongPlatform {
                    node: text(),
                    image: text(),
                    found: text(),
                    platform: Platform::LinuxArm64,
                },
                Class::Integrity,
            ),
            (
                Error::ForeignPlatform { node: text(), platform: Platform::LinuxArm64, detail: text() },
                Class::Environment,
            ),
            (Error::Exited { node: text(), when: "at once", how: text(), log: text() }, Class::Failed),
            (Error::NotReady { node: text(), waited_s: 1, detail: text(), log: text() }, Class::Failed),
            (Error::plan("x", "y"), Class::Input),
            (
                Error::Script(Box::new(ScriptFailure {
                    node: text(),
                    script: text(),
                    line: 1,
                    when: text(),
                    detail: text(),
                    log: text(),
                })),
                Class::Input,
            ),
            (Error::Lockstep { node: text(), when: text(), detail: text(), log: text() }, Class::Failed),
            (Error::NoPython { node: text(), source: io() }, Class::Environment),
            (Error::Lock { path: "x".into(), source: io() }, Class::Environment),
            (Error::RunExists { run_id: text(), path: "x".into() }, Class::Environment),
            (Error::Archive(io()), Class::Environment),
            (Error::Report { what: "x", detail: text() }, Class::Environment),
            (Error::Interrupted { run_id: text() }, Class::Interrupted),
        ]
    }

    #[test]
    fn classes_and_texts_follow_the_house_style() {
        for (error, class) in all() {
            let text = error.to_string();
            assert_eq!(error.class(), class, "{text}");
            assert!(text.starts_with("failed to ") && !text.ends_with('.'), "{text}");
            if let Some(cause) = std::error::Error::source(&error) {
                assert!(!text.contains(&cause.to_string()), "{text} repeats its cause");
            }
            if let Some(hint) = error.hint() {
                assert!(
                    !hint.starts_with("hint") && hint.ends_with('`') && hint.contains("`cargo xtask "),
                    "{hint}"
                );
            }
        }
    }

    #[test]
    fn what_podman_refuses_on_some_machines_has_a_way_out() {
        for (message, hint) in [
            ("crun: cgroups in hybrid mode not supported, drop all controllers from cgroupv2", "runc"),
            ("crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted", "default_ulimits"),
            ("/usr/bin/slirp4netns failed: \"open(\\\"/dev/net/tun\\\"): Permission denied", "chmod 666"),
        ] {
            let refused =
                Error::EngineRefused { action: "start".into(), status: 500, message: message.into() };
            assert!(refused.hint().is_some_and(|said| said.contains(hint)), "{message}");
        }
        let denied = Error::NoEngine { host: "x".into(), detail: "Permission denied (os error 13)".into() };
        assert!(denied.hint().is_some_and(|said| said.contains("doctor")));
    }
}
