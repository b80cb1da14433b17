//! The bytes of layers: the same everywhere, and what other tools read out of them.

use std::fs::File;
use std::io::{Read, Write};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use xedge_model::Digest;

use super::{LEVEL, Layer, write_layer};
use crate::sample::{folder, path, tree};
use crate::{Blobs, Error, Node, Tree};

/// The uncompressed tar.
fn tar_of(blobs: &Blobs, layer: &Layer) -> Vec<u8> {
    let mut tar = Vec::new();
    let file = File::open(blobs.path(&layer.descriptor.digest)).unwrap();
    GzDecoder::new(file).read_to_end(&mut tar).unwrap();
    tar
}

/// Path, type, mode, link target and content of each entry.
fn entries(tar: &[u8]) -> Vec<(String, tar::EntryType, u32, String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let link = String::from_utf8(entry.link_name_bytes().unwrap_or_default().into_owned()).unwrap();
        let (kind, mode) = (entry.header().entry_type(), entry.header().mode().unwrap());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, kind, mode, link, content)
    };
    archive.entries().unwrap().map(read).collect()
}

fn layer_of(tree: &Tree) -> (Layer, Vec<u8>) {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let layer = write_layer(tree, &blobs).unwrap();
    blobs.verify(&layer.descriptor).unwrap();
    let tar = tar_of(&blobs, &layer);
    (layer, tar)
}

#[test]
fn the_same_tree_is_the_same_layer_everywhere() {
    let (first, tar) = layer_of(&tree("hello"));
    let (second, _) = layer_of(&tree("hello"));
    assert_eq!(first, second);
    assert_eq!(Digest::of(&tar), first.diff_id);
    assert_ne!(first.diff_id, layer_of(&tree("hallo")).0.diff_id);
}

#[test]
fn the_order_of_insertion_does_not_matter() {
    let nodes = [("/b", "1"), ("/a/z", "2"), ("/a/b", "3"), ("/a-b", "4")];
    let build = |order: &[usize]| {
        let mut tree = Tree::new();
        for index in order {
            let (path, text) = nodes[*index];
            tree.insert(path, Node::file(text.as_bytes(), 0o644)).unwrap();
        }
        layer_of(&tree).0
    };
    assert_eq!(build(&[0, 1, 2, 3]), build(&[3, 2, 1, 0]));
}

/// A change of these two digests changes every digest of every image: say so in the changelog.
#[test]
fn golden_digests() {
    let (layer, _) = layer_of(&tree("hello"));
    assert_eq!(
        layer.diff_id.as_str(),
        "sha256:41ba195337fa0975e8084c0b599bb8f258e4f2a4b276fbeb97bb15f0b2d7b7d6"
    );
    assert_eq!(
        layer.descriptor.digest.as_str(),
        "sha256:8cf4a6e9694135c7d31cbf3dd76f71cbd0ef05c6598b04bafc1297d8696a338f"
    );
}

#[test]
fn nothing_of_the_machine_is_in_the_headers() {
    let (_, tar) = layer_of(&tree("hello"));
    let mut archive = tar::Archive::new(tar.as_slice());
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(header.mtime().unwrap(), 0);
        assert_eq!(header.username_bytes().unwrap(), b"");
        assert_eq!(header.groupname_bytes().unwrap(), b"");
        let owner = if entry.path_bytes().starts_with(b"data") { 1883 } else { 0 };
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (owner, owner));
    }
    assert_eq!(tar.len() % 512, 0);
    assert!(tar.ends_with(&[0; 1024]));
}

#[test]
fn the_gzip_header_is_fixed() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let layer = write_layer(&tree("hello"), &blobs).unwrap();
    let bytes = std::fs::read(blobs.path(&layer.descriptor.digest)).unwrap();
    // Magic, deflate, no flags, time 0; the level's own byte; unknown system.
    assert_eq!(bytes[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[9], 255);
}

#[test]
fn entries_come_sorted_with_parents_first() {
    let (_, tar) = layer_of(&tree("hello"));
    let names: Vec<_> = entries(&tar).into_iter().map(|entry| (entry.0, entry.2)).collect();
    let expected = [
        ("bin", 0o777),
        ("data/", 0o700),
        ("etc/", 0o755),
        ("etc/word", 0o644),
        ("usr/", 0o755),
        ("usr/bin/", 0o755),
        ("usr/bin/tool", 0o4755),
    ];
    assert_eq!(names, expected.map(|(name, mode)| (name.to_owned(), mode)));
}

#[test]
fn long_and_foreign_names_survive() {
    let long = format!("/{}/{}", "d".repeat(120), "f".repeat(200));
    let exact = format!("/{}", "e".repeat(100));
    let names = [long.as_str(), exact.as_str(), "/größe/ключ", "/tab\tand\nline"];
    let mut tree = Tree::new();
    for name in names {
        tree.insert(name, Node::file(name.as_bytes(), 0o600)).unwrap();
    }
    let target = format!("../{}", "t".repeat(150));
    tree.insert("/link", Node::symlink(&target)).unwrap();
    tree.insert("/z-hard", Node::hardlink(&long)).unwrap();
    tree.insert("/owner", Node::file(*b"", 0o600).owned_by(u32::MAX, 2_097_152)).unwrap();
    let (_, tar) = layer_of(&tree);
    let found = entries(&tar);
    for name in names {
        let entry = found.iter().find(|entry| entry.0 == name[1..]).unwrap();
        assert_eq!(entry.4, name.as_bytes());
    }
    assert_eq!(found.iter().find(|entry| entry.0 == "link").unwrap().3, target);
    assert_eq!(found.iter().find(|entry| entry.0 == "z-hard").unwrap().3, long[1..]);
    let pax = tar::Archive::new(tar.as_slice()).entries().unwrap().find_map(|entry| {
        let mut entry = entry.unwrap();
        let is_owner = entry.path_bytes().as_ref() == b"owner";
        is_owner.then(|| {
            let records = entry.pax_extensions().unwrap().unwrap();
            records
                .map(|r| r.unwrap())
                .map(|r| format!("{}={}", r.key().unwrap(), r.value().unwrap()))
                .collect()
        })
    });
    assert_eq!(pax, Some(vec!["uid=4294967295".to_owned(), "gid=2097152".to_owned()]));
}

#[test]
fn a_hard_link_follows_its_file() {
    let mut tree = Tree::new();
    tree.insert("/m", Node::file(*b"content", 0o4711).owned_by(5, 6)).unwrap();
    tree.insert("/a", Node::hardlink("/z")).unwrap();
    tree.insert("/z", Node::hardlink("/m")).unwrap();
    let (_, tar) = layer_of(&tree);
    let found = entries(&tar);
    let content = |bytes: &[u8]| bytes.to_vec();
    let expected = [
        ("a".to_owned(), tar::EntryType::Regular, 0o4711, String::new(), content(b"content")),
        ("m".to_owned(), tar::EntryType::Link, 0o4711, "a".to_owned(), content(b"")),
        ("z".to_owned(), tar::EntryType::Link, 0o4711, "a".to_owned(), content(b"")),
    ];
    assert_eq!(found, expected);
}

#[test]
fn hard_links_to_nothing_or_in_circles_are_refused() {
    let refused = |nodes: &[(&str, Node)]| {
        let mut tree = Tree::new();
        for (path, node) in nodes {
            tree.insert(path, node.clone()).unwrap();
        }
        let dir = folder();
        let error = write_layer(&tree, &Blobs::at(path(&dir))).unwrap_err();
        assert!(matches!(error, Error::DanglingLink { .. }), "{error}");
    };
    refused(&[("/a", Node::hardlink("/gone"))]);
    refused(&[("/a", Node::hardlink("/b")), ("/b", Node::hardlink("/a"))]);
    refused(&[("/a", Node::hardlink("/d")), ("/d", Node::dir(0o755))]);
    refused(&[("/a", Node::hardlink("/l")), ("/l", Node::symlink("x"))]);
}

#[test]
fn an_empty_tree_is_a_layer_too() {
    let (layer, tar) = layer_of(&Tree::new());
    assert_eq!(tar, [0; 1024]);
    assert_eq!(layer.diff_id, Digest::of(&[0; 1024]));
}

/// The compressed bytes must not depend on how the tar happens to be cut into writes.
#[test]
fn compression_does_not_see_the_size_of_writes() {
    let data: Vec<u8> =
        (0..400_000_u32).flat_map(|n| (n.wrapping_mul(n) >> (n % 13)).to_le_bytes()).collect();
    let compressed = |cut: usize| {
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::new(LEVEL));
        data.chunks(cut).for_each(|chunk| gzip.write_all(chunk).unwrap());
        Digest::of(&gzip.finish().unwrap())
    };
    let whole = compressed(data.len());
    for cut in [511, 512, 8_192, 65_536, 1_000_003] {
        assert_eq!(compressed(cut), whole, "{cut}");
    }
}
