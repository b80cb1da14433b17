//! DSSE v1 envelopes (github.com/secure-systems-lab/dsse, envelope.md and protocol.md): read, verify, write.
//! Signs nothing: a signature comes in as bytes.
//!
//! Signatures are ASN.1 DER, as cosign, sigstore and `openssl dgst` write them. Stricter than the specification asks:
//! unknown fields and duplicate keys are refused, base64 is the standard padded alphabet only, and one payload type is
//! accepted, so that a changed byte of an envelope is either an error or not part of what was said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::statement::Statement;
use crate::{Error, VerifyingKey};

/// The payload type of in-toto statements (in-toto attestation framework v1, envelope layer).
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The longest envelope that is read, in bytes: evidence of a large run has some hundred kilobytes.
pub const MAX_BYTES: usize = 8 << 20;

/// An envelope as it was read or made. Nothing in it is trusted before [`Envelope::verify`].
#[derive(Clone, Debug)]
pub struct Envelope {
    origin: String,
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Which key it is by, as 64 hexadecimal digits; a hint only, empty if the signer named none.
    pub key_id: String,
    /// ASN.1 DER.
    pub der: Vec<u8>,
}

/// A payload that at least one trusted key has signed. Only [`Envelope::verify`] makes one.
#[derive(Clone, Debug)]
#[must_use]
pub struct VerifiedPayload {
    origin: String,
    bytes: Vec<u8>,
    signers: Vec<VerifyingKey>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    keyid: String,
    sig: String,
}

/// The bytes that are signed: pre-authentication encoding (protocol.md, §signature definition).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// An envelope around a statement's bytes; `origin` names it in errors.
    pub fn new(origin: &str, payload: Vec<u8>, signatures: Vec<Signature>) -> Self {
        Self { origin: origin.to_owned(), payload_type: PAYLOAD_TYPE.to_owned(), payload, signatures }
    }

    /// Reads an envelope's JSON; `origin` names the file or place in errors.
    pub fn parse(origin: &str, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::TooLarge { origin: origin.to_owned(), found: bytes.len(), limit: MAX_BYTES });
        }
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|source| Error::NotAnEnvelope { origin: origin.to_owned(), source })?;
        let decode = |field, text: &str| {
            STANDARD.decode(text).map_err(|source| Error::NotBase64 {
                origin: origin.to_owned(),
                field,
                source,
            })
        };
        let payload = decode("payload", &wire.payload)?;
        let signatures = wire
            .signatures
            .into_iter()
            .map(|s| Ok(Signature { der: decode("sig", &s.sig)?, key_id: s.keyid }))
            .collect::<Result<_, Error>>()?;
        Ok(Self { origin: origin.to_owned(), payload_type: wire.payload_type, payload, signatures })
    }

    /// The envelope's JSON: fields in the specification's order, no white space.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: self
                .signatures
                .iter()
                .map(|s| WireSignature { keyid: s.key_id.clone(), sig: STANDARD.encode(&s.der) })
                .collect(),
        };
        serde_json::to_vec(&wire).expect("strings always have a JSON form")
    }

    /// The signatures, for people and for adding another; none is trusted.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Checks the payload type, and that at least one signature is valid for one of `keys`.
    ///
    /// A signature by an unknown key is ignored, as is a bad one beside a good one (protocol.md, §verify with threshold 1).
    pub fn verify(&self, keys: &[VerifyingKey]) -> Result<VerifiedPayload, Error> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(Error::PayloadType {
                origin: self.origin.clone(),
                found: self.payload_type.clone(),
                expected: PAYLOAD_TYPE,
            });
        }
        let message = pae(&self.payload_type, &self.payload);
        let signed = |key: &&VerifyingKey| {
            self.signatures.iter().any(|s| s.may_be_by(key) && key.is_valid(&message, &s.der))
        };
        let signers: Vec<VerifyingKey> = keys.iter().filter(signed).cloned().collect();
        if signers.is_empty() {
            return Err(self.no_valid_signature(keys));
        }
        Ok(VerifiedPayload { origin: self.origin.clone(), bytes: self.payload.clone(), signers })
    }

    fn no_valid_signature(&self, keys: &[VerifyingKey]) -> Error {
        let short = |id: &str| id.chars().take(12).collect::<String>();
        Error::NoValidSignature {
            origin: self.origin.clone(),
            count: self.signatures.len(),
            found: list(self.signatures.iter().map(|s| short(&s.key_id))),
            trusted: list(keys.iter().map(|k| short(k.key_id().hex()))),
        }
    }
}

impl Signature {
    /// A signature without a key id may be by any key.
    fn may_be_by(&self, key: &VerifyingKey) -> bool {
        self.key_id.is_empty() || self.key_id == key.key_id().hex()
    }
}

impl VerifiedPayload {
    /// The signed bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the envelope was read from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The trusted keys that signed it, in the order in which they were given; at least one.
    pub fn signers(&self) -> &[VerifyingKey] {
        &self.signers
    }

    /// The payload as a test-result statement, checked as in [`Statement::parse`].
    pub fn statement(&self) -> Result<Statement, Error> {
        Statement::parse(&self.origin, &self.bytes)
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
