//! TUF metadata (TUF 1.0 §4; FORMAT.md §3) as types. Reading alone trusts nothing: that is [`Document::check`]'s part.

mod chain;
mod document;
mod key;

pub use document::{Document, Foreign, Signature, Signers};
pub use key::Key;

pub(crate) use chain::{Chain, Link};
pub(crate) use document::{check_status, check_time};
#[cfg(test)]
pub(crate) use key::hex;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xedge_model::Digest;

use crate::statement::{DigestSet, KeyStatus, bare_hex};
use crate::{member, time};

/// The version of TUF that is written and read.
pub const SPEC_VERSION: &str = "1.0.0";
/// How many stampings a release can have: `snapshot.version` and `timestamp.version` are `seq * 1000 + restamp`.
pub const STAMPS: u64 = 1000;
/// The size of a piece of a member, in bytes.
pub const PIECE: u64 = 1 << 20;
/// The most roots that a bundle may have.
pub const MAX_ROOTS: usize = 1000;

/// What the metadata types have in common.
pub trait Metadata: DeserializeOwned {
    /// The text of `_type`.
    const TYPE: &'static str;
    /// The longest file that is read, in bytes.
    const MAX_BYTES: usize;
    /// What every type starts with.
    fn common(&self) -> Common<'_>;
}

/// The fields that every metadata type has.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// `_type`.
    pub kind: &'a str,
    /// `spec_version`.
    pub spec_version: &'a str,
    /// `version`.
    pub version: u64,
    /// Unix time from which on it is expired.
    pub expires: i64,
    /// Whether its keys are development or production keys.
    pub status: KeyStatus,
}

/// `N.root.json`: the keys, and which of them has which role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// `root`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// False: members have plain names.
    pub consistent_snapshot: bool,
    /// Unix time from which on it is expired.
    #[serde(with = "time::text")]
    pub expires: i64,
    /// The Ed25519 keys by their ids.
    pub keys: BTreeMap<String, Key>,
    /// Who signs what.
    pub roles: Roles,
    /// [`SPEC_VERSION`].
    pub spec_version: String,
    /// Counts up by one.
    pub version: u64,
    /// What TUF has no field for.
    pub xedge: RootExtension,
}

/// The four roles.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Signs roots.
    pub root: RoleKeys,
    /// Signs the snapshot: the stamp key.
    pub snapshot: RoleKeys,
    /// Signs the targets: the release key.
    pub targets: RoleKeys,
    /// Signs the timestamp: the stamp key.
    pub timestamp: RoleKeys,
}

/// Who has a role, and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RoleKeys {
    /// Key ids, each once.
    pub keyids: Vec<String>,
    /// How many must sign.
    pub threshold: usize,
}

/// `xedge` of a root.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RootExtension {
    /// P-256 keys that sign evidence: base64 of SPKI DER, sorted.
    pub gate: Vec<String>,
    /// P-256 keys that sign images: base64 of SPKI DER, sorted.
    #[serde(rename = "image-sign")]
    pub image_sign: Vec<String>,
    /// What kind of keys all of these are.
    pub status: KeyStatus,
}

/// `xedge` of the other roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// The root's status.
    pub status: KeyStatus,
}

/// `timestamp.json` and `snapshot.json`: each names one file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// `timestamp` or `snapshot`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Unix time from which on it is expired.
    #[serde(with = "time::text")]
    pub expires: i64,
    /// The one file that it names.
    pub meta: BTreeMap<String, MetaFile>,
    /// [`SPEC_VERSION`].
    pub spec_version: String,
    /// `seq * 1000 + restamp`.
    pub version: u64,
    /// What TUF has no field for.
    pub xedge: Extension,
}

/// `timestamp.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Timestamp(pub Stamp);

/// `snapshot.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Snapshot(pub Stamp);

/// A metadata file as another one names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MetaFile {
    /// Its sha256.
    pub hashes: DigestSet,
    /// Its length in bytes.
    pub length: u64,
    /// Its version.
    pub version: u64,
}

/// `targets.json`: every other member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// `targets`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Unix time from which on it is expired.
    #[serde(with = "time::text")]
    pub expires: i64,
    /// [`SPEC_VERSION`].
    pub spec_version: String,
    /// The members by name.
    pub targets: BTreeMap<String, Target>,
    /// The release's `seq`.
    pub version: u64,
    /// What TUF has no field for.
    pub xedge: Extension,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What TUF has no field for.
    pub custom: Custom,
    /// Its sha256.
    pub hashes: DigestSet,
    /// Its length in bytes.
    pub length: u64,
}

/// What is said about a member beside its hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// What it is: a word ([`member::Kind::word`]) or the media type of a blob.
    pub kind: String,
    /// The sha256 of each MiB, for members longer than that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
}

/// The sha256 of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Piece(#[serde(with = "bare_hex")] pub Digest);

impl Target {
    /// Whether these bytes are this piece of the member, the first being 0. A receiver asks before it writes them; a
    /// whole member still counts only once its own sha256 was right.
    pub fn is_piece(&self, index: usize, bytes: &[u8]) -> bool {
        match self.custom.pieces.get(index) {
            Some(piece) => piece.0 == Digest::of(bytes),
            None => self.custom.pieces.is_empty() && index == 0 && *self.hashes.sha256() == Digest::of(bytes),
        }
    }

    /// How many pieces a member of this length lists: none up to one MiB.
    pub fn piece_count(length: u64) -> u64 {
        if length > PIECE { length.div_ceil(PIECE) } else { 0 }
    }
}

impl Stamp {
    /// The entry of the one file that it must name; `None` if it names another, or more.
    pub fn names(&self, file: &str) -> Option<&MetaFile> {
        self.meta.get(file).filter(|_| self.meta.len() == 1)
    }
}

macro_rules! metadata {
    ($type:ty, $name:literal, $max:expr, $($part:tt)*) => {
        impl Metadata for $type {
            const TYPE: &'static str = $name;
            const MAX_BYTES: usize = $max;

            fn common(&self) -> Common<'_> {
                let part = &self $($part)*;
                Common {
                    kind: &part.kind,
                    spec_version: &part.spec_version,
                    version: part.version,
                    expires: part.expires,
                    status: part.xedge.status,
                }
            }
        }
    };
}

metadata!(Root, "root", 64 << 10,);
metadata!(Timestamp, "timestamp", 16 << 10, .0);
metadata!(Snapshot, "snapshot", 16 << 10, .0);
metadata!(Targets, "targets", 8 << 20,);

/// The name of the file that a timestamp names.
pub const TIMESTAMP_NAMES: &str = member::SNAPSHOT;
/// The name of the file that a snapshot names.
pub const SNAPSHOT_NAMES: &str = member::TARGETS;
