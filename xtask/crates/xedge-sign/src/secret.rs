//! A secret key of either algorithm, and its public half. Touches no file.

use pkcs8::SecretDocument;
use xedge_bundle::VerifyingKey;
use xedge_model::Digest;

use crate::{Algorithm, Ed25519Key, Ed25519PublicKey, Error, SigningKey};

#[derive(Debug)]
pub(crate) enum SecretKey {
    Ed25519(Ed25519Key),
    P256(SigningKey),
}

/// A public key of either algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// A key of TUF metadata.
    Ed25519(Ed25519PublicKey),
    /// A key of images or evidence.
    P256(VerifyingKey),
}

impl SecretKey {
    pub(crate) fn generate(algorithm: Algorithm, random: impl FnMut(&mut [u8])) -> Result<Self, Error> {
        match algorithm {
            Algorithm::Ed25519 => Ed25519Key::generate(random).map(Self::Ed25519).ok_or(Error::Random),
            Algorithm::P256 => SigningKey::generate(random).map(Self::P256),
        }
    }

    /// Reads PKCS#8, `None` if it is anything else. The reason is left out: it might quote the secret.
    pub(crate) fn from_der(algorithm: Algorithm, der: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Ed25519 => Ed25519Key::from_der(der).map(Self::Ed25519),
            Algorithm::P256 => SigningKey::from_der(der).map(Self::P256),
        }
    }

    pub(crate) fn to_der(&self) -> SecretDocument {
        match self {
            Self::Ed25519(key) => key.to_der(),
            Self::P256(key) => key.to_der(),
        }
    }

    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(key.public()),
            Self::P256(key) => PublicKey::P256(key.verifying_key()),
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(message),
            Self::P256(key) => key.sign(message),
        }
    }
}

impl PublicKey {
    pub(crate) fn from_pem(algorithm: Algorithm, pem: &str) -> Option<Self> {
        match algorithm {
            Algorithm::Ed25519 => Ed25519PublicKey::from_pem(pem).map(Self::Ed25519),
            Algorithm::P256 => VerifyingKey::from_pem("", pem).ok().map(Self::P256),
        }
    }

    /// How it verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::P256(_) => Algorithm::P256,
        }
    }

    /// Its id: of Ed25519 the one that TUF metadata names, of P-256 the SHA-256 of the SPKI DER.
    pub fn key_id(&self) -> &Digest {
        match self {
            Self::Ed25519(key) => key.key_id(),
            Self::P256(key) => key.key_id(),
        }
    }

    /// `SubjectPublicKeyInfo` PEM, with a final newline.
    pub fn to_pem(&self) -> String {
        match self {
            Self::Ed25519(key) => key.to_pem(),
            Self::P256(key) => key.to_pem(),
        }
    }
}
