//! A real `InRelease` file, whole and changed, against the real gpgv; and hand-made Release texts.
//!
//! The real file is signed by keys that live until 2031 (one of the two is not in the keyring): renew both then.

use camino::Utf8Path;
use xedge_model::{Class, Failure};

use super::{Release, gpgv, verify_inrelease};
use crate::{Error, suite};

const REAL: &str = include_str!("../../testdata/bookworm-security.InRelease");
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn verify(text: &str) -> Result<Release, Error> {
    let folder = scratch();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    let result = verify_inrelease(text.as_bytes(), suite::keyring("bookworm").unwrap(), path);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files are left behind");
    result
}

fn refused(text: &str) {
    let error = verify(text).unwrap_err();
    assert!(matches!(error, Error::Signature { .. }), "{error}");
    assert_eq!(error.class(), Class::Integrity);
}

#[test]
fn a_real_file_with_one_unknown_signature_is_accepted() {
    let release = verify(REAL).unwrap();
    assert_eq!((release.suite(), release.codename()), ("oldstable-security", "bookworm-security"));
    assert_eq!((release.date_unix(), release.valid_until()), (1_795_222_382, Some(1_795_827_182)));
    let index = release.require_index_file("main", "arm64").unwrap();
    assert_eq!(index.path, "main/binary-arm64/Packages.xz");
    assert!(index.by_hash_path.unwrap().ends_with(index.sha256.hex()));
    assert!(index.size > 100_000);
    assert!(release.index_file("main", "vax").is_none());
}

#[test]
fn a_changed_byte_is_refused() {
    refused(&REAL.replacen("bookworm-security", "bookworm-securitx", 1));
    refused(&REAL.replacen("Valid-Until: Sat, 28 Nov 2026", "Valid-Until: Sat, 28 Nov 2036", 1));
    let signature = REAL.find("-----BEGIN PGP SIGNATURE-----").unwrap();
    let (text, armour) = REAL.split_at(signature);
    refused(&format!("{text}{}", armour.replacen('A', "B", 1)));
    // The signature by the key that is known is the last one.
    let end = armour.rfind("\n=").unwrap();
    let last = armour[..end].rfind('A').unwrap();
    refused(&format!("{text}{}B{}", &armour[..last], &armour[last + 1..]));
    refused(&REAL[..REAL.len() / 2]);
    refused(&REAL[..REAL.len() - 1 - "-----END PGP SIGNATURE-----".len()]);
    refused(text);
    refused("");
}

#[test]
fn nothing_may_stand_around_or_beside_the_signed_text() {
    refused(&format!("Codename: evil\n\n{REAL}"));
    refused(&format!("{REAL}Codename: evil\n"));
    refused(&format!("{REAL}{REAL}"));
    refused(&REAL.replacen("Hash: SHA256\n", "Hash: SHA256\nCodename: evil\n", 1));
}

#[test]
fn keys_that_are_not_given_do_not_count() {
    let folder = scratch();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    for keyring in [&b""[..], b"not a keyring"] {
        let error = verify_inrelease(REAL.as_bytes(), keyring, path).unwrap_err();
        assert!(matches!(error, Error::Signature { .. }), "{error}");
    }
}

#[test]
fn a_missing_gpgv_is_the_machines_fault() {
    let folder = scratch();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    let error = gpgv::signed_text("xedge-no-such-gpgv", REAL.as_bytes(), b"", path).unwrap_err();
    assert_eq!(error.class(), Class::Environment);
    assert!(error.hint().unwrap().ends_with("`cargo xtask setup`"));
}

fn text(more: &str) -> String {
    format!("Suite: stable\nCodename: bookworm\nDate: Sat, 21 Nov 2026 00:53:02 UTC\n{more}SHA256:\n")
}

#[test]
fn the_suite_and_the_age_are_checked() {
    let now = 1_795_222_382;
    let release = Release::parse(text("Valid-Until: Sat, 21 Nov 2026 00:53:02 UTC\n").as_bytes()).unwrap();
    release.check("bookworm", now, true).unwrap();
    release.check("bookworm", now + 1, false).unwrap();
    let expired = release.check("bookworm", now + 1, true).unwrap_err();
    assert_eq!(expired.class(), Class::Integrity);
    assert!(expired.hint().unwrap().contains("Acquire::Check-Valid-Until"));
    let wrong = release.check("bookworm-security", now, false).unwrap_err();
    assert!(matches!(&wrong, Error::WrongSuite { found, .. } if found == "bookworm"), "{wrong}");
    Release::parse(text("").as_bytes()).unwrap().check("bookworm", i64::MAX, true).unwrap();
}

#[test]
fn the_better_compression_is_preferred() {
    let index = |lines: &str| {
        let text = text("Acquire-By-Hash: no\n") + lines;
        Release::parse(text.as_bytes()).unwrap().index_file("main", "arm64")
    };
    let line = |extension: &str, size| format!(" {EMPTY} {size} main/binary-arm64/Packages{extension}\n");
    let both = index(&(line(".gz", 1) + &line(".xz", 2))).unwrap();
    assert_eq!(
        (both.path.as_str(), both.size, both.by_hash_path),
        ("main/binary-arm64/Packages.xz", 2, None)
    );
    assert_eq!(index(&line(".gz", 1)).unwrap().size, 1);
    assert!(index(&line("", 1)).is_none());
}

#[test]
fn broken_texts_are_refused() {
    let file = format!(" {EMPTY} 1 a\n");
    for broken in [
        String::new(),
        text("").replace("Codename", "Nickname"),
        text("").replace("21 Nov", "21 Nox"),
        text("Valid-Until: soon\n"),
        text("").replace("SHA256", "SHA1"),
        text("Codename: trixie\n"),
        text("") + &file + &file,
        text("") + &file.replace(" 1 ", " -1 "),
        text("") + &file.replace("e3b", "E3B"),
        text("") + &file.replace(" a", ""),
        text("") + "\nCodename: second\n",
    ] {
        let error = Release::parse(broken.as_bytes()).unwrap_err();
        assert_eq!(error.class(), Class::Integrity, "{broken}");
    }
}
