//! Ed25519 keys, which sign TUF metadata: made from random bytes that are passed in, wiped when dropped, never printed.

use std::fmt;

use ed25519_dalek::pkcs8::{
    DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes, PrivateKeyInfoRef,
};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use p256::elliptic_curve::zeroize::Zeroizing;
use p256::pkcs8::LineEnding;
use pkcs8::SecretDocument;
use xedge_bundle::tuf::Key;
use xedge_model::Digest;

/// A secret Ed25519 key. Its memory is wiped when it is dropped.
pub struct Ed25519Key(SigningKey);

/// The public half of an [`Ed25519Key`].
#[derive(Clone, PartialEq, Eq)]
pub struct Ed25519PublicKey {
    key: VerifyingKey,
    id: Digest,
}

impl Ed25519Key {
    /// Makes a key; `random` fills a buffer with bytes of a cryptographic random source. `None` if it fills in nothing.
    pub(crate) fn generate(mut random: impl FnMut(&mut [u8])) -> Option<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut *seed);
        // Every seed is a key, so a source that gives one byte only has to be noticed here.
        let is_constant = seed.iter().all(|byte| *byte == seed[0]);
        (!is_constant).then(|| Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads PKCS#8, `None` if it is anything else.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let info = PrivateKeyInfoRef::try_from(der).ok()?;
        SigningKey::try_from(info).ok().map(Self)
    }

    /// PKCS#8 of version 1, without the public key: openssl reads no other.
    pub(crate) fn to_der(&self) -> SecretDocument {
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        pair.to_pkcs8_der().expect("32 bytes always have a PKCS#8 form")
    }

    /// The public half.
    pub fn public(&self) -> Ed25519PublicKey {
        self.0.verifying_key().into()
    }

    /// The 64 bytes of a signature of `message`; the same ones each time.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).to_bytes().to_vec()
    }
}

impl Ed25519PublicKey {
    /// Reads `SubjectPublicKeyInfo` PEM, `None` if it is anything else.
    pub fn from_pem(pem: &str) -> Option<Self> {
        VerifyingKey::from_public_key_pem(pem).ok().map(Self::from)
    }

    /// `SubjectPublicKeyInfo` PEM, with a final newline.
    pub fn to_pem(&self) -> String {
        self.key.to_public_key_pem(LineEnding::LF).expect("an Ed25519 key always has an SPKI form")
    }

    /// The key id of TUF: SHA-256 of the key as canonical JSON.
    pub fn key_id(&self) -> &Digest {
        &self.id
    }

    /// The key as TUF metadata writes it.
    pub fn to_tuf(&self) -> Key {
        Key::ed25519(self.key.as_bytes())
    }
}

impl From<VerifyingKey> for Ed25519PublicKey {
    fn from(key: VerifyingKey) -> Self {
        let id = Key::ed25519(key.as_bytes()).id();
        let id = Digest::from_hex(&id).expect("a key id is a digest");
        Self { key, id }
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Key(secret of {})", self.public().key_id().short())
    }
}

impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ed25519PublicKey").field(&self.id).finish()
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
