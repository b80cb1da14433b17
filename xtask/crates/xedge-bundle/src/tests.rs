//! Tests of what is refused and what is read. Signed envelopes here were made with openssl, not with this workspace.

mod canonical;
mod contents;
mod flips;
mod forge;
mod metadata;
mod thin;
mod write;

use xedge_model::{Class, Digest, Failure as _};

use crate::dsse::{self, Envelope, Signature};
use crate::statement::{
    Engine, EngineKind, FORMAT, Honesty, KeyStatus, PlatformRun, ResourceDescriptor, RunRecord, Simulated,
    Statement, Subject, TestResult, Verdict,
};
use crate::{Error, VerifyingKey};

const PEM: &str = include_str!("tests/key.pub.pem");
/// `openssl pkey -pubin -in key.pub.pem -outform DER | sha256sum`
const KEY_ID: &str = include_str!("tests/key.id");
/// `{}` in an envelope, signed by `openssl dgst -sha256 -sign` over its PAE.
const ENVELOPE: &str = include_str!("tests/envelope.json");

fn key() -> VerifyingKey {
    VerifyingKey::from_pem("key.pub.pem", PEM).unwrap()
}

fn verify(json: &str) -> Result<dsse::VerifiedPayload, Error> {
    Envelope::parse("gate.json", json.as_bytes())?.verify(&[key()])
}

fn manifest() -> Digest {
    Digest::of(b"manifest")
}

fn statement() -> Statement {
    let record = RunRecord {
        format: FORMAT,
        tool_version: "0.1.0".into(),
        scenario: "pipeline".into(),
        scenario_digest: Digest::of(b"scenario"),
        level: xedge_model::scenario::Level::default(),
        seed: u64::MAX,
        duration_ms: 10_000,
        engine: Engine { kind: EngineKind::Docker, version: "20.10.24".into() },
        honesty: [Honesty::L2, Honesty::L1].into(),
        platforms: vec![PlatformRun {
            image: "xedgesim/mosquitto".parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            manifest: Some(manifest()),
            simulated: Simulated::Native,
            reason: None,
        }],
        config_digest: None,
        trace: None,
        runs: None,
        key_status: KeyStatus::Development,
    };
    let predicate = TestResult {
        result: Verdict::Passed,
        configuration: vec![ResourceDescriptor {
            name: "scenarios/pipeline.yaml".into(),
            uri: None,
            digest: Digest::of(b"scenario").into(),
            annotations: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
        }],
        url: None,
        passed_tests: vec!["delivery".into()],
        warned_tests: vec![],
        failed_tests: vec![],
        xedge: record,
    };
    Statement { subject: vec![Subject::new("xedgesim/mosquitto linux/amd64", manifest())], predicate }
}

#[test]
fn pae_is_the_specifications() {
    // protocol.md, §test vectors.
    let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    assert_eq!(dsse::pae("http://example.com/HelloWorld", b"hello world"), expected);
    assert_eq!(dsse::pae("é", b""), "DSSEv1 2 é 0 ".as_bytes(), "lengths are bytes");
}

#[test]
fn an_openssl_signature_is_verified() {
    let payload = verify(ENVELOPE).unwrap();
    assert_eq!(payload.bytes(), b"{}");
    assert_eq!(payload.signers(), [key()]);
    assert_eq!(
        Envelope::parse("gate.json", ENVELOPE.as_bytes()).unwrap().to_json(),
        ENVELOPE.trim_end().as_bytes()
    );
}

#[test]
fn key_ids_are_openssls() {
    assert_eq!(key().key_id().hex(), KEY_ID.trim());
    assert_eq!(key().to_pem(), PEM);
    for pem in ["", "rubbish", &PEM[..PEM.len() / 2], &PEM.replace("PUBLIC KEY", "PRIVATE KEY")] {
        assert_eq!(VerifyingKey::from_pem("k", pem).unwrap_err().class(), Class::Input);
    }
}

#[test]
fn every_flipped_bit_is_an_integrity_error() {
    let bytes = ENVELOPE.trim_end().as_bytes();
    for (index, bit) in (0..bytes.len()).flat_map(|i| (0..8).map(move |b| (i, b))) {
        let mut bad = bytes.to_vec();
        bad[index] ^= 1 << bit;
        let result = Envelope::parse("gate.json", &bad).and_then(|e| e.verify(&[key()]));
        let error = result.expect_err(&String::from_utf8_lossy(&bad));
        assert_eq!(error.class(), Class::Integrity);
    }
}

#[test]
fn every_truncation_is_an_integrity_error() {
    let json = ENVELOPE.trim_end();
    for end in 0..json.len() {
        assert_eq!(verify(&json[..end]).unwrap_err().class(), Class::Integrity, "{end}");
    }
}

#[test]
fn a_signature_may_lack_its_key_id_but_not_name_another() {
    let without = ENVELOPE.replace(&format!(r#""keyid":"{}","#, KEY_ID.trim()), "");
    assert!(!without.contains("keyid"));
    assert!(verify(&without).is_ok());
    let other = ENVELOPE.replace(KEY_ID.trim(), &"0".repeat(64));
    let error = verify(&other).unwrap_err();
    assert!(matches!(error, Error::NoValidSignature { count: 1, .. }), "{error}");
}

#[test]
fn one_good_signature_beside_a_bad_one_is_enough() {
    let good = Envelope::parse("gate.json", ENVELOPE.as_bytes()).unwrap();
    let bad = |id: &str| Signature { key_id: id.to_owned(), der: vec![0x30, 0] };
    let mut signatures = vec![bad(KEY_ID.trim()), bad("unknown")];
    let with = |signatures: &[Signature]| Envelope::new("gate.json", b"{}".to_vec(), signatures.to_vec());
    assert!(with(&signatures).verify(&[key()]).is_err());
    signatures.extend_from_slice(good.signatures());
    assert!(with(&signatures).verify(&[key()]).is_ok());
    assert!(with(&signatures).verify(&[]).is_err(), "without a trusted key nothing is valid");
    assert!(with(&[]).verify(&[key()]).is_err());
}

#[test]
fn another_payload_type_is_refused_by_name() {
    let json = ENVELOPE.replace("application/vnd.in-toto+json", "text/plain");
    assert!(matches!(verify(&json).unwrap_err(), Error::PayloadType { found, .. } if found == "text/plain"));
}

#[test]
fn ambiguous_json_is_refused() {
    for (from, to) in [
        (r#""payload":"#, r#""payload":"e30=","payload":"#),
        (r#""signatures":"#, r#""x":1,"signatures":"#),
        (r#""sig":"#, r#""sig":"","sig":"#),
        (r#""sig":"#, r#""cert":null,"sig":"#),
        ("e30=", "e30"),
        ("e30=", "e31="),
        ("e30=", "e30=\\n"),
    ] {
        let json = ENVELOPE.replace(from, to);
        assert_ne!(json, ENVELOPE, "{from}");
        assert!(Envelope::parse("gate.json", json.as_bytes()).is_err(), "{to}");
    }
    assert!(Envelope::parse("gate.json", format!("{ENVELOPE} x").as_bytes()).is_err());
    let huge = vec![b' '; dsse::MAX_BYTES + 1];
    assert!(matches!(Envelope::parse("gate.json", &huge), Err(Error::TooLarge { .. })));
}

#[test]
fn a_statement_has_one_form() {
    let bytes = statement().to_bytes("s").unwrap();
    assert_eq!(Statement::parse("s", &bytes).unwrap(), statement());
    let text = String::from_utf8(bytes).unwrap();
    let start = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"xedgesim/mosquitto linux/amd64","digest":{"sha256":""#;
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains(r#""annotations":{"a":"1","b":"2"}"#));
    assert!(text.contains(r#""honesty":["L1","L2"]"#));
    for (from, to) in [
        (r#""_type""#, r#" "_type""#),
        (r#"{"a":"1","b":"2"}"#, r#"{"b":"2","a":"1"}"#),
        (r#"{"a":"1","b":"2"}"#, r#"{"a":"0","a":"1","b":"2"}"#),
        (r#"["L1","L2"]"#, r#"["L1","L2","L2"]"#),
        ("10000", "1e4"),
        ("10000", "10000.0"),
        (r#""delivery""#, r#""\u0064elivery""#),
        (r#""warnedTests":[],"#, ""),
        (r#""seed""#, r#""url":null,"seed""#),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        assert_eq!(Statement::parse("s", other.as_bytes()).unwrap_err().class(), Class::Integrity, "{to}");
    }
}

#[test]
fn foreign_statements_are_refused() {
    let text = String::from_utf8(statement().to_bytes("s").unwrap()).unwrap();
    for (from, to) in [
        ("Statement/v1", "Statement/v0.1"),
        ("test-result/v0.1", "test-result/v0.2"),
        (r#""format":1"#, r#""format":2"#),
        (r#""kind":"docker""#, r#""kind":"fake""#),
        (r#""result":"PASSED""#, r#""result":"passed""#),
        (r#"{"sha256":""#, r#"{"sha1":"0","sha256":""#),
        (r#"{"sha256":""#, r#"{"sha256":"sha256:"#),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        assert_eq!(Statement::parse("s", other.as_bytes()).unwrap_err().class(), Class::Integrity, "{to}");
    }
}

#[test]
fn contradictions_are_neither_written_nor_read() {
    let check = |change: &dyn Fn(&mut Statement), part: &str| {
        let mut s = statement();
        change(&mut s);
        let error = s.to_bytes("s").expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    check(&|s| s.subject.clear(), "no subject");
    check(&|s| s.subject.push(s.subject[0].clone()), "named twice");
    check(&|s| s.subject.push(Subject::new("stowaway", Digest::of(b"stowaway"))), "no part of the run");
    check(&|s| s.predicate.xedge.platforms[0].manifest = None, "manifest is not named");
    check(&|s| s.subject[0].digest = Digest::of(b"other").into(), "not a subject");
    check(&|s| s.predicate.xedge.config_digest = Some(Digest::of(b"config")), "not a subject");
    check(&|s| s.predicate.failed_tests.push("order".into()), "its tests say");
    check(&|s| s.predicate.warned_tests.push("order".into()), "its tests say");
    check(&|s| s.predicate.result = Verdict::Failed, "its tests say");
    check(&|s| s.predicate.passed_tests.push("delivery".into()), "listed twice");
    check(&|s| s.predicate.passed_tests.clear(), "without a single test");
    check(&|s| s.predicate.xedge.platforms[0].simulated = Simulated::NotSimulated, "no reason");
    check(&|s| s.predicate.xedge.platforms.push(s.predicate.xedge.platforms[0].clone()), "recorded twice");
    check(&|s| s.predicate.xedge.format = 2, "format 2");
}

#[test]
fn what_was_not_simulated_need_not_be_a_subject() {
    let mut s = statement();
    let mut arm = s.predicate.xedge.platforms[0].clone();
    arm.platform = "linux/arm64".parse().unwrap();
    arm.manifest = Some(Digest::of(b"arm"));
    arm.simulated = Simulated::NotSimulated;
    arm.reason = Some("no emulator".into());
    s.predicate.xedge.platforms.push(arm);
    assert!(s.to_bytes("s").is_ok());
    assert!(s.covers(&manifest()) && !s.covers(&Digest::of(b"arm")));
}

#[test]
fn a_signed_payload_that_is_no_statement_is_refused() {
    let error = verify(ENVELOPE).unwrap().statement().unwrap_err();
    assert!(matches!(error, Error::NotAStatement { .. }));
    assert_eq!(error.class(), Class::Integrity);
}

/// A run in virtual time: no image, its scenario as the subject, its trace named.
fn in_virtual_time() -> Statement {
    let mut statement = statement();
    let record = &mut statement.predicate.xedge;
    record.engine = Engine { kind: EngineKind::Virtual, version: "0.1.0".into() };
    record.honesty = [Honesty::L3].into();
    record.platforms.clear();
    record.trace = Some(Digest::of(b"trace"));
    statement.subject = vec![Subject::new("pipeline", record.scenario_digest.clone())];
    statement
}

#[test]
fn a_run_in_virtual_time_names_its_trace_and_proves_no_image() {
    let bytes = in_virtual_time().to_bytes("x").unwrap();
    assert_eq!(Statement::parse("x", &bytes).unwrap(), in_virtual_time());
    let refused = |change: fn(&mut Statement), part: &str| {
        let mut bad = in_virtual_time();
        change(&mut bad);
        let error = bad.to_bytes("x").unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(|s| s.predicate.xedge.trace = None, "L3 and the digest of a trace go together");
    refused(|s| s.predicate.xedge.honesty = [Honesty::L1].into(), "L3 and the digest of a trace go together");
    refused(
        |s| {
            s.predicate.xedge.trace = None;
            s.predicate.xedge.honesty = [Honesty::L1].into();
        },
        "and no trace is named",
    );
    refused(|s| s.predicate.xedge.config_digest = Some(manifest()), "names what only an engine can run");
    refused(
        |s| s.predicate.xedge.platforms = statement().predicate.xedge.platforms,
        "only an engine can run",
    );
    refused(|s| s.subject = vec![Subject::new("x", manifest())], "was part of the run but is not a subject");
    // And a run on an engine is not about its scenario alone.
    let mut bare = in_virtual_time();
    bare.predicate.xedge.engine.kind = EngineKind::Docker;
    let error = bare.to_bytes("x").unwrap_err().to_string();
    assert!(error.contains("is a subject but was no part of the run"), "{error}");
}
