//! Whole, cut, wrong and damaged members.

use std::io::Cursor;
use std::os::unix::fs::FileExt as _;

use tempfile::TempDir;
use xedge_bundle::pieces::pieces;
use xedge_model::{Class, Failure as _};

use super::*;

const NAME: &str = "blob.x";

struct Bench {
    _folder: TempDir,
    home: Home,
    store: Store,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(Utf8PathBuf::try_from(folder.path().join("state")).unwrap());
    let store = Store::new(&home);
    Bench { _folder: folder, home, store }
}

/// Three pieces and a half, none like another.
fn content() -> Vec<u8> {
    (0..PIECE * 7 / 2)
        .map(|at| u8::try_from(at / 4096 % 251).unwrap() ^ u8::try_from(at % 241).unwrap())
        .collect()
}

fn target(bytes: &[u8]) -> Target {
    pieces(bytes).unwrap().target("application/x")
}

fn code(error: &Error) -> Option<&'static str> {
    error.code()
}

#[test]
fn what_comes_whole_is_there_and_what_is_there_is_not_taken_again() {
    let (bench, bytes) = (bench(), content());
    for bytes in [bytes.as_slice(), b"small", b""] {
        let target = target(bytes);
        assert_eq!(bench.store.resume(&target).unwrap(), 0);
        assert!(!bench.store.has(&target));
        bench.store.receive(NAME, &target, 0, &mut &*bytes).unwrap();
        assert!(bench.store.has(&target));
        assert_eq!(bench.store.resume(&target).unwrap(), target.length);
        assert_eq!(bench.store.read(target.hashes.sha256(), target.length).unwrap(), bytes);
        let again = bench.store.receive(NAME, &target, target.length, &mut &b""[..]).unwrap_err();
        assert!(matches!(again, Error::Transfer(TransferError::Unwanted { .. })), "{again}");
        assert!(!bench.home.partial(target.hashes.sha256()).exists());
    }
}

#[test]
fn a_cut_transfer_goes_on_at_the_last_whole_piece() {
    let (bench, bytes) = (bench(), content());
    let target = target(&bytes);
    let cut = usize::try_from(2 * PIECE + 77).unwrap();
    let error = bench.store.receive(NAME, &target, 0, &mut &bytes[..cut]).unwrap_err();
    assert!(matches!(error, Error::Bundle { .. }), "{error}");
    assert_eq!(bench.store.resume(&target).unwrap(), 2 * PIECE);
    for wrong in [0, PIECE, 2 * PIECE + 77, target.length] {
        let error = bench.store.receive(NAME, &target, wrong, &mut &bytes[..]).unwrap_err();
        assert!(matches!(error, Error::Transfer(TransferError::Offset { .. })), "{wrong}: {error}");
    }
    let rest = usize::try_from(2 * PIECE).unwrap();
    bench.store.receive(NAME, &target, 2 * PIECE, &mut &bytes[rest..]).unwrap();
    assert_eq!(bench.store.read(target.hashes.sha256(), target.length).unwrap(), bytes);
}

#[test]
fn a_wrong_piece_is_never_written() {
    let (bench, bytes) = (bench(), content());
    let target = target(&bytes);
    let mut bad = bytes.clone();
    let at = usize::try_from(PIECE + 5).unwrap();
    bad[at] ^= 1;
    let error = bench.store.receive(NAME, &target, 0, &mut &bad[..]).unwrap_err();
    assert_eq!(code(&error), Some("digest"));
    let part = bench.home.partial(target.hashes.sha256());
    assert_eq!(fs::metadata(&part).unwrap().len(), PIECE);
    let rest = usize::try_from(PIECE).unwrap();
    bench.store.receive(NAME, &target, PIECE, &mut &bytes[rest..]).unwrap();
}

/// What a power cut can leave behind: garbage after, and holes in, what was written.
#[test]
fn a_damaged_part_is_believed_only_as_far_as_it_is_right() {
    let (bench, bytes) = (bench(), content());
    let target = target(&bytes);
    let part = bench.home.partial(target.hashes.sha256());
    let cut = usize::try_from(3 * PIECE).unwrap();
    bench.store.receive(NAME, &target, 0, &mut &bytes[..cut]).unwrap_err();
    let file = OpenOptions::new().write(true).open(&part).unwrap();
    file.write_all_at(&[0; 512], 2 * PIECE + 4096).unwrap();
    assert_eq!(bench.store.resume(&target).unwrap(), 2 * PIECE);
    file.write_all_at(b"garbage", 3 * PIECE).unwrap();
    file.write_all_at(&[0; 1], 3).unwrap();
    assert_eq!(bench.store.resume(&target).unwrap(), 0);
    bench.store.receive(NAME, &target, 0, &mut &bytes[..]).unwrap();
    assert_eq!(bench.store.read(target.hashes.sha256(), target.length).unwrap(), bytes);
}

#[test]
fn a_part_that_is_longer_than_its_member_is_cut() {
    let (bench, bytes) = (bench(), b"small".to_vec());
    let target = target(&bytes);
    bench.store.ensure_folder().unwrap();
    fs::write(bench.home.partial(target.hashes.sha256()), b"small and more").unwrap();
    assert_eq!(bench.store.resume(&target).unwrap(), 5, "its bytes are there, its name is not");
    assert!(!bench.store.has(&target));
    bench.store.receive(NAME, &target, 5, &mut &b""[..]).unwrap();
    assert_eq!(bench.store.read(target.hashes.sha256(), 5).unwrap(), bytes);
}

#[test]
fn a_member_that_went_bad_is_refused_and_thrown_away() {
    let (bench, bytes) = (bench(), content());
    let target = target(&bytes);
    let digest = target.hashes.sha256();
    bench.store.receive(NAME, &target, 0, &mut &bytes[..]).unwrap();
    let file = OpenOptions::new().write(true).open(bench.home.member(digest)).unwrap();
    file.write_all_at(b"x", 100).unwrap();
    let error = bench.store.read(digest, target.length).unwrap_err();
    assert!(matches!(error, Error::DamagedMember { .. }), "{error}");
    assert_eq!(error.class(), Class::Environment);
    assert!(error.hint().unwrap().contains("send the release again"), "{error}");
    assert!(!bench.store.has(&target));
    assert_eq!(bench.store.resume(&target).unwrap(), 0);
}

/// Tries to write the same member while it is being received.
struct Meanwhile<'a> {
    store: &'a Store,
    target: &'a Target,
    inner: Cursor<&'a [u8]>,
    refused: usize,
}
impl Read for Meanwhile<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let other = self.store.receive(NAME, self.target, 0, &mut &b"other"[..]);
        assert!(matches!(other, Err(Error::Transfer(TransferError::Receiving { .. }))), "{other:?}");
        self.refused += 1;
        self.inner.read(to)
    }
}

#[test]
fn two_sessions_do_not_write_one_member() {
    let (bench, bytes) = (bench(), content());
    let target = target(&bytes);
    let (store, inner) = (&bench.store, Cursor::new(bytes.as_slice()));
    let mut reader = Meanwhile { store, target: &target, inner, refused: 0 };
    store.receive(NAME, &target, 0, &mut reader).unwrap();
    assert!(reader.refused > 0);
    assert_eq!(store.read(target.hashes.sha256(), target.length).unwrap(), bytes);
}

#[test]
fn what_is_there_is_listed_and_goes() {
    let (bench, bytes) = (bench(), content());
    assert!(bench.store.members().unwrap().is_empty());
    let (whole, cut) = (target(b"whole"), target(&bytes));
    bench.store.receive(NAME, &whole, 0, &mut &b"whole"[..]).unwrap();
    bench.store.receive(NAME, &cut, 0, &mut &bytes[..=usize::try_from(PIECE).unwrap()]).unwrap_err();
    let members = bench.store.members().unwrap();
    assert_eq!(members[whole.hashes.sha256()], 5);
    assert_eq!(members[cut.hashes.sha256()], PIECE);
    for target in [&whole, &cut] {
        bench.store.discard(target.hashes.sha256()).unwrap();
        bench.store.discard(target.hashes.sha256()).unwrap();
    }
    assert!(bench.store.members().unwrap().is_empty());
}
