//! Tests of keys, their files and what they sign.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::dsse::{Envelope, Signature};
use xedge_bundle::statement::{
    Engine, EngineKind, FORMAT, Honesty, KeyStatus, PlatformRun, RunRecord, Simulated, Statement, Subject,
    TestResult, Verdict,
};
use xedge_model::{Class, Digest, Failure as _};

use crate::{Error, GateKey, KeyName, Passphrase, SigningKey};

mod bundle;
mod image;
mod metadata;
mod oracle;
mod ring;

/// Random bytes that differ from key to key and are the same in each run.
fn bytes(start: u8) -> impl FnMut(&mut [u8]) {
    move |buffer| buffer.iter_mut().zip(start..).for_each(|(byte, n)| *byte = n)
}

/// Random bytes that differ from call to call, and are the same in each run.
fn stream(seed: u8) -> impl FnMut(&mut [u8]) {
    let mut count = 0_u32;
    move |buffer| {
        for chunk in buffer.chunks_mut(32) {
            count += 1;
            let digest = Digest::of(format!("{seed} {count}").as_bytes());
            for (byte, hex) in chunk.iter_mut().zip(digest.hex().as_bytes().chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
            }
        }
    }
}

/// Development keys ask for none.
fn no_passphrase(name: &KeyName) -> Result<Passphrase, Error> {
    panic!("asked for the passphrase of {name:?}")
}

fn gate_key(start: u8) -> GateKey {
    GateKey::generate(KeyStatus::Development, bytes(start)).unwrap()
}

fn statement(key_status: KeyStatus) -> Statement {
    let xedge = RunRecord {
        format: FORMAT,
        tool_version: "0.1.0".into(),
        scenario: "pipeline".into(),
        scenario_digest: Digest::of(b"scenario"),
        level: xedge_model::scenario::Level::default(),
        seed: 42,
        duration_ms: 10_000,
        engine: Engine { kind: EngineKind::Docker, version: "20.10.24".into() },
        honesty: [Honesty::L1].into(),
        platforms: vec![PlatformRun {
            image: "xedgesim/mosquitto".parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            manifest: Some(Digest::of(b"manifest")),
            simulated: Simulated::Native,
            reason: None,
        }],
        config_digest: None,
        trace: None,
        runs: None,
        key_status,
    };
    let predicate = TestResult {
        result: Verdict::Passed,
        configuration: vec![],
        url: None,
        passed_tests: vec!["delivery".into()],
        warned_tests: vec![],
        failed_tests: vec![],
        xedge,
    };
    Statement { subject: vec![Subject::new("xedgesim/mosquitto", Digest::of(b"manifest"))], predicate }
}

fn signed(key: &GateKey) -> Envelope {
    key.sign_statement("gate.json", &statement(key.status())).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.0.path()).unwrap().join("keys")
    }

    fn key_file(&self) -> Utf8PathBuf {
        GateKey::path_in(&self.path())
    }

    /// Makes the key that `gate_key(1)` is, in its file.
    fn gate_key(&self) -> GateKey {
        GateKey::open_or_make_development(&self.path(), bytes(1)).unwrap()
    }
}

#[test]
fn what_is_signed_is_verified() {
    let key = gate_key(1);
    let json = signed(&key).to_json();
    let verified = Envelope::parse("gate.json", &json).unwrap().verify(&[key.verifying_key()]).unwrap();
    assert_eq!(verified.statement().unwrap(), statement(KeyStatus::Development));
    assert_eq!(signed(&key).to_json(), json, "RFC 6979: the same bytes each time");
}

#[test]
fn rfc_6979_test_vector() {
    // RFC 6979 §A.2.5, P-256, SHA-256, message "sample".
    let scalar = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721";
    let key = SigningKey::generate(|buffer| {
        for (byte, hex) in buffer.iter_mut().zip(scalar.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
        }
    })
    .unwrap();
    let hex = key.sign(b"sample").iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02X}"));
    assert!(hex.contains("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"), "{hex}");
    assert!(hex.contains("F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"), "{hex}");
}

#[test]
fn another_key_is_an_integrity_error() {
    let error = signed(&gate_key(1)).verify(&[gate_key(2).verifying_key()]).unwrap_err();
    assert_eq!(error.class(), Class::Integrity);
    let both = [gate_key(2).verifying_key(), gate_key(1).verifying_key()];
    let verified = signed(&gate_key(1)).verify(&both).unwrap();
    assert_eq!(verified.signers(), [gate_key(1).verifying_key()], "only who signed is a signer");
}

#[test]
fn every_flipped_byte_is_an_integrity_error() {
    let key = gate_key(1);
    let json = signed(&key).to_json();
    for index in 0..json.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut bad = json.clone();
            bad[index] ^= mask;
            let result = Envelope::parse("gate.json", &bad).and_then(|e| e.verify(&[key.verifying_key()]));
            assert_eq!(result.expect_err(&String::from_utf8_lossy(&bad)).class(), Class::Integrity);
        }
    }
}

#[test]
fn a_signature_of_another_statement_does_not_fit() {
    let key = gate_key(1);
    let mut other = statement(KeyStatus::Development);
    other.subject[0] = Subject::new("xedgesim/mosquitto", Digest::of(b"another manifest"));
    other.predicate.xedge.platforms[0].manifest = Some(Digest::of(b"another manifest"));
    let payload = other.to_bytes("gate.json").unwrap();
    let swapped = Envelope::new("gate.json", payload, signed(&key).signatures().to_vec());
    assert!(swapped.verify(&[key.verifying_key()]).is_err());
}

#[test]
fn of_two_signatures_one_may_be_bad() {
    let key = gate_key(1);
    let good = signed(&key);
    let mut signatures = vec![Signature { key_id: String::new(), der: b"rubbish".to_vec() }];
    signatures.extend_from_slice(good.signatures());
    let payload = statement(KeyStatus::Development).to_bytes("gate.json").unwrap();
    assert!(Envelope::new("gate.json", payload, signatures).verify(&[key.verifying_key()]).is_ok());
}

#[test]
fn a_key_signs_only_its_own_status() {
    let error = gate_key(1).sign_statement("gate.json", &statement(KeyStatus::Production)).unwrap_err();
    assert!(matches!(error, Error::Status { .. }));
    let production = GateKey::generate(KeyStatus::Production, bytes(1)).unwrap();
    assert!(production.sign_statement("gate.json", &statement(KeyStatus::Production)).is_ok());
}

#[test]
fn a_broken_random_source_makes_no_key() {
    for fill in [0x00, 0xff] {
        let result = SigningKey::generate(|buffer| buffer.fill(fill));
        assert_eq!(result.unwrap_err().class(), Class::Environment);
    }
}

#[test]
fn one_development_key_is_made_and_kept() {
    let folder = Folder::new();
    let first = GateKey::open_or_make_development(&folder.path(), bytes(1)).unwrap();
    let second = GateKey::open_or_make_development(&folder.path(), bytes(2)).unwrap();
    assert_eq!(first.verifying_key(), second.verifying_key());
    assert_eq!(second.status(), KeyStatus::Development);
    let mode = |path: &Utf8Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.key_file()), mode(&folder.path())), (0o600, 0o700));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn many_at_once_get_one_key() {
    let folder = Folder::new();
    let ids: Vec<Digest> = std::thread::scope(|scope| {
        let open = |n| GateKey::open_or_make_development(&folder.path(), bytes(n)).unwrap().verifying_key();
        let threads: Vec<_> = (1..9).map(|n| scope.spawn(move || open(n).key_id().clone())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = Folder::new();
    folder.gate_key();
    for mode in [0o640, 0o604, 0o660, 0o610] {
        fs::set_permissions(folder.key_file(), Permissions::from_mode(mode)).unwrap();
        let error = GateKey::load(&folder.key_file()).unwrap_err();
        assert_eq!(error.class(), Class::Integrity);
        assert!(error.hint().unwrap().contains(&format!("chmod 600 {}", folder.key_file())));
        assert!(GateKey::open_or_make_development(&folder.path(), bytes(2)).is_err(), "nor is it replaced");
    }
}

#[test]
fn an_edited_key_file_is_refused() {
    let folder = Folder::new();
    folder.gate_key();
    let text = fs::read_to_string(folder.key_file()).unwrap();
    let other = gate_key(2).verifying_key().key_id().hex().to_owned();
    let own = gate_key(1).verifying_key().key_id().hex().to_owned();
    for (from, to) in [
        ("\"development\"", "\"production\""),
        ("\"gate\"", "\"release\""),
        ("\"format\": 2", "\"format\": 1"),
        ("\"format\": 2", "\"format\": 3"),
        (own.as_str(), other.as_str()),
        ("\"status\"", "\"x\": 1, \"status\""),
        ("\"status\"", "\"status\": \"development\", \"status\""),
        ("\"seal\": \"sha256:", "\"seal\": \"sha256:0"),
        (
            "\"seal\": \"",
            "\"seal\": \"sha256:0000000000000000000000000000000000000000000000000000000000000000\", \"x\": \"",
        ),
        ("BEGIN PRIVATE", "BEGIN PUBLIC"),
    ] {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from}");
        fs::write(folder.key_file(), edited).unwrap();
        assert_eq!(GateKey::load(&folder.key_file()).unwrap_err().class(), Class::Integrity, "{to}");
    }
    for end in 0..text.trim_end().len() {
        fs::write(folder.key_file(), &text[..end]).unwrap();
        assert!(GateKey::load(&folder.key_file()).is_err(), "{end}");
    }
    fs::write(folder.key_file(), &text).unwrap();
    assert!(GateKey::load(&folder.key_file()).is_ok());
}

#[test]
fn no_secret_is_shown() {
    let folder = Folder::new();
    let key = gate_key(1);
    folder.gate_key();
    let text = fs::read_to_string(folder.key_file()).unwrap();
    let pem = text.split("PRIVATE KEY-----").nth(1).unwrap().replace("\\n", "");
    let secret = &pem[..20];
    let mut shown = format!("{key:?}");
    for damage in [text.replace("PRIVATE KEY-----\\n", ""), text.replace("\"pem\": \"", "\"pem\": \"x")] {
        fs::write(folder.key_file(), damage).unwrap();
        let error = GateKey::load(&folder.key_file()).unwrap_err();
        shown = format!("{shown} {error} {error:?} {:?}", error.hint());
    }
    assert!(!shown.contains(secret), "{shown}");
}

#[test]
fn openssl_verifies_what_is_signed_and_reads_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let key = SigningKey::generate(bytes(9)).unwrap();
    fs::write(at("key.pem"), key.to_pem().as_bytes()).unwrap();
    fs::write(at("pub.pem"), key.verifying_key().to_pem()).unwrap();
    fs::write(at("message"), b"message").unwrap();
    fs::write(at("signature"), key.sign(b"message")).unwrap();
    let openssl = |args: &[&str]| {
        let output = std::process::Command::new("openssl").args(args).current_dir(folder.path()).output();
        output.expect("these tests need openssl: `apt-get install openssl`")
    };
    let verified = openssl(&["dgst", "-sha256", "-verify", "pub.pem", "-signature", "signature", "message"]);
    assert!(verified.status.success(), "{verified:?}");
    let public = openssl(&["pkey", "-in", "key.pem", "-pubout"]);
    assert_eq!(String::from_utf8(public.stdout).unwrap(), key.verifying_key().to_pem());
}
