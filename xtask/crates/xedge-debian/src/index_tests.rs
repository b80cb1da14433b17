//! Packages files, whole and broken.

use std::io::Read;

use xedge_model::lock::LockedPackage;
use xedge_model::{Class, Failure};

use super::{PackageEntry, Universe, read_packages};
use crate::Error;

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn stanza(name: &str, version: &str, more: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: arm64\nFilename: pool/{name}.deb\nSize: 10\n\
         SHA256: {HASH}\n{more}\n"
    )
}

fn read(path: &str, bytes: &[u8]) -> Result<Vec<PackageEntry>, Error> {
    let mut entries = Vec::new();
    read_packages(path, bytes, "bookworm", |entry| entries.push(entry))?;
    Ok(entries)
}

#[test]
fn entries_become_locked_packages() {
    let text =
        stanza("libc6", "2.36-9+b1", "Source: glibc (2.36-9)\nDepends: libgcc-s1\nPre-Depends: x (>= 1)\n");
    let entries = read("Packages", text.as_bytes()).unwrap();
    let depends: Vec<_> = entries[0].depends("arm64").unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(depends, ["x (>= 1)", "libgcc-s1"]);
    let locked = LockedPackage::from(&entries[0]);
    assert_eq!((locked.source.as_str(), locked.source_version.as_str()), ("glibc", "2.36-9"));
    assert_eq!((locked.version.as_str(), locked.size, locked.sha256.hex()), ("2.36-9+b1", 10, HASH));
    assert_eq!((locked.filename.as_str(), locked.pocket.as_str()), ("pool/libc6.deb", "bookworm"));
}

#[test]
fn the_source_defaults_to_the_package() {
    let text = stanza("a", "1", "") + &stanza("b", "2", "Source: base\n");
    let sources: Vec<_> = read("Packages", text.as_bytes())
        .unwrap()
        .into_iter()
        .map(|e| (e.source, e.source_version))
        .collect();
    assert_eq!(sources, [("a".into(), "1".into()), ("base".into(), "2".into())]);
}

#[test]
fn the_extension_says_how_to_decompress() {
    let plain = stanza("a", "1", "");
    let (mut xz, mut gz) = (Vec::new(), Vec::new());
    liblzma::read::XzEncoder::new(plain.as_bytes(), 1).read_to_end(&mut xz).unwrap();
    flate2::read::GzEncoder::new(plain.as_bytes(), flate2::Compression::fast()).read_to_end(&mut gz).unwrap();
    for (path, bytes) in
        [("a/Packages.xz", &xz), ("a/Packages.gz", &gz), ("a.b/Packages", &plain.into_bytes())]
    {
        assert_eq!(read(path, bytes).unwrap()[0].name, "a", "{path}");
    }
    for cut in [&xz[..xz.len() - 20], &xz[..20], b"not xz at all"] {
        assert_eq!(read("Packages.xz", cut).unwrap_err().class(), Class::Integrity);
    }
}

#[test]
fn broken_entries_are_integrity_errors() {
    for (from, to) in [
        ("Package: a\n", ""),
        ("Version: 1\n", ""),
        ("Version: 1\n", "Version: 1_2\n"),
        ("Size: 10", "Size: -1"),
        ("SHA256: e3", "SHA256: E3"),
        ("SHA256", "SHA1"),
        ("pool/a.deb", "../a.deb"),
        ("pool/a.deb", "/pool/a.deb"),
        ("pool/a.deb", "pool//a.deb"),
        ("pool/a.deb", "pool/a.deb?x"),
    ] {
        let text = stanza("a", "1", "");
        assert!(text.contains(from), "{from}");
        let error = read("Packages", text.replace(from, to).as_bytes()).unwrap_err();
        assert_eq!(error.class(), Class::Integrity, "{to}: {error}");
    }
    let entries = read("Packages", stanza("a", "1", "Depends: b (1)\n").as_bytes()).unwrap();
    assert_eq!(entries[0].depends("arm64").unwrap_err().class(), Class::Integrity);
}

#[test]
fn the_newest_candidate_wins_and_other_architectures_do_not_count() {
    let text = stanza("a", "1.10", "") + &stanza("a", "1.9", "") + &stanza("a", "1.10-0", "");
    let foreign = stanza("a", "3", "").replace("arm64", "amd64");
    let common = stanza("b", "3", "").replace("arm64", "all");
    let mut universe = Universe::new("arm64");
    for entry in read("Packages", format!("{text}{foreign}{common}").as_bytes()).unwrap() {
        universe.add(entry);
    }
    let found: Vec<_> = universe.iter().map(|e| format!("{} {}", e.name, e.version)).collect();
    assert_eq!(found, ["a 1.10", "b 3"]);
}
