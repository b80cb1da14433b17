//! A small image for tests. Not part of the library.

use camino::Utf8Path;
use tempfile::TempDir;
use xedge_model::image::RunConfig;
use xedge_model::{ImageName, Platform};

use crate::config::History;
use crate::index::write_index;
use crate::manifest::{Notes, PlatformParts, write_platform};
use crate::{Descriptor, Error, Layout, Node, Tree, write_layer};

pub(crate) const CREATED: &str = "2024-01-01T00:00:00Z";

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn path(dir: &TempDir) -> &Utf8Path {
    Utf8Path::from_path(dir.path()).unwrap()
}

pub(crate) fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

pub(crate) fn tree(word: &str) -> Tree {
    let mut tree = Tree::new();
    tree.insert("/etc/word", Node::file(word.as_bytes(), 0o644)).unwrap();
    tree.insert("/usr/bin/tool", Node::file(*b"\x7fELF", 0o4755)).unwrap();
    tree.insert("/bin", Node::symlink("usr/bin")).unwrap();
    tree.insert("/data", Node::dir(0o700).owned_by(1883, 1883)).unwrap();
    tree
}

/// Writes an image for both platforms, in the order given, and returns its index.
pub(crate) fn write_image(layout: &Layout, platforms: &[Platform], word: &str) -> Result<Descriptor, Error> {
    let notes = Notes { title: "sample".into(), created: CREATED.into(), base: None };
    let run = RunConfig { entrypoint: vec!["/usr/bin/tool".into()], ..RunConfig::default() };
    let mut manifests = Vec::new();
    for platform in platforms {
        let layer = write_layer(&tree(&format!("{word} {platform}")), layout.blobs())?;
        let history = [History::step(CREATED, "xedge: files")];
        let parts = PlatformParts {
            platform: *platform,
            run: &run,
            layers: &[layer],
            history: &history,
            notes: &notes,
        };
        manifests.push(write_platform(layout.blobs(), &parts)?);
    }
    write_index(layout.blobs(), manifests, &notes)
}

/// A layout with one image, `xedgesim/sample`.
pub(crate) fn layout(dir: &TempDir) -> Layout {
    let layout = Layout::open_or_create(path(dir)).unwrap();
    let index = write_image(&layout, &Platform::USUAL, "hello").unwrap();
    layout.set_image(&name("xedgesim/sample"), index).unwrap();
    layout
}
