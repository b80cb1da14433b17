//! What can go wrong when a Compose file is imported.

use camino::Utf8PathBuf;
use xedge_model::atomic::WriteError;
use xedge_model::{Class, Failure};

/// An import that made nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("failed to import {file}: {} of its keys are not supported; nothing was written", keys.len())]
    Unsupported { file: String, keys: Vec<String> },
    #[error("failed to import: {} would be replaced", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Exists(Vec<Utf8PathBuf>),
    #[error("failed to leave out `{path}`: the file has no such key")]
    NoSuchKey { path: String, hint: String },
    #[error("failed to name the stack `{name}`: a name is {rule}")]
    Name { name: String, rule: &'static str },
    #[error("failed to copy the build's context {context}")]
    Context { context: Utf8PathBuf, source: std::io::Error },
    #[error(transparent)]
    Write(WriteError),
}

impl Failure for ImportError {
    fn class(&self) -> Class {
        match self {
            Self::Unsupported { .. }
            | Self::Exists(_)
            | Self::NoSuchKey { .. }
            | Self::Name { .. }
            | Self::Context { .. } => Class::Input,
            Self::Write(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unsupported { keys, .. } => {
                let flags: Vec<String> = keys.iter().map(|key| format!("--without {key}")).collect();
                format!("leave out what you can do without, by name: `{}`", flags.join(" "))
            }
            Self::Exists(_) => "name the stack otherwise with `--name NAME`, or move these away first".into(),
            Self::NoSuchKey { hint, .. } => hint.clone(),
            Self::Name { .. } => "name it: `--name NAME`".into(),
            Self::Context { .. } => "put the context into the project, and it is used where it is".into(),
            Self::Write(error) => return error.hint(),
        })
    }
}
