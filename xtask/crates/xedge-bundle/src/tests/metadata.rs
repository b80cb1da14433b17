//! Roots, signatures, expiry and rollback.

use super::forge::{Forge, NOW, Parts, RELEASE, ROOT, RootPlan, STAMP, check, check_at, file, public, sign};
use crate::refusal::{Code, ReadError, Refusal};
use crate::statement::KeyStatus;
use crate::verify::{Floor, Trust, Verified, verify};
use crate::{canonical, member, tar, time};

fn chain() -> Vec<RootPlan> {
    vec![RootPlan::new(1, &[1], &[1]), RootPlan::new(2, &[2], &[1, 2]), RootPlan::new(3, &[3], &[2, 3])]
}

/// The verdict on a bundle with these of the roots, a device trusting the root with that index.
fn judge(range: std::ops::Range<usize>, trusted: usize) -> Result<Verified, Refusal> {
    let forge = Forge::with(|forge| forge.roots = chain()[range].to_vec());
    check(&forge.parts().tar(), &chain()[trusted].bytes())
}

fn refused(roots: Vec<RootPlan>, trusted: &RootPlan) -> Refusal {
    let forge = Forge::with(|forge| forge.roots = roots);
    check(&forge.parts().tar(), &trusted.bytes()).unwrap_err()
}

#[test]
fn a_chain_leads_from_every_root_to_the_last() {
    for trusted in 0..3 {
        assert_eq!(judge(0..3, trusted).unwrap().root().version, 3);
    }
    assert_eq!(judge(1..3, 0).unwrap().root().version, 3, "the file starts right after the trusted root");
    assert_eq!(judge(1..3, 2).unwrap().root().version, 3, "root 2 is signed by a key that is unknown here");
    assert_eq!(judge(2..3, 2).unwrap().root().version, 3);
    assert_eq!(judge(0..1, 2).unwrap().root().version, 3, "the trusted root stays in force");
    assert_eq!(judge(2..3, 0).unwrap_err().code, Code::RootChain, "root 2 is missing");
}

#[test]
fn a_gap_in_the_file_is_refused() {
    let [one, _, three] = <[RootPlan; 3]>::try_from(chain()).unwrap_or_else(|_| unreachable!());
    let refusal = refused(vec![one.clone(), three], &one);
    assert_eq!(refusal.member, "2.root.json", "{refusal}");
}

#[test]
fn a_root_without_consent_is_refused() {
    let one = RootPlan::new(1, &[1], &[1]);
    for (signers, code) in
        [(vec![2], Code::Signature), (vec![1], Code::Signature), (vec![1, 2, 3], Code::Signature)]
    {
        let refusal = refused(vec![one.clone(), RootPlan::new(2, &[2], &signers)], &one);
        assert_eq!((refusal.code, refusal.member.as_str()), (code, "2.root.json"), "{signers:?}");
    }
    let other = RootPlan::new(1, &[9], &[9]);
    let refusal = refused(vec![other.clone()], &one);
    assert_eq!(refusal.code, Code::RootUnknown);
    let own = refused(vec![other.clone(), RootPlan::new(2, &[9], &[9])], &one);
    assert_eq!(own.code, Code::RootUnknown);
    assert_eq!(refused(vec![RootPlan::new(2, &[9], &[9])], &one).code, Code::Signature);
}

#[test]
fn a_threshold_is_reached_by_different_keys_only() {
    let root = |signers: &[u8]| RootPlan { threshold: 2, ..RootPlan::new(1, &[1, 2, 3], signers) };
    let next = |signers: &[u8]| RootPlan { version: 2, ..root(signers) };
    let trusted = root(&[1, 2]);
    let verdict = |second: RootPlan| {
        let forge = Forge::with(|forge| forge.roots = vec![trusted.clone(), second]);
        check(&forge.parts().tar(), &trusted.bytes()).map(|verified| verified.root().version)
    };
    assert_eq!(verdict(next(&[1, 3])), Ok(2));
    assert_eq!(verdict(next(&[1, 2, 3])), Ok(2));
    for signers in [&[][..], &[1], &[1, 1], &[1, RELEASE], &[1, 2, RELEASE], &[RELEASE, STAMP]] {
        assert_eq!(verdict(next(signers)).unwrap_err().code, Code::Signature, "{signers:?}");
    }
}

#[test]
fn each_role_has_its_own_signers() {
    for (index, name) in [member::TIMESTAMP, member::SNAPSHOT, member::TARGETS].into_iter().enumerate() {
        let own = if index == 2 { RELEASE } else { STAMP };
        let wrong = if index == 2 { STAMP } else { RELEASE };
        for signers in [vec![], vec![wrong], vec![own, wrong], vec![own, own], vec![ROOT], vec![99]] {
            Forge::with(|forge| forge.signers[index] = signers).expect(Code::Signature, name);
        }
    }
}

#[test]
fn signatures_have_one_order_and_one_form() {
    let root = RootPlan { threshold: 2, ..RootPlan::new(1, &[1, 2], &[1, 2]) };
    let signed = canonical::to_bytes(&serde_json::to_value(root.root()).unwrap()).unwrap();
    let own: serde_json::Value = serde_json::from_slice(&root.bytes()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let list: Vec<(String, String)> = own["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|signature| (text(&signature["keyid"]), text(&signature["sig"])))
        .collect();
    assert_eq!(file(&list, &signed), root.bytes());
    let next = RootPlan { version: 2, ..root.clone() };
    let good = sign(&next.root(), &[1, 2]);
    let mut forge = Forge::with(|forge| forge.roots = vec![root.clone(), next]);
    let trusted = forge.roots[0].bytes();
    let mut parts = forge.parts();
    assert!(check(&parts.tar(), &trusted).is_ok());
    let doc = String::from_utf8(good).unwrap();
    let upper = doc.replacen(&public(1).id(), &public(1).id().to_uppercase(), 1);
    for bad in [upper, doc.replacen(r#""sig":""#, r#""sig":"00"#, 1), doc.replace("},{", "}, {")] {
        assert_ne!(bad, doc);
        parts.0[1].1 = bad.into_bytes();
        assert_eq!(check(&parts.tar(), &trusted).unwrap_err().member, "2.root.json");
    }
    forge.roots.truncate(1);
    let reversed: Vec<_> = list.into_iter().rev().collect();
    let mut parts = forge.parts();
    parts.0[0].1 = file(&reversed, &signed);
    assert!(check(&parts.tar(), &trusted).is_err());
}

#[test]
fn each_expiry_counts() {
    let names = [member::TIMESTAMP, member::SNAPSHOT, member::TARGETS];
    for (index, name) in names.into_iter().enumerate() {
        Forge::with(|forge| forge.expires[index] = NOW).expect(Code::Expired, name);
        assert!(Forge::with(|forge| forge.expires[index] = NOW + 1).verify().is_ok());
    }
    let (now, ended) = (time::format(NOW), time::format(NOW - 5));
    let refusal = Forge::with(|forge| forge.roots[0].expires = NOW - 5).refused();
    assert_eq!(refusal.reason, format!("it expired at {ended}, and it is {now}"));
    Forge::with(|forge| forge.roots[0].expires = NOW).expect(Code::Expired, "1.root.json");
    let old = RootPlan { expires: NOW - 1, ..RootPlan::new(1, &[1], &[1]) };
    assert!(Forge::with(|forge| forge.roots = vec![old, RootPlan::new(2, &[1], &[1])]).verify().is_ok());
}

#[test]
fn what_is_older_is_refused() {
    let forge = Forge::with(|forge| forge.restamp = 5);
    let (tar, trusted) = (forge.parts().tar(), forge.trusted());
    let verdict = |stack, seq, timestamp_version| {
        let floor = Floor { stack, seq, timestamp_version };
        check_at(&tar, &trusted, Some(floor), NOW).map(|verified| verified.manifest().seq)
    };
    assert_eq!(verdict("edge", 7, 7005), Ok(7));
    assert_eq!(verdict("edge", 6, 6999), Ok(7));
    assert_eq!(verdict("edge", 8, 7005).unwrap_err().code, Code::Rollback);
    assert_eq!(verdict("edge", 7, 7006).unwrap_err().code, Code::Rollback);
    assert_eq!(verdict("edge", u64::MAX, u64::MAX).unwrap_err().code, Code::Rollback);
    assert_eq!(verdict("hub", 8, 8000).unwrap_err().code, Code::OtherStack);
}

#[test]
fn kinds_of_keys_are_not_mixed() {
    let production = Forge::with(|forge| forge.set_status(KeyStatus::Production));
    assert!(production.verify().is_ok());
    let code = |change: fn(&mut Forge)| {
        let mut forge = production.clone();
        change(&mut forge);
        forge.refused().code
    };
    assert_eq!(code(|forge| forge.status = KeyStatus::Development), Code::DevelopmentKeys);
    assert_eq!(code(|f| f.manifest.key_status = KeyStatus::Development), Code::DevelopmentKeys);
    assert_eq!(
        code(|f| f.statement.predicate.xedge.key_status = KeyStatus::Development),
        Code::DevelopmentKeys
    );
    assert_eq!(code(|f| f.roots.push(RootPlan::new(2, &[1], &[1]))), Code::DevelopmentKeys);
    // A bundle that has nothing to do with the trusted root: its kind of keys is what a person can act upon.
    let foreign =
        |version| Forge::with(|forge| forge.roots[0] = RootPlan::new(version, &[9], &[9])).parts().tar();
    for version in [1, 3] {
        assert_eq!(check(&foreign(version), &production.trusted()).unwrap_err().code, Code::DevelopmentKeys);
    }
    assert_eq!(check(&foreign(1), &Forge::new().trusted()).unwrap_err().code, Code::RootUnknown);
}

#[test]
fn a_later_tuf_is_named() {
    let mut root = RootPlan::new(1, &[1], &[1]).root();
    root.spec_version = "2.0.0".into();
    let bytes = sign(&root, &[1]);
    assert_eq!(check(&Forge::new().parts().tar(), &bytes).unwrap_err().code, Code::FormatNewer);
}

#[test]
fn hostile_roots_are_refused() {
    type Change = fn(&mut crate::tuf::Root);
    let changes: [Change; 8] = [
        |root| root.consistent_snapshot = true,
        |root| root.roles.root.threshold = 0,
        |root| root.roles.root.threshold = 2,
        |root| root.roles.timestamp.keyids.push("0".repeat(64)),
        |root| root.roles.targets.keyids = vec![],
        |root| root.xedge.image_sign = root.xedge.gate.clone(),
        |root| root.xedge.gate = vec!["AAAA".into()],
        |root| drop(root.keys.insert("0".repeat(64), public(1))),
    ];
    let parts = Forge::new().parts();
    for (index, change) in changes.into_iter().enumerate() {
        let mut root = RootPlan::new(1, &[1], &[1]).root();
        change(&mut root);
        let bytes = sign(&root, &[1]);
        let mut parts = parts.clone();
        parts.0[0].1.clone_from(&bytes);
        assert_eq!(check(&parts.tar(), &bytes).unwrap_err().code, Code::Metadata, "{index}");
    }
}

/// Gives the head of a file, and then panics if more is read.
struct Guarded<'a>(&'a [u8]);

impl std::io::Read for Guarded<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        assert!(!self.0.is_empty(), "more is read than may be");
        self.0.read(to)
    }
}

#[test]
fn nothing_is_read_on_a_strangers_word() {
    let refused = |bytes: &[u8], trusted: &[u8]| {
        let trust = Trust { root: trusted, floor: None };
        match verify(Guarded(bytes), &trust, NOW, &mut ()).unwrap_err() {
            ReadError::Refused(refusal) => (refusal.code, refusal.member),
            error @ ReadError::Io { .. } => panic!("{error}"),
        }
    };
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    let start = |parts: &Parts, count: usize| {
        let bytes = Parts(parts.0[..count].to_vec()).tar();
        bytes[..bytes.len() - 2 * tar::BLOCK].to_vec()
    };
    let other = RootPlan::new(1, &[9], &[9]).bytes();
    assert_eq!(refused(&start(&parts, 1), &other), (Code::RootUnknown, "1.root.json".into()));
    let unsigned = Forge::with(|forge| forge.signers[0] = vec![99]).parts();
    let with_header = |parts: &Parts, count: usize, name: &str, size: u64| {
        [&start(parts, count)[..], &tar::header(name, size)].concat()
    };
    let timestamp = with_header(&unsigned, 2, member::SNAPSHOT, 1);
    assert_eq!(refused(&timestamp, &trusted), (Code::Signature, member::TIMESTAMP.into()));
    let targets = with_header(&parts, 3, member::TARGETS, 8 << 20);
    assert_eq!(refused(&targets, &trusted), (Code::Digest, member::TARGETS.into()));
}

#[test]
fn roots_have_a_limit_together() {
    let root = |version: u64| {
        let root = RootPlan::new(version, &[1], &[1]);
        let mut root = root.root();
        for number in 100..=255 {
            root.keys.insert(public(number).id(), public(number));
        }
        sign(&root, &[1])
    };
    let most = u64::try_from((4 << 20) / root(100).len()).unwrap();
    let parts: Vec<_> = (100..=100 + most).map(|version| (member::root(version), root(version))).collect();
    let refusal = check(&Parts(parts).tar(), &root(100)).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.member),
        (Code::Limits, member::root(100 + most)),
        "{}",
        refusal.reason
    );
}
