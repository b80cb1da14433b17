//! Bundles of which only the head is there, or of which layers are left out: what may be missing, and what never may.

use std::collections::BTreeSet;
use std::io::Read;

use xedge_model::Digest;

use super::forge::{Forge, NOW, Parts, check, check_at};
use crate::member::{self, BUNDLE};
use crate::refusal::{Code, ReadError, Refusal};
use crate::verify::{Floor, Observer, Offer, Progress, Trust, Verified, read_offer, verify_thin};
use crate::{Manifest, tar};

fn refusal<T>(result: Result<T, ReadError>) -> Result<T, Refusal> {
    match result {
        Ok(value) => Ok(value),
        Err(ReadError::Refused(refusal)) => Err(refusal),
        Err(error @ ReadError::Io { .. }) => panic!("{error}"),
    }
}

fn offer(tar: &[u8], trusted: &[u8], floor: Option<Floor<'_>>, now: i64) -> Result<Offer, Refusal> {
    refusal(read_offer(tar, &Trust { root: trusted, floor }, now))
}

fn thin(tar: &[u8], trusted: &[u8], absent: &[&Digest]) -> Result<Verified, Refusal> {
    let absent = absent.iter().copied().cloned().collect();
    refusal(verify_thin(tar, &Trust { root: trusted, floor: None }, NOW, &absent, &mut ()))
}

fn layer() -> Digest {
    Digest::of(&[7; 1500])
}

fn without(parts: &Parts, names: &[&str]) -> Vec<u8> {
    let mut parts = parts.clone();
    parts.0.retain(|(name, _)| !names.contains(&name.as_str()));
    parts.tar()
}

/// The bundle up to the end of `bundle.json`, padding included.
fn head(parts: &Parts) -> Vec<u8> {
    let mut head = parts.clone();
    head.0.truncate(parts.position(BUNDLE) + 1);
    let mut bytes = head.tar();
    bytes.truncate(bytes.len() - 2 * tar::BLOCK);
    bytes
}

#[test]
fn an_offer_is_what_the_whole_bundle_says() {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    let whole = forge.verify().unwrap();
    let offer = offer(&head(&parts), &trusted, None, NOW).unwrap();
    assert_eq!(offer.manifest(), whole.manifest());
    assert_eq!(offer.targets(), whole.targets());
    assert_eq!(offer.root_bytes(), whole.root_bytes());
    assert_eq!((offer.timestamp_version(), offer.expires()), (whole.timestamp_version(), whole.expires()));
    let (offered, verified) = (offer.floor(), whole.floor());
    assert_eq!((offered.stack, offered.seq), (verified.stack, verified.seq));
    assert_eq!(offered.timestamp_version, verified.timestamp_version);
    assert_eq!(offer.plan().names().next(), Some(BUNDLE));
}

#[test]
fn an_offer_takes_the_head_and_nothing_else() {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    let (bytes, head) = (parts.tar(), head(&parts));
    let mut reader = bytes.as_slice();
    let _offer = read_offer(&mut reader, &Trust { root: &trusted, floor: None }, NOW).unwrap();
    assert_eq!(bytes.len() - reader.len(), head.len());
    for end in 0..head.len() {
        let refusal = offer(&head[..end], &trusted, None, NOW).err().unwrap();
        assert_eq!(refusal.code, Code::Truncated, "{end}");
    }
}

#[test]
fn an_offer_is_refused_for_what_its_whole_bundle_is() {
    let same = |forge: &Forge, floor: Option<Floor<'_>>, now: i64| {
        let (parts, trusted) = (forge.parts(), forge.trusted());
        let whole = check_at(&parts.tar(), &trusted, floor, now).expect_err("the whole one is refused");
        let head = offer(&head(&parts), &trusted, floor, now).err().expect("the head is refused");
        assert_eq!((head.code, head.member), (whole.code, whole.member));
    };
    let good = Forge::new();
    same(&good, None, i64::MAX);
    let floor = |stack, seq, timestamp_version| Some(Floor { stack, seq, timestamp_version });
    same(&good, floor("edge", 8, 0), NOW);
    same(&good, floor("edge", 7, 7_001), NOW);
    same(&good, floor("hub", 1, 0), NOW);
    let mixed = |status| Forge::with(|forge| forge.manifest.key_status = status);
    same(&mixed(crate::statement::KeyStatus::Production), None, NOW);
    let changes: [fn(&mut Manifest); 3] =
        [|m| m.config.digest = Digest::of(b"other"), |m| drop(m.locks.pop()), |m| m.gate.scenarios.clear()];
    for change in changes {
        same(&Forge::with(|forge| change(&mut forge.manifest)), None, NOW);
    }
    let other = Forge::with(|forge| forge.roots[0].keys = vec![99]);
    assert!(offer(&head(&good.parts()), &other.trusted(), None, NOW).is_err());
}

#[test]
fn flipped_bytes_of_a_head_are_refused() {
    let forge = Forge::new();
    let trusted = forge.trusted();
    let mut bytes = head(&forge.parts());
    for at in (0..bytes.len()).step_by(3) {
        bytes[at] ^= 0x20;
        assert!(offer(&bytes, &trusted, None, NOW).is_err(), "{at}");
        bytes[at] ^= 0x20;
    }
}

#[test]
fn layers_may_be_left_out_and_are_named() {
    let forge = Forge::new();
    let (parts, trusted, layer) = (forge.parts(), forge.trusted(), layer());
    let bytes = without(&parts, &[&member::blob(&layer)]);
    let verified = thin(&bytes, &trusted, &[&layer]).unwrap();
    assert!(verified.absent().iter().eq([&layer]));
    assert!(forge.verify().unwrap().absent().is_empty());
    assert_eq!(verified.manifest(), forge.verify().unwrap().manifest());
    assert_eq!(thin(&parts.tar(), &trusted, &[]).unwrap().targets(), verified.targets());
}

#[test]
fn what_is_left_out_must_be_said_and_what_is_said_must_be_left_out() {
    let forge = Forge::new();
    let (parts, trusted, layer) = (forge.parts(), forge.trusted(), layer());
    let name = member::blob(&layer);
    let missing = without(&parts, &[&name]);
    let refused = |tar: &[u8], absent: &[&Digest]| {
        let refusal = thin(tar, &trusted, absent).unwrap_err();
        (refusal.code, refusal.member)
    };
    assert!(matches!(refused(&missing, &[]).0, Code::MemberMissing | Code::TarHeader), "not said");
    assert_eq!(check(&missing, &trusted).unwrap_err().member, name);
    assert_eq!(refused(&parts.tar(), &[&layer]), (Code::MemberUnknown, name), "there after all");
    let stranger = Digest::of(b"stranger");
    let foreign = refused(&missing, &[&layer, &stranger]);
    assert_eq!(foreign, (Code::MemberUnknown, member::blob(&stranger)), "of no image");
}

#[test]
fn nothing_but_layers_may_be_left_out() {
    let forge = Forge::new();
    let (parts, trusted) = (forge.parts(), forge.trusted());
    let mut refused = 0;
    for (name, bytes) in &parts.0[4..] {
        let digest = Digest::of(bytes);
        if digest == layer() {
            continue;
        }
        let refusal = thin(&without(&parts, &[name]), &trusted, &[&digest]).unwrap_err();
        let blob = name.starts_with("blob.");
        // What is no blob cannot even be asked for: no blob has its digest.
        let code = if blob { Code::MemberMissing } else { Code::MemberUnknown };
        assert_eq!((refusal.code, refusal.member), (code, member::blob(&digest)), "{name}");
        refused += usize::from(blob);
    }
    assert_eq!(refused, 5, "an index, two manifests, two configurations");
}

#[test]
fn a_configuration_that_is_also_a_layer_may_not_be_left_out() {
    let forge = Forge::new();
    let is_config = |(_, member): &(&String, &(String, Vec<u8>))| member.0.contains("image.config");
    let config = forge.members.iter().find(is_config).unwrap().0.clone();
    // The layer that both images have is replaced by one image's configuration, under its own type.
    let mut forge = forge;
    let (kind, bytes) = forge.members[&config].clone();
    forge.replace_layer(&kind, &bytes);
    assert!(forge.verify().is_ok());
    let digest = Digest::of(&bytes);
    let refusal = thin(&without(&forge.parts(), &[&config]), &forge.trusted(), &[&digest]).unwrap_err();
    assert_eq!((refusal.code, refusal.member), (Code::MemberMissing, config));
}

#[test]
fn flipped_bytes_of_a_thin_bundle_are_refused() {
    let forge = Forge::new();
    let (parts, trusted, layer) = (forge.parts(), forge.trusted(), layer());
    let mut bytes = without(&parts, &[&member::blob(&layer)]);
    let start = head(&parts).len();
    for at in (start..bytes.len()).step_by(3) {
        bytes[at] ^= 0x20;
        assert!(thin(&bytes, &trusted, &[&layer]).is_err(), "{at}");
        bytes[at] ^= 0x20;
    }
    for end in (start..bytes.len()).step_by(7) {
        assert!(thin(&bytes[..end], &trusted, &[&layer]).is_err(), "{end}");
    }
    bytes.push(0);
    assert_eq!(thin(&bytes, &trusted, &[&layer]).unwrap_err().code, Code::TrailingBytes);
}

#[test]
fn progress_counts_what_is_there() {
    struct Count(u64, u64);
    impl Observer for Count {
        fn bytes(&mut self, progress: &Progress<'_>, bytes: &[u8]) -> std::io::Result<()> {
            self.0 += bytes.len() as u64;
            self.1 = progress.total;
            Ok(())
        }
    }
    let forge = Forge::new();
    let (parts, trusted, layer) = (forge.parts(), forge.trusted(), layer());
    let bytes = without(&parts, &[&member::blob(&layer)]);
    let mut count = Count(0, 0);
    let trust = Trust { root: &trusted, floor: None };
    let _verified = verify_thin(&bytes[..], &trust, NOW, &BTreeSet::from([layer]), &mut count).unwrap();
    assert_eq!(count.0, count.1);
}

/// A layer of this many zero bytes passes while no more than a buffer is held.
#[test]
fn a_long_layer_passes_through_one_buffer() {
    struct Largest(usize);
    impl Observer for Largest {
        fn bytes(&mut self, _: &Progress<'_>, bytes: &[u8]) -> std::io::Result<()> {
            self.0 = self.0.max(bytes.len());
            Ok(())
        }
    }
    let mut forge = Forge::new();
    forge.replace_layer(super::forge::LAYER, &vec![0; 5 << 20]);
    let trusted = forge.trusted();
    let bytes = forge.parts().tar();
    let mut largest = Largest(0);
    let trust = Trust { root: &trusted, floor: None };
    let _verified = crate::verify(bytes.as_slice().take(u64::MAX), &trust, NOW, &mut largest).unwrap();
    assert!(largest.0 <= 1 << 20, "{}", largest.0);
}
