//! What a trust store must survive: rotated keys, torn files, wrong clocks, other people's keys. Metadata is made here and read by
//! the code that devices run.

use std::time::Duration;

use camino::Utf8PathBuf;
use xedge_bundle::{ReadError, read_offer};
use xedge_model::{Class, Failure as _};

use super::*;
use crate::forge::{Forge, NOW, RELEASE, ROOT, RootPlan, STAMP};
use crate::records;
use crate::state::{Installed, StackState};

/// A clock that says what the test wants.
struct At(i64);

impl Clock for At {
    fn unix(&self) -> i64 {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) {}
}

const STACK: &str = "edge";
const NEW_ROOT: u8 = 2;
const NEW_RELEASE: u8 = 13;
const NEW_STAMP: u8 = 14;

struct Bench {
    _folder: tempfile::TempDir,
    home: Home,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(Utf8PathBuf::try_from(folder.path().to_owned()).unwrap());
        Self { _folder: folder, home }
    }

    /// A device that trusts the forge's first root.
    fn enrolled(forge: &Forge) -> (Self, TrustStore) {
        let bench = Self::new();
        let store = bench.enrol(forge, Enrolment::First).unwrap();
        (bench, store)
    }

    fn enrol(&self, forge: &Forge, how: Enrolment) -> Result<TrustStore> {
        let device = Device::new(None, &[3; 16]);
        enrol(&self.home, &forge.trusted(), &device, how).map(|(store, _)| store)
    }

    fn open(&self) -> Result<TrustStore> {
        TrustStore::open(&self.home)
    }
}

/// What a device does with a bundle as far as trust goes: judge, keep the root, and once it runs, remember it.
fn take(store: &mut TrustStore, forge: &Forge, clock: i64) -> Result<()> {
    let read = |store: &TrustStore, floor: Option<Floor<'_>>| {
        let head = forge.parts().head();
        let trust = Trust { root: store.root(), floor };
        read_offer(head.as_slice(), &trust, store.now(&At(clock))).map_err(Error::from)
    };
    let offer = read(store, store.floor(STACK))?;
    store.accept_root(&offer)?;
    let floor = offer.floor();
    let accept = Accept {
        seq: floor.seq,
        timestamp_version: floor.timestamp_version,
        data_floor: offer.manifest().data.floor,
        signed: offer.expires().saturating_sub(STAMP_LIFETIME),
    };
    store.accept(STACK, &accept)
}

fn release(seq: u64) -> Forge {
    Forge::with(|forge| forge.manifest.seq = seq)
}

/// The release after the root was changed, with other online keys.
fn rotated(seq: u64) -> Forge {
    Forge::with(|forge| {
        forge.manifest.seq = seq;
        forge.roots.push(RootPlan {
            online: [NEW_RELEASE, NEW_STAMP],
            ..RootPlan::new(2, &[NEW_ROOT], &[ROOT, NEW_ROOT])
        });
        forge.signers = [vec![NEW_STAMP], vec![NEW_STAMP], vec![NEW_RELEASE]];
    })
}

fn code(result: Result<()>) -> &'static str {
    result.expect_err("it must be refused").code().expect("a refusal")
}

#[test]
fn a_device_trusts_nobody_before_it_is_enrolled() {
    let bench = Bench::new();
    let error = bench.open().unwrap_err();
    assert!(matches!(error, Error::NotEnrolled), "{error}");
    assert_eq!(error.class(), Class::Integrity);
}

#[test]
fn floors_rise_and_never_fall() {
    let (bench, mut store) = Bench::enrolled(&release(4));
    assert!(store.floor(STACK).is_none());
    take(&mut store, &release(4), NOW).unwrap();
    assert_eq!(code(take(&mut store, &release(3), NOW)), "rollback");
    take(&mut store, &release(4), NOW).unwrap();
    take(&mut store, &release(5), NOW).unwrap();
    let restamped = Forge::with(|forge| (forge.manifest.seq, forge.restamp) = (5, 2));
    take(&mut store, &restamped, NOW).unwrap();
    assert_eq!(code(take(&mut store, &release(5), NOW)), "rollback", "an older stamp of the same release");
    let again = bench.open().unwrap();
    assert_eq!(again.record, store.record);
    let low = Accept { seq: 1, timestamp_version: 1, data_floor: 0, signed: 0 };
    store.accept(STACK, &low).unwrap();
    assert_eq!(bench.open().unwrap().floor(STACK).unwrap().seq, 5);
}

/// Every stack has its own numbers.
#[test]
fn stacks_do_not_hold_each_other_back() {
    let (_bench, mut store) = Bench::enrolled(&release(4));
    let high = Accept { seq: 900, timestamp_version: 900_000, data_floor: 9, signed: 0 };
    store.accept("other", &high).unwrap();
    assert!(store.floor(STACK).is_none());
    assert_eq!((store.data_floor(STACK), store.data_floor("other")), (0, 9));
    take(&mut store, &release(4), NOW).unwrap();
}

/// Bare clients that are handed the factory's root at each start lose their rollback protection once online keys were changed.
#[test]
fn rollback_is_refused_after_the_online_keys_changed() {
    let (bench, mut store) = Bench::enrolled(&release(3));
    take(&mut store, &release(3), NOW).unwrap();
    take(&mut store, &rotated(4), NOW).unwrap();
    assert_eq!(store.root(), rotated(4).roots[1].bytes());
    assert_eq!(*store.pinned(), Digest::of(&release(3).trusted()), "what a person pinned is still known");
    let mut again = bench.open().unwrap();
    assert_eq!(again.root(), store.root(), "the newest root, not the pinned one");
    assert_eq!(code(take(&mut again, &rotated(3), NOW)), "rollback");
    assert_eq!(code(take(&mut again, &release(5), NOW)), "signature", "the old keys have no say any more");
    take(&mut again, &rotated(5), NOW).unwrap();
}

/// The root advances as soon as it is verified, also where the release itself is refused later.
#[test]
fn a_root_advances_without_its_release_being_committed() {
    let (bench, mut store) = Bench::enrolled(&release(3));
    let forge = rotated(4);
    let head = forge.parts().head();
    let offer = read_offer(head.as_slice(), &store.trust_any(), NOW).unwrap();
    store.accept_root(&offer).unwrap();
    let again = bench.open().unwrap();
    assert_eq!(again.root(), forge.roots[1].bytes());
    assert!(again.floor(STACK).is_none());
    let before = read_offer(
        release(3).parts().head().as_slice(),
        &Trust { root: &release(3).trusted(), floor: None },
        NOW,
    );
    store.accept_root(&before.unwrap()).unwrap();
    assert_eq!(store.root(), forge.roots[1].bytes(), "an older root changes nothing");
}

#[test]
fn another_root_of_the_same_version_is_refused() {
    let (_bench, mut store) = Bench::enrolled(&release(3));
    let other = Forge::with(|forge| forge.roots[0] = RootPlan::new(1, &[NEW_ROOT], &[NEW_ROOT]));
    assert_eq!(code(take(&mut store, &other, NOW)), "root-unknown");
    let head = other.parts().head();
    let offer = read_offer(head.as_slice(), &Trust { root: &other.trusted(), floor: None }, NOW).unwrap();
    assert_eq!(code(store.accept_root(&offer)), "root-unknown");
}

/// A torn file reads as "no history" in bare clients.
#[test]
fn a_torn_store_refuses_everything() {
    let (bench, mut store) = Bench::enrolled(&release(4));
    take(&mut store, &release(4), NOW).unwrap();
    let path = bench.home.trust();
    let whole = std::fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..end]).unwrap();
        let error = bench.open().unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{end}: {error}");
        assert_eq!(error.class(), Class::Integrity);
        assert!(error.hint().unwrap().contains("--reenroll"));
    }
    for index in (0..whole.len()).step_by(31) {
        let mut bad = whole.clone();
        bad[index] ^= 4;
        std::fs::write(&path, &bad).unwrap();
        assert!(bench.open().is_err(), "byte {index}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(bench.open().unwrap().record, store.record);
}

#[test]
fn a_lost_store_is_not_an_empty_one() {
    let (bench, mut store) = Bench::enrolled(&release(4));
    take(&mut store, &release(4), NOW).unwrap();
    std::fs::remove_file(bench.home.trust()).unwrap();
    let error = bench.open().unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let error = bench.enrol(&release(4), Enrolment::First).unwrap_err();
    assert!(matches!(error, Error::Enrolled(_)), "first contact must not heal it quietly: {error}");
    std::fs::remove_file(bench.home.device()).unwrap();
    std::fs::create_dir_all(bench.home.stack(STACK).root()).unwrap();
    let error = bench.open().unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "stacks are installed: {error}");
}

#[test]
fn a_store_of_another_enrolment_is_refused() {
    let (bench, _store) = Bench::enrolled(&release(4));
    let other = Forge::with(|forge| forge.roots[0] = RootPlan::new(1, &[NEW_ROOT], &[NEW_ROOT]));
    let (elsewhere, _store) = Bench::enrolled(&other);
    std::fs::copy(elsewhere.home.trust(), bench.home.trust()).unwrap();
    let error = bench.open().unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

/// Re-enrolment with the same keys after a loss: what is installed says how far the device was.
#[test]
fn enrolling_again_over_a_lost_store_keeps_the_numbers_of_what_is_installed() {
    let (bench, mut store) = Bench::enrolled(&release(4));
    take(&mut store, &release(4), NOW).unwrap();
    let current = Installed {
        seq: 4,
        version: "1.0.0".into(),
        config: None,
        data_version: 2,
        since: NOW,
        services: BTreeMap::new(),
        order: vec![],
        checks: crate::state::Checks::default(),
        networks: vec![],
        volumes: vec![],
        mounts: vec![],
        members: vec![],
        secrets: BTreeMap::new(),
    };
    let state = StackState { current: Some(current), ..StackState::default() };
    records::save_state(&bench.home.stack(STACK), &state).unwrap();
    std::fs::write(bench.home.trust(), b"").unwrap();
    let mut store = bench.enrol(&release(4), Enrolment::Again).unwrap();
    assert_eq!(code(take(&mut store, &release(3), NOW)), "rollback");
    assert_eq!(store.data_floor(STACK), 2);
    take(&mut store, &release(4), NOW).unwrap();
}

/// Bare clients remember the latest time that they saw: one second back, and nothing is taken any more.
#[test]
fn a_clock_that_goes_back_or_once_ran_ahead_does_no_harm() {
    let (_bench, mut store) = Bench::enrolled(&release(4));
    take(&mut store, &release(4), NOW).unwrap();
    take(&mut store, &release(5), NOW - 1).unwrap();
    let ahead = NOW + 10 * 365 * 86_400;
    assert_eq!(code(take(&mut store, &release(6), ahead)), "expired");
    take(&mut store, &release(6), NOW).unwrap();
}

#[test]
fn a_board_without_a_clock_goes_by_build_and_last_release() {
    let (_bench, mut store) = Bench::enrolled(&release(4));
    assert_eq!(store.now(&At(0)), BUILD_TIME);
    take(&mut store, &release(4), 0).unwrap();
    let signed = Forge::new().expires[0] - STAMP_LIFETIME;
    assert_eq!(store.now(&At(0)), signed.max(BUILD_TIME));
    assert!(store.now(&At(0)) <= NOW + 1000, "never beyond the stamp's end");
    // What expired before the last release was signed is old, whatever the clock says.
    let old = Forge::with(|forge| {
        forge.manifest.seq = 5;
        forge.expires = [signed - 1; 3];
    });
    assert_eq!(code(take(&mut store, &old, 0)), "expired");
}

#[test]
fn expired_metadata_is_refused_by_a_clock_that_is_right() {
    let (_bench, mut store) = Bench::enrolled(&release(4));
    assert_eq!(code(take(&mut store, &release(4), NOW + 1000)), "expired");
    assert!(store.floor(STACK).is_none());
}

#[test]
fn a_device_for_production_takes_nothing_of_development_keys() {
    let mut production = release(4);
    production.set_status(KeyStatus::Production);
    let (bench, mut store) = Bench::enrolled(&production);
    take(&mut store, &production, NOW).unwrap();
    // The same root keys, the same numbers: it is the status that is refused.
    assert_eq!(code(take(&mut store, &release(5), NOW)), "development-keys");
    let mut downgrade = production.clone();
    downgrade.manifest.seq = 5;
    downgrade.roots.push(RootPlan::new(2, &[ROOT], &[ROOT]));
    assert_eq!(code(take(&mut store, &downgrade, NOW)), "development-keys", "a root that goes down");
    assert!(bench.enrol(&release(5), Enrolment::First).is_err());
    let error = bench.enrol(&release(5), Enrolment::Again).unwrap_err();
    assert_eq!(error.code(), Some("development-keys"), "{error}");
    assert_eq!(bench.open().unwrap().status(), KeyStatus::Production);
}

#[test]
fn from_development_to_production_is_one_step_that_must_be_asked_for() {
    let (bench, mut store) = Bench::enrolled(&release(57));
    take(&mut store, &release(57), NOW).unwrap();
    let data = store.data_floor(STACK);
    assert!(data > 0);
    let mut production = release(3);
    production.set_status(KeyStatus::Production);
    assert_eq!(code(take(&mut store, &production, NOW)), "development-keys");
    let error = bench.enrol(&production, Enrolment::First).unwrap_err();
    assert!(matches!(error, Error::Enrolled(_)), "{error}");
    let mut store = bench.enrol(&production, Enrolment::Again).unwrap();
    assert_eq!(store.status(), KeyStatus::Production);
    assert_eq!(store.data_floor(STACK), data, "the data is still there");
    take(&mut store, &production, NOW).unwrap();
    assert_eq!(code(take(&mut store, &release(58), NOW)), "development-keys");
}

#[test]
fn enrolling_once_more_with_the_same_root_changes_nothing() {
    let (bench, mut store) = Bench::enrolled(&release(3));
    take(&mut store, &rotated(4), NOW).unwrap();
    for how in [Enrolment::First, Enrolment::Again] {
        let device = Device { class: "pi-sd".into(), ..Device::new(None, &[3; 16]) };
        let (same, outcome) = enrol(&bench.home, &release(3).trusted(), &device, how).unwrap();
        assert_eq!((outcome, &same.record), (Outcome::Unchanged, &store.record));
        assert_eq!(Device::load(&bench.home).unwrap().class, "pi-sd");
    }
    bench.open().unwrap();
}

/// Power may fail between the two files; the same command makes it whole.
#[test]
fn a_cut_enrolment_can_be_repeated() {
    let (bench, _store) = Bench::enrolled(&release(3));
    std::fs::remove_file(bench.home.device()).unwrap();
    assert!(bench.open().is_err());
    bench.enrol(&release(3), Enrolment::First).unwrap();
    let mut production = release(3);
    production.set_status(KeyStatus::Production);
    let before = std::fs::read(bench.home.device()).unwrap();
    bench.enrol(&production, Enrolment::Again).unwrap();
    std::fs::write(bench.home.device(), before).unwrap();
    assert!(bench.open().is_err(), "the store is of the new keys, the device's file of the old ones");
    assert_eq!(bench.enrol(&production, Enrolment::Again).unwrap().status(), KeyStatus::Production);
}

#[test]
fn what_is_no_root_is_not_pinned() {
    let bench = Bench::new();
    let unsigned = RootPlan::new(1, &[ROOT, NEW_ROOT], &[ROOT]);
    let short = RootPlan { threshold: 2, ..unsigned };
    let device = Device::new(None, &[3; 16]);
    for bytes in [b"{}".to_vec(), Vec::new(), short.bytes()] {
        let error = enrol(&bench.home, &bytes, &device, Enrolment::First).unwrap_err();
        assert_eq!(error.class(), Class::Integrity, "{error}");
        assert!(!bench.home.trust().exists() && !bench.home.device().exists());
    }
}

#[test]
fn data_floors_go_with_the_data_and_numbers_stay() {
    let (_bench, mut store) = Bench::enrolled(&release(4));
    take(&mut store, &release(4), NOW).unwrap();
    store.forget_data(STACK).unwrap();
    assert_eq!(store.data_floor(STACK), 0);
    assert_eq!(code(take(&mut store, &release(3), NOW)), "rollback");
}

/// Keys by number, so that a reader of the tests sees who signs.
#[test]
fn the_forge_makes_what_the_verifier_takes() {
    let forge = Forge::new();
    assert_eq!(forge.roots[0].online, [RELEASE, STAMP]);
    let trust = Trust { root: &forge.trusted(), floor: None };
    let verified = xedge_bundle::verify(forge.parts().tar().as_slice(), &trust, NOW, &mut ()).unwrap();
    let accept = Accept::of(&verified);
    assert_eq!((accept.seq, accept.timestamp_version), (7, 7000));
    assert_eq!(accept.data_floor, verified.manifest().data.floor);
    let cut = read_offer(&forge.parts().head()[..1000], &trust, NOW);
    assert!(matches!(cut, Err(ReadError::Refused(_))));
}
