//! What can go wrong while a machine is set up. All of it is the environment's fault, and each says the way out.

use camino::Utf8PathBuf;
use xedge_model::{Class, Failure, Platform};

use super::need::Problem;

/// A machine that could not be looked at or set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No shell could be made.
    #[error("failed to find out where outside commands would run")]
    Shell(#[source] xshell::Error),
    /// A command could not be started.
    #[error("failed to start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        source: xshell::Error,
    },
    /// A command of the plan ended with an error.
    #[error("failed to {title}: `{command}` ended with exit code {code}\n{tail}")]
    Command {
        /// The step it belongs to.
        title: String,
        /// The command line.
        command: String,
        /// Its exit code, -1 for a signal.
        code: i32,
        /// The last lines that it wrote.
        tail: String,
    },
    /// The Engine was started and does not answer.
    #[error("failed to get an answer from the Engine within {seconds} s of starting it\n{tail}")]
    EngineSilent {
        /// How long was waited.
        seconds: u64,
        /// How to read the whole log.
        log: String,
        /// The last lines of its log.
        tail: String,
    },
    /// The docker client's current context is not there.
    #[error("failed to find the docker context `{name}`, which {named_by} names")]
    NoContext {
        /// The context.
        name: String,
        /// A variable or file.
        named_by: String,
    },
    /// A file of the docker client says nothing that can be used.
    #[error("failed to read {file}: {problem}")]
    DockerFile {
        /// The file.
        file: Utf8PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An Engine is named that is reached in a way of its own.
    #[error("failed to use the Engine at {host}, which {from} names: {problem}")]
    EngineUnspoken {
        /// Its address.
        host: String,
        /// Who named it.
        from: String,
        /// What is not spoken.
        problem: &'static str,
    },
    /// Needed things are missing, after the plan ran or because it is not ours to run.
    #[error("failed to find all that xedge needs on this machine\n{}", list(.problems))]
    Missing {
        /// What is missing, with the commands that get it.
        problems: Vec<Problem>,
        /// The next command to type.
        next: String,
    },
    /// No compiler on this machine builds for a platform.
    #[error("failed to find a Rust compiler with the standard library of {}", .platform.rust_target())]
    NoRustTarget {
        /// The platform.
        platform: Platform,
    },
    /// No C compiler links static programs for a platform.
    #[error("failed to find a C compiler that links static programs for {platform}")]
    NoLinker {
        /// The platform.
        platform: Platform,
    },
    /// Debian's compiler is older than the code.
    #[error("failed to use {rustc} for {platform}: it is version {found}, and at least {needed} is needed")]
    OldRust {
        /// The compiler.
        rustc: String,
        /// The platform.
        platform: Platform,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// A compiler did not say what it is.
    #[error("failed to ask `{command}` what it is\n{tail}")]
    Rustc {
        /// The command line.
        command: String,
        /// What it wrote.
        tail: String,
    },
}

/// The setting that outranks every context.
const DOCKER_HOST: &str = "DOCKER_HOST=unix:///var/run/docker.sock";

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Error::Shell(_)
            | Error::Start { .. }
            | Error::Command { .. }
            | Error::EngineSilent { .. }
            | Error::NoContext { .. }
            | Error::DockerFile { .. }
            | Error::EngineUnspoken { .. }
            | Error::Missing { .. }
            | Error::NoRustTarget { .. }
            | Error::NoLinker { .. }
            | Error::OldRust { .. }
            | Error::Rustc { .. } => Class::Environment,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Shell(_) | Error::Start { .. } | Error::Rustc { .. } => {
                "see what else is wrong with this machine: `cargo xtask doctor`".to_owned()
            }
            Error::Command { command, .. } => format!("run it by hand to see all that it says: `{command}`"),
            Error::EngineSilent { log, .. } => format!("read its log: `{log}`"),
            Error::NoContext { .. } => {
                "see which there are: `docker context ls`; take one: `docker context use NAME`".to_owned()
            }
            Error::DockerFile { file, .. } => {
                format!("look at it: `cat {file}`; without contexts: `export {DOCKER_HOST}`")
            }
            Error::EngineUnspoken { .. } => format!(
                "give it a socket or a port on this machine, or use the one that is here: `export {DOCKER_HOST}`"
            ),
            Error::Missing { next, .. } => next.clone(),
            Error::NoRustTarget { platform } | Error::NoLinker { platform } => {
                let more = if Platform::USUAL.contains(platform) {
                    String::new()
                } else {
                    format!(" --platform {platform}")
                };
                format!("get it with `cargo xtask setup{more}`")
            }
            Error::OldRust { platform, .. } => {
                format!(
                    "rustup's target is preferred where it is there: `rustup target add {}`",
                    platform.rust_target()
                )
            }
        })
    }
}

/// One line for each missing thing, and its commands.
fn list(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| {
        let commands = problem.fix.iter().map(|command| format!("\n      {command}"));
        format!("  - {}:{}", problem.what, commands.collect::<String>())
    });
    lines.collect::<Vec<_>>().join("\n")
}
