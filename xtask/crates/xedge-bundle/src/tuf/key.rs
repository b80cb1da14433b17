//! Ed25519 public keys in metadata (TUF 1.0 §4.2). Never a secret key.

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use xedge_model::Digest;

const ED25519: &str = "ed25519";

/// A public key. Its fields are in the order of its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    keytype: String,
    keyval: KeyValue,
    scheme: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    public: String,
}

impl Key {
    /// The key of these 32 bytes.
    pub fn ed25519(public: &[u8; 32]) -> Self {
        let public = hex(public);
        Self { keytype: ED25519.to_owned(), keyval: KeyValue { public }, scheme: ED25519.to_owned() }
    }

    /// The sha256 of its canonical form, in hexadecimal digits.
    pub fn id(&self) -> String {
        let canonical = serde_json::to_vec(self).expect("a key has string fields only");
        Digest::of(&canonical).hex().to_owned()
    }

    /// Whether it is an Ed25519 key that is a point of the curve, and not a weak one.
    pub fn is_sound(&self) -> bool {
        self.point().is_some_and(|key| !key.is_weak())
    }

    /// Whether `signature`, 128 hexadecimal digits, is one of `message` by this key.
    pub fn is_valid(&self, message: &[u8], signature: &str) -> bool {
        let Some((key, signature)) = self.point().zip(bytes::<64>(signature)) else { return false };
        key.verify_strict(message, &Signature::from_bytes(&signature)).is_ok()
    }

    fn point(&self) -> Option<VerifyingKey> {
        if self.keytype != ED25519 || self.scheme != ED25519 {
            return None;
        }
        VerifyingKey::from_bytes(&bytes(&self.keyval.public)?).ok()
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).expect("four bits");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Lower-case hexadecimal digits as bytes.
fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if hex.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
