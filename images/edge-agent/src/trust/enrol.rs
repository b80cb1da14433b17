//! The one moment at which a root is trusted because a person says so.

use std::collections::BTreeMap;

use xedge_bundle::statement::KeyStatus;
use xedge_bundle::tuf::Root;
use xedge_bundle::{Code, Refusal};
use xedge_model::Digest;

use super::{Record, StackFloor, TrustStore};
use crate::device::Pinned;
use crate::{Device, Error, Home, Result, records, sealed};

/// Whether the device may already trust somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// It must not, unless it is this very root.
    First,
    /// It may; from then on it trusts this root only. Numbers of releases signed by the keys before count no more, what
    /// its data needs does. From production keys there is no way to development keys.
    Again,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The device trusts the root from now on.
    Pinned,
    /// It did before.
    Unchanged,
}

/// Pins a root, and says who the device is. `device` is written as given, with the root's fingerprint. Needs the lock.
pub fn enrol(home: &Home, root: &[u8], device: &Device, how: Enrolment) -> Result<(TrustStore, Outcome)> {
    let new = Root::trusted(root)?;
    device.mark_volume_root()?;
    let digest = Digest::of(root);
    let pinned = Pinned { root: digest.clone(), status: new.xedge.status };
    let device = Device { pinned: Some(pinned), ..device.clone() };
    let floors = match TrustStore::open(home) {
        Ok(store) if store.record.pinned == digest => {
            device.save(home)?;
            return Ok((store, Outcome::Unchanged));
        }
        Err(Error::NotEnrolled) => BTreeMap::new(),
        Ok(store) => {
            allow(how, Some(store.status()), new.xedge.status, "it trusts another root")?;
            other_keys(&store.record.stacks)
        }
        Err(Error::Damaged { .. }) if is_half_done(home, &digest) => {
            device.save(home)?;
            return Ok((TrustStore::open(home)?, Outcome::Pinned));
        }
        Err(error @ Error::Damaged { .. }) => {
            let before = Device::find(home).ok().flatten().and_then(|device| device.pinned);
            let status = before.as_ref().map(|pinned| pinned.status);
            allow(how, status, new.xedge.status, &error.to_string())?;
            let same = before.is_some_and(|pinned| pinned.root == digest);
            if same { installed(home)? } else { BTreeMap::new() }
        }
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(root).into_owned();
    let record = Record { pinned: digest, root: text, signed: 0, stacks: floors };
    let store = TrustStore::new(home, record)?;
    // The store before the device: a device without its store refuses everything, the other way round it can be repeated.
    sealed::write(&home.trust(), &store.record)?;
    device.save(home)?;
    Ok((store, Outcome::Pinned))
}

/// Whether the store is whole and has this very root pinned: what is missing is the device's own file, which comes after it.
fn is_half_done(home: &Home, digest: &Digest) -> bool {
    let record = sealed::read::<Record>(&home.trust()).ok().flatten();
    record.is_some_and(|record| record.pinned == *digest)
}

/// A device whose keys are not known any more counts as a production device.
fn allow(how: Enrolment, before: Option<KeyStatus>, new: KeyStatus, why: &str) -> Result<()> {
    match (how, before, new) {
        (Enrolment::First, ..) => Err(Error::Enrolled(why.to_owned())),
        (_, Some(KeyStatus::Production) | None, KeyStatus::Development) => {
            let reason = "it has development keys, and the device is enrolled for production";
            Err(Refusal::new(Code::DevelopmentKeys, "the root", reason).into())
        }
        _ => Ok(()),
    }
}

/// Numbers belong to the keys that signed them; what the data needs does not.
fn other_keys(floors: &BTreeMap<String, StackFloor>) -> BTreeMap<String, StackFloor> {
    let data = |floor: &StackFloor| StackFloor { data: floor.data, ..StackFloor::default() };
    floors.iter().map(|(stack, floor)| (stack.clone(), data(floor))).collect()
}

/// The floors that follow from what is installed, for the same keys as before.
fn installed(home: &Home) -> Result<BTreeMap<String, StackFloor>> {
    let mut floors = BTreeMap::new();
    for stack in records::stacks(home)? {
        let state = records::load_state(&home.stack(&stack))?;
        let releases = state.current.iter().chain(&state.previous);
        let Some(seq) = releases.map(|release| release.seq).max() else { continue };
        let timestamp_version = seq.saturating_mul(xedge_bundle::tuf::STAMPS);
        // What the data really needs is lost with the store: whoever wrote it can read it.
        let data = state.current.as_ref().map_or(0, |release| release.data_version);
        floors.insert(stack, StackFloor { seq, timestamp_version, data });
    }
    Ok(floors)
}
