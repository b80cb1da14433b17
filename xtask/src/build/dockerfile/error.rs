//! What can be wrong with a Dockerfile image, and whose fault it is.

use camino::Utf8PathBuf;
use xedge_model::{Class, Failure, ImageName, Platform};
use xedge_sim::BuildFailure;

/// An image that is not built.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("failed to build {image}: {reason}")]
    Definition { image: ImageName, reason: String, hint: String },
    #[error("failed to build {image}: {}", cycle.join(" stands on "))]
    Cycle { image: ImageName, cycle: Vec<String> },
    #[error("failed to build {image} as it is locked: {file}:{line}: {instruction} {named} has no digest")]
    NoDigest { image: ImageName, file: Utf8PathBuf, line: usize, instruction: &'static str, named: String },
    #[error("failed to build {image} for {platform}: {file}: {}", said(failure))]
    Step { image: ImageName, platform: Platform, file: Utf8PathBuf, failure: BuildFailure },
    #[error("failed to build {image} for {platform}: this machine starts no programs for it")]
    NoEmulation { image: ImageName, platform: Platform },
    #[error("failed to build {image} for {platform}: the builder made an image for {found}")]
    OtherPlatform { image: ImageName, platform: Platform, found: String },
    #[error("failed to run docker buildx: {0}")]
    Buildx(String),
}

/// The step, what the builder says of it, and its last lines.
fn said(failure: &BuildFailure) -> String {
    let step = if failure.step.is_empty() { String::new() } else { format!("{}: ", failure.step) };
    let tail: String = failure.tail.iter().flat_map(|line| ["\n  | ", line]).collect();
    format!("{step}{}{tail}", failure.message)
}

/// Whether the Engine failed to reach a registry, which another try may mend.
fn is_network(message: &str) -> bool {
    ["dial tcp", "i/o timeout", "TLS handshake", "no such host", "connection refused", "Client.Timeout"]
        .iter()
        .any(|word| message.contains(word))
}

fn is_login(message: &str) -> bool {
    ["unauthorized", "denied", "authentication required"].iter().any(|word| message.contains(word))
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Step { failure, .. } if is_pull(failure) && is_network(&failure.message) => {
                Class::Environment
            }
            Self::NoEmulation { .. } | Self::Buildx(_) => Class::Environment,
            Self::Definition { .. }
            | Self::Cycle { .. }
            | Self::NoDigest { .. }
            | Self::Step { .. }
            | Self::OtherPlatform { .. } => Class::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Definition { hint, .. } => hint.clone(),
            Self::Cycle { .. } => {
                "an image from a registry is named with its host: `FROM docker.io/library/NAME:TAG`"
                    .to_owned()
            }
            Self::NoDigest { named, .. } => {
                format!("name it by digest: `docker image inspect --format '{{{{.RepoDigests}}}}' {named}`")
            }
            Self::Step { failure, .. } if is_pull(failure) && is_network(&failure.message) => {
                "the Engine does not reach the registry of that image: `docker pull IMAGE`".to_owned()
            }
            Self::Step { failure, .. } if is_pull(failure) && is_login(&failure.message) => {
                "there is no such image, or it needs a login: `docker login HOST`, then `docker pull IMAGE`"
                    .to_owned()
            }
            Self::Step { failure, .. } if needs_buildkit(failure) => {
                "is it a slip? What only BuildKit knows needs docker's buildx plugin: `docker buildx version`"
                    .to_owned()
            }
            Self::Step { file, .. } => format!("mend that step: `cat {file}`"),
            Self::NoEmulation { .. } => {
                "let it start them by emulation (binfmt): `cargo xtask setup`".to_owned()
            }
            Self::OtherPlatform { .. } => {
                "does its FROM name an image of that platform? `docker image inspect IMAGE`".to_owned()
            }
            Self::Buildx(_) => "does it work by itself? `docker buildx version`".to_owned(),
        })
    }
}

/// A build that failed at its first image, before anything of it was run.
fn is_pull(failure: &BuildFailure) -> bool {
    failure.step.is_empty() || failure.step.contains(": FROM") || failure.step.contains("] FROM")
}

fn needs_buildkit(failure: &BuildFailure) -> bool {
    failure.message.contains("requires BuildKit") || failure.message.contains("unknown instruction")
}
