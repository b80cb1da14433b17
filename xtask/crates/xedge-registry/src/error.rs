//! The errors of this crate. None of them carries a password, a token or the query of an address.

use std::fmt;
use std::io;

use camino::Utf8PathBuf;
use xedge_model::atomic::WriteError;
use xedge_model::{Class, Digest, Failure};

use crate::settings::Retry;

/// How often an address is tried where nobody is: once for the step, and twice for a registry that just starts.
const UNREACHABLE_TRIES: u32 = 3;

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// What a registry said when it refused a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The code of the registry's own error envelope, such as `DENIED`.
    pub code: Option<String>,
    /// The text of the error envelope, or the start of a body that is none.
    pub message: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, ", {code}")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl Answer {
    /// Whether the same request may succeed a little later.
    pub fn may_pass(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504)
    }
}

/// Why a registry cannot be read or written. `what` names repository and digest or tag, `place` names the host too.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not the address of a registry or of a place in one.
    #[error("failed to read `{text}` as a registry target: {problem}")]
    Target {
        /// What the user wrote.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The text is not a tag.
    #[error("failed to read `{text}` as a tag: expected up to 128 letters, digits, `_`, `.` and `-`")]
    Tag {
        /// What the user wrote.
        text: String,
    },
    /// A CA file is missing or is not PEM.
    #[error("failed to read certificates from {path}: {problem}")]
    CaFile {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client cannot be set up at all.
    #[error("failed to set up TLS")]
    Setup {
        /// What the TLS library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A Docker-style configuration file cannot be used.
    #[error("failed to read credentials from {path}: {problem}")]
    ConfigFile {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A Docker-style configuration file cannot be written.
    #[error("failed to keep the credentials")]
    ConfigWrite(#[source] WriteError),
    /// A credential helper cannot be used.
    #[error("failed to ask the credential helper `{helper}` for {host}: {problem}")]
    Helper {
        /// The program.
        helper: String,
        /// The registry it was asked about.
        host: String,
        /// What went wrong; never what the helper printed.
        problem: String,
    },
    /// A credential helper did not answer in time.
    #[error("failed to ask the credential helper `{helper}` for {host}: no answer within {seconds} s")]
    HelperTimeout {
        /// The program.
        helper: String,
        /// The registry it was asked about.
        host: String,
        /// How long it had.
        seconds: u64,
    },
    /// The registry refuses the credentials, or asks for some and there are none.
    #[error("failed to get access to {place}: denied, {why} ({answer})")]
    Denied {
        /// Host and repository.
        place: String,
        /// The host, for the hint.
        host: String,
        /// Wrong password, no credentials or no rights.
        why: &'static str,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// The connection failed, was cut or stood still.
    #[error("failed to talk to {place}")]
    Connection {
        /// The address without its query.
        place: String,
        /// What the HTTP client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody listens at the address, or its host has no address at all.
    #[error("failed to reach {place}")]
    Unreachable {
        /// The address without its query.
        place: String,
        /// What the HTTP client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The other side's certificate is not one to trust, which another try does not change.
    #[error("failed to trust the certificate of {place}")]
    Certificate {
        /// The address without its query.
        place: String,
        /// What the TLS library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry points to an address without TLS that was not allowed.
    #[error(
        "failed to accept the address {address}: it is not encrypted, and plain HTTP is not allowed for it"
    )]
    Insecure {
        /// The address without its query.
        address: String,
    },
    /// The registry refuses a request.
    #[error("failed to {what}: {answer}")]
    Status {
        /// The step, with host, repository and digest or tag.
        what: String,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// What was asked for by name is not there.
    #[error("failed to find {what}")]
    NotFound {
        /// Host, repository and digest or tag.
        what: String,
    },
    /// The registry does not keep to the distribution specification.
    #[error("failed to understand the answer for {what}: {problem}")]
    Protocol {
        /// Host, repository and digest or tag.
        what: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The registry served or kept other bytes than those asked for.
    #[error("failed to verify {what}: expected {expected}, found {found}")]
    WrongDigest {
        /// Host, repository and digest or tag.
        what: String,
        /// The digest that it must have.
        expected: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// After a push the registry does not show what was pushed.
    #[error("failed to find {what} again after the push: expected {expected}")]
    Vanished {
        /// Host, repository and digest or tag.
        what: String,
        /// The digest that was pushed.
        expected: Digest,
    },
    /// More bytes come than are allowed.
    #[error("failed to read {what}: it has more than {limit} bytes")]
    TooLarge {
        /// Host, repository and digest or tag.
        what: String,
        /// The most that is read.
        limit: u64,
    },
    /// A blob to be pushed does not have the digest or size it should.
    #[error("failed to push the damaged blob {digest}: {problem}")]
    DamagedBlob {
        /// The digest it should have.
        digest: Digest,
        /// What was found instead.
        problem: String,
    },
    /// A blob to be pushed cannot be read.
    #[error("failed to read the blob {digest}")]
    ReadBlob {
        /// The blob.
        digest: Digest,
        /// What the source said.
        source: io::Error,
    },
    /// What is pulled cannot be written.
    #[error("failed to write {what}")]
    Write {
        /// What was written.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A write-once tag names another image already.
    #[error("failed to set the version {what}: it names {found} already, not {wanted}")]
    TagTaken {
        /// Host, repository and tag.
        what: String,
        /// What the tag names.
        found: Digest,
        /// What it was to name.
        wanted: Digest,
    },
    /// What the caller wants to push contradicts itself.
    #[error("failed to push {what}: {problem}")]
    BadImage {
        /// The digest.
        what: String,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// How often a step that may pass is tried in all. A closed port or a wrong name rarely mends itself while we wait.
    pub(crate) fn tries(&self, retry: &Retry) -> u32 {
        match self {
            Error::Unreachable { .. } => retry.tries.min(UNREACHABLE_TRIES),
            _ => retry.tries,
        }
    }

    /// Whether the same step may succeed a little later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Error::Connection { .. } | Error::Unreachable { .. } => true,
            Error::Status { answer, .. } => answer.may_pass(),
            _ => false,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Error::Target { .. }
            | Error::Tag { .. }
            | Error::CaFile { .. }
            | Error::ConfigFile { .. }
            | Error::Helper { .. }
            | Error::Denied { .. }
            | Error::Certificate { .. }
            | Error::Insecure { .. }
            | Error::NotFound { .. }
            | Error::TagTaken { .. } => Class::Input,
            Error::Status { answer, .. } => {
                if answer.may_pass() {
                    Class::Environment
                } else {
                    Class::Input
                }
            }
            Error::Setup { .. }
            | Error::HelperTimeout { .. }
            | Error::Connection { .. }
            | Error::Unreachable { .. }
            | Error::Protocol { .. }
            | Error::Write { .. } => Class::Environment,
            Error::ConfigWrite(source) => source.class(),
            Error::ReadBlob { source, .. } => Class::of_read(source),
            Error::WrongDigest { .. }
            | Error::Vanished { .. }
            | Error::TooLarge { .. }
            | Error::DamagedBlob { .. } => Class::Integrity,
            Error::BadImage { .. } => Class::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Target { .. } => {
                Some("write it as HOST[:PORT][/PATH], such as `localhost:5000/site`".into())
            }
            Error::Tag { .. } | Error::BadImage { .. } => None,
            Error::CaFile { .. } => Some("name a file with one or more certificates in PEM".into()),
            Error::Setup { .. } => Some("install the system's CA certificates, or name a CA file".into()),
            Error::ConfigFile { path, .. } => Some(format!("mend or remove {path}")),
            Error::ConfigWrite(source) => source.hint(),
            Error::Helper { host, .. } | Error::HelperTimeout { host, .. } | Error::Denied { host, .. } => {
                Some(format!("cargo xtask registry login {host} --username USER --password-stdin"))
            }
            Error::Connection { .. } | Error::Unreachable { .. } => {
                Some("see that the address is right and that the host can be reached, then try again".into())
            }
            Error::Certificate { .. } => Some(
                "where a private authority signed it, name that one, in PEM: `--ca FILE` or XEDGE_CA".into(),
            ),
            Error::Insecure { .. } => {
                Some("serve it over TLS, or allow plain HTTP for this host by name".into())
            }
            Error::Status { answer, .. } if answer.message.contains("No space left") => Some(
                "the registry's disk is full; the embedded one's: `df -h \"${XEDGE_HOME:-$HOME}\"`".into(),
            ),
            Error::Status { answer, .. } => answer.may_pass().then(|| "try again later".into()),
            Error::NotFound { .. } => Some("check the name and the tag, or push it first".into()),
            Error::Protocol { .. } => {
                Some("see that the address is a registry's and that no proxy changes its answers".into())
            }
            Error::WrongDigest { .. } | Error::Vanished { .. } | Error::TooLarge { .. } => {
                Some("do not use what the registry serves: somebody or something changed it".into())
            }
            Error::DamagedBlob { .. } => Some("the file on disk was changed: build it anew".into()),
            Error::ReadBlob { .. } | Error::Write { .. } => {
                Some("see that the disk is there and not full".into())
            }
            Error::TagTaken { .. } => Some("a version is never moved: choose a new one".into()),
        }
    }
}
