//! What keys are for: five roles, each with one algorithm and one file. Holds no key.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};

/// What a key is for. A key of one role is never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Says which keys are trusted; kept offline.
    Root,
    /// Says what a release is made of.
    Release,
    /// Says which release is the newest, and for how long that is believed.
    Stamp,
    /// Signs images in a registry.
    ImageSign,
    /// Says that a gate run passed.
    Gate,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA over NIST P-256 with SHA-256, deterministic (RFC 6979).
    P256,
}

impl Role {
    /// All roles, from the most to the least trusted.
    pub const ALL: [Role; 5] = [Role::Root, Role::Release, Role::Stamp, Role::ImageSign, Role::Gate];

    /// Its name in key files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Release => "release",
            Role::Stamp => "stamp",
            Role::ImageSign => "image-sign",
            Role::Gate => "gate",
        }
    }

    /// How its keys sign: what TUF metadata needs, or what cosign must know.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Role::Root | Role::Release | Role::Stamp => Algorithm::Ed25519,
            Role::ImageSign | Role::Gate => Algorithm::P256,
        }
    }

    /// Its key's file in the folder `dir`.
    pub fn path_in(self, dir: &Utf8Path) -> Utf8PathBuf {
        dir.join(format!("{}.key.json", self.as_str()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Algorithm {
    /// Its name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Ed25519 => "Ed25519",
            Algorithm::P256 => "ECDSA P-256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
