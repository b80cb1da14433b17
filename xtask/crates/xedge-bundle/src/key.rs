//! P-256 public keys, as `openssl ec -pubout` and cosign write them. Never a secret key.

use std::fmt;

use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use xedge_model::Digest;

use crate::Error;

/// A public key that signatures are checked with: ECDSA over NIST P-256 with SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    key: p256::ecdsa::VerifyingKey,
    id: Digest,
}

impl VerifyingKey {
    /// Reads `SubjectPublicKeyInfo` PEM (RFC 7468 §13); `origin` names the file in errors.
    pub fn from_pem(origin: &str, pem: &str) -> Result<Self, Error> {
        p256::ecdsa::VerifyingKey::from_public_key_pem(pem)
            .map(Self::from)
            .map_err(|source| Error::NotAKey { origin: origin.to_owned(), source })
    }

    /// `SubjectPublicKeyInfo` PEM, with a final newline.
    pub fn to_pem(&self) -> String {
        self.key.to_public_key_pem(LineEnding::LF).expect("a point on the curve always has an SPKI form")
    }

    /// Reads `SubjectPublicKeyInfo` DER.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        p256::ecdsa::VerifyingKey::from_public_key_der(der).ok().map(Self::from)
    }

    /// `SubjectPublicKeyInfo` DER with an uncompressed point.
    pub fn to_der(&self) -> Vec<u8> {
        let der = self.key.to_public_key_der().expect("a point on the curve always has an SPKI form");
        der.into_vec()
    }

    /// SHA-256 of the `SubjectPublicKeyInfo` DER with an uncompressed point:
    /// what `openssl pkey -pubin -outform DER | sha256sum` prints.
    pub fn key_id(&self) -> &Digest {
        &self.id
    }

    /// Whether `signature` (ASN.1 DER) is one of `message` by this key.
    pub(crate) fn is_valid(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::try_from(signature).is_ok_and(|sig| self.key.verify(message, &sig).is_ok())
    }
}

impl From<p256::ecdsa::VerifyingKey> for VerifyingKey {
    fn from(key: p256::ecdsa::VerifyingKey) -> Self {
        let der = key.to_public_key_der().expect("a point on the curve always has an SPKI form");
        Self { id: Digest::of(der.as_bytes()), key }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.id).finish()
    }
}
