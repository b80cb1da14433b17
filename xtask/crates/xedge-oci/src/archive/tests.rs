//! Archives: deterministic, complete, and stopped by damage.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};

use xedge_model::{Class, Digest, Failure, Platform};

use super::{Tag, save};
use crate::index::Index;
use crate::sample::{folder, layout, name, path};
use crate::{Error, Layout};

fn archive(layout: &Layout, platform: Platform) -> Vec<u8> {
    let mut bytes = Vec::new();
    let entry = layout.image(&name("xedgesim/sample")).unwrap();
    save(layout, &entry, platform, Tag::Latest, &mut bytes).unwrap();
    bytes
}

fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), content)
    };
    tar::Archive::new(archive).entries().unwrap().map(read).collect()
}

#[test]
fn the_same_image_is_the_same_archive() {
    let (a, b) = (folder(), folder());
    let a = archive(&layout(&a), Platform::LinuxAmd64);
    assert_eq!(a, archive(&layout(&b), Platform::LinuxAmd64));
}

#[test]
fn it_holds_one_platform_and_nothing_else() {
    let dir = folder();
    let layout = layout(&dir);
    let image = layout.image(&name("xedgesim/sample")).unwrap();
    let arm64 = image.platform(Platform::LinuxArm64).unwrap();
    let files = files(&archive(&layout, Platform::LinuxArm64));
    let hashed =
        files.iter().filter_map(|(path, content)| Some((path.strip_prefix("blobs/sha256/")?, content)));
    for (hex, content) in hashed.filter(|(hex, _)| !hex.is_empty()) {
        assert_eq!(hex, Digest::of(content).hex());
    }
    assert_eq!(files.len(), 3 + 2 + 3);
    let [config, layer] = [arm64.config_blob(), &arm64.layers()[0]].map(|blob| blob.digest.hex());
    let expected = format!(
        r#"[{{"Config":"blobs/sha256/{config}","RepoTags":["xedgesim/sample:latest"],"Layers":["blobs/sha256/{layer}"]}}]"#
    );
    assert_eq!(String::from_utf8_lossy(&files["manifest.json"]), expected);
    let index: Index = serde_json::from_slice(&files["index.json"]).unwrap();
    assert_eq!(index.manifests[0].digest, arm64.manifest().digest);
    assert_eq!(index.manifests[0].annotations["org.opencontainers.image.ref.name"], "xedgesim/sample:latest");
}

#[test]
fn without_a_tag_nothing_is_named() {
    let dir = folder();
    let layout = layout(&dir);
    let entry = layout.image(&name("xedgesim/sample")).unwrap();
    let mut bytes = Vec::new();
    save(&layout, &entry, Platform::LinuxAmd64, Tag::None, &mut bytes).unwrap();
    let files = files(&bytes);
    assert!(String::from_utf8_lossy(&files["manifest.json"]).contains(r#""RepoTags":null"#));
    let index: Index = serde_json::from_slice(&files["index.json"]).unwrap();
    assert!(index.manifests[0].annotations.is_empty());
}

#[test]
fn unpacked_it_is_a_layout() {
    let (from, to) = (folder(), folder());
    let archive = archive(&layout(&from), Platform::LinuxAmd64);
    tar::Archive::new(archive.as_slice()).unpack(path(&to)).unwrap();
    let layout = Layout::open(path(&to)).unwrap();
    assert_eq!(layout.verify_image(&name("xedgesim/sample")).unwrap().blobs, 3);
    assert!(layout.image(&name("xedgesim/sample")).unwrap().platform(Platform::LinuxAmd64).is_ok());
}

#[test]
fn damage_stops_it() {
    let dir = folder();
    let layout = layout(&dir);
    let image = layout.image(&name("xedgesim/sample")).unwrap();
    let layer = &image.platform(Platform::LinuxAmd64).unwrap().layers()[0];
    let file = layout.blobs().path(&layer.digest);
    let mut bytes = fs::read(&file).unwrap();
    bytes[30] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = save(&layout, &image, Platform::LinuxAmd64, Tag::Latest, io::sink()).unwrap_err();
    assert_eq!(error.class(), Class::Integrity);
    assert!(error.to_string().contains(layer.digest.as_str()), "{error}");
}

/// A pipe whose reader went away.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_an_error_of_the_environment() {
    let dir = folder();
    let layout = layout(&dir);
    let entry = layout.image(&name("xedgesim/sample")).unwrap();
    let error = save(&layout, &entry, Platform::LinuxAmd64, Tag::Latest, Closed).unwrap_err();
    assert!(matches!(error, Error::Archive { .. }));
    assert_eq!(error.class(), Class::Environment);
}
