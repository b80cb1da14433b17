//! The metadata at the head of a bundle, judged as it arrives (FORMAT.md §3). Reads no other member.

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

/// How many bytes the roots may have together: they are held before an observer sees them.
const MAX_ROOT_BYTES: u64 = 4 << 20;

/// The metadata's bytes. That they are here does not make them trusted.
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
    /// Reads everything before `bundle.json`, and judges nothing.
    pub(crate) fn read<R: Read>(stream: &mut Stream<R>) -> Result<Self, ReadError> {
        let (mut raw, size) = Self::read_roots(stream, |_, _| Ok(()))?;
        raw.take(stream, TIMESTAMP, size, Timestamp::MAX_BYTES)?;
        for (name, most) in [(SNAPSHOT, Snapshot::MAX_BYTES), (TARGETS, Targets::MAX_BYTES)] {
            let (_, size) = stream.open(&[name])?;
            raw.take(stream, name, size, most)?;
        }
        Ok(raw)
    }

    /// Follows the signatures from the trusted root to the list of members. Each file is judged before the next one is
    /// read, so that only what is trusted can make a reader hold much.
    pub(crate) fn judge<R: Read>(
        stream: &mut Stream<R>,
        trusted: &[u8],
        now_unix: i64,
    ) -> Result<(Self, Head), ReadError> {
        let mut chain = Chain::new(trusted)?;
        let (mut raw, size) = Self::read_roots(stream, |name, bytes| chain.push(name, bytes))?;
        let link = chain.finish(now_unix)?;
        let root = &link.root;
        let bytes = raw.take(stream, TIMESTAMP, size, Timestamp::MAX_BYTES)?;
        let Timestamp(timestamp) = role(TIMESTAMP, bytes, root, &root.roles.timestamp, now_unix)?;
        let named = names(TIMESTAMP, timestamp.names(SNAPSHOT))?;
        let bytes = raw.take_named(stream, SNAPSHOT, named, Snapshot::MAX_BYTES)?;
        let Snapshot(snapshot) = role(SNAPSHOT, bytes, root, &root.roles.snapshot, now_unix)?;
        check_version(SNAPSHOT, snapshot.version, named.version)?;
        check_version(SNAPSHOT, snapshot.version, timestamp.version)?;
        let named = names(SNAPSHOT, snapshot.names(TARGETS))?;
        let bytes = raw.take_named(stream, TARGETS, named, Targets::MAX_BYTES)?;
        let targets: Targets = role(TARGETS, bytes, root, &root.roles.targets, now_unix)?;
        check_version(TARGETS, targets.version, named.version)?;
        check_version(TARGETS, targets.version, timestamp.version / STAMPS)?;
        let times = [root.expires, timestamp.expires, snapshot.expires, targets.expires];
        let expires = times.into_iter().min().expect("four times");
        let head =
            Head { timestamp_version: timestamp.version, expires, plan: Plan::new(targets)?, root: link };
        Ok((raw, head))
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

    /// The members' names, once nobody needs their bytes any more.
    pub(super) fn into_names(self) -> Vec<String> {
        self.members.into_iter().map(|(name, _)| name).collect()
    }

    /// Reads the roots, and the timestamp's header, whose size it gives.
    fn read_roots<R: Read>(
        stream: &mut Stream<R>,
        mut each: impl FnMut(&str, &[u8]) -> Result<(), Refusal>,
    ) -> Result<(Self, u64), ReadError> {
        let mut raw = Self { members: Vec::new() };
        let (mut name, mut size) = stream.open_root()?;
        while let Some(member::Kind::Root(version)) = member::kind_of(&name) {
            if raw.members.len() == MAX_ROOTS {
                let reason = format!("a bundle has at most {MAX_ROOTS} roots");
                return Err(Refusal::new(Code::Limits, name, reason).into());
            }
            if raw.length().saturating_add(size) > MAX_ROOT_BYTES {
                let reason = format!("the roots have more than {MAX_ROOT_BYTES} bytes together");
                return Err(Refusal::new(Code::Limits, name, reason).into());
            }
            each(&name, raw.take(stream, &name, size, Root::MAX_BYTES)?)?;
            let next = member::root(version.saturating_add(1));
            (name, size) = stream.open(&[&next, TIMESTAMP])?;
        }
        Ok((raw, size))
    }

    /// Reads the bytes of the member whose header has just been read.
    fn take<R: Read>(
        &mut self,
        stream: &mut Stream<R>,
        name: &str,
        size: u64,
        most: usize,
    ) -> Result<&[u8], ReadError> {
        limit(name, size, most)?;
        let bytes = held(stream, name, size)?;
        self.members.push((name.to_owned(), bytes));
        Ok(self.members.last().map_or(&[], |(_, bytes)| bytes))
    }

    /// Reads a member that is named by one before it, if it has the length that this one says.
    fn take_named<R: Read>(
        &mut self,
        stream: &mut Stream<R>,
        name: &str,
        named: &MetaFile,
        most: usize,
    ) -> Result<&[u8], ReadError> {
        let (_, size) = stream.open(&[name])?;
        if size != named.length {
            let reason = format!("it has {size} bytes, not {}", named.length);
            return Err(Refusal::new(Code::Digest, name, reason).into());
        }
        let bytes = self.take(stream, name, size, most)?;
        let (expected, found) = (named.hashes.sha256(), Digest::of(bytes));
        if *expected == found {
            return Ok(bytes);
        }
        Err(Refusal::new(Code::Digest, name, format!("its digest is {found}, not {expected}")).into())
    }
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

fn check_version(name: &str, found: u64, expected: u64) -> Result<(), Refusal> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("its version is {found}, and the metadata before it says {expected}");
    Err(Refusal::new(Code::Metadata, name, reason))
}
