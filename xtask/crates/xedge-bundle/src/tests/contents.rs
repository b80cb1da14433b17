//! `bundle.json`, evidence, configuration and blobs: what is signed and still must not be taken.

use xedge_model::{Class, Digest, Failure as _, Platform};

use super::forge::{Forge, GATE, IMAGES, LAYER, MANIFEST, check, state};
use crate::manifest::{Data, Probe, at_least};
use crate::member::{self, BUNDLE, evidence};
use crate::refusal::Code;
use crate::statement::{PlatformRun, Simulated, Subject, Verdict};
use crate::verify::{Observer, Progress, read_head};

fn expect(code: Code, member: &str, change: impl FnOnce(&mut Forge)) {
    Forge::with(change).expect(code, member);
}

#[test]
fn evidence_must_say_that_this_passed() {
    let name = evidence("pipeline");
    expect(Code::EvidenceSignature, &name, |forge| forge.evidence_key = IMAGES);
    expect(Code::EvidenceSignature, &name, |forge| forge.evidence_key = GATE + 9);
    expect(Code::EvidenceFailed, &name, |forge| {
        forge.statement.predicate.result = Verdict::Failed;
        forge.statement.predicate.failed_tests = vec!["order".into()];
    });
    expect(Code::EvidenceFailed, &name, |forge| {
        forge.statement.predicate.result = Verdict::Warned;
        forge.statement.predicate.warned_tests = vec!["order".into()];
    });
    expect(Code::EvidenceNotAboutThis, &name, |f| f.statement.predicate.xedge.scenario = "other".into());
    expect(Code::EvidenceNotAboutThis, &name, |forge| {
        forge.statement.predicate.xedge.scenario_digest = Digest::of(b"other");
    });
    expect(Code::EvidenceNotAboutThis, &name, |forge| {
        let mut manifest = forge.manifest.clone();
        manifest.config.digest = Digest::of(b"other");
        forge.statement = state(&manifest);
    });
    expect(Code::EvidenceNotAboutThis, &name, |forge| {
        let mut manifest = forge.manifest.clone();
        let index = manifest.services[0].index.clone();
        manifest.services[0].manifests.values_mut().next().unwrap().clone_from(&index);
        forge.statement = state(&manifest);
    });
}

#[test]
fn evidence_that_contradicts_itself_is_refused() {
    let forge = Forge::with(|forge| forge.statement.predicate.passed_tests.clear());
    assert_eq!(forge.refused().member, evidence("pipeline"));
    let forge = Forge::with(|forge| forge.statement.predicate.result = Verdict::Failed);
    assert_eq!(forge.refused().member, evidence("pipeline"));
}

#[test]
fn everything_must_have_been_simulated() {
    expect(Code::EvidenceMissing, BUNDLE, |forge| {
        let run = forge.statement.predicate.xedge.platforms.pop().unwrap();
        forge.statement.subject.retain(|subject| Some(subject.digest.sha256()) != run.manifest.as_ref());
    });
    expect(Code::EvidenceMissing, BUNDLE, |forge| {
        let run = &mut forge.statement.predicate.xedge.platforms[1];
        (run.simulated, run.reason) = (Simulated::NotSimulated, Some("no emulator".into()));
        let digest = run.manifest.clone();
        forge.statement.subject.retain(|subject| Some(subject.digest.sha256()) != digest.as_ref());
    });
    expect(Code::EvidenceMissing, BUNDLE, |forge| {
        forge.statement.predicate.xedge.config_digest = None;
        let config = forge.manifest.config.digest.clone();
        forge.statement.subject.retain(|subject| *subject.digest.sha256() != config);
    });
    expect(Code::EvidenceMissing, &evidence("zoo"), |forge| {
        forge.manifest.gate.scenarios.push("zoo".into());
        let mut entry = forge.manifest.gate.evidence[0].clone();
        entry.scenario = "zoo".into();
        forge.manifest.gate.evidence.push(entry);
    });
}

#[test]
fn a_wrong_digest_of_the_configuration_is_refused() {
    expect(Code::ConfigDigest, BUNDLE, |forge| forge.manifest.config.files[0].mode.0 = 0o600);
    expect(Code::ConfigDigest, BUNDLE, |forge| forge.manifest.config.device_values[0].max_length = 17);
    expect(Code::ConfigDigest, BUNDLE, |forge| drop(forge.manifest.config.secrets.pop()));
    expect(Code::ConfigDigest, BUNDLE, |forge| forge.manifest.stack = "hub".into());
}

#[test]
fn placeholders_stand_for_declared_values_only() {
    let conf = member::config(&Forge::new().manifest.config.files[0].digest);
    expect(Code::Contradiction, &conf, |forge| {
        forge.manifest.config.device_values.clear();
        forge.settle_config();
    });
    expect(Code::Metadata, BUNDLE, |forge| {
        forge.manifest.config.device_values[0].sample = "LAB".into();
        forge.settle_config();
    });
}

#[test]
fn contradictions_of_the_description_are_refused() {
    type Change = fn(&mut crate::Manifest);
    let changes: [Change; 31] = [
        |m| m.stack = "../edge".into(),
        |m| m.version = "1 0".into(),
        |m| m.compatibility.agent = "1.0".into(),
        |m| m.compatibility.engine_api = "v1".into(),
        |m| m.compatibility.platforms.reverse(),
        |m| m.compatibility.platforms.truncate(1),
        |m| m.services.clear(),
        |m| m.config.files.reverse(),
        |m| m.config.files[0].path = "../passwd".into(),
        |m| m.config.files[0].mode.0 = 0o4755,
        |m| m.gate.scenarios.clear(),
        |m| m.gate.evidence.clear(),
        |m| m.probes[0] = Probe::Tcp { service: "other".into(), port: 1 },
        |m| m.probes[0] = Probe::Tcp { service: "broker".into(), port: 0 },
        |m| m.probes.reverse(),
        |m| m.probes.insert(0, m.probes[0].clone()),
        |m| m.probes = vec![Probe::Http { service: "broker".into(), port: 1, path: "status".into() }],
        |m| m.probes = vec![Probe::Http { service: "broker".into(), port: 1, path: "/ HTTP/1.1".into() }],
        |m| m.probes = vec![Probe::Http { service: "broker".into(), port: 1, path: "/\r\nx".into() }],
        |m| m.probes = vec![mqtt("nothing")],
        // A password file has nobody's password.
        |m| m.probes = vec![mqtt("passwords")],
        |m| m.probes = vec![Probe::Command { service: "broker".into(), command: vec![] }],
        |m| m.probes = vec![Probe::Command { service: "broker".into(), command: vec!["a\0b".into()] }],
        |m| m.settle_s = 3_601,
        |m| m.start_s = 0,
        |m| m.start_s = 3_601,
        |m| m.data = Data { version: 1, floor: 2 },
        |m| m.compatibility.boards = vec!["Raspberry Pi 4".into()],
        |m| m.compatibility.boards = vec!["b".into(), "a".into()],
        |m| m.compatibility.boards = vec!["a".into(), "a".into()],
        |m| drop(m.locks.pop()),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let forge = Forge::with(|forge| change(&mut forge.manifest));
        assert_eq!(forge.refused().code, Code::Contradiction, "{index}");
    }
}

fn mqtt(secret: &str) -> Probe {
    Probe::Mqtt { service: "broker".into(), port: 1883, secret: Some(secret.into()) }
}

#[test]
fn what_is_said_of_operation_is_signed_and_not_part_of_the_configuration() {
    let digest = Forge::new().manifest.config.digest;
    let forge = Forge::with(|forge| {
        forge.manifest.probes.truncate(1);
        forge.manifest.compatibility.boards.clear();
        (forge.manifest.settle_s, forge.manifest.start_s) = (0, 1);
        forge.manifest.data = Data::default();
    });
    assert_eq!(forge.verify().unwrap().manifest().config.digest, digest);
    let mut parts = forge.parts();
    let at = parts.position(BUNDLE);
    let text = String::from_utf8(parts.0[at].1.clone()).unwrap();
    parts.0[at].1 = text.replace(r#""settleS":0"#, r#""settleS":9"#).into_bytes();
    assert_eq!(check(&parts.tar(), &forge.trusted()).unwrap_err().code, Code::Digest);
}

#[test]
fn data_that_cannot_be_read_is_refused_by_its_code() {
    let manifest = Forge::new().manifest;
    assert_eq!(manifest.data, Data { version: 3, floor: 2 });
    assert!((0..=3).all(|floor| manifest.check_data_floor(floor).is_ok()));
    let refusal = manifest.check_data_floor(4).unwrap_err();
    assert_eq!((refusal.code, refusal.class()), (Code::DataFloor, Class::Integrity));
}

#[test]
fn versions_are_compared_as_numbers() {
    for (found, needed, holds) in [
        ("0.1.0", "0.1.0", true),
        ("0.10.0", "0.9.9", true),
        ("0.9.9", "0.10.0", false),
        ("1.41", "1.5", true),
        ("1.4", "1.41", false),
        ("1.41", "1.41.1", false),
        ("20.10.24+dfsg1", "20.10", true),
        ("0.2.0-dev", "0.2.0", true),
    ] {
        assert_eq!(at_least(found, needed), Some(holds), "{found} {needed}");
    }
    assert_eq!((at_least("", "1"), at_least("v1", "1"), at_least("1", "1..2")), (None, None, None));
}

#[test]
fn the_description_has_one_form() {
    let forge = Forge::new();
    let evidence = forge.evidence();
    let mut manifest = forge.manifest.clone();
    manifest.gate.evidence[0].digest = Digest::of(&evidence);
    let text = String::from_utf8(manifest.to_bytes()).unwrap();
    let verdict = |text: &str| check(&forge.parts_with(text.as_bytes(), &evidence).tar(), &forge.trusted());
    assert!(verdict(&text).is_ok());
    for (from, to, code) in [
        (r#""format":1"#, r#""format":2,"new":[]"#, Code::FormatNewer),
        (r#""seq":7"#, r#""seq":8"#, Code::Contradiction),
        (r#""seq":7"#, r#""seq": 7"#, Code::NotCanonical),
        (r#""seq":7"#, r#""seq":6,"seq":7"#, Code::Metadata),
        (r#""seq":7"#, r#""seq":7.0"#, Code::Metadata),
        (r#""seq":7"#, r#""seq":7,"more":1"#, Code::Metadata),
        (r#""stack":"edge""#, r#""stack":"\u0065dge""#, Code::NotCanonical),
        (r#""tool""#, r#""revision":null,"tool""#, Code::NotCanonical),
        (r#""probes":["#, r#""probes":[["#, Code::Metadata),
        (r#""kind":"tcp""#, r#""kind":"udp""#, Code::Metadata),
        (r#""kind":"tcp""#, r#""kind":"tcp","path":"/""#, Code::Metadata),
        (r#""kind":"tcp","service":"broker""#, r#""service":"broker","kind":"tcp""#, Code::NotCanonical),
        (r#""port":1883,"secret""#, r#""port":1883,"port":1883,"secret""#, Code::Metadata),
        (r#""secret":"login""#, r#""secret":null"#, Code::NotCanonical),
        (r#""data":{"version":3,"floor":2}"#, r#""data":{"version":3}"#, Code::Metadata),
        (r#""startS":60"#, r#""startS":-1"#, Code::Metadata),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        let refusal = verdict(&other).unwrap_err();
        assert_eq!((refusal.code, refusal.member.as_str()), (code, BUNDLE), "{to}: {refusal}");
    }
    assert_eq!(verdict(&text[..text.len() - 1]).unwrap_err().code, Code::NotCanonical);
    let newer = verdict(&text.replacen(r#""format":1"#, r#""format":2"#, 1)).unwrap_err();
    assert!(newer.reason.contains("xedge 0.1.0"), "{newer}");
}

#[test]
fn blobs_are_exactly_what_the_images_have() {
    let layer = member::blob(&Digest::of(&[7; 1500]));
    expect(Code::Closure, &layer, |forge| drop(forge.members.remove(&layer)));
    let stranger = member::blob(&Digest::of(b"stranger"));
    expect(Code::Closure, &stranger, |forge| {
        forge.members.insert(stranger.clone(), (LAYER.into(), b"stranger".to_vec()));
    });
    expect(Code::Closure, &layer, |f| f.members.get_mut(&layer).unwrap().0 = "application/zip".into());
    let index = member::blob(&Forge::new().manifest.services[0].index);
    expect(Code::Closure, &index, |forge| drop(forge.members.remove(&index)));
    expect(Code::Closure, &index, |forge| forge.members.get_mut(&index).unwrap().0 = MANIFEST.into());
    expect(Code::Closure, &index, |forge| {
        let manifests = &mut forge.manifest.services[0].manifests;
        let [first, second] = [0, 1].map(|at| manifests.values().nth(at).unwrap().clone());
        manifests.values_mut().zip([second, first]).for_each(|(to, from)| *to = from);
        forge.statement = state(&forge.manifest);
    });
    let image = member::blob(Forge::new().manifest.services[0].manifests.values().next().unwrap());
    expect(Code::Closure, &image, |forge| drop(forge.members.remove(&image)));
}

#[test]
fn an_index_names_only_what_the_gate_has_seen() {
    // The index names arm64 as well, and the release is for amd64 alone.
    let narrow = |forge: &mut Forge| {
        forge.manifest.compatibility.platforms = vec![Platform::LinuxAmd64];
        forge.manifest.services[0].manifests.remove(&Platform::LinuxArm64);
        forge.manifest.sboms.truncate(1);
        let sbom = member::sbom(&forge.manifest.services[0].image, Platform::LinuxArm64);
        forge.members.remove(&sbom).unwrap();
    };
    let covered = Forge::with(narrow);
    assert_eq!(covered.verify().unwrap().manifest().compatibility.platforms, [Platform::LinuxAmd64]);
    let index = member::blob(&covered.manifest.services[0].index);
    let refused = |change: &dyn Fn(&mut Forge)| {
        let mut forge = covered.clone();
        change(&mut forge);
        forge.expect(Code::EvidenceNotAboutThis, &index);
    };
    refused(&|forge| forge.statement = state(&forge.manifest));
    let change = |forge: &mut Forge, change: &dyn Fn(&mut PlatformRun)| {
        let run = forge.statement.predicate.xedge.platforms.last_mut().unwrap();
        let before = run.manifest.clone();
        change(run);
        let subjects = &mut forge.statement.subject;
        subjects.retain(|subject| Some(subject.digest.sha256()) != before.as_ref());
        let run = forge.statement.predicate.xedge.platforms.last().unwrap();
        let digest = run.manifest.clone().filter(|_| run.simulated != Simulated::NotSimulated);
        subjects.extend(digest.map(|digest| Subject::new("image", digest)));
    };
    refused(&|forge| change(forge, &|run| run.manifest = Some(Digest::of(b"other"))));
    refused(&|forge| change(forge, &|run| run.image = "xedgesim/other".parse().unwrap()));
    refused(&|forge| {
        change(forge, &|run| {
            (run.simulated, run.reason) = (Simulated::NotSimulated, Some("no emulator".into()));
        });
    });
}

#[test]
fn targets_that_no_bundle_has_are_refused() {
    type Change = fn(&mut crate::tuf::Targets);
    let changes: [Change; 6] = [
        |t| drop(t.targets.insert("../x".into(), t.targets[BUNDLE].clone())),
        |t| drop(t.targets.insert("1.root.json".into(), t.targets[BUNDLE].clone())),
        |t| t.targets.get_mut(BUNDLE).unwrap().custom.kind = "evidence".into(),
        |t| t.targets.values_mut().next().unwrap().length = 2 << 20,
        |t| drop(t.targets.insert(member::blob(&Digest::of(b"x")), t.targets[BUNDLE].clone())),
        |t| t.version += 1,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let forge = Forge::with(|forge| forge.change_targets = change);
        assert_eq!(forge.refused().code, Code::Metadata, "{index}");
    }
    expect(Code::MemberMissing, BUNDLE, |f| f.change_targets = |t| drop(t.targets.remove(BUNDLE)));
    expect(Code::Limits, BUNDLE, |forge| {
        forge.change_targets = |targets| {
            let target = targets.targets.get_mut(BUNDLE).unwrap();
            target.length = (4 << 20) + 1;
            target.custom.pieces = vec![crate::tuf::Piece(Digest::of(b"")); 5];
        };
    });
}

#[test]
fn an_observer_sees_every_byte_once() {
    #[derive(Default)]
    struct Seen(Vec<(String, Vec<u8>)>, Vec<String>, u64);
    impl Observer for Seen {
        fn bytes(&mut self, progress: &Progress<'_>, bytes: &[u8]) -> std::io::Result<()> {
            if self.0.last().is_none_or(|(name, _)| name != progress.member) {
                self.0.push((progress.member.to_owned(), Vec::new()));
            }
            self.0.last_mut().unwrap().1.extend_from_slice(bytes);
            assert_eq!(self.0.last().unwrap().1.len() as u64, progress.done);
            assert_eq!(self.0.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>(), progress.total_done);
            self.2 = progress.total;
            Ok(())
        }

        fn end(&mut self, member: &str) -> std::io::Result<()> {
            self.1.push(member.to_owned());
            Ok(())
        }
    }
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    let mut seen = Seen::default();
    let trust = crate::Trust { root: &trusted, floor: None };
    let _verified = crate::verify(&parts.tar()[..], &trust, super::forge::NOW, &mut seen).unwrap();
    assert_eq!(seen.2, parts.0.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    assert!(seen.1.iter().eq(parts.0.iter().map(|(name, _)| name)));
    assert_eq!(seen.0, parts.0);
}

#[test]
fn a_head_can_be_looked_at_without_trust() {
    let forge = Forge::with(|forge| forge.expires = [1; 3]);
    let head = read_head(&forge.parts().tar()[..]).unwrap();
    assert_eq!((head.manifest.seq, head.timestamp.0.version, head.roots.len()), (7, 7000, 1));
    assert_eq!(head.roots[0].digest, Digest::of(&forge.trusted()));
}

#[test]
fn every_code_is_explained_and_keeps_its_name() {
    for code in Code::ALL {
        assert_eq!(code.as_str().parse::<Code>().unwrap(), *code);
        assert!(code.explain().matches(['.', ';', ':']).count() >= 2, "{code}");
        assert!(!code.explain().contains("  ") && code.explain().ends_with('.'), "{code}");
    }
    assert_eq!("no-such".parse::<Code>().unwrap_err().class(), Class::Input);
    let refusal = Forge::with(|forge| forge.evidence_key = IMAGES).refused();
    assert_eq!(refusal.class(), Class::Integrity);
    assert!(refusal.hint().unwrap().contains("cargo xtask bundle why evidence-signature"));
}
