//! The gate key: what signs that images and configuration passed the simulation. It signs nothing else.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::statement::KeyStatus;
use xedge_bundle::{Envelope, Statement, VerifyingKey};

use crate::{Error, SigningKey, keyfile};

/// Name of the gate key's file in the folder of keys.
pub const FILE_NAME: &str = "gate.key.json";

const ROLE: &str = "gate";

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

    /// The gate key's file in the folder `dir`.
    pub fn path_in(dir: &Utf8Path) -> Utf8PathBuf {
        dir.join(FILE_NAME)
    }

    /// Reads a key file; refuses one that others can read, or whose role or status was edited.
    pub fn load(path: &Utf8Path) -> Result<Self, Error> {
        let (key, status) = keyfile::load(path, ROLE)?;
        Ok(Self { key, status })
    }

    /// Writes the key to a new file of mode 0600; refuses to replace a file.
    pub fn save(&self, path: &Utf8Path) -> Result<(), Error> {
        keyfile::save(path, ROLE, self.status, &self.key)
    }

    /// The gate key in the folder `dir`, whatever its status; if there is none, a new development key that is kept there.
    ///
    /// Safe to call from several processes at once: all of them get the same key.
    pub fn open_or_make_development(dir: &Utf8Path, random: impl FnMut(&mut [u8])) -> Result<Self, Error> {
        let path = Self::path_in(dir);
        match Self::load(&path) {
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let key = Self::generate(KeyStatus::Development, random)?;
        match key.save(&path) {
            Ok(()) => Ok(key),
            Err(Error::Exists { .. }) => Self::load(&path),
            Err(other) => Err(other),
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
}
