//! What a bundle offers: its metadata and `bundle.json`, judged as in a whole bundle (FORMAT.md §3 and §4). Reads no further,
//! so nothing is known of the bytes of any other member but what was signed about them.

use std::io::Read;

use super::contents::Contents;
use super::head::{Head, RawHead};
use super::{Floor, Plan, Trust, Watch, pass_judged};
use crate::manifest::Manifest;
use crate::member::BUNDLE;
use crate::refusal::ReadError;
use crate::stream::Stream;
use crate::tuf::{Root, Targets};

/// The head of a bundle that hangs on the trusted root. Only [`read_offer`] makes one.
///
/// It says what the bundle is and which members make it up, so that a receiver can ask for those that it lacks. It proves no
/// evidence: **nothing may be installed on the strength of an offer**, only of [`Verified`](super::Verified).
#[derive(Clone)]
#[must_use]
pub struct Offer {
    head: Head,
    manifest: Manifest,
}

/// Reads and judges metadata and `bundle.json`. Takes from the reader exactly the bytes up to the end of the padding that
/// follows `bundle.json`.
pub fn read_offer(reader: impl Read, trust: &Trust<'_>, now_unix: i64) -> Result<Offer, ReadError> {
    let mut stream = Stream::new(reader);
    let (raw, head) = RawHead::judge(&mut stream, trust.root, now_unix)?;
    let metadata = raw.into_names();
    let mut contents = Contents::new(&head, trust.floor);
    let known = |name: &str| metadata.iter().any(|member| member == name) || head.plan.has(name);
    let mut watch = Watch { observer: &mut (), total_done: 0, total: head.plan.target(BUNDLE).length };
    pass_judged(&mut stream, &head.plan, &mut contents, BUNDLE, known, &mut watch)?;
    let manifest = contents.into_manifest()?;
    Ok(Offer { head, manifest })
}

impl Offer {
    /// What the release is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The members with their lengths, digests and pieces.
    pub fn targets(&self) -> &Targets {
        self.head.plan.targets()
    }

    /// The members after the metadata, in order.
    pub fn plan(&self) -> &Plan {
        &self.head.plan
    }

    /// The root in force.
    pub fn root(&self) -> &Root {
        &self.head.root.root
    }

    /// The bytes of the root in force, to be kept as they are.
    pub fn root_bytes(&self) -> &[u8] {
        &self.head.root.bytes
    }

    /// The timestamp's version.
    pub fn timestamp_version(&self) -> u64 {
        self.head.timestamp_version
    }

    /// Unix time from which on a new install is refused.
    pub fn expires(&self) -> i64 {
        self.head.expires
    }

    /// The floor that the next bundle must keep, once this one is installed.
    pub fn floor(&self) -> Floor<'_> {
        Floor {
            stack: &self.manifest.stack,
            seq: self.manifest.seq,
            timestamp_version: self.head.timestamp_version,
        }
    }
}
