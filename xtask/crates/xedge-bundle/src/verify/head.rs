//! The metadata at the head of a bundle: first read as bytes, then judged (FORMAT.md §3). Reads no other member.

use std::io::Read;

use xedge_model::Digest;

use super::Plan;
use crate::member::{self, SNAPSHOT, TARGETS, TIMESTAMP};
use crate::refusal::{Code, ReadError, Refusal};
use crate::stream::{Stream, held, limit};
use crate::tuf::{
    Chain, Document, Foreign, Link, MAX_ROOTS, MetaFile, Metadata, RoleKeys, Root, STAMPS, Signers, Snapshot,
    Targets, Timestamp, check_status, check_time,
};

/// The metadata's bytes. Nothing in them is trusted.
pub(crate) struct RawHead {
    members: Vec<(String, Vec<u8>)>,
}

/// Metadata that hangs on the trusted root.
#[derive(Clone)]
pub(crate) struct Head {
    pub(super) root: Link,
    pub(super) timestamp_version: u64,
    /// The earliest of the times at which a part of it expires.
    pub(super) expires: i64,
    pub(super) plan: Plan,
}

impl RawHead {
    /// Reads everything before `bundle.json`.
    pub(crate) fn read<R: Read>(stream: &mut Stream<R>) -> Result<Self, ReadError> {
        let mut members = Vec::new();
        let (mut name, mut size) = stream.open_root()?;
        while let Some(member::Kind::Root(version)) = member::kind_of(&name) {
            if members.len() == MAX_ROOTS {
                let reason = format!("a bundle has at most {MAX_ROOTS} roots");
                return Err(Refusal::new(Code::Limits, name, reason).into());
            }
            members.push((name.clone(), read(stream, &name, size, Root::MAX_BYTES)?));
            let next = member::root(version.saturating_add(1));
            (name, size) = stream.open(&[&next, TIMESTAMP])?;
        }
        members.push((name.clone(), read(stream, &name, size, Timestamp::MAX_BYTES)?));
        for (name, most) in [(SNAPSHOT, Snapshot::MAX_BYTES), (TARGETS, Targets::MAX_BYTES)] {
            let (name, size) = stream.open(&[name])?;
            let bytes = read(stream, &name, size, most)?;
            members.push((name, bytes));
        }
        Ok(Self { members })
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    pub(super) fn roots(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.members().take(self.members.len() - 3)
    }

    /// Timestamp, snapshot and targets.
    pub(super) fn others(&self) -> [&[u8]; 3] {
        [3, 2, 1].map(|from_end| self.members[self.members.len() - from_end].1.as_slice())
    }

    pub(super) fn length(&self) -> u64 {
        self.members.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Follows the signatures from the trusted root to the list of members.
    pub(crate) fn judge(&self, trusted: &[u8], now_unix: i64) -> Result<Head, Refusal> {
        let mut chain = Chain::new(trusted)?;
        for (name, bytes) in self.roots() {
            chain.push(name, bytes)?;
        }
        let link = chain.finish(now_unix)?;
        let root = &link.root;
        let [timestamp, snapshot, targets] = self.others();
        let Timestamp(timestamp) = role(TIMESTAMP, timestamp, root, &root.roles.timestamp, now_unix)?;
        let named = names(TIMESTAMP, timestamp.names(SNAPSHOT))?;
        check_named(SNAPSHOT, snapshot, named)?;
        let Snapshot(snapshot) = role(SNAPSHOT, snapshot, root, &root.roles.snapshot, now_unix)?;
        check_version(SNAPSHOT, snapshot.version, named.version)?;
        check_version(SNAPSHOT, snapshot.version, timestamp.version)?;
        let named = names(SNAPSHOT, snapshot.names(TARGETS))?;
        check_named(TARGETS, targets, named)?;
        let targets: Targets = role(TARGETS, targets, root, &root.roles.targets, now_unix)?;
        check_version(TARGETS, targets.version, named.version)?;
        check_version(TARGETS, targets.version, timestamp.version / STAMPS)?;
        let times = [root.expires, timestamp.expires, snapshot.expires, targets.expires];
        let expires = times.into_iter().min().expect("four times");
        Ok(Head { timestamp_version: timestamp.version, expires, plan: Plan::new(targets)?, root: link })
    }
}

fn read<R: Read>(stream: &mut Stream<R>, name: &str, size: u64, most: usize) -> Result<Vec<u8>, ReadError> {
    limit(name, size, most)?;
    held(stream, name, size)
}

/// Reads metadata that is signed by its role, in time, and of the root's kind of keys.
fn role<T: Metadata>(
    name: &str,
    bytes: &[u8],
    root: &Root,
    role: &RoleKeys,
    now_unix: i64,
) -> Result<T, Refusal> {
    let document = Document::parse::<T>(name, bytes)?;
    document.check(&[Signers { keys: &root.keys, role }], Foreign::Refused)?;
    let read = document.read()?;
    check_time(name, &read, now_unix)?;
    check_status(name, &read, root.xedge.status)?;
    Ok(read)
}

fn names<'a>(name: &str, entry: Option<&'a MetaFile>) -> Result<&'a MetaFile, Refusal> {
    entry.ok_or_else(|| Refusal::new(Code::Metadata, name, "`meta` does not name the one file that it must"))
}

fn check_named(name: &str, bytes: &[u8], named: &MetaFile) -> Result<(), Refusal> {
    let expected = named.hashes.sha256();
    let found = Digest::of(bytes);
    if named.length == bytes.len() as u64 && *expected == found {
        return Ok(());
    }
    let reason = format!("it has {} bytes and {found}, not {} and {expected}", bytes.len(), named.length);
    Err(Refusal::new(Code::Digest, name, reason))
}

fn check_version(name: &str, found: u64, expected: u64) -> Result<(), Refusal> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("its version is {found}, and the metadata before it says {expected}");
    Err(Refusal::new(Code::Metadata, name, reason))
}
