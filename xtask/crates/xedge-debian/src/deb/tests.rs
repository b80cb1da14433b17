//! Packages that the tests build byte by byte, good and hostile; and one that dpkg-deb builds.

use std::io::Read;
use std::process::Command;

use tar::{EntryType, Header};
use xedge_model::{Class, Failure};

use super::{DataEntry, DebControl, Kind, read};
use crate::Error;

/// A tar with root folder, one folder and what `fill` adds.
fn tar(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    add(&mut builder, "./", EntryType::Directory, "", b"");
    fill(&mut builder);
    builder.into_inner().unwrap()
}

/// Adds an entry whose names are written as they are, hostile or not.
fn add(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: EntryType, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o10_4755);
    header.set_uid(7);
    header.set_gid(8);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn control() -> Vec<u8> {
    tar(|builder| {
        add(builder, "./postinst", EntryType::Regular, "", b"#!/bin/sh\n");
        add(builder, "./control", EntryType::Regular, "", b"Package: a\n");
        add(builder, "./md5sums", EntryType::Regular, "", b"00  usr/a\n");
    })
}

fn data() -> Vec<u8> {
    tar(|builder| {
        add(builder, "./usr/", EntryType::Directory, "", b"");
        add(builder, "./usr/a", EntryType::Regular, "", &[b'x'; 700]);
        add(builder, "./usr/b", EntryType::Symlink, "../usr/a", b"");
        add(builder, "./usr/c", EntryType::Link, "./usr/a", b"");
    })
}

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let size = content.len();
    let mut bytes =
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 1_700_000_000, 0, 0, 100_644).into_bytes();
    bytes.extend(content);
    if size % 2 == 1 {
        bytes.push(b'\n');
    }
    bytes
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let members = members.iter().flat_map(|(name, content)| member(name, content));
    b"!<arch>\n".iter().copied().chain(members).collect()
}

fn deb(control: &[u8], extension: &str, data: &[u8]) -> Vec<u8> {
    let name = format!("data.tar{extension}");
    ar(&[("debian-binary", b"2.0\n"), ("control.tar", control), (&name, data)])
}

fn describe(entry: DataEntry<'_>) -> String {
    let kind = match entry.kind {
        Kind::File { mode, size, reader } => {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            assert_eq!(content.len() as u64, size);
            format!("file {mode:o} {size}")
        }
        Kind::Dir { mode } => format!("dir {mode:o}"),
        Kind::Symlink(target) => format!("-> {target}"),
        Kind::Hardlink(target) => format!("= {target}"),
    };
    format!("{} {kind} {}:{}", entry.path, entry.uid, entry.gid)
}

fn list(bytes: &[u8]) -> Result<(DebControl, Vec<String>), Error> {
    let mut entries = Vec::new();
    let control = read("a.deb", bytes, |entry| {
        entries.push(describe(entry));
        Ok::<(), Error>(())
    })?;
    Ok((control, entries))
}

/// Also checks that a visitor that reads nothing is told, too.
fn refused(bytes: &[u8], problem: &str) {
    let error = read("a.deb", bytes, |_| Ok::<(), Error>(())).unwrap_err();
    assert_eq!(error.class(), Class::Integrity, "{error}");
    assert!(error.to_string().contains(problem), "{error}");
}

fn refused_entry(name: &str, kind: EntryType, link: &str, problem: &str) {
    let data = tar(|builder| {
        add(builder, "./file", EntryType::Regular, "", b"1");
        add(builder, "./link", EntryType::Symlink, "/etc", b"");
        add(builder, name, kind, link, b"");
    });
    refused(&deb(&control(), "", &data), problem);
}

fn compressed(extension: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match extension {
        ".gz" => {
            flate2::read::GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut out).unwrap()
        }
        ".xz" => liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut out).unwrap(),
        ".zst" => {
            out = zstd::encode_all(bytes, 1).unwrap();
            0
        }
        _ => unreachable!("no such extension in the tests"),
    };
    out
}

const EXPECTED: [&str; 4] =
    ["usr dir 4755 7:8", "usr/a file 4755 700 7:8", "usr/b -> ../usr/a 7:8", "usr/c = usr/a 7:8"];

#[test]
fn a_package_is_read_whole() {
    let (control, entries) = list(&deb(&control(), "", &data())).unwrap();
    assert_eq!(entries, EXPECTED);
    assert_eq!((control.control.as_str(), control.md5sums.as_deref()), ("Package: a\n", Some("00  usr/a\n")));
    assert_eq!((control.scripts, control.date_unix), (vec!["postinst".to_owned()], 1_700_000_000));
}

#[test]
fn each_compression_is_read_to_its_exact_end() {
    for extension in [".gz", ".xz", ".zst"] {
        let packed = compressed(extension, &data());
        assert_eq!(list(&deb(&control(), extension, &packed)).unwrap().1, EXPECTED, "{extension}");
        let longer: Vec<u8> = packed.iter().copied().chain(*b"more").collect();
        refused(&deb(&control(), extension, &longer), "data after the end");
        let twice: Vec<u8> = packed.iter().chain(&packed).copied().collect();
        refused(&deb(&control(), extension, &twice), "data after the end");
        for cut in [1, 5, packed.len() / 2, packed.len() - 1] {
            refused(&deb(&control(), extension, &packed[..packed.len() - cut]), "");
        }
    }
    refused(&deb(&control(), ".bz2", &data()), "`data.tar.bz2`");
    refused(&deb(&control(), ".xz", &data()), "");
}

#[test]
fn every_truncation_and_any_addition_is_refused() {
    let whole = deb(&control(), "", &data());
    for length in (0..whole.len()).step_by(97).chain(whole.len() - 1100..whole.len()) {
        refused(&whole[..length], "");
    }
    for more in [&b"\n"[..], b"\0", &member("_extra", b"")] {
        refused(&[&whole[..], more].concat(), "data after the last member");
    }
}

#[test]
fn a_visitor_never_takes_a_short_file_for_a_whole_one() {
    let whole = deb(&control(), "", &data());
    let content = whole.windows(8).position(|window| window == b"xxxxxxxx").unwrap();
    for length in [content, content + 1, content + 699] {
        let mut results = Vec::new();
        let error = read("a.deb", &whole[..length], |entry| {
            if let Kind::File { reader, .. } = entry.kind {
                results.push(reader.read_to_end(&mut Vec::new()).is_ok());
            }
            Ok::<(), Error>(())
        });
        assert!(error.is_err());
        assert_eq!(results, [false], "cut at {length}");
    }
}

#[test]
fn the_container_is_strict() {
    let (control, data) = (control(), data());
    let (version, control, data) =
        (("debian-binary", &b"2.0\n"[..]), ("control.tar", &control[..]), ("data.tar", &data[..]));
    list(&ar(&[version, control, data])).unwrap();
    list(&ar(&[("debian-binary/", version.1), ("control.tar/", control.1), ("data.tar/", data.1)])).unwrap();
    refused(&ar(&[control, version, data]), "the first member is `control.tar`");
    refused(&ar(&[version, data, control]), "`data.tar` stands where `control.tar` must be");
    refused(&ar(&[version, control, control]), "`control.tar` stands where `data.tar` must be");
    refused(&ar(&[("debian-binary", b"3.0\n"), control, data]), "the format `3.0` is not known");
    refused(&ar(&[("debian-binary", b"2.0\n0.939"), control, data]), "is not known");
    refused(b"not a package at all", "not a Debian package");
    let good = ar(&[version, control, data]);
    for (at, byte) in [(8 + 58, b'x'), (8 + 48, b'-'), (8 + 49, b'x'), (8 + 16, b' ' - 1), (8, 0xff)] {
        let mut bad = good.clone();
        bad[at] = byte;
        refused(&bad, "");
    }
}

#[test]
fn hostile_paths_are_refused() {
    for name in [
        "/etc/passwd",
        "../etc",
        "./../etc",
        "./usr/../../etc",
        "./usr/..",
        ".//etc",
        "./a/./b",
        "./a//b",
        "./.",
    ] {
        refused_entry(name, EntryType::Regular, "", "absolute or leads elsewhere");
    }
    refused_entry("./a\nb", EntryType::Regular, "", "is no name for a file");
    refused_entry("./a/", EntryType::Regular, "", "neither file");
    refused_entry("./", EntryType::Regular, "", "the root is not a folder");
    refused_entry("./file", EntryType::Regular, "", "is there twice");
    refused_entry("./link", EntryType::Directory, "", "is there twice");
    refused_entry("./link/passwd", EntryType::Regular, "", "lies below `link`");
    refused_entry("./file/x/y", EntryType::Directory, "", "lies below `file`");
}

#[test]
fn hostile_kinds_and_links_are_refused() {
    for kind in
        [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::Continuous, EntryType::new(b'Z')]
    {
        refused_entry("./dev", kind, "", "neither file, folder nor link");
    }
    refused_entry("./a", EntryType::Symlink, "", "links to nothing");
    refused_entry("./a", EntryType::Symlink, "x\ny", "is no name for a file");
    for target in ["/etc/passwd", "../etc/passwd"] {
        refused_entry("./a", EntryType::Link, target, "absolute or leads elsewhere");
    }
    for target in ["", "./missing", "./link", "./", "./a"] {
        refused_entry("./a", EntryType::Link, target, "");
    }
}

#[test]
fn a_name_with_a_nul_is_refused() {
    let long = format!("./{}\0{}", "a".repeat(80), "b".repeat(40));
    let data = tar(|builder| {
        add(builder, "././@LongLink", EntryType::GNULongName, "", format!("{long}\0").as_bytes());
        add(builder, "./short", EntryType::Regular, "", b"");
    });
    refused(&deb(&control(), "", &data), "is no name for a file");
}

#[test]
fn long_names_in_both_dialects_are_understood() {
    let long = format!("./usr/{}", "n".repeat(150));
    let gnu = tar(|builder| {
        add(builder, "././@LongLink", EntryType::GNULongName, "", format!("{long}\0").as_bytes());
        add(builder, "./short", EntryType::Regular, "", b"12");
    });
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", long.as_bytes())]).unwrap();
    add(&mut builder, "./short", EntryType::Regular, "", b"12");
    for data in [gnu, builder.into_inner().unwrap()] {
        let (_, entries) = list(&deb(&control(), "", &data)).unwrap();
        assert_eq!(entries, [format!("{} file 4755 2 7:8", &long[2..])]);
    }
}

#[test]
fn the_end_of_the_inner_archive_is_strict() {
    let whole = data();
    let end = whole.len() - 1024;
    refused(&deb(&control(), "", &whole[..end]), "cut off");
    refused(&deb(&control(), "", &whole[..end + 512]), "cut off");
    refused(&deb(&control(), "", &whole[..end - 100]), "");
    refused(&deb(&control(), "", &[&whole[..], &whole[..]].concat()), "data after the end of the archive");
    let padded = [&whole[..], &[0; 9 * 512]].concat();
    assert_eq!(list(&deb(&control(), "", &padded)).unwrap().1, EXPECTED);
}

#[test]
fn sizes_that_lie_are_refused() {
    let mut huge = control();
    let header = Header::from_byte_slice(&huge[512..1024]).clone();
    let mut header = header;
    header.set_size(1 << 40);
    header.set_cksum();
    huge[512..1024].copy_from_slice(header.as_bytes());
    refused(&deb(&huge, "", &data()), "");
    let bomb = compressed(".zst", &vec![0; 65 << 20]);
    let package = ar(&[("debian-binary", b"2.0\n"), ("control.tar.zst", &bomb), ("data.tar", &data())]);
    refused(&package, "too large");
}

#[test]
fn a_package_without_control_file_is_refused() {
    refused(&deb(&tar(|_| ()), "", &data()), "no control file");
}

#[test]
fn the_visitors_error_comes_through() {
    let stop = || Error::StaleOmission { name: "x".into() };
    let error = read("a.deb", &deb(&control(), "", &data())[..], |_| Err(stop())).unwrap_err();
    assert!(matches!(error, Error::StaleOmission { .. }), "{error}");
}

#[test]
fn what_dpkg_deb_builds_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("DEBIAN")).unwrap();
    std::fs::create_dir_all(root.join("usr/share")).unwrap();
    let control =
        "Package: xedge-test\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n";
    std::fs::write(root.join("DEBIAN/control"), control).unwrap();
    std::fs::write(root.join("usr/share/ő"), "content").unwrap();
    for compression in ["none", "gzip", "xz", "zstd"] {
        let package = folder.path().join("test.deb");
        let output = Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Z", compression, "-b"])
            .args([&root, &package])
            .output()
            .expect("this test reads what the real dpkg-deb builds: install the package `dpkg`");
        assert!(output.status.success(), "{compression}: {}", String::from_utf8_lossy(&output.stderr));
        let (found, entries) = list(&std::fs::read(&package).unwrap()).unwrap();
        assert_eq!(found.control, control);
        let names: Vec<_> = entries.iter().map(|entry| entry.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["usr", "usr/share", "usr/share/ő"], "{compression}");
    }
}
