//! The first difference by name.

use std::fs;
use std::io::Write;
use std::slice::from_ref;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::first_difference;
use crate::sample::{folder, path};
use crate::{Blobs, Node, Tree, write_layer};

fn layer(nodes: &[(&str, Node)]) -> Vec<u8> {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let mut tree = Tree::new();
    for (path, node) in nodes {
        tree.insert(path, node.clone()).unwrap();
    }
    let layer = write_layer(&tree, &blobs).unwrap();
    fs::read(blobs.path(&layer.descriptor.digest)).unwrap()
}

fn check(a: &[(&str, Node)], b: &[(&str, Node)], expected: &str) {
    assert_eq!(first_difference(&layer(a), &layer(b)).as_deref(), Some(expected));
}

fn file(text: &str) -> Node {
    Node::file(text.as_bytes(), 0o644)
}

#[test]
fn entry_and_field_are_named() {
    let (a, z) = (("/a", file("a")), ("/z", file("z")));
    check(&[a.clone(), z.clone()], &[a.clone(), ("/z", Node::file(*b"z", 0o600))], "`z`: mode 0644 and 0600");
    check(from_ref(&a), &[("/a", file("a").owned_by(7, 0))], "`a`: user 0 and 7");
    check(from_ref(&a), &[("/a", file("ab"))], "`a`: size 1 and 2");
    check(from_ref(&a), from_ref(&z), "`a`: path a and z");
    check(&[a.clone(), z.clone()], from_ref(&a), "`z`: in the first layer only");
    check(from_ref(&a), &[a.clone(), z], "`z`: in the second layer only");
    check(&[("/l", Node::symlink("x"))], &[("/l", Node::symlink("y"))], "`l`: link target x and y");
    let content = first_difference(&layer(&[("/a", file("a"))]), &layer(&[("/a", file("b"))])).unwrap();
    assert!(content.starts_with("`a`: content sha256:"), "{content}");
}

#[test]
fn equal_bytes_have_none() {
    let one = layer(&[("/a", file("a"))]);
    assert_eq!(first_difference(&one, &one), None);
}

#[test]
fn compression_is_told_apart_from_content() {
    let one = layer(&[("/a", file("a"))]);
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(one.as_slice()), &mut tar).unwrap();
    let mut other = GzEncoder::new(Vec::new(), Compression::none());
    other.write_all(&tar).unwrap();
    let text = first_difference(&one, &other.finish().unwrap()).unwrap();
    assert_eq!(text, "the compressed form only: the tar inside is the same");
}

#[test]
fn what_cannot_be_read_is_said() {
    let one = layer(&[("/a", file("a"))]);
    let text = first_difference(&one, &one[..one.len() - 20]).unwrap();
    assert!(text.starts_with("the second layer cannot be read: "), "{text}");
    assert!(first_difference(b"garbage", &one).unwrap().starts_with("the first layer cannot be read: "));
}
