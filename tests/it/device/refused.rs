//! What a device does not take: each with its code, and with nothing changed on it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xedge_bundle::statement::{Simulated, Statement, Verdict};
use xedge_bundle::{Manifest, member};
use xedge_model::stack::config_digest;
use xedge_model::{Digest, Platform};

use super::Device;
use super::pair::Shelf;
use super::remade::{Keys, Remade, WHILE};
use super::stand::Board;
use crate::support::Ran;

/// A number that no release of the pair has.
const NEW: u64 = 20;
/// What only the device can tell, also to a host that brings nothing then; the host finds everything else by itself.
const ASKED: [&str; 4] = ["board", "platform", "engine-old", "agent-old"];

#[test]
fn bad_bundles_are_refused_by_code_and_change_nothing() {
    let shelf = Shelf::get();
    let device = Device::with_first(&Board::default());
    let second = device.bring(&shelf.second);
    device.run(&format!("xedge-agent apply {second}"));
    let folder = tempfile::tempdir().unwrap();
    let before = device.picture();

    for (name, code, bytes) in damaged(&shelf.last) {
        let file = folder.path().join(format!("{name}.xedge"));
        fs::write(&file, bytes).unwrap();
        refuses(&device, &file, code);
        assert_eq!(device.picture(), before, "{name} changed something");
    }
    let ours = Keys::of(&shelf.home);
    for (name, code, remade) in unfit(&shelf.last, &ours) {
        let file = remade.write(&ours, folder.path().join(format!("{name}.xedge")));
        refuses(&device, &file, code);
        if ASKED.contains(&code) {
            assert_eq!(self::code(&device.deploy(&file, &[]).expect(6)), code, "{name}");
        }
        assert_eq!(device.picture(), before, "{name} changed something");
    }
    refuses(&device, &shelf.first, "rollback");
    assert_eq!(code(&device.deploy(&shelf.first, &[]).expect(6)), "rollback");
    let strangers = Keys::for_production(&folder.path().join("keys"));
    let production = of_others(&shelf.last, &strangers, folder.path());
    refuses(&device, &production, "development-keys");
    assert_eq!(device.picture(), before, "a refusal changed something");

    // It was only ever the bundle.
    device.deploy(&shelf.last, &[]).expect(0);
    assert_eq!(device.runs_wholly(), 6);
    is_enrolled_for_production(&device, &strangers, &production);
}

/// What was changed after it was signed, and the code for it.
fn damaged(bundle: &Path) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let good = fs::read(bundle).unwrap();
    let at = |text: &str| good.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let (config, layer) = (at("max_connections 60"), good.len() - (1 << 20));
    vec![
        ("config", "digest", changed(&|bytes| bytes[config + 17] = b'1')),
        ("layer", "digest", changed(&|bytes| bytes[layer] ^= 1)),
        ("cut", "truncated", changed(&|bytes| bytes.truncate(layer))),
        ("longer", "trailing-bytes", changed(&|bytes| bytes.extend([0; 512]))),
    ]
}

/// What is signed by the right keys and still not to be installed, and the code for it.
fn unfit(bundle: &Path, keys: &Keys) -> Vec<(&'static str, &'static str, Remade)> {
    let with = |change: &dyn Fn(&mut Remade)| {
        let mut remade = Remade::of(bundle).numbered(NEW);
        change(&mut remade);
        remade
    };
    let says = |change: &dyn Fn(&mut Statement)| with(&|remade| remade.evidence(keys, change));
    let native = Platform::of_machine(std::env::consts::ARCH).unwrap();
    vec![
        ("old", "expired", with(&|remade| remade.lifetime = -WHILE)),
        ("board", "board", with(&|remade| remade.manifest.compatibility.boards = vec!["other-board".into()])),
        ("architecture", "platform", with(&|remade| for_others_than(remade, native))),
        ("engine", "engine-old", with(&|remade| remade.manifest.compatibility.engine_api = "9.99".into())),
        ("agent", "agent-old", with(&|remade| remade.manifest.compatibility.agent = "9.9.9".into())),
        ("stranger", "evidence-signature", with(&signed_by_a_stranger)),
        ("failed", "evidence-failed", says(&failed)),
        ("untried", "evidence-missing", says(&|statement| untried(statement, native))),
        ("without", "contradiction", with(&without_evidence)),
        ("byte", "config-digest", with(&|remade| config_byte(remade, false))),
        ("other-config", "evidence-not-about-this", with(&|remade| config_byte(remade, true))),
    ]
}

fn for_others_than(remade: &mut Remade, native: Platform) {
    let manifest = &mut remade.manifest;
    manifest.compatibility.platforms.retain(|platform| *platform != native);
    for service in &mut manifest.services {
        service.manifests.remove(&native);
    }
}

fn failed(statement: &mut Statement) {
    let result = &mut statement.predicate;
    result.failed_tests = vec![result.passed_tests.remove(0)];
    result.result = Verdict::Failed;
}

fn untried(statement: &mut Statement, native: Platform) {
    let runs = statement.predicate.xedge.platforms.iter_mut();
    for run in runs.filter(|run| run.platform == native) {
        (run.simulated, run.reason) = (Simulated::NotSimulated, Some("nobody had the time".into()));
        statement.subject.retain(|subject| Some(subject.digest.sha256()) != run.manifest.as_ref());
    }
}

fn signed_by_a_stranger(remade: &mut Remade) {
    let folder = tempfile::tempdir().unwrap();
    remade.evidence(&Keys::for_development(folder.path()), &|_| {});
}

fn without_evidence(remade: &mut Remade) {
    let entry = remade.manifest.gate.evidence.remove(0);
    remade.drop_member(&member::evidence(&entry.scenario));
}

/// Changes a byte of a file; `honest` says so in the digest of the configuration too.
fn config_byte(remade: &mut Remade, honest: bool) {
    let mut files = remade.manifest.config.files.iter();
    let at = files.position(|file| file.path.as_str().starts_with("side/")).unwrap();
    let old = member::config(&remade.manifest.config.files[at].digest);
    let mut bytes = remade.bytes(&old).to_vec();
    *bytes.last_mut().unwrap() = b' ';
    let digest = Digest::of(&bytes);
    remade.replace(&old, &member::config(&digest), bytes);
    let Manifest { stack, config, .. } = &mut remade.manifest;
    config.files[at].digest = digest;
    if honest {
        config.digest = config_digest(stack, &config.files, &config.secrets, &config.device_values);
    }
}

/// The same release, gated and signed by these.
fn of_others(bundle: &Path, keys: &Keys, folder: &Path) -> PathBuf {
    let mut remade = Remade::of(bundle).numbered(NEW);
    remade.evidence(keys, &|_| {});
    remade.write(keys, folder.join("others.xedge"))
}

/// `deploy --reenroll` brings a device from development to production keys, and nothing brings it back.
fn is_enrolled_for_production(device: &Device, keys: &Keys, production: &Path) {
    let shelf = Shelf::get();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.json");
    fs::write(&root, keys.root()).unwrap();
    let theirs = |bundle: &Path, more: &[&str]| device.deploy_trusting(&root, bundle, more);
    let before = device.picture();
    assert_eq!(code(&theirs(production, &[]).expect(6)), "development-keys");
    assert_eq!(device.picture(), before);

    let ran = theirs(production, &["--reenroll"]).expect(0).says("was enrolled for development");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["enrolled"], &report["seq"]), (&true.into(), &NEW.into()), "{report}");
    assert_eq!(report["root"], Digest::of(keys.root()).to_string());
    assert_eq!(device.runs_wholly(), NEW);
    // Once is enough, and asked for again it changes nothing.
    let ran = theirs(production, &["--reenroll"]).expect(0);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["enrolled"], &report["unchanged"]), (&false.into(), &true.into()), "{report}");

    let before = device.picture();
    let development = Remade::of(&shelf.last).numbered(NEW + 1);
    let development = development.write(&Keys::of(&shelf.home), folder.path().join("development.xedge"));
    refuses(device, &development, "development-keys");
    for more in [&[][..], &["--reenroll"]] {
        assert_eq!(code(&device.deploy(&development, more).expect(6)), "development-keys");
    }
    assert_eq!(device.picture(), before, "a refusal changed something");
}

/// The device itself refuses the bundle for this.
#[track_caller]
fn refuses(device: &Device, bundle: &Path, expected: &str) {
    let file = device.bring(bundle);
    let error = device.agent_fails(&format!("apply {file}"), 6);
    assert_eq!(error["code"], expected, "{error}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains('`')), "no way out: {error}");
    assert!(device.run(&format!("xedge-agent why {expected}")).len() > 100);
    device.run(&format!("rm {file}"));
}

/// The code that `--format json` gives.
#[track_caller]
fn code(ran: &Ran) -> String {
    let last = ran.stderr.lines().rev().find(|line| line.contains("\"error\""));
    let error: Value = serde_json::from_str(last.unwrap_or_else(|| panic!("{}", ran.stderr))).unwrap();
    error["error"]["refusal"].as_str().unwrap_or_else(|| panic!("{error}")).to_owned()
}
