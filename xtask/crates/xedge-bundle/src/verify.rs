//! Verifies a bundle in one pass and constant memory (FORMAT.md). Writes nothing, asks no clock, and trusts nothing that
//! does not hang on the root that the caller trusts.
//!
//! Held in memory are the metadata, `bundle.json`, evidence, a configuration file, and OCI indexes and manifests, each
//! and together within limits; layers pass through one buffer. Each metadata file is judged before the next is read.

mod closure;
mod contents;
mod evidence;
mod head;
mod offer;
mod plan;
mod untrusted;

use std::collections::BTreeSet;
use std::io::{self, Read};

use xedge_model::{Digest, Hasher};

pub use evidence::Evidence;
pub use offer::{Offer, read_offer};
pub use plan::Plan;
pub use untrusted::{Untrusted, UntrustedRoot, read_head};

use crate::manifest::Manifest;
use crate::member;
use crate::refusal::{Code, ReadError, Refusal};
use crate::stream::Stream;
use crate::tuf::{Root, Targets};

use contents::Contents;
pub(crate) use head::{Head, RawHead};

/// What a bundle must hang on.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The bytes of the trusted root: the newest one that the device has accepted.
    pub root: &'a [u8],
    /// What the device had before; `None` on its first install only.
    pub floor: Option<Floor<'a>>,
}

/// What a bundle must not be older than.
#[derive(Clone, Copy, Debug)]
pub struct Floor<'a> {
    /// The stack that the device runs.
    pub stack: &'a str,
    /// The highest `seq` that it has accepted.
    pub seq: u64,
    /// The highest version of a timestamp that it has accepted.
    pub timestamp_version: u64,
}

/// How far the verifier is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The member that is passing.
    pub member: &'a str,
    /// Bytes of the member that have passed, these included.
    pub done: u64,
    /// The member's length.
    pub length: u64,
    /// Bytes of all members that have passed, these included.
    pub total_done: u64,
    /// The length of all members together.
    pub total: u64,
}

/// Sees a bundle as it passes: for a display, or for an installer that stages.
///
/// Metadata comes when it has been verified, every other member as it arrives. **Bytes may be kept aside, but count for
/// nothing before [`Observer::end`] of their member, and must not be put to use before [`verify`] returns:** whether
/// a blob belongs to an image is known at the end of the file only. An error ends the pass as [`ReadError::Io`].
pub trait Observer {
    /// Some bytes of a member; called for every member, also an empty one.
    fn bytes(&mut self, progress: &Progress<'_>, bytes: &[u8]) -> io::Result<()> {
        let _ = (progress, bytes);
        Ok(())
    }

    /// The member had the signed length and sha256.
    fn end(&mut self, member: &str) -> io::Result<()> {
        let _ = member;
        Ok(())
    }
}

/// Watches nothing.
impl Observer for () {}

/// A bundle that hangs on the trusted root. Only [`verify`] and [`verify_thin`] make one.
#[derive(Clone, Debug)]
#[must_use]
pub struct Verified {
    root: Root,
    root_bytes: Vec<u8>,
    timestamp_version: u64,
    expires: i64,
    targets: Targets,
    manifest: Manifest,
    evidence: Vec<Evidence>,
    absent: BTreeSet<Digest>,
}

/// Verifies a bundle to its last byte.
pub fn verify(
    reader: impl Read,
    trust: &Trust<'_>,
    now_unix: i64,
    observer: &mut dyn Observer,
) -> Result<Verified, ReadError> {
    verify_thin(reader, trust, now_unix, &BTreeSet::new(), observer)
}

/// Verifies a bundle from which exactly these blobs are left out; in everything else it is as [`verify`].
///
/// Only layers may be absent: they are what an Engine may already have, and nothing but an image that was verified here
/// says what they are. A set that has anything else is refused, and so is a file that has one of them after all. What the
/// caller makes of an absent layer is its own matter: **that the bytes are somewhere else was not checked here.**
pub fn verify_thin(
    reader: impl Read,
    trust: &Trust<'_>,
    now_unix: i64,
    absent: &BTreeSet<Digest>,
    observer: &mut dyn Observer,
) -> Result<Verified, ReadError> {
    let mut stream = Stream::new(reader);
    let (raw, head) = RawHead::judge(&mut stream, trust.root, now_unix)?;
    verify_rest(&mut stream, raw, head, trust.floor, absent, observer)
}

/// Everything after the metadata.
pub(crate) fn verify_rest<R: Read>(
    stream: &mut Stream<R>,
    raw: RawHead,
    head: Head,
    floor: Option<Floor<'_>>,
    absent: &BTreeSet<Digest>,
    observer: &mut dyn Observer,
) -> Result<Verified, ReadError> {
    let out = left_out(&head.plan, absent)?;
    let missing: u64 = out.iter().map(|name| head.plan.target(name).length).sum();
    let mut watch = Watch { observer, total_done: 0, total: raw.length() + head.plan.length() - missing };
    for (name, bytes) in raw.members() {
        watch.bytes(name, bytes.len() as u64, bytes.len() as u64, bytes).map_err(io_error(name))?;
        watch.observer.end(name).map_err(io_error(name))?;
    }
    let metadata = raw.into_names();
    let mut contents = Contents::new(&head, floor);
    let known = |name: &str| {
        metadata.iter().any(|member| member == name) || (head.plan.has(name) && !out.contains(name))
    };
    for name in head.plan.names().filter(|name| !out.contains(*name)) {
        pass_judged(stream, &head.plan, &mut contents, name, known, &mut watch)?;
    }
    stream.end(known)?;
    let (manifest, evidence) = contents.finish(absent)?;
    Ok(head.verified(manifest, evidence, absent.clone()))
}

/// The members that are left out. Of what an image consists of is known at the end only; what can be said before is said here.
fn left_out(plan: &Plan, absent: &BTreeSet<Digest>) -> Result<BTreeSet<String>, Refusal> {
    let name = |digest: &Digest| {
        let name = member::blob(digest);
        if !plan.has(&name) {
            let reason = "it is to be left out, and the signed list does not name it";
            return Err(Refusal::new(Code::MemberUnknown, name, reason));
        }
        if closure::is_document(plan.target(&name)) {
            return Err(closure::needed(name));
        }
        Ok(name)
    };
    absent.iter().map(name).collect()
}

/// Lets one member pass that must be in its place, be what was signed, and fit what passed before it.
fn pass_judged<R: Read>(
    stream: &mut Stream<R>,
    plan: &Plan,
    contents: &mut Contents<'_>,
    name: &str,
    known: impl Fn(&str) -> bool,
    watch: &mut Watch<'_>,
) -> Result<(), ReadError> {
    let target = plan.target(name);
    stream.expect(name, target.length, known)?;
    let keep = if contents.holds(name) { Keep::Bytes } else { Keep::Nothing };
    let (found, bytes) = pass(stream, name, target.length, watch, keep)?;
    let expected = target.hashes.sha256();
    if found != *expected {
        let reason = format!("its digest is {found}, not {expected}");
        return Err(Refusal::new(Code::Digest, name, reason).into());
    }
    contents.judge(name, &bytes)?;
    watch.observer.end(name).map_err(io_error(name))
}

/// What is kept of a member that passes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Bytes,
    Nothing,
}

/// Lets one member pass; gives its digest and what was to be kept.
fn pass<R: Read>(
    stream: &mut Stream<R>,
    name: &str,
    length: u64,
    watch: &mut Watch<'_>,
    keep: Keep,
) -> Result<(Digest, Vec<u8>), ReadError> {
    let (mut hasher, mut bytes, mut done) = (Hasher::new(), Vec::new(), 0);
    if length == 0 {
        watch.bytes(name, 0, 0, &[]).map_err(io_error(name))?;
    }
    stream.body(name, length, |part| {
        hasher.update(part);
        done += part.len() as u64;
        if keep == Keep::Bytes {
            bytes.extend_from_slice(part);
        }
        watch.bytes(name, done, length, part)
    })?;
    Ok((hasher.finish(), bytes))
}

struct Watch<'a> {
    observer: &'a mut dyn Observer,
    total_done: u64,
    total: u64,
}

impl Watch<'_> {
    fn bytes(&mut self, member: &str, done: u64, length: u64, bytes: &[u8]) -> io::Result<()> {
        self.total_done += bytes.len() as u64;
        let progress = Progress { member, done, length, total_done: self.total_done, total: self.total };
        self.observer.bytes(&progress, bytes)
    }
}

fn io_error(member: &str) -> impl Fn(io::Error) -> ReadError {
    let member = member.to_owned();
    move |source| ReadError::Io { member: member.clone(), source }
}

impl Verified {
    /// What the release is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The members with their lengths, digests and pieces.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The root in force: a device that accepts the bundle trusts this one from then on.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The bytes of the root in force, to be kept as they are.
    pub fn root_bytes(&self) -> &[u8] {
        &self.root_bytes
    }

    /// The timestamp's version: the next [`Floor`] of a device that accepts the bundle.
    pub fn timestamp_version(&self) -> u64 {
        self.timestamp_version
    }

    /// Unix time from which on a new install is refused.
    pub fn expires(&self) -> i64 {
        self.expires
    }

    /// The evidence, sorted by scenario.
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// The layers that were left out ([`verify_thin`]).
    pub fn absent(&self) -> &BTreeSet<Digest> {
        &self.absent
    }

    /// The floor that the next bundle must keep.
    pub fn floor(&self) -> Floor<'_> {
        let Manifest { stack, seq, .. } = &self.manifest;
        Floor { stack, seq: *seq, timestamp_version: self.timestamp_version }
    }
}

impl Head {
    fn verified(self, manifest: Manifest, evidence: Vec<Evidence>, absent: BTreeSet<Digest>) -> Verified {
        Verified {
            root: self.root.root,
            root_bytes: self.root.bytes,
            timestamp_version: self.timestamp_version,
            expires: self.expires,
            targets: self.plan.into_targets(),
            manifest,
            evidence,
            absent,
        }
    }
}

/// Refuses a release that is older than the floor, or of another stack.
fn check_floor(manifest: &Manifest, timestamp_version: u64, floor: Option<Floor<'_>>) -> Result<(), Refusal> {
    let Some(floor) = floor else { return Ok(()) };
    if manifest.stack != floor.stack {
        let reason = format!("it is of the stack {}, the device runs {}", manifest.stack, floor.stack);
        return Err(Refusal::new(Code::OtherStack, member::BUNDLE, reason));
    }
    for (name, found, least) in [
        (member::BUNDLE, manifest.seq, floor.seq),
        (member::TIMESTAMP, timestamp_version, floor.timestamp_version),
    ] {
        if found < least {
            let reason = format!("it is number {found}, and the device already had number {least}");
            return Err(Refusal::new(Code::Rollback, name, reason));
        }
    }
    Ok(())
}
