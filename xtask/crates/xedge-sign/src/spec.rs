//! What a root is to say: which keys have which role. Signs nothing.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xedge_bundle::VerifyingKey;
use xedge_bundle::statement::KeyStatus;
use xedge_bundle::tuf::{Metadata as _, RoleKeys, Roles, Root, RootExtension, SPEC_VERSION};

use crate::{Ed25519PublicKey, Error, KeyRing, PublicKey, Role};

/// What a root says.
#[derive(Clone, Debug)]
pub struct RootSpec {
    /// Until when it is believed, in seconds since 1970.
    pub expires_unix: i64,
    /// What the keys are for.
    pub status: KeyStatus,
    /// How many root keys must sign a root.
    pub threshold: usize,
    /// The root keys.
    pub root: Vec<Ed25519PublicKey>,
    /// The keys that sign targets; one of them suffices.
    pub release: Vec<Ed25519PublicKey>,
    /// The keys that sign snapshots and timestamps; one of them suffices.
    pub stamp: Vec<Ed25519PublicKey>,
    /// The keys that sign evidence.
    pub gate: Vec<VerifyingKey>,
    /// The keys that sign images.
    pub image_sign: Vec<VerifyingKey>,
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

    /// The root of this version, or what is wrong with it.
    pub(crate) fn root(&self, version: u64) -> Result<Root, String> {
        self.check()?;
        let keys = [&self.root, &self.release, &self.stamp].into_iter().flatten();
        Ok(Root {
            kind: Root::TYPE.to_owned(),
            consistent_snapshot: false,
            expires: self.expires_unix,
            keys: keys.map(|key| (key.key_id().hex().to_owned(), key.to_tuf())).collect(),
            roles: Roles {
                root: role(&self.root, self.threshold),
                snapshot: role(&self.stamp, 1),
                targets: role(&self.release, 1),
                timestamp: role(&self.stamp, 1),
            },
            spec_version: SPEC_VERSION.to_owned(),
            version,
            xedge: RootExtension {
                gate: spki(&self.gate),
                image_sign: spki(&self.image_sign),
                status: self.status,
            },
        })
    }

    fn check(&self) -> Result<(), String> {
        let (mut ids, mut roles) = (BTreeSet::new(), BTreeSet::new());
        for (role, id) in self.ids() {
            roles.insert(role);
            if !ids.insert(id.clone()) {
                return Err(format!("the {role} key {id} is named twice: each key has one role"));
            }
        }
        if let Some(role) = Role::ALL.iter().find(|role| !roles.contains(role)) {
            return Err(format!("there is no {role} key"));
        }
        let most = self.root.len();
        if !(1..=most).contains(&self.threshold) {
            return Err(format!("{} of {most} root keys cannot sign", self.threshold));
        }
        Ok(())
    }

    fn ids(&self) -> Vec<(Role, String)> {
        let metadata = [(Role::Root, &self.root), (Role::Release, &self.release), (Role::Stamp, &self.stamp)];
        let other = [(Role::Gate, &self.gate), (Role::ImageSign, &self.image_sign)];
        let metadata =
            metadata.iter().flat_map(|(role, keys)| keys.iter().map(|key| (*role, key.key_id().hex())));
        let other = other.iter().flat_map(|(role, keys)| keys.iter().map(|key| (*role, key.key_id().hex())));
        metadata.chain(other).map(|(role, id)| (role, id.to_owned())).collect()
    }
}

fn role(keys: &[Ed25519PublicKey], threshold: usize) -> RoleKeys {
    let ids: BTreeSet<&str> = keys.iter().map(|key| key.key_id().hex()).collect();
    RoleKeys { keyids: ids.into_iter().map(str::to_owned).collect(), threshold }
}

/// The keys as sorted base64 of their SPKI DER.
fn spki(keys: &[VerifyingKey]) -> Vec<String> {
    let texts: BTreeSet<String> = keys.iter().map(|key| STANDARD.encode(key.to_der())).collect();
    texts.into_iter().collect()
}
