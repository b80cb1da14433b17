//! Damage anywhere: every byte flipped, every cut, every member taken out, doubled or moved.

use std::collections::BTreeSet;

use super::forge::{Forge, NOW, Parts, check};
use crate::refusal::{Code, ReadError, Refusal};
use crate::stream::Stream;
use crate::verify::{Head, RawHead, Trust, Verified, verify, verify_rest};
use crate::{member, tar};

/// Every byte of the file that belongs to a member, the end blocks being the last one's.
fn owners(parts: &Parts) -> Vec<String> {
    let mut owners = Vec::new();
    for (name, bytes) in &parts.0 {
        let end = owners.len() + tar::BLOCK + bytes.len().next_multiple_of(tar::BLOCK);
        owners.resize(end, name.clone());
    }
    owners.resize(owners.len() + 2 * tar::BLOCK, "end of file".to_owned());
    owners
}

/// Flips bits of the bytes that `keep` chooses; the refusal must name the member that they are of. The metadata of a
/// bundle that is damaged after it is judged once only.
fn flips(keep: impl Fn(usize, &str) -> bool) -> usize {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    let (mut bytes, owners) = (parts.tar(), owners(&parts));
    assert_eq!(bytes.len(), owners.len());
    let (_, head) = RawHead::judge(&mut Stream::new(&bytes[..]), &trusted, NOW).unwrap();
    let mut count = 0;
    for at in (0..bytes.len()).filter(|at| keep(*at, &owners[*at])) {
        for mask in [0x01, 0x20, 0x80] {
            bytes[at] ^= mask;
            let result = if is_metadata(&owners[at]) { check(&bytes, &trusted) } else { rest(&bytes, &head) };
            let refusal = result.expect_err(&format!("{at} {mask:02x} {}", owners[at]));
            let first = owners[at] == "1.root.json" && refusal.member.ends_with(".root.json");
            assert!(first || refusal.member == owners[at], "{at} {mask:02x} {}: {refusal}", owners[at]);
            bytes[at] ^= mask;
            count += 1;
        }
    }
    count
}

fn rest(bytes: &[u8], head: &Head) -> Result<Verified, Refusal> {
    let mut stream = Stream::new(bytes);
    let raw = RawHead::read(&mut stream).unwrap();
    match verify_rest(&mut stream, raw, head.clone(), None, &BTreeSet::new(), &mut ()) {
        Ok(verified) => Ok(verified),
        Err(ReadError::Refused(refusal)) => Err(refusal),
        Err(error @ ReadError::Io { .. }) => panic!("{error}"),
    }
}

fn is_metadata(name: &str) -> bool {
    member::kind_of(name).is_some_and(|kind| kind < member::Kind::Bundle)
}

fn is_blob(name: &str) -> bool {
    name.starts_with("blob.")
}

#[test]
fn the_undamaged_bundle_is_verified() {
    let verified = Forge::new().verify().unwrap();
    assert_eq!(
        (verified.manifest().seq, verified.timestamp_version(), verified.root().version),
        (7, 7000, 1)
    );
    assert_eq!(verified.evidence().len(), 1);
    assert_eq!(verified.evidence()[0].signers.len(), 1);
    assert_eq!(verified.root_bytes(), Forge::new().trusted());
    assert_eq!(verified.expires(), NOW + 1000);
    assert_eq!(verified.floor().seq, 7);
}

#[test]
fn every_flipped_byte_of_metadata_is_refused() {
    assert!(flips(|_, name| is_metadata(name)) > 10_000);
}

#[test]
fn every_flipped_byte_of_other_members_is_refused() {
    let described = |name: &str| !is_metadata(name) && !is_blob(name);
    assert!(flips(|_, name| described(name)) > 10_000);
}

#[test]
fn every_flipped_byte_around_blobs_and_many_in_them_are_refused() {
    let forge = Forge::new();
    let mut around = Vec::new();
    let mut inside = Vec::new();
    for (name, bytes) in forge.parts().0 {
        let padding = tar::padding(bytes.len() as u64);
        around.extend(std::iter::repeat_n(true, tar::BLOCK));
        around.extend(std::iter::repeat_n(false, bytes.len()));
        around.extend(std::iter::repeat_n(true, padding));
        let start = around.len() - padding - bytes.len();
        inside.extend((start..start + bytes.len()).filter(|_| is_blob(&name)));
    }
    around.extend([true; 2 * tar::BLOCK]);
    // A linear congruential generator (Knuth, MMIX): the same places on every run.
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        inside[usize::try_from(state >> 33).unwrap() % inside.len()]
    };
    let places: std::collections::BTreeSet<usize> = (0..1500).map(|_| draw()).collect();
    assert!(places.len() >= 1000, "{}", places.len());
    let ours = |name: &str| is_blob(name) || name == "end of file";
    assert!(flips(|at, name| ours(name) && (around[at] || places.contains(&at))) > 10_000);
}

#[test]
fn every_cut_is_refused() {
    let forge = Forge::new();
    let (bytes, trusted) = (forge.parts().tar(), forge.trusted());
    let odd = [1, 100, 511, 513, 5000, bytes.len() - 1, bytes.len() - 513];
    for end in (0..bytes.len()).step_by(tar::BLOCK).chain(odd) {
        assert_eq!(check(&bytes[..end], &trusted).unwrap_err().code, Code::Truncated, "{end}");
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    let forge = Forge::new();
    let (bytes, trusted) = (forge.parts().tar(), forge.trusted());
    for more in [&[0][..], &[1], &[0; 512], &[0; 10_240], &bytes] {
        let refusal = check(&[&bytes[..], more].concat(), &trusted).unwrap_err();
        assert_eq!(refusal.code, Code::TrailingBytes);
    }
}

#[test]
fn every_member_that_is_taken_out_is_missed() {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    for index in 0..parts.0.len() {
        let mut parts = parts.clone();
        let (name, _) = parts.0.remove(index);
        let refusal = check(&parts.tar(), &trusted).unwrap_err();
        let first = name == "1.root.json" && refusal.member == "N.root.json";
        let last = index == parts.0.len();
        assert!(first || refusal.member == name, "{name}: {refusal}");
        let expected = if last { Code::TarHeader } else { Code::MemberMissing };
        assert_eq!(refusal.code, expected, "{name}: {refusal}");
    }
}

#[test]
fn every_doubled_member_is_refused() {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    for index in 0..parts.0.len() {
        let mut parts = parts.clone();
        let doubled = parts.0[index].clone();
        parts.0.insert(index, doubled.clone());
        let refusal = check(&parts.tar(), &trusted).unwrap_err();
        assert_eq!((refusal.code, &refusal.member), (Code::MemberOrder, &doubled.0), "{refusal}");
    }
}

#[test]
fn every_two_neighbours_that_change_places_are_refused() {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    for index in 1..parts.0.len() {
        let mut parts = parts.clone();
        parts.0.swap(index - 1, index);
        let refusal = check(&parts.tar(), &trusted).unwrap_err();
        assert_eq!(refusal.code, Code::MemberMissing, "{refusal}");
    }
}

#[test]
fn every_shortened_or_lengthened_member_is_refused() {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    for index in 0..parts.0.len() {
        for longer in [false, true] {
            let mut parts = parts.clone();
            let bytes = &mut parts.0[index].1;
            bytes.resize(if longer { bytes.len() + 1 } else { bytes.len() - 1 }, 0);
            let name = parts.0[index].0.clone();
            let refusal = check(&parts.tar(), &trusted).unwrap_err();
            assert_eq!(refusal.member, name, "{refusal}");
        }
    }
}

#[test]
fn every_member_of_another_bundle_is_refused() {
    let forge = Forge::new();
    let (parts, trusted, other) = (forge.parts(), forge.trusted(), Forge::other().parts());
    let mut changed = 0;
    for (name, bytes) in other.0 {
        let mut parts = parts.clone();
        let at = parts.position(&name);
        if parts.0[at].1 != bytes {
            parts.0[at].1 = bytes;
            assert!(check(&parts.tar(), &trusted).is_err(), "{name}");
            changed += 1;
        }
    }
    assert_eq!(changed, 4, "timestamp, snapshot, targets and bundle.json differ");
}

#[test]
fn an_unsigned_member_is_refused() {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    let stranger = member::blob(&xedge_model::Digest::of(b"stranger"));
    for (at, name) in [(parts.0.len(), stranger.as_str()), (4, "stowaway.sh"), (0, "stowaway.sh")] {
        let mut parts = parts.clone();
        parts.0.insert(at, (name.to_owned(), b"stranger".to_vec()));
        let refusal = check(&parts.tar(), &trusted).unwrap_err();
        assert_eq!((refusal.code, refusal.member.as_str()), (Code::MemberUnknown, name), "{refusal}");
    }
}

#[test]
fn a_disk_that_fails_says_nothing_about_the_bundle() {
    struct Failing<'a>(&'a [u8]);
    impl std::io::Read for Failing<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(std::io::Error::other("the disk is gone"));
            }
            self.0.read(to)
        }
    }
    let forge = Forge::new();
    let (bytes, trusted) = (forge.parts().tar(), forge.trusted());
    let trust = Trust { root: &trusted, floor: None };
    for end in (0..=bytes.len()).step_by(tar::BLOCK) {
        let error = verify(Failing(&bytes[..end]), &trust, NOW, &mut ()).unwrap_err();
        assert!(matches!(error, ReadError::Io { .. }), "{end}: {error}");
        assert_eq!(xedge_model::Failure::class(&error), xedge_model::Class::Environment);
    }
}
