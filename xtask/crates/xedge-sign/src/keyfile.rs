//! A key on disk: a JSON file of mode 0600 with the secret and what it is for. Written once, never over another key.
//!
//! Role, status and key id are sealed: the file carries a digest that only the key's own signature over them gives, so that a development key
//! does not become a production key in an editor. Whoever holds the secret could seal anew; the seal is against
//! mistakes, and devices pin public keys. Of an encrypted key all but the secret can be read without its passphrase, and
//! the seal is checked once it is decrypted.

use camino::Utf8Path;
use p256::elliptic_curve::zeroize::{Zeroize as _, Zeroizing};
use pkcs8::{LineEnding, SecretDocument};
use serde::{Deserialize, Serialize};
use xedge_bundle::dsse::pae;
use xedge_bundle::statement::KeyStatus;
use xedge_model::Digest;

use crate::encrypted::{self, Refusal};
use crate::passphrase::{AskPassphrase, KeyName};
use crate::secret::{PublicKey, SecretKey};
use crate::{Error, Role, disk};

/// Format 1 knew gate keys only, and left the public key out.
const FORMATS: [u32; 2] = [1, 2];
/// What a seal signs; a type of its own, so that no seal is ever a signature of a statement.
const SEAL_TYPE: &str = "application/vnd.xedge.key-seal";
const CLEAR: &str = "PRIVATE KEY";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyFile {
    format: u32,
    role: String,
    status: KeyStatus,
    key_id: String,
    seal: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    pem: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.pem.zeroize();
    }
}

/// A key as it lies in its file, perhaps encrypted.
pub(crate) struct Stored {
    pub(crate) name: KeyName,
    pub(crate) status: KeyStatus,
    pub(crate) public: PublicKey,
    seal: Digest,
    pem: Zeroizing<String>,
}

impl Stored {
    /// Reads the key file of `role`, refusing one that others can read or that was edited.
    pub(crate) fn read(path: &Utf8Path, role: Role) -> Result<Self, Error> {
        let file = KeyFile::read(path)?;
        file.check(role).map_err(|problem| Error::NotAKeyFile { path: path.to_owned(), problem })?;
        let is_clear = !file.is_encrypted();
        let public = file
            .public_key(role)
            .map_err(|problem| Error::NotAKeyFile { path: path.to_owned(), problem: problem.to_owned() })?;
        let stored = Self {
            name: KeyName { role, path: path.to_owned() },
            status: file.status,
            seal: file.seal.clone(),
            pem: Zeroizing::new(file.pem.clone()),
            public,
        };
        if file.key_id != stored.public.key_id().hex() {
            return Err(stored.broken_seal());
        }
        if is_clear {
            stored.unseal(clear_key(role, &stored.pem))?;
        }
        Ok(stored)
    }

    /// The secret; asks for a passphrase only if it is encrypted.
    pub(crate) fn unlock(&self, ask: AskPassphrase<'_>) -> Result<SecretKey, Error> {
        let role = self.name.role;
        if !is_encrypted(&self.pem) {
            return self.unseal(clear_key(role, &self.pem));
        }
        let document = encrypted::decrypt(&self.pem, &ask(&self.name)?).map_err(|refusal| match refusal {
            Refusal::Form => self.not_a_key("`pem` is not encrypted the way that xedge does it"),
            Refusal::Passphrase => Error::WrongPassphrase { role, path: self.name.path.clone() },
        })?;
        self.unseal(SecretKey::from_der(role.algorithm(), document.as_bytes()))
    }

    fn unseal(&self, key: Option<SecretKey>) -> Result<SecretKey, Error> {
        let key = key.ok_or_else(|| self.not_a_key("`pem` is not PKCS#8 of such a key"))?;
        if self.public != key.public() || self.seal != seal(&key, self.name.role, self.status) {
            return Err(self.broken_seal());
        }
        Ok(key)
    }

    fn broken_seal(&self) -> Error {
        Error::Seal { path: self.name.path.clone() }
    }

    fn not_a_key(&self, problem: &str) -> Error {
        Error::NotAKeyFile { path: self.name.path.clone(), problem: problem.to_owned() }
    }
}

impl KeyFile {
    fn read(path: &Utf8Path) -> Result<Self, Error> {
        let text = disk::read_private(path)?;
        serde_json::from_slice(&text).map_err(|e| {
            // The parser's own words can quote what they stumble over, which may be the secret.
            let problem = format!("line {}, column {} is not as it was written", e.line(), e.column());
            Error::NotAKeyFile { path: path.to_owned(), problem }
        })
    }

    fn check(&self, role: Role) -> Result<(), String> {
        if !FORMATS.contains(&self.format) {
            return Err(format!("it has format {}, this xedge reads the formats 1 and 2", self.format));
        }
        if self.role != role.as_str() {
            return Err(format!("it is a `{}` key, expected a `{role}` key", self.role));
        }
        if self.public.is_some() != (self.format == 2) {
            return Err("`public` is there in format 2, and only there".to_owned());
        }
        let is_protected = self.is_encrypted() == (self.status == KeyStatus::Production);
        if self.format == 2 && !is_protected {
            return Err("production keys are encrypted and development keys are not".to_owned());
        }
        Ok(())
    }

    fn public_key(&self, role: Role) -> Result<PublicKey, &'static str> {
        match &self.public {
            Some(pem) => {
                PublicKey::from_pem(role.algorithm(), pem).ok_or("`public` is not SPKI PEM of such a key")
            }
            None => {
                clear_key(role, &self.pem).map(|key| key.public()).ok_or("`pem` is not PKCS#8 of such a key")
            }
        }
    }

    fn is_encrypted(&self) -> bool {
        is_encrypted(&self.pem)
    }
}

/// What a new key file holds, for [`disk::write_new`]: `pem` is the secret in clear or encrypted.
pub(crate) fn text(role: Role, status: KeyStatus, key: &SecretKey, pem: &str) -> Zeroizing<Vec<u8>> {
    let public = key.public();
    let file = KeyFile {
        format: 2,
        role: role.as_str().to_owned(),
        status,
        key_id: public.key_id().hex().to_owned(),
        seal: seal(key, role, status),
        public: Some(public.to_pem()),
        pem: pem.to_owned(),
    };
    // With room for all of it from the start: a buffer that grows leaves copies behind that are not wiped.
    let mut text = Zeroizing::new(Vec::with_capacity(4 << 10));
    serde_json::to_writer_pretty(&mut *text, &file).expect("strings always have a JSON form");
    text.push(b'\n');
    text
}

/// PKCS#8 PEM in clear.
pub(crate) fn clear_pem(key: &SecretKey) -> Zeroizing<String> {
    key.to_der().to_pem(CLEAR, LineEnding::LF).expect("DER always has a PEM form")
}

fn clear_key(role: Role, pem: &str) -> Option<SecretKey> {
    let (label, document) = SecretDocument::from_pem(pem).ok()?;
    (label == CLEAR).then(|| SecretKey::from_der(role.algorithm(), document.as_bytes()))?
}

fn is_encrypted(pem: &str) -> bool {
    pem.contains(encrypted::LABEL)
}

/// The digest of the key's signature over its role and status. Signatures are deterministic (RFC 6979, RFC 8032), so a
/// seal is checked by making it again.
fn seal(key: &SecretKey, role: Role, status: KeyStatus) -> Digest {
    let claim = format!("{role} {} {}", status.as_str(), key.public().key_id());
    Digest::of(&key.sign(&pae(SEAL_TYPE, claim.as_bytes())))
}
