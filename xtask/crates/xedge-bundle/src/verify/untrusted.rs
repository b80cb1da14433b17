//! The head of a bundle, read without any trust: for people who want to look. Nothing here may be acted upon.

use std::io::Read;

use xedge_model::Digest;

use super::Plan;
use super::head::RawHead;
use crate::manifest::{self, Manifest};
use crate::member::{BUNDLE, SNAPSHOT, TARGETS, TIMESTAMP};
use crate::refusal::ReadError;
use crate::stream::{Stream, held, limit};
use crate::tuf::{Document, Root, Snapshot, Targets, Timestamp};

/// What a file claims to be. No signature was checked, no hash compared, no time looked at.
#[derive(Clone, Debug)]
pub struct Untrusted {
    /// The roots, ascending.
    pub roots: Vec<UntrustedRoot>,
    /// `timestamp.json`.
    pub timestamp: Timestamp,
    /// `snapshot.json`.
    pub snapshot: Snapshot,
    /// The members after the metadata, in order.
    pub plan: Plan,
    /// `bundle.json`.
    pub manifest: Manifest,
}

/// A root that nobody vouches for.
#[derive(Clone, Debug)]
pub struct UntrustedRoot {
    /// What it says.
    pub root: Root,
    /// The digest of its bytes, for comparing it by eye.
    pub digest: Digest,
}

/// Reads metadata and `bundle.json`, and stops there.
pub fn read_head(reader: impl Read) -> Result<Untrusted, ReadError> {
    let mut stream = Stream::new(reader);
    let raw = RawHead::read(&mut stream)?;
    let mut roots = Vec::new();
    for (name, bytes) in raw.roots() {
        let root = Document::parse::<Root>(name, bytes)?.read()?;
        roots.push(UntrustedRoot { root, digest: Digest::of(bytes) });
    }
    let [timestamp, snapshot, targets] = raw.others();
    let timestamp = Document::parse::<Timestamp>(TIMESTAMP, timestamp)?.read()?;
    let snapshot = Document::parse::<Snapshot>(SNAPSHOT, snapshot)?.read()?;
    let targets: Targets = Document::parse::<Targets>(TARGETS, targets)?.read()?;
    let plan = Plan::new(targets)?;
    let length = plan.target(BUNDLE).length;
    limit(BUNDLE, length, manifest::MAX_BYTES)?;
    stream.expect(BUNDLE, length, |name| plan.has(name))?;
    let manifest = Manifest::parse(&held(&mut stream, BUNDLE, length)?)?;
    Ok(Untrusted { roots, timestamp, snapshot, plan, manifest })
}
