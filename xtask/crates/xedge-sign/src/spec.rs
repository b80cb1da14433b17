//! What TUF metadata is to say: the keys of a root, the members that targets name. Signs nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use xedge_bundle::VerifyingKey;
use xedge_bundle::statement::KeyStatus;
use xedge_model::Digest;

use crate::{Ed25519PublicKey, Error, KeyRing, PublicKey, Role};

/// Bytes of a target that one piece digest is of; the last piece may be shorter.
pub const PIECE: u64 = 1 << 20;

/// What a root says.
#[derive(Clone, Debug)]
pub struct RootSpec {
    /// Until when it is believed, in seconds since 1970.
    pub expires_unix: i64,
    /// What the keys are for.
    pub status: KeyStatus,
    /// How many root keys must sign a root.
    pub threshold: u64,
    /// The root keys.
    pub root: Vec<Ed25519PublicKey>,
    /// The keys that sign targets.
    pub release: Vec<Ed25519PublicKey>,
    /// The keys that sign snapshots and timestamps.
    pub stamp: Vec<Ed25519PublicKey>,
    /// The keys that sign evidence.
    pub gate: Vec<VerifyingKey>,
    /// The keys that sign images.
    pub image_sign: Vec<VerifyingKey>,
}

/// What the targets say about a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// Its length in bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Digest,
    /// What it is: `bundle`, `evidence`, `lock`, `sbom`, `config`, or a blob's media type.
    pub kind: String,
    /// The digests of its pieces; of a member of at most one piece none.
    pub pieces: Vec<Digest>,
}

impl RootSpec {
    /// A root of the keys of one ring, which must have all five roles open; one root key suffices to sign it.
    pub fn of(ring: &KeyRing, expires_unix: i64) -> Result<Self, Error> {
        let (mut ed25519, mut p256) = (BTreeMap::new(), BTreeMap::new());
        for role in Role::ALL {
            match ring.public_key(role)? {
                PublicKey::Ed25519(key) => drop(ed25519.insert(role, key)),
                PublicKey::P256(key) => drop(p256.insert(role, key)),
            }
        }
        let mut metadata = |role| ed25519.remove(&role).into_iter().collect();
        let mut other = |role| p256.remove(&role).into_iter().collect();
        Ok(Self {
            expires_unix,
            status: ring.status(),
            threshold: 1,
            root: metadata(Role::Root),
            release: metadata(Role::Release),
            stamp: metadata(Role::Stamp),
            gate: other(Role::Gate),
            image_sign: other(Role::ImageSign),
        })
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let metadata = [(&self.root, Role::Root), (&self.release, Role::Release), (&self.stamp, Role::Stamp)];
        let other = [(&self.gate, Role::Gate), (&self.image_sign, Role::ImageSign)];
        let metadata = metadata.into_iter().flat_map(|(keys, role)| keys.iter().map(move |k| (k.key_id(), role)));
        let other = other.into_iter().flat_map(|(keys, role)| keys.iter().map(move |k| (k.key_id(), role)));
        let (mut ids, mut roles) = (BTreeSet::new(), BTreeSet::new());
        for (id, role) in metadata.chain(other) {
            roles.insert(role);
            if !ids.insert(id) {
                return Err(format!("the {role} key {} is named twice: each key has one role", id.short()));
            }
        }
        if let Some(role) = Role::ALL.iter().find(|role| !roles.contains(role)) {
            return Err(format!("there is no {role} key"));
        }
        let most = self.root.len() as u64;
        if !(1..=most).contains(&self.threshold) {
            return Err(format!("{} of {most} root keys cannot sign", self.threshold));
        }
        Ok(())
    }

    /// What a root says besides what all metadata says.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        let metadata_keys = [&self.root, &self.release, &self.stamp].into_iter().flatten();
        let keys: BTreeMap<&str, Value> =
            metadata_keys.map(|key| (key.key_id().hex(), key_value(key))).collect();
        let fields = json!({
            "consistent_snapshot": false,
            "keys": keys,
            "roles": {
                "root": role_value(&self.root, self.threshold),
                "snapshot": role_value(&self.stamp, 1),
                "targets": role_value(&self.release, 1),
                "timestamp": role_value(&self.stamp, 1),
            },
            "xedge": {
                "gate": spki(&self.gate),
                "image-sign": spki(&self.image_sign),
                "status": self.status.as_str(),
            },
        });
        match fields {
            Value::Object(fields) => fields,
            _ => unreachable!("it is written as an object"),
        }
    }
}

impl TargetSpec {
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        let mut bytes = name.bytes();
        let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let goes_on = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !starts || !goes_on || name.len() > 100 {
            return Err(format!("`{}` cannot be a member's name", name.escape_debug()));
        }
        let expected = if self.length > PIECE { self.length.div_ceil(PIECE) } else { 0 };
        if self.pieces.len() as u64 != expected {
            let (found, length) = (self.pieces.len(), self.length);
            return Err(format!("{name} has {found} piece digests, expected {expected} for {length} bytes"));
        }
        Ok(())
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut custom = json!({ "kind": self.kind });
        if !self.pieces.is_empty() {
            custom["pieces"] = self.pieces.iter().map(Digest::hex).collect();
        }
        json!({ "custom": custom, "hashes": { "sha256": self.sha256.hex() }, "length": self.length })
    }
}

fn key_value(key: &Ed25519PublicKey) -> Value {
    json!({ "keytype": "ed25519", "keyval": { "public": key.hex() }, "scheme": "ed25519" })
}

fn role_value(keys: &[Ed25519PublicKey], threshold: u64) -> Value {
    let ids: BTreeSet<&str> = keys.iter().map(|key| key.key_id().hex()).collect();
    json!({ "keyids": ids, "threshold": threshold })
}

/// The keys as sorted base64 of their SPKI DER, which is PEM without its armour.
fn spki(keys: &[VerifyingKey]) -> BTreeSet<String> {
    let base64 = |key: &VerifyingKey| key.to_pem().lines().filter(|line| !line.starts_with('-')).collect();
    keys.iter().map(base64).collect()
}
