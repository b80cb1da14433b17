//! Bundles that no release would make: one is taken apart, changed, and signed as if all was well. Judges nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read as _};
use std::path::{Path, PathBuf};

use camino::Utf8Path;
use xedge_bundle::manifest::Manifest;
use xedge_bundle::pieces::pieces;
use xedge_bundle::statement::{KeyStatus, Statement};
use xedge_bundle::tuf::{Document, Root, Target, Targets};
use xedge_bundle::write::{Metadata, Writer};
use xedge_bundle::{Envelope, VerifyingKey, member};
use xedge_model::Digest;
use xedge_sign::{
    KeyName, KeyRing, NewKeys, Passphrase, ROOT_LIFETIME, Role, RootSpec, Zeroizing, make_root,
    make_snapshot, make_targets, make_timestamp,
};

/// What encrypts production keys here.
const PASSPHRASE: &str = "of a test, known to all";
/// How long signatures hold, in seconds; those that are over have its negative.
pub const WHILE: i64 = 86_400;

/// Keys, and the root that names them.
pub struct Keys {
    ring: KeyRing,
    root: Vec<u8>,
}

impl Keys {
    /// Those of a data folder.
    pub fn of(home: &Path) -> Self {
        let home = Utf8Path::from_path(home).unwrap();
        let ring = KeyRing::open(&home.join("keys"), &Role::ALL).unwrap();
        Self { ring, root: fs::read(home.join("trust/1.root.json")).unwrap() }
    }

    /// New ones, as on a machine of somebody else.
    pub fn for_development(folder: &Path) -> Self {
        Self::new(folder, NewKeys::Development)
    }

    /// New ones for production.
    pub fn for_production(folder: &Path) -> Self {
        Self::new(folder, NewKeys::Production(&passphrase()))
    }

    fn new(folder: &Path, kind: NewKeys<'_>) -> Self {
        let folder = Utf8Path::from_path(folder).unwrap();
        let ring = KeyRing::init(folder, kind, |bytes| getrandom::fill(bytes).unwrap()).unwrap();
        let spec = RootSpec::of(&ring, now() + ROOT_LIFETIME).unwrap();
        let root = make_root(&spec, &[&ring.root_key(&ask).unwrap()]).unwrap();
        Self { ring, root }
    }

    /// The root, for those who trust it.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    fn status(&self) -> KeyStatus {
        self.ring.status()
    }
}

/// A bundle in its parts.
pub struct Remade {
    /// Who signed its evidence.
    gate: Vec<VerifyingKey>,
    members: BTreeMap<String, (String, Vec<u8>)>,
    /// What it says of itself; `write` brings it up to date with evidence.
    pub manifest: Manifest,
    /// Seconds until it expires.
    pub lifetime: i64,
}

impl Remade {
    /// The parts of a bundle as they are.
    pub fn of(bundle: &Path) -> Self {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(File::open(bundle).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(name, bytes);
        }
        let targets = Document::parse::<Targets>(member::TARGETS, &files[member::TARGETS]).unwrap();
        let targets: Targets = targets.read().unwrap();
        let manifest = Manifest::parse(&files[member::BUNDLE]).unwrap();
        let root = &files[&member::root(1)];
        let root: Root = Document::parse::<Root>("root", root).unwrap().read().unwrap();
        let part = |(name, target): (&String, &Target)| {
            (name.clone(), (target.custom.kind.clone(), files[name].clone()))
        };
        let members = targets.targets.iter().map(part).collect();
        Self { gate: root.gate_keys(), members, manifest, lifetime: WHILE }
    }

    /// The same with a higher number, so that no device has had it.
    #[must_use]
    pub fn numbered(mut self, seq: u64) -> Self {
        self.manifest.seq = seq;
        self.manifest.version = format!("r{seq}");
        self
    }

    /// Every member that is signed for, with its length.
    pub fn members(&self) -> impl Iterator<Item = (&str, u64)> {
        self.members.iter().map(|(name, (_, bytes))| (name.as_str(), bytes.len() as u64))
    }

    /// Whether a member is there; those whose name is a digest then have the same bytes.
    pub fn has(&self, name: &str, bytes: &[u8]) -> bool {
        self.members.get(name).is_some_and(|(_, found)| found == bytes)
    }

    /// A member's bytes.
    pub fn bytes(&self, name: &str) -> &[u8] {
        &self.members[name].1
    }

    /// Another member in the place of one, of the same kind.
    pub fn replace(&mut self, old: &str, new: &str, bytes: Vec<u8>) {
        let (kind, _) = self.members.remove(old).unwrap();
        self.members.insert(new.to_owned(), (kind, bytes));
    }

    /// Takes a member out.
    pub fn drop_member(&mut self, name: &str) {
        self.members.remove(name).unwrap();
    }

    /// Signs evidence anew after a change, with the gate key.
    pub fn evidence(&mut self, keys: &Keys, change: &dyn Fn(&mut Statement)) {
        let gate = keys.ring.gate_key(&ask).unwrap();
        for entry in &mut self.manifest.gate.evidence {
            let name = member::evidence(&entry.scenario);
            let bytes = &mut self.members.get_mut(&name).unwrap().1;
            let signed = Envelope::parse(&name, bytes).unwrap().verify(&self.gate).unwrap();
            let mut statement = signed.statement().unwrap();
            statement.predicate.xedge.key_status = keys.status();
            change(&mut statement);
            *bytes = gate.sign_statement(&name, &statement).unwrap().to_json();
            entry.digest = Digest::of(bytes);
        }
    }

    /// Signs it as a release of these keys, and writes it.
    pub fn write(mut self, keys: &Keys, to: PathBuf) -> PathBuf {
        self.manifest.key_status = keys.status();
        self.members.get_mut(member::BUNDLE).unwrap().1 = self.manifest.to_bytes();
        let target = |(name, (kind, bytes)): (&String, &(String, Vec<u8>))| {
            (name.clone(), pieces(&bytes[..]).unwrap().target(kind))
        };
        let targets = self.members.iter().map(target).collect();
        let (root, until) = (&keys.root, now() + self.lifetime);
        let (release, stamp) = (keys.ring.release_key(&ask).unwrap(), keys.ring.stamp_key(&ask).unwrap());
        let targets = make_targets(root, self.manifest.seq, until, &targets, &release).unwrap();
        let snapshot = make_snapshot(root, &targets, 0, until, &stamp).unwrap();
        let timestamp = make_timestamp(root, &snapshot, until, &stamp).unwrap();
        let roots = [root.clone()];
        let metadata =
            Metadata { roots: &roots, timestamp: &timestamp, snapshot: &snapshot, targets: &targets };
        let mut writer = Writer::new(BufWriter::new(File::create(&to).unwrap()), &metadata).unwrap();
        for name in writer.due().map(str::to_owned).collect::<Vec<_>>() {
            let bytes = &self.members[&name].1;
            writer.member(&name, bytes.len() as u64, &bytes[..]).unwrap();
        }
        writer.finish().unwrap();
        to
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new(&Zeroizing::new(PASSPHRASE.to_owned())).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "whoever is asked may refuse")]
fn ask(_key: &KeyName) -> Result<Passphrase, xedge_sign::Error> {
    Ok(passphrase())
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}
