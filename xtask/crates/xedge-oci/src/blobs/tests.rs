//! Blobs that are written once, and never believed unchecked.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use xedge_model::{Class, Digest, Failure};

use super::{Blobs, MAX_DOCUMENT};
use crate::sample::{folder, path};
use crate::{Descriptor, Error};

fn descriptor(bytes: &[u8]) -> Descriptor {
    Descriptor::of("text/plain", bytes)
}

/// A reader that fails after a few bytes.
struct Torn(bool);

impl Read for Torn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.0, true) {
            return Err(io::Error::other("the line was cut"));
        }
        buffer[..3].copy_from_slice(b"abc");
        Ok(3)
    }
}

#[test]
fn what_was_put_is_read_back() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let digest = blobs.put(b"hello").unwrap();
    assert_eq!(digest, Digest::of(b"hello"));
    assert_eq!(blobs.read(&descriptor(b"hello")).unwrap(), b"hello");
    blobs.verify(&descriptor(b"hello")).unwrap();
    let streamed = blobs.put_stream(&mut &b"streamed"[..]).unwrap();
    assert_eq!(streamed, (Digest::of(b"streamed"), 8));
    let mut listed = vec![(digest, 5), streamed];
    listed.sort();
    assert_eq!(blobs.list().unwrap(), listed);
}

#[test]
fn the_mode_does_not_depend_on_who_writes() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let digests = [blobs.put(b"a").unwrap(), blobs.put_stream(&mut &b"b"[..]).unwrap().0];
    for digest in digests {
        assert_eq!(fs::metadata(blobs.path(&digest)).unwrap().permissions().mode() & 0o7777, 0o644);
    }
}

#[test]
fn a_blob_that_is_there_is_not_written_again() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let digest = blobs.put(b"hello").unwrap();
    let inode = || fs::metadata(blobs.path(&digest)).unwrap().ino();
    let before = inode();
    blobs.put(b"hello").unwrap();
    blobs.put_stream(&mut &b"hello"[..]).unwrap();
    assert_eq!(inode(), before);
    fs::write(blobs.path(&digest), b"hell").unwrap();
    blobs.put(b"hello").unwrap();
    blobs.verify(&descriptor(b"hello")).unwrap();
}

#[test]
fn damage_is_an_integrity_error_that_names_blob_and_file() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let good = descriptor(b"hello");
    let file = blobs.path(&blobs.put(b"hello").unwrap());
    let check = |content: Option<&[u8]>| {
        match content {
            Some(content) => fs::write(&file, content).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        for error in [blobs.verify(&good).unwrap_err(), blobs.read(&good).unwrap_err()] {
            assert_eq!(error.class(), Class::Integrity);
            let text = error.to_string();
            assert!(text.contains(good.digest.as_str()) && text.contains(file.as_str()), "{text}");
            assert!(error.hint().unwrap().contains("cargo xtask build"));
        }
    };
    check(Some(b"hellO"));
    check(Some(b"hell"));
    check(Some(b"hello "));
    check(Some(b""));
    check(None);
}

#[test]
fn reading_through_ends_in_the_check() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let digest = blobs.put(b"hello").unwrap();
    fs::write(blobs.path(&digest), b"hullo").unwrap();
    let mut reader = blobs.open(&digest).unwrap();
    assert_eq!(reader.size(), 5);
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
    assert!(
        matches!(Error::from_io(path(&dir), error), Error::CorruptBlob { found, .. } if found == Digest::of(b"hullo"))
    );
}

#[test]
fn a_caller_that_knows_the_length_does_not_get_around_the_check() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let digest = blobs.put(b"hello").unwrap();
    fs::write(blobs.path(&digest), b"hullo").unwrap();
    let mut reader = blobs.open(&digest).unwrap();
    assert!(reader.read_exact(&mut [0; 5]).is_err());
    assert!(reader.read(&mut [0; 5]).is_err());
}

#[test]
fn what_is_appended_while_reading_is_not_handed_out() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let digest = blobs.put(b"hello").unwrap();
    let mut reader = blobs.open(&digest).unwrap();
    fs::write(blobs.path(&digest), b"hello and more").unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"hello");
}

#[test]
fn a_damaged_source_is_not_copied() {
    let (from, to) = (folder(), folder());
    let (from, to) = (Blobs::at(path(&from)), Blobs::at(path(&to)));
    let digest = from.put(b"hello").unwrap();
    fs::write(from.path(&digest), b"hullo").unwrap();
    let error = to.put_stream(&mut from.open(&digest).unwrap()).unwrap_err();
    assert_eq!(error.class(), Class::Integrity);
    assert!(to.list().unwrap().is_empty());
}

#[test]
fn an_unfinished_write_leaves_nothing() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let error = blobs.put_stream(&mut Torn(false)).unwrap_err();
    assert_eq!(error.class(), Class::Environment);
    assert_eq!(fs::read_dir(path(&dir).join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn documents_have_a_limit() {
    let dir = folder();
    let error =
        Blobs::at(path(&dir)).read(&Descriptor { size: MAX_DOCUMENT + 1, ..descriptor(b"") }).unwrap_err();
    assert!(matches!(error, Error::Inconsistent { .. }));
}
