//! The errors of this crate; none of them carries any part of a secret.

use std::io;

use camino::Utf8PathBuf;
use xedge_bundle::statement::KeyStatus;
use xedge_model::{Class, Failure};

/// Why a key cannot be made, read, kept or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The random source gave bytes that cannot be a key, many times in a row.
    #[error("failed to make a key: the random source gives no usable bytes")]
    Random,
    /// Reading failed.
    #[error("failed to read the key {path}")]
    Read {
        /// The key file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others on this machine can read the key.
    #[error(
        "failed to trust the key {path}: its mode is {mode:04o}, so others on this machine may have read it"
    )]
    Exposed {
        /// The key file.
        path: Utf8PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key file, or is one of another role or format.
    #[error("failed to read {path} as a key file: {problem}")]
    NotAKeyFile {
        /// The key file.
        path: Utf8PathBuf,
        /// What is wrong; never a piece of its content.
        problem: String,
    },
    /// Role, status or key id of the file were edited.
    #[error(
        "failed to trust the key {path}: its role, status or key id is not what the key itself has sealed"
    )]
    Seal {
        /// The key file.
        path: Utf8PathBuf,
    },
    /// There is already a key.
    #[error("failed to keep a new key: {path} exists")]
    Exists {
        /// The key file.
        path: Utf8PathBuf,
    },
    /// Writing failed.
    #[error("failed to write the key {path}")]
    Write {
        /// The key file.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A statement says that another kind of key signs it.
    #[error("failed to sign: the statement names a {} key, this is a {} key", statement.as_str(), key.as_str())]
    Status {
        /// The status in the statement.
        statement: KeyStatus,
        /// The status of the key.
        key: KeyStatus,
    },
    /// The statement cannot be written.
    #[error(transparent)]
    Statement(#[from] xedge_bundle::Error),
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Error::Random | Error::Read { .. } | Error::Write { .. } => Class::Environment,
            Error::Exists { .. } => Class::Input,
            Error::Exposed { .. } | Error::NotAKeyFile { .. } | Error::Seal { .. } | Error::Status { .. } => {
                Class::Integrity
            }
            Error::Statement(source) => source.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Exposed { path, .. } => Some(format!(
                "if nobody else uses this machine: `chmod 600 {path}`, else move it away and let `cargo xtask sim` make another"
            )),
            Error::NotAKeyFile { path, .. } | Error::Seal { path } => Some(format!(
                "restore it from its backup, or move it away with `mv {path} {path}.bad` and let `cargo xtask sim` make another"
            )),
            Error::Exists { path } => {
                Some(format!("to replace it, first move it away: `mv {path} {path}.old`"))
            }
            Error::Read { path, .. } | Error::Write { path, .. } => {
                Some(format!("see who may write there: `ls -ld {path} $(dirname {path})`"))
            }
            Error::Random | Error::Status { .. } => None,
            Error::Statement(source) => source.hint(),
        }
    }
}
