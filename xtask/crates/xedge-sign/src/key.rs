//! A P-256 secret key in memory: made from random bytes that are passed in, wiped when dropped, never printed.

use std::fmt;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{self, DerSignature};
use p256::elliptic_curve::zeroize::Zeroizing;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding, SecretDocument};
use xedge_bundle::VerifyingKey;
use xedge_bundle::dsse::{Envelope, PAYLOAD_TYPE, Signature, pae};

use crate::Error;

/// Random bytes that are no key are as likely as a guessed key: more than a few in a row is a broken source.
const ATTEMPTS: usize = 16;

/// A secret key for ECDSA over NIST P-256 with SHA-256. The memory of its scalar is wiped when it is dropped.
pub struct SigningKey(ecdsa::SigningKey);

impl SigningKey {
    /// Makes a key; `random` fills a buffer with bytes of a cryptographic random source.
    pub fn generate(mut random: impl FnMut(&mut [u8])) -> Result<Self, Error> {
        for _ in 0..ATTEMPTS {
            let mut scalar = Zeroizing::new([0; 32]);
            random(&mut *scalar);
            if let Ok(key) = ecdsa::SigningKey::from_slice(&*scalar) {
                return Ok(Self(key));
            }
        }
        Err(Error::Random)
    }

    /// Reads PKCS#8 PEM (RFC 5958), `None` if it is anything else. The reason is left out: it might quote the secret.
    pub fn from_pem(pem: &str) -> Option<Self> {
        ecdsa::SigningKey::from_pkcs8_pem(pem).ok().map(Self)
    }

    /// Reads PKCS#8 DER, `None` if it is anything else.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        ecdsa::SigningKey::from_pkcs8_der(der).ok().map(Self)
    }

    /// PKCS#8 DER, in memory that is wiped when dropped.
    pub(crate) fn to_der(&self) -> SecretDocument {
        self.0.to_pkcs8_der().expect("a scalar in range always has a PKCS#8 form")
    }

    /// PKCS#8 PEM, in memory that is wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("a scalar in range always has a PKCS#8 form")
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::from(*self.0.verifying_key())
    }

    /// An ASN.1 DER signature of `message`; the same one each time (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.0.sign(message);
        signature.as_bytes().to_vec()
    }

    /// A DSSE envelope around `payload`, an in-toto statement's bytes; `origin` names it in errors.
    pub(crate) fn sign_payload(&self, origin: &str, payload: Vec<u8>) -> Envelope {
        let der = self.sign(&pae(PAYLOAD_TYPE, &payload));
        let key_id = self.verifying_key().key_id().hex().to_owned();
        Envelope::new(origin, payload, vec![Signature { key_id, der }])
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(secret of {})", self.verifying_key().key_id().short())
    }
}
