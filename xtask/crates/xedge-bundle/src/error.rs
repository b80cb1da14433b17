//! The errors of this crate. Everything that is read here is evidence, so nearly everything that is wrong is an
//! integrity error: it must never be retried away.

use xedge_model::{Class, Failure};

/// Why an envelope, a statement or a public key is refused. `origin` is the file or place it was read from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are longer than any evidence may be.
    #[error("failed to read {origin}: {found} bytes are more than the {limit} that an envelope may have")]
    TooLarge {
        /// Where it was read from.
        origin: String,
        /// Its length in bytes.
        found: usize,
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// The bytes are not the JSON of a DSSE envelope.
    #[error("failed to read {origin} as a DSSE envelope")]
    NotAnEnvelope {
        /// Where it was read from.
        origin: String,
        /// What the JSON parser found.
        source: serde_json::Error,
    },
    /// A field of the envelope is not standard, padded base64.
    #[error("failed to read `{field}` of {origin} as base64")]
    NotBase64 {
        /// Where it was read from.
        origin: String,
        /// The field of the envelope.
        field: &'static str,
        /// What the decoder found.
        source: base64::DecodeError,
    },
    /// The envelope is of another payload type.
    #[error("failed to accept {origin}: its payload type is `{found}`, expected `{expected}`")]
    PayloadType {
        /// Where it was read from.
        origin: String,
        /// The type in the envelope.
        found: String,
        /// The one type that is accepted.
        expected: &'static str,
    },
    /// No signature of the envelope is a valid one by a key that was given.
    #[error(
        "failed to verify {origin}: none of its {count} signatures (keys {found}) is valid for a trusted key ({trusted})"
    )]
    NoValidSignature {
        /// Where it was read from.
        origin: String,
        /// How many signatures the envelope has.
        count: usize,
        /// The key ids in the envelope, shortened.
        found: String,
        /// The ids of the keys that were given, shortened.
        trusted: String,
    },
    /// The bytes are not the JSON of a test-result statement.
    #[error("failed to read the payload of {origin} as an in-toto test-result statement")]
    NotAStatement {
        /// Where it was read from.
        origin: String,
        /// What the JSON parser found.
        source: serde_json::Error,
    },
    /// The statement is not written in the one way that it can be.
    #[error("failed to accept the statement in {origin}: its bytes differ from its canonical form")]
    NotCanonical {
        /// Where it was read from.
        origin: String,
    },
    /// The statement contradicts itself.
    #[error("failed to accept the statement in {origin}: {problem}")]
    Inconsistent {
        /// Where it was read from, or is about to be written to.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// A file is not a P-256 public key in PEM.
    #[error("failed to read {origin} as a P-256 public key in SPKI PEM")]
    NotAKey {
        /// Where it was read from.
        origin: String,
        /// What the decoder found.
        source: p256::pkcs8::spki::Error,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Error::TooLarge { .. }
            | Error::NotAnEnvelope { .. }
            | Error::NotBase64 { .. }
            | Error::PayloadType { .. }
            | Error::NoValidSignature { .. }
            | Error::NotAStatement { .. }
            | Error::NotCanonical { .. }
            | Error::Inconsistent { .. } => Class::Integrity,
            Error::NotAKey { .. } => Class::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::TooLarge { .. }
            | Error::NotAnEnvelope { .. }
            | Error::NotBase64 { .. }
            | Error::PayloadType { .. }
            | Error::NotAStatement { .. }
            | Error::NotCanonical { .. }
            | Error::Inconsistent { .. } => Some(
                "the evidence is damaged or was not made by this tool: make it anew with `cargo xtask sim`"
                    .into(),
            ),
            Error::NoValidSignature { .. } => Some(
                "the evidence was changed or was signed by another gate key: make it anew with `cargo xtask sim`".into(),
            ),
            Error::NotAKey { .. } => Some("a public key is a PEM file that starts with `-----BEGIN PUBLIC KEY-----`".into()),
        }
    }
}
