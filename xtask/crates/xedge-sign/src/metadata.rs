//! TUF metadata (FORMAT.md §3): roots, targets, snapshots, timestamps, as bytes in their one canonical form. Everything that is made is
//! read again by the device's reader and by another TUF client before it is given out. Asks no clock, keeps no state.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use xedge_bundle::statement::KeyStatus;
use xedge_bundle::tuf::{
    Document, Extension, Foreign, MetaFile, Metadata, RoleKeys, Root, SNAPSHOT_NAMES, SPEC_VERSION, STAMPS,
    Signers, Snapshot, Stamp, TIMESTAMP_NAMES, Target, Targets, Timestamp,
};
use xedge_bundle::{canonical, member, time};
use xedge_model::Digest;

use crate::ed25519::hex;
use crate::tuf::{Kind, TrustedRoot};
use crate::{Ed25519Key, Ed25519PublicKey, Error, Role, RootSpec};

/// Seconds for which a root is believed.
pub const ROOT_LIFETIME: i64 = 365 * 86_400;
/// Seconds for which targets and a snapshot are believed.
pub const TARGETS_LIFETIME: i64 = 90 * 86_400;
/// Seconds for which a timestamp is believed.
pub const TIMESTAMP_LIFETIME: i64 = 30 * 86_400;

/// The highest version that every JSON reader takes as it is.
const MAX_VERSION: u64 = (1 << 53) - 1;

/// A key of TUF metadata, with what it is for.
#[derive(Debug)]
pub struct MetadataKey {
    key: Ed25519Key,
    role: Role,
    status: KeyStatus,
}

/// A root that has signed itself, as both readers see it.
struct Base {
    root: Root,
    peer: TrustedRoot,
}

impl MetadataKey {
    pub(crate) fn new(key: Ed25519Key, role: Role, status: KeyStatus) -> Self {
        Self { key, role, status }
    }

    /// The public half.
    pub fn public(&self) -> Ed25519PublicKey {
        self.key.public()
    }

    /// Whether it is a development or a production key.
    pub fn status(&self) -> KeyStatus {
        self.status
    }

    fn signature(&self, message: &[u8]) -> (String, Value) {
        let id = self.public().key_id().hex().to_owned();
        let value = json!({ "keyid": id, "sig": hex(&self.key.sign(message)) });
        (id, value)
    }
}

/// The first root of a chain, version 1; `signers` are root keys of it, at least the threshold.
pub fn make_root(spec: &RootSpec, signers: &[&MetadataKey]) -> Result<Vec<u8>, Error> {
    let root = root(spec, 1)?;
    named(Kind::Root, &[&root.roles.root], root.xedge.status, signers)?;
    let bytes = sign::<Root>(&root, signers)?;
    Base::read(&bytes).map_err(|problem| made(Kind::Root, problem))?;
    Ok(bytes)
}

/// The root after `previous`: signed by thresholds of that one's root keys and of its own. With the same keys it is
/// only a later expiry.
pub fn rotate_root(previous: &[u8], spec: &RootSpec, signers: &[&MetadataKey]) -> Result<Vec<u8>, Error> {
    let old = Base::given(previous)?;
    let root = root(spec, old.root.version + 1)?;
    named(Kind::Root, &[&root.roles.root, &old.root.roles.root], root.xedge.status, signers)?;
    if old.root.xedge.status != root.xedge.status {
        let problem = "development and production roots are of different chains".to_owned();
        return Err(unfit(Kind::Root, problem));
    }
    let bytes = sign::<Root>(&root, signers)?;
    old.check_next(&bytes).map_err(|problem| made(Kind::Root, problem))?;
    Ok(bytes)
}

/// The targets of a release: all members of a bundle but the metadata. `key` is the release key of `root`.
pub fn make_targets(
    root: &[u8],
    seq: u64,
    expires_unix: i64,
    targets: &BTreeMap<String, Target>,
    key: &MetadataKey,
) -> Result<Vec<u8>, Error> {
    let base = Base::given(root)?;
    for (name, target) in targets {
        check_target(name, target).map_err(|problem| unfit(Kind::Targets, problem))?;
    }
    let document = Targets {
        kind: Targets::TYPE.to_owned(),
        expires: expires_unix,
        spec_version: SPEC_VERSION.to_owned(),
        targets: targets.clone(),
        version: seq,
        xedge: Extension { status: base.root.xedge.status },
    };
    base.sign(&document, key)
}

/// The snapshot of targets that `root` vouches for; `restamp` counts from 0 how often these targets were stamped.
pub fn make_snapshot(
    root: &[u8],
    targets: &[u8],
    restamp: u16,
    expires_unix: i64,
    key: &MetadataKey,
) -> Result<Vec<u8>, Error> {
    let base = Base::given(root)?;
    let seq = base.verified::<Targets>(targets)?.version;
    let version = stamp_version(seq, restamp).map_err(|problem| unfit(Kind::Snapshot, problem))?;
    let meta = BTreeMap::from([(SNAPSHOT_NAMES.to_owned(), meta(seq, targets))]);
    base.sign(&Snapshot(base.stamp(Snapshot::TYPE, version, expires_unix, meta)), key)
}

/// The timestamp of a snapshot that `root` vouches for. To stamp a release again, make a snapshot with a higher `restamp`,
/// and its timestamp.
pub fn make_timestamp(
    root: &[u8],
    snapshot: &[u8],
    expires_unix: i64,
    key: &MetadataKey,
) -> Result<Vec<u8>, Error> {
    let base = Base::given(root)?;
    let version = base.verified::<Snapshot>(snapshot)?.0.version;
    let meta = BTreeMap::from([(TIMESTAMP_NAMES.to_owned(), meta(version, snapshot))]);
    base.sign(&Timestamp(base.stamp(Timestamp::TYPE, version, expires_unix, meta)), key)
}

impl Base {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let document = Document::parse::<Root>(Root::TYPE, bytes).map_err(|refusal| refusal.to_string())?;
        let root: Root = document.read().map_err(|refusal| refusal.to_string())?;
        let own = Signers { keys: &root.keys, role: &root.roles.root };
        // It may be signed by keys of the root before it, too.
        document.check(&[own], Foreign::Ignored).map_err(|refusal| refusal.to_string())?;
        Ok(Self { root, peer: TrustedRoot::read(bytes)? })
    }

    /// Reads a root that was passed in.
    fn given(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(bytes).map_err(|problem| Error::Distrusted { kind: Root::TYPE, problem })
    }

    /// Checks that these bytes are a root that may follow this one.
    fn check_next(&self, bytes: &[u8]) -> Result<(), String> {
        let next = Self::read(bytes)?;
        let signers =
            [self, &next].map(|base| Signers { keys: &base.root.keys, role: &base.root.roles.root });
        let document = Document::parse::<Root>(Root::TYPE, bytes).map_err(|refusal| refusal.to_string())?;
        document.check(&signers, Foreign::Refused).map_err(|refusal| refusal.to_string())?;
        self.peer.verify(Kind::Root, bytes)
    }

    fn role(&self, kind: Kind) -> &RoleKeys {
        let roles = &self.root.roles;
        match kind {
            Kind::Root => &roles.root,
            Kind::Targets => &roles.targets,
            Kind::Snapshot => &roles.snapshot,
            Kind::Timestamp => &roles.timestamp,
        }
    }

    fn stamp(&self, kind: &str, version: u64, expires: i64, meta: BTreeMap<String, MetaFile>) -> Stamp {
        Stamp {
            kind: kind.to_owned(),
            expires,
            meta,
            spec_version: SPEC_VERSION.to_owned(),
            version,
            xedge: Extension { status: self.root.xedge.status },
        }
    }

    /// Signs metadata with a key that this root names for it, and verifies the result.
    fn sign<T: Metadata + Serialize>(&self, document: &T, key: &MetadataKey) -> Result<Vec<u8>, Error> {
        let kind = kind::<T>();
        named(kind, &[self.role(kind)], self.root.xedge.status, &[key])?;
        let bytes = sign(document, &[key])?;
        self.verify::<T>(&bytes).map_err(|problem| made(kind, problem))?;
        Ok(bytes)
    }

    /// Metadata that was passed in, once this root vouches for it.
    fn verified<T: Metadata>(&self, bytes: &[u8]) -> Result<T, Error> {
        self.verify(bytes).map_err(|problem| Error::Distrusted { kind: T::TYPE, problem })
    }

    fn verify<T: Metadata>(&self, bytes: &[u8]) -> Result<T, String> {
        let document = Document::parse::<T>(T::TYPE, bytes).map_err(|refusal| refusal.to_string())?;
        let signers = Signers { keys: &self.root.keys, role: self.role(kind::<T>()) };
        document.check(&[signers], Foreign::Refused).map_err(|refusal| refusal.to_string())?;
        let read: T = document.read().map_err(|refusal| refusal.to_string())?;
        if read.common().status != self.root.xedge.status {
            return Err("its status is not that of the root".to_owned());
        }
        self.peer.verify(kind::<T>(), bytes)?;
        Ok(read)
    }
}

fn root(spec: &RootSpec, version: u64) -> Result<Root, Error> {
    spec.root(version).map_err(|problem| unfit(Kind::Root, problem))
}

fn kind<T: Metadata>() -> Kind {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == T::TYPE).expect("there are four types")
}

fn check_target(name: &str, target: &Target) -> Result<(), String> {
    if !member::is_name(name) {
        return Err(format!("`{}` cannot be a member's name", name.escape_debug()));
    }
    let (found, expected) = (target.custom.pieces.len() as u64, Target::piece_count(target.length));
    if found != expected {
        let length = target.length;
        return Err(format!("{name} has {found} piece digests, expected {expected} for {length} bytes"));
    }
    Ok(())
}

fn stamp_version(seq: u64, restamp: u16) -> Result<u64, String> {
    let restamp = u64::from(restamp);
    if restamp >= STAMPS {
        return Err(format!("a release can be stamped {STAMPS} times: make a new release"));
    }
    let version = seq.checked_mul(STAMPS).map(|version| version + restamp);
    version.ok_or_else(|| format!("the release counter {seq} is too high"))
}

fn meta(version: u64, bytes: &[u8]) -> MetaFile {
    MetaFile { hashes: Digest::of(bytes).into(), length: bytes.len() as u64, version }
}

/// Every key must be of this status and named by one of the roles: readers refuse surplus signatures.
fn named(kind: Kind, roles: &[&RoleKeys], status: KeyStatus, keys: &[&MetadataKey]) -> Result<(), Error> {
    for key in keys {
        if key.status != status {
            return Err(Error::RootStatus { root: status, key: key.status });
        }
        let public = key.public();
        let id = public.key_id();
        if !roles.iter().any(|role| role.keyids.iter().any(|named| named == id.hex())) {
            return Err(Error::NotNamed { kind: kind.as_str(), role: key.role, key_id: id.clone() });
        }
    }
    Ok(())
}

/// The whole file: the document and its signatures, both canonical.
fn sign<T: Metadata + Serialize>(document: &T, keys: &[&MetadataKey]) -> Result<Vec<u8>, Error> {
    let kind = kind::<T>();
    check_common(document).map_err(|problem| unfit(kind, problem))?;
    let signed = serde_json::to_value(document).expect("metadata has string keys and no failing serialisers");
    let message = canonical::to_bytes(&signed).map_err(|error| unfit(kind, error.to_string()))?;
    if kind.canonical_form(&message).map_err(|problem| unfit(kind, problem))? != message {
        return Err(made(kind, "other TUF clients would hash other bytes".to_owned()));
    }
    let signatures: BTreeMap<String, Value> = keys.iter().map(|key| key.signature(&message)).collect();
    let signatures: Vec<Value> = signatures.into_values().collect();
    let file = json!({ "signatures": signatures, "signed": signed });
    let bytes = canonical::to_bytes(&file).map_err(|error| unfit(kind, error.to_string()))?;
    if bytes.len() > T::MAX_BYTES {
        let problem = format!("its {} bytes are more than the {} that are read", bytes.len(), T::MAX_BYTES);
        return Err(unfit(kind, problem));
    }
    Ok(bytes)
}

fn check_common<T: Metadata>(document: &T) -> Result<(), String> {
    let common = document.common();
    if !(1..=MAX_VERSION).contains(&common.version) {
        return Err(format!("its version {} is not one from 1 to {MAX_VERSION}", common.version));
    }
    if time::parse(&time::format(common.expires)) != Some(common.expires) {
        return Err(format!("its expiry, {} seconds after 1970, cannot be written", common.expires));
    }
    Ok(())
}

fn unfit(kind: Kind, problem: String) -> Error {
    Error::Unfit { kind: kind.as_str(), problem }
}

fn made(kind: Kind, problem: String) -> Error {
    Error::Unverified { kind: kind.as_str(), problem }
}
