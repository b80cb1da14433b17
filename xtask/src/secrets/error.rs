//! What can go wrong with secrets. No message holds a value.

use camino::Utf8PathBuf;
use xedge_model::{Class, Failure};

/// A secret that was not made, read or handed out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "failed to set the secret `{name}`: a value on the command line is in the shell's history and in the list of processes"
    )]
    OnCommandLine { name: String },
    #[error("failed to use the value of `{name}`: it {why}")]
    Value { name: String, why: &'static str },
    #[error("failed to make the secret `{name}` of {environment}: there is one")]
    Exists { name: String, environment: String },
    #[error("failed to find the secret `{name}` of {environment}")]
    Missing { name: String, environment: String },
    #[error("failed to find the secrets {} of {environment}", names.join(", "))]
    SeveralMissing { names: Vec<String>, environment: String },
    #[error("failed to set the secret `{name}` of {environment}: it is a development value")]
    Development { name: String, environment: String },
    #[error("failed to make a new value for `{name}`: what is in a file only you know")]
    IsFile { name: String },
    #[error("failed to trust {path}: others can read it (mode {mode:04o})")]
    Open { path: Utf8PathBuf, mode: u32 },
    #[error("failed to tell two secrets apart: `{name}` is a user ({user}) and a file ({file})")]
    Ambiguous { name: String, user: String, file: String },
    #[error("failed to write secrets into {0}: that is, or may be, in the project, and would be committed")]
    InProject(Utf8PathBuf),
}

impl Failure for Error {
    fn class(&self) -> Class {
        Class::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Error::OnCommandLine { name } => {
                format!(
                    "pipe it in, or name a file: `cargo xtask secrets set {name} --file FILE`; and change it, if it was a real one"
                )
            }
            Error::Value { name, .. } => {
                format!("give another: `cargo xtask secrets set {name} --file FILE`")
            }
            Error::Exists { name, environment } => {
                format!("for a new one: `cargo xtask secrets rotate {name} --env {environment}`")
            }
            Error::Missing { name, environment } => format!(
                "make it: `cargo xtask secrets gen {name} --env {environment}`; or set it: `cargo xtask secrets set {name} --env {environment} --file FILE`"
            ),
            Error::SeveralMissing { names, environment } => {
                let each =
                    names.iter().map(|name| format!("cargo xtask secrets gen {name} --env {environment}"));
                format!(
                    "make them: `{}`; or set them: `cargo xtask secrets set --help`",
                    each.collect::<Vec<_>>().join(" && ")
                )
            }
            Error::Development { name, environment } => {
                format!("make one of its own: `cargo xtask secrets gen {name} --env {environment}`")
            }
            Error::IsFile { name } => format!("set it: `cargo xtask secrets set {name} --file FILE`"),
            Error::Open { path, mode } if mode & 0o100 != 0 => format!("`chmod 700 {path}`"),
            Error::Open { path, .. } => format!("`chmod 600 {path}`"),
            Error::Ambiguous { .. } => "give one of them another name in stack.yaml".to_owned(),
            Error::InProject(_) => "name a folder outside, or below target/: `--out DIR`".to_owned(),
        })
    }
}
