//! The gate key: what signs that images and configuration passed the simulation, and what a spare device measured of them. It
//! signs nothing else.

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::staging::Staging;
use xedge_bundle::statement::KeyStatus;
use xedge_bundle::{Envelope, Statement, VerifyingKey};

use crate::keyfile::Stored;
use crate::secret::SecretKey;
use crate::{Error, KeyName, Role, SigningKey, ring};

/// A gate key and its status.
#[derive(Debug)]
pub struct GateKey {
    key: SigningKey,
    status: KeyStatus,
}

impl GateKey {
    /// Makes a key in memory; `random` fills a buffer with bytes of a cryptographic random source.
    pub fn generate(status: KeyStatus, random: impl FnMut(&mut [u8])) -> Result<Self, Error> {
        Ok(Self { key: SigningKey::generate(random)?, status })
    }

    pub(crate) fn new(key: SigningKey, status: KeyStatus) -> Self {
        Self { key, status }
    }

    /// The gate key's file in the folder `dir`.
    pub fn path_in(dir: &Utf8Path) -> Utf8PathBuf {
        Role::Gate.path_in(dir)
    }

    /// Reads a key file that is not encrypted; refuses one that others can read, or whose role or status was edited.
    /// An encrypted one comes from [`crate::KeyRing::gate_key`].
    pub fn load(path: &Utf8Path) -> Result<Self, Error> {
        Self::unlock(&Stored::read(path, Role::Gate)?)
    }

    /// The gate key in the folder `dir`, whatever its status; if there is none, a new development key that is kept there.
    ///
    /// Safe to call from several processes at once: all of them get the same key.
    pub fn open_or_make_development(dir: &Utf8Path, random: impl FnMut(&mut [u8])) -> Result<Self, Error> {
        Self::unlock(&ring::open_or_make(dir, Role::Gate, random)?)
    }

    fn unlock(stored: &Stored) -> Result<Self, Error> {
        match stored.unlock(&|name: &KeyName| Err(name.locked()))? {
            SecretKey::P256(key) => Ok(Self { key, status: stored.status }),
            SecretKey::Ed25519(_) => unreachable!("the role says the algorithm"),
        }
    }

    /// Whether it is a development or a production key; statements name it.
    pub fn status(&self) -> KeyStatus {
        self.status
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// Signs a statement, which must name this key's status; `origin` names the envelope in errors.
    ///
    /// The same statement and key give the same bytes.
    pub fn sign_statement(&self, origin: &str, statement: &Statement) -> Result<Envelope, Error> {
        let claimed = statement.predicate.xedge.key_status;
        if claimed != self.status {
            return Err(Error::Status { statement: claimed, key: self.status });
        }
        Ok(self.key.sign_payload(origin, statement.to_bytes(origin)?))
    }

    /// Signs measurements, which must name this key's status. Nobody takes them for evidence: their predicate is another one.
    pub fn sign_staging(&self, origin: &str, staging: &Staging) -> Result<Envelope, Error> {
        let claimed = staging.predicate.key_status;
        if claimed != self.status {
            return Err(Error::Status { statement: claimed, key: self.status });
        }
        Ok(self.key.sign_payload(origin, staging.to_bytes(origin)?))
    }
}
