//! The errors of this crate; none of them carries any part of a secret.

use std::io;

use camino::Utf8PathBuf;
use xedge_bundle::statement::KeyStatus;
use xedge_model::{Class, Digest, Failure};

use crate::Role;

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
    /// The folder has no key for a role.
    #[error("failed to find the {role} key: {path} does not exist")]
    Missing {
        /// What the key is for.
        role: Role,
        /// Where its file would be.
        path: Utf8PathBuf,
    },
    /// Some keys of a folder are for development, others for production.
    #[error(
        "failed to use the keys together: {path} is a {} key, {other} is a {} key", status.as_str(), other_status.as_str()
    )]
    Mixed {
        /// One key file.
        path: Utf8PathBuf,
        /// Its status.
        status: KeyStatus,
        /// Another key file.
        other: Utf8PathBuf,
        /// Its status.
        other_status: KeyStatus,
    },
    /// A key is encrypted, and nobody gives a passphrase.
    #[error("failed to use the {role} key {path}: it is encrypted, and there is no passphrase")]
    Locked {
        /// What the key is for.
        role: Role,
        /// The key file.
        path: Utf8PathBuf,
    },
    /// A passphrase is not that of the key.
    #[error("failed to decrypt the {role} key {path}: the passphrase is wrong")]
    WrongPassphrase {
        /// What the key is for.
        role: Role,
        /// The key file.
        path: Utf8PathBuf,
    },
    /// A passphrase is empty or has more than one line.
    #[error("failed to take the passphrase: it must be one line that is not empty")]
    NotAPassphrase,
    /// What metadata is to say cannot be said in it.
    #[error("failed to make {kind} metadata: {problem}")]
    Unfit {
        /// Which metadata.
        kind: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A key is to sign what the root does not name it for.
    #[error("failed to sign {kind} metadata: the root does not name the {role} key {} for it", key_id.short())]
    NotNamed {
        /// Which metadata.
        kind: &'static str,
        /// What the key is for.
        role: Role,
        /// The key.
        key_id: Digest,
    },
    /// A development key is to sign under a production root, or the other way round.
    #[error("failed to sign: the root is of {} keys, this is a {} key", root.as_str(), key.as_str())]
    RootStatus {
        /// The status in the root.
        root: KeyStatus,
        /// The status of the key.
        key: KeyStatus,
    },
    /// Metadata that new metadata stands on is not signed as it must be.
    #[error("failed to trust the {kind} metadata to build on: {problem}")]
    Distrusted {
        /// Which metadata.
        kind: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Metadata that was just made does not verify, for example since too few keys have signed it.
    #[error("failed to verify the {kind} metadata that was just made: {problem}")]
    Unverified {
        /// Which metadata.
        kind: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The statement cannot be written.
    #[error(transparent)]
    Statement(#[from] xedge_bundle::Error),
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Error::Random | Error::Read { .. } | Error::Write { .. } => Class::Environment,
            Error::Exists { .. }
            | Error::Missing { .. }
            | Error::Mixed { .. }
            | Error::Locked { .. }
            | Error::WrongPassphrase { .. }
            | Error::NotAPassphrase
            | Error::Unfit { .. }
            | Error::NotNamed { .. } => Class::Input,
            Error::Exposed { .. }
            | Error::NotAKeyFile { .. }
            | Error::Seal { .. }
            | Error::Status { .. }
            | Error::RootStatus { .. }
            | Error::Distrusted { .. }
            | Error::Unverified { .. } => Class::Integrity,
            Error::Statement(source) => source.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Exposed { path, .. } => Some(format!(
                "if nobody else uses this machine: `chmod 600 {path}`, else take it for known to others and replace it: `mv {path} {path}.exposed`"
            )),
            Error::NotAKeyFile { path, .. } | Error::Seal { path } => Some(format!(
                "restore it from its backup; of a development key: move it away with `mv {path} {path}.bad`, and the next run makes another"
            )),
            Error::Exists { path } => {
                Some(format!("to replace it, first move it away: `mv {path} {path}.old`"))
            }
            Error::Read { path, .. } | Error::Write { path, .. } => {
                Some(format!("see who may write there: `ls -ld {path} $(dirname {path})`"))
            }
            Error::Missing { .. } => {
                Some("copy the key there from where it is kept, or make keys: `cargo xtask keys init`".into())
            }
            Error::Mixed { other, .. } => Some(format!(
                "keep development and production keys in two folders: `mkdir -p FOLDER && mv {other} FOLDER`"
            )),
            Error::Locked { .. } | Error::WrongPassphrase { .. } => {
                Some("give the file that holds the passphrase: `--passphrase-file FILE`".into())
            }
            Error::NotAPassphrase => {
                Some("put it on the only line of a file: `--passphrase-file FILE`".into())
            }
            Error::NotNamed { .. } => Some(
                "see which keys this machine has with `cargo xtask keys show`; a new key needs a new root"
                    .into(),
            ),
            Error::RootStatus { .. } => {
                Some("see which keys this machine has: `cargo xtask keys show`".into())
            }
            Error::Unverified { .. } => Some(
                "a root needs the threshold of its own root keys, and of those of the root before it; see them with `cargo xtask keys show`".into(),
            ),
            Error::Random | Error::Status { .. } | Error::Unfit { .. } | Error::Distrusted { .. } => None,
            Error::Statement(source) => source.hint(),
        }
    }
}
