//! TUF metadata (FORMAT.md §3): roots, targets, snapshots, timestamps, as bytes in their one canonical form. Everything that is made is
//! read again and verified before it is given out. Asks no clock, keeps no state.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use xedge_bundle::statement::KeyStatus;
use xedge_model::Digest;

use crate::tuf::{Kind, TrustedRoot};
use crate::{Ed25519Key, Ed25519PublicKey, Error, Role, RootSpec, TargetSpec, canonical, time};

/// Seconds for which a root is believed.
pub const ROOT_LIFETIME: i64 = 365 * 86_400;
/// Seconds for which targets and a snapshot are believed.
pub const TARGETS_LIFETIME: i64 = 90 * 86_400;
/// Seconds for which a timestamp is believed.
pub const TIMESTAMP_LIFETIME: i64 = 30 * 86_400;
/// The highest number of a restamp.
pub const MAX_RESTAMP: u16 = 999;

const SPEC_VERSION: &str = "1.0.0";
/// The highest version that every JSON reader takes as it is.
const MAX_VERSION: u64 = (1 << 53) - 1;

/// A key of TUF metadata, with what it is for.
#[derive(Debug)]
pub struct MetadataKey {
    key: Ed25519Key,
    role: Role,
    status: KeyStatus,
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
        let sig = crate::ed25519::hex(&self.key.sign(message));
        let value = json!({ "keyid": id, "sig": sig });
        (id, value)
    }
}

/// The first root of a chain, version 1; `signers` are keys of it, at least the threshold.
pub fn make_root(spec: &RootSpec, signers: &[&MetadataKey]) -> Result<Vec<u8>, Error> {
    let bytes = sign(Kind::Root, spec.status, &root_body(spec, 1)?, signers)?;
    let root = read_root(&bytes, made)?;
    each_named(Kind::Root, &[&root], signers)?;
    Ok(bytes)
}

/// The root after `previous`: signed by thresholds of that one's root keys and of its own. With the same keys it is
/// only a later expiry.
pub fn rotate_root(previous: &[u8], spec: &RootSpec, signers: &[&MetadataKey]) -> Result<Vec<u8>, Error> {
    let old = read_root(previous, given)?;
    let bytes = sign(Kind::Root, spec.status, &root_body(spec, old.version() + 1)?, signers)?;
    let new = read_root(&bytes, made)?;
    each_named(Kind::Root, &[&old, &new], signers)?;
    old.verify(Kind::Root, &bytes).map_err(|problem| made(Kind::Root, problem))?;
    Ok(bytes)
}

/// The targets of a release: all members of a bundle but the metadata. `key` is the release key of `root`.
pub fn make_targets(
    root: &[u8],
    seq: u64,
    expires_unix: i64,
    targets: &BTreeMap<String, TargetSpec>,
    key: &MetadataKey,
) -> Result<Vec<u8>, Error> {
    for (name, target) in targets {
        target.check(name).map_err(|problem| unfit(Kind::Targets, problem))?;
    }
    let values = targets.iter().map(|(name, target)| (name.clone(), target.to_value()));
    let mut body = common(Kind::Targets, seq, expires_unix)?;
    body.insert("targets".to_owned(), Value::Object(values.collect()));
    sign_under(root, Kind::Targets, body, key)
}

/// The snapshot of targets that `root` vouches for; `restamp` counts from 0 how often these targets were stamped.
pub fn make_snapshot(
    root: &[u8],
    targets: &[u8],
    restamp: u16,
    expires_unix: i64,
    key: &MetadataKey,
) -> Result<Vec<u8>, Error> {
    let seq = version_under(root, Kind::Targets, targets)?;
    let version = stamp_version(seq, restamp).map_err(|problem| unfit(Kind::Snapshot, problem))?;
    let mut body = common(Kind::Snapshot, version, expires_unix)?;
    body.insert("meta".to_owned(), json!({ "targets.json": meta(seq, targets) }));
    sign_under(root, Kind::Snapshot, body, key)
}

/// The timestamp of a snapshot that `root` vouches for.
pub fn make_timestamp(
    root: &[u8],
    snapshot: &[u8],
    expires_unix: i64,
    key: &MetadataKey,
) -> Result<Vec<u8>, Error> {
    let version = version_under(root, Kind::Snapshot, snapshot)?;
    let mut body = common(Kind::Timestamp, version, expires_unix)?;
    body.insert("meta".to_owned(), json!({ "snapshot.json": meta(version, snapshot) }));
    sign_under(root, Kind::Timestamp, body, key)
}

fn root_body(spec: &RootSpec, version: u64) -> Result<Value, Error> {
    spec.check().map_err(|problem| unfit(Kind::Root, problem))?;
    let mut body = common(Kind::Root, version, spec.expires_unix)?;
    body.extend(spec.fields());
    Ok(Value::Object(body))
}

fn stamp_version(seq: u64, restamp: u16) -> Result<u64, String> {
    if restamp > MAX_RESTAMP {
        return Err(format!("a release can be stamped again {MAX_RESTAMP} times: make a new release"));
    }
    let version = seq.checked_mul(1000).map(|version| version + u64::from(restamp));
    version.ok_or_else(|| format!("the release counter {seq} is too high"))
}

/// What every role says.
fn common(kind: Kind, version: u64, expires_unix: i64) -> Result<Map<String, Value>, Error> {
    if !(1..=MAX_VERSION).contains(&version) {
        return Err(unfit(kind, format!("its version {version} is not one from 1 to {MAX_VERSION}")));
    }
    let expires = time::format(expires_unix);
    if time::parse(&expires) != Some(expires_unix) {
        return Err(unfit(kind, format!("its expiry, {expires_unix} seconds after 1970, cannot be written")));
    }
    let body = json!({
        "_type": kind.as_str(),
        "expires": expires,
        "spec_version": SPEC_VERSION,
        "version": version,
    });
    match body {
        Value::Object(body) => Ok(body),
        _ => unreachable!("it is written as an object"),
    }
}

fn meta(version: u64, bytes: &[u8]) -> Value {
    json!({ "hashes": { "sha256": Digest::of(bytes).hex() }, "length": bytes.len(), "version": version })
}

/// Signs metadata with a key that `root` names for it, and has `root` verify the result.
fn sign_under(root: &[u8], kind: Kind, mut body: Map<String, Value>, key: &MetadataKey) -> Result<Vec<u8>, Error> {
    let root = read_root(root, given)?;
    let status = root.status().unwrap_or_default();
    if status != key.status.as_str() {
        return Err(Error::RootStatus { root: status.to_owned(), key: key.status });
    }
    each_named(kind, &[&root], &[key])?;
    body.insert("xedge".to_owned(), json!({ "status": status }));
    let bytes = sign(kind, key.status, &Value::Object(body), &[key])?;
    root.verify(kind, &bytes).map_err(|problem| made(kind, problem))?;
    Ok(bytes)
}

/// The whole file: `signed` and its signatures, both canonical.
fn sign(kind: Kind, status: KeyStatus, signed: &Value, keys: &[&MetadataKey]) -> Result<Vec<u8>, Error> {
    if let Some(key) = keys.iter().find(|key| key.status != status) {
        return Err(Error::RootStatus { root: status.as_str().to_owned(), key: key.status });
    }
    let message = canonical::to_bytes(signed).map_err(|error| unfit(kind, error.to_string()))?;
    let theirs = kind.canonical_form(&message).map_err(|problem| unfit(kind, problem))?;
    if theirs != message {
        return Err(made(kind, "other TUF clients would hash other bytes".to_owned()));
    }
    let signatures: BTreeMap<String, Value> = keys.iter().map(|key| key.signature(&message)).collect();
    let signatures: Vec<Value> = signatures.into_values().collect();
    let file = json!({ "signatures": signatures, "signed": signed });
    let bytes = canonical::to_bytes(&file).map_err(|error| unfit(kind, error.to_string()))?;
    within_limit(kind, &bytes)?;
    Ok(bytes)
}

fn within_limit(kind: Kind, bytes: &[u8]) -> Result<(), Error> {
    let limit = match kind {
        Kind::Root => 64 << 10,
        Kind::Targets => 64 << 20,
        Kind::Snapshot | Kind::Timestamp => 16 << 10,
    };
    if bytes.len() > limit {
        return Err(unfit(kind, format!("its {} bytes are more than the {limit} that are read", bytes.len())));
    }
    Ok(())
}

/// Every key must be of the right role and named by one of the roots: surplus signatures are an error to readers.
fn each_named(kind: Kind, roots: &[&TrustedRoot], keys: &[&MetadataKey]) -> Result<(), Error> {
    for key in keys {
        let public = key.public();
        if !roots.iter().any(|root| root.names(kind, public.key_id().hex())) {
            let key_id = public.key_id().clone();
            return Err(Error::NotNamed { kind: kind.as_str(), role: key.role, key_id });
        }
    }
    Ok(())
}

fn version_under(root: &[u8], kind: Kind, bytes: &[u8]) -> Result<u64, Error> {
    read_root(root, given)?.verify(kind, bytes).map_err(|problem| given(kind, problem))?;
    let file: Value = serde_json::from_slice(bytes).map_err(|error| given(kind, error.to_string()))?;
    file["signed"]["version"].as_u64().ok_or_else(|| given(kind, "it has no version".to_owned()))
}

fn read_root(bytes: &[u8], error: fn(Kind, String) -> Error) -> Result<TrustedRoot, Error> {
    TrustedRoot::read(bytes).map_err(|problem| error(Kind::Root, problem))
}

fn unfit(kind: Kind, problem: String) -> Error {
    Error::Unfit { kind: kind.as_str(), problem }
}

fn made(kind: Kind, problem: String) -> Error {
    Error::Unverified { kind: kind.as_str(), problem }
}

fn given(kind: Kind, problem: String) -> Error {
    Error::Distrusted { kind: kind.as_str(), problem }
}
