//! Tests of metadata: its form, who may sign it, what is refused before it is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use xedge_bundle::canonical;
use xedge_bundle::pieces::pieces;
use xedge_bundle::tuf::{Document, Metadata as _, Root, Snapshot, Target, Timestamp};
use xedge_model::{Class, Digest, Failure as _};

use super::{Folder, no_passphrase, stream};
use crate::{
    Error, KeyRing, KeyStatus, MetadataKey, NewKeys, Passphrase, RootSpec, Zeroizing, make_root,
    make_snapshot, make_targets, make_timestamp, rotate_root,
};

/// 2099-01-01T00:00:00Z
pub(super) const FUTURE: i64 = 4_070_908_800;
/// 2001-09-09T01:46:40Z
pub(super) const PAST: i64 = 1_000_000_000;

/// The metadata of a release, its members and its keys.
pub(super) struct Release {
    ring: KeyRing,
    members: BTreeMap<&'static str, Vec<u8>>,
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) targets: Vec<u8>,
    pub(super) snapshot: Vec<u8>,
    pub(super) timestamp: Vec<u8>,
}

fn ring(seed: u8) -> KeyRing {
    let folder = Folder::new();
    KeyRing::open_or_make_development(&folder.path(), stream(seed)).unwrap()
}

fn targets_of(members: &BTreeMap<&'static str, Vec<u8>>) -> BTreeMap<String, Target> {
    let target = |bytes: &Vec<u8>| pieces(&bytes[..]).unwrap().target("bundle");
    members.iter().map(|(name, bytes)| ((*name).to_owned(), target(bytes))).collect()
}

impl Release {
    pub(super) fn new(expires: i64) -> Self {
        Self::with(expires, 1)
    }

    pub(super) fn with(expires: i64, seed: u8) -> Self {
        let ring = ring(seed);
        let root =
            make_root(&RootSpec::of(&ring, expires).unwrap(), &[&ring.root_key(&no_passphrase).unwrap()]);
        let big = (0..=3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let members = BTreeMap::from([("bundle.json", b"{}".to_vec()), ("blob.big", big)]);
        let mut release = Self {
            ring,
            members,
            roots: vec![root.unwrap()],
            targets: Vec::new(),
            snapshot: Vec::new(),
            timestamp: Vec::new(),
        };
        release.sign(expires);
        release
    }

    fn sign(&mut self, expires: i64) {
        let (root, stamp) = (self.roots.last().unwrap(), self.stamp_key());
        let release = self.ring.release_key(&no_passphrase).unwrap();
        self.targets = make_targets(root, 7, expires, &targets_of(&self.members), &release).unwrap();
        self.snapshot = make_snapshot(root, &self.targets, 3, expires, &stamp).unwrap();
        self.timestamp = make_timestamp(root, &self.snapshot, expires, &stamp).unwrap();
    }

    /// Replaces all keys.
    pub(super) fn rotate(&mut self) {
        let old = self.root_key();
        self.ring = ring(100);
        let spec = RootSpec::of(&self.ring, FUTURE).unwrap();
        self.roots.push(rotate_root(self.root(), &spec, &[&old, &self.root_key()]).unwrap());
        self.sign(FUTURE);
    }

    pub(super) fn root(&self) -> &[u8] {
        self.roots.last().unwrap()
    }

    fn root_key(&self) -> MetadataKey {
        self.ring.root_key(&no_passphrase).unwrap()
    }

    pub(super) fn stamp_key(&self) -> MetadataKey {
        self.ring.stamp_key(&no_passphrase).unwrap()
    }

    fn release_key(&self) -> MetadataKey {
        self.ring.release_key(&no_passphrase).unwrap()
    }

    /// Lays it out as TUF clients read it.
    pub(super) fn write(&self, folder: &Path) {
        let (metadata, targets) = (folder.join("metadata"), folder.join("targets"));
        fs::create_dir_all(&metadata).unwrap();
        fs::create_dir_all(&targets).unwrap();
        for (index, root) in self.roots.iter().enumerate() {
            fs::write(metadata.join(format!("{}.root.json", index + 1)), root).unwrap();
        }
        fs::write(metadata.join("targets.json"), &self.targets).unwrap();
        fs::write(metadata.join("snapshot.json"), &self.snapshot).unwrap();
        fs::write(metadata.join("timestamp.json"), &self.timestamp).unwrap();
        for (name, bytes) in &self.members {
            fs::write(targets.join(name), bytes).unwrap();
        }
    }

    fn files(&self) -> Vec<&[u8]> {
        let roots = self.roots.iter().map(Vec::as_slice);
        roots.chain([&self.targets[..], &self.snapshot, &self.timestamp]).collect()
    }
}

fn read<T: xedge_bundle::tuf::Metadata>(bytes: &[u8]) -> T {
    Document::parse::<T>("file", bytes).unwrap().read().unwrap()
}

#[test]
fn the_same_input_gives_the_same_canonical_bytes() {
    let (mut one, mut two) = (Release::new(FUTURE), Release::new(FUTURE));
    one.rotate();
    two.rotate();
    assert_eq!(one.files(), two.files());
    for file in one.files() {
        canonical::check(file).unwrap();
        assert!(file.starts_with(br#"{"signatures":[{"keyid":""#));
    }
}

#[test]
fn versions_and_extensions_are_as_the_format_says() {
    let mut release = Release::new(FUTURE);
    release.rotate();
    assert_eq!(read::<Snapshot>(&release.snapshot).0.version, 7003);
    assert_eq!(read::<Timestamp>(&release.timestamp).0.version, 7003);
    let roots: Vec<Root> = release.roots.iter().map(|root| read(root)).collect();
    assert_eq!((roots[0].version, roots[1].version), (1, 2));
    assert_eq!(roots[1].common().status, KeyStatus::Development);
    let gate = release.ring.gate_key(&no_passphrase).unwrap().verifying_key();
    assert_eq!(roots[1].gate_keys(), [gate]);
    assert_eq!(roots[1].image_keys().len(), 1);
    let targets: xedge_bundle::tuf::Targets = read(&release.targets);
    assert_eq!(targets.targets["blob.big"].custom.pieces.len(), 3);
}

#[test]
fn a_stamp_is_renewed_with_the_stamp_key_alone() {
    let release = Release::new(FUTURE);
    let stamp = release.stamp_key();
    let again = |restamp| make_snapshot(release.root(), &release.targets, restamp, FUTURE, &stamp);
    let snapshot = again(999).unwrap();
    let timestamp = make_timestamp(release.root(), &snapshot, FUTURE, &stamp).unwrap();
    assert_eq!(read::<Timestamp>(&timestamp).0.version, 7999);
    assert!(matches!(again(1000), Err(Error::Unfit { kind: "snapshot", .. })));
}

#[test]
fn a_key_signs_only_what_the_root_names_it_for() {
    let release = Release::new(FUTURE);
    let (root, stamp) = (release.root(), release.stamp_key());
    let targets = |key| make_targets(root, 1, FUTURE, &BTreeMap::new(), key);
    for wrong in [&stamp, &release.root_key(), &Release::with(FUTURE, 7).release_key()] {
        let error = targets(wrong).unwrap_err();
        assert!(matches!(error, Error::NotNamed { kind: "targets", .. }), "{error}");
        assert_eq!(error.class(), Class::Input);
    }
    let spec = RootSpec::of(&release.ring, FUTURE).unwrap();
    assert!(matches!(make_root(&spec, &[&stamp]), Err(Error::NotNamed { kind: "root", .. })));
}

#[test]
fn a_root_needs_its_threshold_and_that_of_the_root_before() {
    let (release, second, third) = (Release::new(FUTURE), ring(20), ring(21));
    let (old, new) = (release.root_key(), second.root_key(&no_passphrase).unwrap());
    let mut spec = RootSpec::of(&second, FUTURE).unwrap();
    for few in [vec![], vec![&old], vec![&new]] {
        let error = rotate_root(release.root(), &spec, &few).unwrap_err();
        assert!(matches!(error, Error::Unverified { kind: "root", .. }), "{error}");
        assert_eq!(error.class(), Class::Integrity);
    }
    let other = third.root_key(&no_passphrase).unwrap();
    let surplus = rotate_root(release.root(), &spec, &[&old, &new, &other]);
    assert!(matches!(surplus, Err(Error::NotNamed { .. })), "a key of neither root");
    spec.root.push(other.public());
    spec.threshold = 2;
    assert!(rotate_root(release.root(), &spec, &[&old, &new]).is_err());
    assert!(make_root(&spec, &[&new]).is_err());
    assert!(make_root(&spec, &[&new, &other]).is_ok());
    let bytes = rotate_root(release.root(), &spec, &[&other, &old, &new]).unwrap();
    assert_eq!(read::<Root>(&bytes).version, 2);
}

#[test]
fn the_expiry_of_a_root_is_renewed_by_its_own_key() {
    let release = Release::new(PAST);
    let spec = RootSpec::of(&release.ring, FUTURE).unwrap();
    let bytes = rotate_root(release.root(), &spec, &[&release.root_key()]).unwrap();
    assert_eq!(read::<Root>(&bytes).expires, FUTURE);
}

#[test]
fn development_and_production_do_not_mix() {
    let (release, folder) = (Release::new(FUTURE), Folder::new());
    let text = Zeroizing::new("passphrase".to_owned());
    let passphrase = Passphrase::new(&text).unwrap();
    let ring = KeyRing::init(&folder.path(), NewKeys::Production(&passphrase), stream(9)).unwrap();
    let key = ring.root_key(&|_| Passphrase::new(&text)).unwrap();
    let mut spec = RootSpec::of(&ring, FUTURE).unwrap();
    let both = [&release.root_key(), &key];
    assert!(rotate_root(release.root(), &spec, &both).is_err(), "a chain never changes its status");
    spec.status = KeyStatus::Development;
    assert!(matches!(make_root(&spec, &[&key]), Err(Error::RootStatus { .. })));
}

#[test]
fn roots_that_contradict_themselves_are_refused() {
    let release = Release::new(FUTURE);
    let good = RootSpec::of(&release.ring, FUTURE).unwrap();
    let edits: [fn(&mut RootSpec); 8] = [
        |spec| spec.threshold = 0,
        |spec| spec.threshold = 2,
        |spec| spec.gate.clear(),
        |spec| spec.release.clear(),
        |spec| spec.gate = spec.image_sign.clone(),
        |spec| spec.stamp = spec.release.clone(),
        |spec| spec.root.push(spec.root[0].clone()),
        |spec| spec.expires_unix = i64::MAX,
    ];
    for (index, edit) in edits.iter().enumerate() {
        let mut spec = good.clone();
        edit(&mut spec);
        let error = make_root(&spec, &[&release.root_key()]).unwrap_err();
        assert!(matches!(error, Error::Unfit { kind: "root", .. }), "{index}: {error}");
    }
}

#[test]
fn targets_that_no_reader_would_take_are_refused() {
    let release = Release::new(FUTURE);
    let key = release.release_key();
    let make = |name: &str, seq, edit: fn(&mut Target)| {
        let mut target = pieces(&b"{}"[..]).unwrap().target("bundle");
        edit(&mut target);
        make_targets(release.root(), seq, FUTURE, &[(name.to_owned(), target)].into(), &key)
    };
    assert!(make("bundle.json", 1, |_| ()).is_ok());
    let long = "x".repeat(101);
    for name in ["", ".x", "a/b", "..", "a b", "ä", &long] {
        assert!(matches!(make(name, 1, |_| ()), Err(Error::Unfit { .. })), "{name}");
    }
    assert!(make("bundle.json", 0, |_| ()).is_err());
    assert!(make("bundle.json", 1 << 53, |_| ()).is_err());
    assert!(make("bundle.json", 1, |target| target.length = 2 << 20).is_err(), "pieces are missing");
    assert!(make("bundle.json", 1, |target| target.custom.kind = "käse".into()).is_err());
}

#[test]
fn nothing_is_built_on_what_was_changed() {
    let release = Release::new(FUTURE);
    let (key, other) = (release.stamp_key(), Release::with(FUTURE, 7));
    let mut changed = release.targets.clone();
    let last = changed.len() - 3;
    changed[last] ^= 1;
    for targets in [&changed, &other.targets, &release.snapshot, &Vec::new()] {
        let error = make_snapshot(release.root(), targets, 0, FUTURE, &key).unwrap_err();
        assert!(matches!(error, Error::Distrusted { kind: "targets", .. }), "{error}");
        assert_eq!(error.class(), Class::Integrity);
    }
    let mut root = release.root().to_vec();
    let at = String::from_utf8_lossy(&root).find("2099").unwrap();
    root[at] = b'3';
    let error = make_timestamp(&root, &release.snapshot, FUTURE, &key).unwrap_err();
    assert!(matches!(error, Error::Distrusted { kind: "root", .. }), "{error}");
    assert_ne!(Digest::of(&root), Digest::of(release.root()));
}
