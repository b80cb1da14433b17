//! A whole bundle of keys, evidence and metadata of this crate, put before the verifier that a device has.

use std::collections::BTreeMap;

use xedge_bundle::manifest::{
    Compatibility, Config, Data, Emulated, EvidenceEntry, Gate, Lock, Manifest, Sbom, Service,
};
use xedge_bundle::pieces::pieces;
use xedge_bundle::statement::Subject;
use xedge_bundle::tuf::Target;
use xedge_bundle::write::{Metadata, Writer};
use xedge_bundle::{Code, ReadError, Trust, Verified, member, verify};
use xedge_model::image::Mode;
use xedge_model::stack::{ConfigFile, config_digest};
use xedge_model::{Digest, Platform};
use xedge_oci::Descriptor;
use xedge_oci::descriptor::{CONFIG, INDEX, LAYER, MANIFEST};

use super::metadata::{FUTURE, PAST};
use super::{Folder, no_passphrase, statement, stream};
use crate::{
    KeyRing, KeyStatus, RootSpec, make_root, make_snapshot, make_targets, make_timestamp, rotate_root,
};

const COMPOSE: &[u8] = b"services: {}\n";
const DOCUMENT: &[u8] = b"{}";
const NOW: i64 = 1_900_000_000;

type Members = BTreeMap<String, (String, Vec<u8>)>;

fn ring(seed: u8) -> KeyRing {
    KeyRing::open_or_make_development(&Folder::new().path(), stream(seed)).unwrap()
}

/// Blobs of an image for one platform; the digests of its index and manifest.
fn image(members: &mut Members) -> (Digest, Digest) {
    let mut blob = |kind: &str, bytes: Vec<u8>| {
        let descriptor = Descriptor::of(kind, &bytes);
        members.insert(member::blob(&descriptor.digest), (kind.to_owned(), bytes));
        descriptor
    };
    let config = blob(CONFIG, br#"{"architecture":"amd64","os":"linux"}"#.to_vec());
    let layer = blob(LAYER, vec![7; 3 << 20]);
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let mut manifest = blob(MANIFEST, manifest.to_string().into_bytes());
    let digest = manifest.digest.clone();
    manifest.platform = Some(Platform::LinuxAmd64.into());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    (blob(INDEX, index.to_string().into_bytes()).digest, digest)
}

fn evidence(ring: &KeyRing, manifest: &Digest, config: &Digest) -> Vec<u8> {
    let mut statement = statement(KeyStatus::Development);
    statement.subject = vec![
        Subject::new("xedgesim/mosquitto linux/amd64", manifest.clone()),
        Subject::new("configuration", config.clone()),
    ];
    let record = &mut statement.predicate.xedge;
    record.platforms[0].manifest = Some(manifest.clone());
    record.config_digest = Some(config.clone());
    let gate = ring.gate_key(&no_passphrase).unwrap();
    gate.sign_statement("pipeline", &statement).unwrap().to_json()
}

/// What a bundle holds besides metadata; its evidence is by the gate key of this ring.
fn members(ring: &KeyRing) -> Members {
    let mut members = Members::new();
    let (index, manifest) = image(&mut members);
    let name = "xedgesim/mosquitto".parse::<xedge_model::ImageName>().unwrap();
    let files =
        vec![ConfigFile { path: "compose.yaml".into(), mode: Mode(0o644), digest: Digest::of(COMPOSE) }];
    let digest = config_digest("edge", &files, &[], &[]);
    let evidence = evidence(ring, &manifest, &digest);
    let release = Manifest {
        format: 1,
        stack: "edge".into(),
        seq: 7,
        version: "1.0.0".into(),
        key_status: KeyStatus::Development,
        tool: "0.1.0".into(),
        revision: None,
        compatibility: Compatibility {
            platforms: vec![Platform::LinuxAmd64],
            boards: vec![],
            agent: "0.1.0".into(),
            engine_api: "1.41".into(),
        },
        data: Data::default(),
        services: vec![Service {
            name: "broker".into(),
            image: name.clone(),
            index,
            manifests: [(Platform::LinuxAmd64, manifest)].into(),
        }],
        config: Config { digest, environment: "test".into(), files, secrets: vec![], device_values: vec![] },
        gate: Gate {
            scenarios: vec!["pipeline".into()],
            emulated: Emulated::Accepted,
            evidence: vec![EvidenceEntry {
                scenario: "pipeline".into(),
                scenario_digest: Digest::of(b"scenario"),
                digest: Digest::of(&evidence),
            }],
        },
        locks: vec![Lock { image: name.clone(), digest: Digest::of(DOCUMENT) }],
        sboms: vec![Sbom {
            image: name.clone(),
            platform: Platform::LinuxAmd64,
            digest: Digest::of(DOCUMENT),
        }],
        probes: vec![],
        settle_s: 0,
        start_s: 1,
    };
    let mut add = |name: String, kind: &str, bytes: Vec<u8>| members.insert(name, (kind.to_owned(), bytes));
    add(member::BUNDLE.to_owned(), "bundle", release.to_bytes());
    add(member::evidence("pipeline"), "evidence", evidence);
    add(member::lock(&name), "lock", DOCUMENT.to_vec());
    add(member::sbom(&name, Platform::LinuxAmd64), "sbom", DOCUMENT.to_vec());
    add(member::config(&Digest::of(COMPOSE)), "config", COMPOSE.to_vec());
    members
}

/// A bundle of these members, signed by this ring's keys.
fn write(ring: &KeyRing, roots: &[Vec<u8>], members: &Members, expires: i64) -> Vec<u8> {
    let root = roots.last().unwrap();
    let targets: BTreeMap<String, Target> = members
        .iter()
        .map(|(name, (kind, bytes))| (name.clone(), pieces(&bytes[..]).unwrap().target(kind)))
        .collect();
    let (release, stamp) =
        (ring.release_key(&no_passphrase).unwrap(), ring.stamp_key(&no_passphrase).unwrap());
    let targets = make_targets(root, 7, expires, &targets, &release).unwrap();
    let snapshot = make_snapshot(root, &targets, 0, expires, &stamp).unwrap();
    let timestamp = make_timestamp(root, &snapshot, expires, &stamp).unwrap();
    let metadata = Metadata { roots, timestamp: &timestamp, snapshot: &snapshot, targets: &targets };
    let mut writer = Writer::new(Vec::new(), &metadata).unwrap();
    let due: Vec<String> = writer.due().map(str::to_owned).collect();
    for name in due {
        let bytes = &members[&name].1;
        writer.member(&name, bytes.len() as u64, &bytes[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bundle: &[u8], root: &[u8]) -> Result<Verified, Code> {
    verify(bundle, &Trust { root, floor: None }, NOW, &mut ()).map_err(|error| match error {
        ReadError::Refused(refusal) => refusal.code,
        other @ ReadError::Io { .. } => panic!("{other}"),
    })
}

fn first_root(ring: &KeyRing) -> Vec<u8> {
    let spec = RootSpec::of(ring, FUTURE).unwrap();
    make_root(&spec, &[&ring.root_key(&no_passphrase).unwrap()]).unwrap()
}

#[test]
fn a_device_accepts_what_is_signed_here() {
    let ring = ring(1);
    let roots = [first_root(&ring)];
    let bundle = write(&ring, &roots, &members(&ring), FUTURE);
    let verified = read(&bundle, &roots[0]).unwrap();
    assert_eq!((verified.manifest().seq, verified.timestamp_version()), (7, 7000));
    assert_eq!(verified.root().gate_keys(), [ring.gate_key(&no_passphrase).unwrap().verifying_key()]);
    assert_eq!(bundle, write(&ring, &roots, &members(&ring), FUTURE), "the same bytes each time");
}

#[test]
fn a_device_follows_a_rotation() {
    let (old, new) = (ring(1), ring(2));
    let first = first_root(&old);
    let signers = [old.root_key(&no_passphrase).unwrap(), new.root_key(&no_passphrase).unwrap()];
    let spec = RootSpec::of(&new, FUTURE).unwrap();
    let second = rotate_root(&first, &spec, &[&signers[0], &signers[1]]).unwrap();
    let roots = [first, second];
    let bundle = write(&new, &roots, &members(&new), FUTURE);
    assert!(read(&bundle, &roots[0]).is_ok() && read(&bundle, &roots[1]).is_ok());
    let short = write(&new, &roots[1..], &members(&new), FUTURE);
    assert!(read(&short, &roots[0]).is_ok(), "the chain may start at the next version");
}

#[test]
fn a_device_refuses_other_keys_and_old_metadata() {
    let (ours, other) = (ring(1), ring(2));
    let (root, foreign) = ([first_root(&ours)], first_root(&other));
    let bundle = write(&ours, &root, &members(&ours), FUTURE);
    assert_eq!(read(&bundle, &foreign).unwrap_err(), Code::RootUnknown);
    let expired = write(&ours, &root, &members(&ours), PAST);
    assert_eq!(read(&expired, &root[0]).unwrap_err(), Code::Expired);
    let wrong_gate = write(&ours, &root, &members(&other), FUTURE);
    assert!(read(&wrong_gate, &root[0]).is_err(), "evidence by a gate key that the root does not name");
}
