//! Passphrases of keys at rest. They are wiped when dropped and never printed.

use std::fmt;

use camino::Utf8PathBuf;
use p256::elliptic_curve::zeroize::Zeroizing;

use crate::{Error, Role};

/// What encrypts a production key at rest.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

/// The key that a passphrase is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    /// What it is for.
    pub role: Role,
    /// Its file.
    pub path: Utf8PathBuf,
}

/// Asks for a passphrase; called only when an encrypted key is about to be used. Where there is nobody to ask, it
/// returns [`Error::Locked`].
pub type AskPassphrase<'a> = &'a dyn Fn(&KeyName) -> Result<Passphrase, Error>;

impl Passphrase {
    /// A passphrase without the line ending that a file or terminal puts after it; refuses an empty one.
    pub fn new(text: &Zeroizing<String>) -> Result<Self, Error> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.contains(['\n', '\r', '\0']) {
            return Err(Error::NotAPassphrase);
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    /// Its length in characters.
    pub fn length(&self) -> usize {
        self.0.chars().count()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl KeyName {
    /// What an [`AskPassphrase`] returns that can ask nobody.
    pub fn locked(&self) -> Error {
        Error::Locked { role: self.role, path: self.path.clone() }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(secret)")
    }
}
