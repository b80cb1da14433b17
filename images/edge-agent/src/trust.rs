//! Whom the device trusts, and what it must not go back behind: one file with a checksum, replaced as a whole.
//!
//! A file that cannot be read, or is gone although the device is enrolled, refuses everything. Nothing here asks a clock
//! on its own or looks at a bundle: what was verified is handed in.

mod enrol;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xedge_bundle::statement::KeyStatus;
use xedge_bundle::tuf::Root;
use xedge_bundle::verify::Floor;
use xedge_bundle::{Code, Offer, Refusal, Trust, Verified};
use xedge_model::Digest;

pub use enrol::{Enrolment, Outcome, enrol};

use crate::state::Accept;
use crate::{Clock, Device, Error, Home, Result, sealed};

/// When this program was made: no clock that says less is right. A build that is told `SOURCE_DATE_EPOCH` knows it; any other
/// goes by [`EARLIEST`], so that the same sources give the same program.
pub const BUILD_TIME: i64 = build_time();
/// 2026-11-01, before which nothing of this format was signed. To be raised with every version.
pub const EARLIEST: i64 = 1_793_491_200;
/// How long a timestamp lasts (FORMAT.md §3): that much before its end it was signed.
const STAMP_LIFETIME: i64 = 30 * 86_400;

/// What the device trusts. It always holds the newest root that was verified, so that the factory's root never decides
/// again once there was a later one.
#[derive(Clone, Debug)]
pub struct TrustStore {
    home: Home,
    root: Root,
    record: Record,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    /// Digest of the root that was pinned by a person.
    pinned: Digest,
    /// The newest root, byte for byte.
    root: String,
    /// Unix time before which the last committed bundle cannot have been signed.
    signed: i64,
    /// What each stack must not go back behind.
    stacks: BTreeMap<String, StackFloor>,
}

/// What a stack must not go back behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StackFloor {
    seq: u64,
    timestamp_version: u64,
    data: u64,
}

/// The root in force of something that was verified.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a>(&'a [u8]);

impl<'a> From<&'a Verified> for InForce<'a> {
    fn from(verified: &'a Verified) -> Self {
        Self(verified.root_bytes())
    }
}

impl<'a> From<&'a Offer> for InForce<'a> {
    fn from(offer: &'a Offer) -> Self {
        Self(offer.root_bytes())
    }
}

impl Accept {
    /// What committing this release teaches.
    pub fn of(release: &Verified) -> Self {
        let floor = release.floor();
        Self {
            seq: floor.seq,
            timestamp_version: floor.timestamp_version,
            data_floor: release.manifest().data.floor,
            signed: release.expires().saturating_sub(STAMP_LIFETIME),
        }
    }
}

impl TrustStore {
    /// Opens the store of a device that is enrolled.
    pub fn open(home: &Home) -> Result<Self> {
        let path = home.trust();
        let damaged = |reason: &str| Error::Damaged { path: path.clone(), reason: reason.to_owned() };
        let device = Device::find(home)?;
        match (sealed::read::<Record>(&path)?, device.and_then(|device| device.pinned)) {
            (Some(record), Some(pinned)) if record.pinned == pinned.root => Self::new(home, record),
            (Some(_), _) => Err(damaged("it is not of the enrolment that device.json speaks of")),
            (None, Some(_)) => Err(damaged("it is gone, and the device is enrolled")),
            (None, None) if has_stacks(home)? => Err(damaged("it is gone, and stacks are installed")),
            (None, None) => Err(Error::NotEnrolled),
        }
    }

    fn new(home: &Home, record: Record) -> Result<Self> {
        let root = Root::trusted(record.root.as_bytes()).map_err(|refusal| {
            let reason = format!("the root in it: {}", refusal.reason);
            Error::Damaged { path: home.trust(), reason }
        })?;
        Ok(Self { home: home.clone(), root, record })
    }

    /// The newest root, byte for byte.
    pub fn root(&self) -> &[u8] {
        self.record.root.as_bytes()
    }

    /// Digest of the newest root: what people compare.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(self.root())
    }

    /// Digest of the root that a person pinned; the newest one hangs on it.
    pub fn pinned(&self) -> &Digest {
        &self.record.pinned
    }

    /// What kind of keys it trusts.
    pub fn status(&self) -> KeyStatus {
        self.root.xedge.status
    }

    /// Unix time from which on the newest root lets nothing be installed.
    pub fn expires(&self) -> i64 {
        self.root.expires
    }

    /// The time that counts: the clock's, but never before this program was made or the last committed bundle was
    /// signed. Boards without a battery start in 1970; what a clock once said is not remembered, so one that ran ahead
    /// does no lasting harm.
    pub fn now(&self, clock: &dyn Clock) -> i64 {
        BUILD_TIME.max(self.record.signed).max(clock.unix())
    }

    /// The same, unless the clock says what cannot be: then everything would seem expired, and the clock is to blame.
    pub fn believable_now(&self, clock: &dyn Clock) -> Result<i64> {
        match crate::check::clock(clock) {
            Some(obstacle) => Err(Error::Unfit(vec![obstacle])),
            None => Ok(self.now(clock)),
        }
    }

    /// What a bundle of this stack must hang on and not be older than.
    pub fn trust<'a>(&'a self, stack: &'a str) -> Trust<'a> {
        Trust { root: self.root(), floor: self.floor(stack) }
    }

    /// What a bundle must hang on before it is known of which stack it is.
    pub fn trust_any(&self) -> Trust<'_> {
        Trust { root: self.root(), floor: None }
    }

    /// What a release of this stack must not be older than; `None` before the first one.
    pub fn floor<'a>(&'a self, stack: &'a str) -> Option<Floor<'a>> {
        let floor = self.record.stacks.get(stack).filter(|floor| floor.seq > 0)?;
        Some(Floor { stack, seq: floor.seq, timestamp_version: floor.timestamp_version })
    }

    /// Lowest data version of a release that can read this stack's data; 0 where all can.
    pub fn data_floor(&self, stack: &str) -> u64 {
        self.record.stacks.get(stack).map_or(0, |floor| floor.data)
    }

    /// Keeps a later root, once the metadata that hangs on it was verified.
    pub fn accept_root<'a>(&mut self, verified: impl Into<InForce<'a>>) -> Result<()> {
        let InForce(bytes) = verified.into();
        let root = Root::trusted(bytes)?;
        let refuse = |code, reason: &str| {
            let member = format!("{}.root.json", root.version);
            Err(Error::Refused(Refusal { code, member, reason: reason.to_owned() }))
        };
        if root.version < self.root.version {
            return Ok(());
        }
        if root.version == self.root.version {
            let same = bytes == self.root();
            let other = "another root of that version is trusted here";
            return if same { Ok(()) } else { refuse(Code::RootUnknown, other) };
        }
        if root.xedge.status != self.status() {
            return refuse(Code::DevelopmentKeys, "it has keys of another kind than the device trusts");
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.save(Record { root: text, ..self.record.clone() })
    }

    /// Remembers a release that was committed. May be repeated; nothing is ever lowered.
    pub fn accept(&mut self, stack: &str, release: &Accept) -> Result<()> {
        let mut record = self.record.clone();
        let floor = record.stacks.entry(stack.to_owned()).or_default();
        floor.seq = floor.seq.max(release.seq);
        floor.timestamp_version = floor.timestamp_version.max(release.timestamp_version);
        floor.data = floor.data.max(release.data_floor);
        record.signed = record.signed.max(release.signed);
        self.save(record)
    }

    /// Forgets what the data of a stack needs, once its volumes are gone. Its release numbers stay.
    pub fn forget_data(&mut self, stack: &str) -> Result<()> {
        let mut record = self.record.clone();
        if let Some(floor) = record.stacks.get_mut(stack) {
            floor.data = 0;
        }
        self.save(record)
    }

    /// The file first: what is in memory is never ahead of it.
    fn save(&mut self, record: Record) -> Result<()> {
        if record == self.record {
            return Ok(());
        }
        let next = Self::new(&self.home, record)?;
        sealed::write(&self.home.trust(), &next.record)?;
        *self = next;
        Ok(())
    }
}

fn has_stacks(home: &Home) -> Result<bool> {
    Ok(!crate::records::stacks(home)?.is_empty())
}

const fn build_time() -> i64 {
    let Some(text) = option_env!("SOURCE_DATE_EPOCH") else { return EARLIEST };
    let (bytes, mut index, mut time) = (text.as_bytes(), 0, 0_i64);
    while index < bytes.len() {
        assert!(bytes[index].is_ascii_digit() && index < 12, "SOURCE_DATE_EPOCH is a number of seconds");
        time = time * 10 + (bytes[index] - b'0') as i64;
        index += 1;
    }
    if time > EARLIEST { time } else { EARLIEST }
}

#[cfg(test)]
mod tests;
