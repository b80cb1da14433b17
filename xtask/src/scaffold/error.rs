//! What can go wrong while a project, or a part of one, is laid out.

use camino::Utf8PathBuf;
use xedge_model::{Class, Failure};

/// A project, image, scenario or stack that was not made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to make {what}: {} already there: {}", are(files), files.join(", "))]
    Exists { what: String, files: Vec<String> },
    #[error("failed to make a project in {0}: it holds a Cargo.toml already")]
    CargoProject(Utf8PathBuf),
    #[error("failed to use the name `{}`: {rule}", name.escape_debug())]
    Name { name: String, rule: &'static str },
    #[error("failed to use {folder} as the folder of a project: it is no folder")]
    NotAFolder { folder: Utf8PathBuf },
    #[error("failed to find where this xedge comes from: {0}")]
    NoSource(String),
    #[error("failed to make a Cargo.lock: `cargo metadata` stopped with an error:\n{0}")]
    Metadata(String),
    #[error("failed to make the image {name}: {why}")]
    Image { name: String, why: String },
    #[error("failed to make the stack {name}: {why}")]
    Stack { name: String, why: String },
    #[error("failed to make the scenario {name}: {why}")]
    Scenario { name: String, why: String },
}

fn are(files: &[String]) -> &'static str {
    if files.len() == 1 { "this file is" } else { "these files are" }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Error::Metadata(_) => Class::Environment,
            _ => Class::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Error::Exists { .. } => "no file is overwritten: move them away, or take another name",
            Error::CargoProject(_) => {
                "make it in a folder of its own, and put the service into one below it: `cargo xtask new DIR`, then `cargo xtask new image NAME --dockerfile FOLDER`"
            }
            Error::Name { .. } => "name it: `cargo xtask new DIR --name NAME`",
            Error::NotAFolder { .. } => {
                "name a new or empty folder, or one with a Dockerfile: `cargo xtask new DIR`"
            }
            Error::NoSource(_) => {
                "name it: `cargo xtask new DIR --xedge git=URL@COMMIT` or `--xedge path=DIR`"
            }
            Error::Metadata(_) => {
                "can Cargo fetch xedge and what it stands on? `cargo fetch`; or name a clone: `--xedge path=DIR`"
            }
            Error::Image { .. } => {
                "say what it is made of: `--dockerfile FOLDER`, `--from REFERENCE` or `--debian PACKAGE`"
            }
            Error::Stack { .. } => {
                "name images of this project: `cargo xtask new stack NAME --service IMAGE`"
            }
            Error::Scenario { .. } => "name a stack: `cargo xtask new scenario NAME --stack STACK`",
        };
        Some(text.to_owned())
    }
}
