//! One platform's image as a tar that is an OCI layout and a `docker load` archive at once. Constant memory, no clock.

use std::io::{self, Write};

use serde::Serialize;
use tar::Builder;
use xedge_model::Platform;

use crate::index::Index;
use crate::layout::{self, ImageEntry, PlatformImage, marker, named};
use crate::manifest::to_json;
use crate::tarball::{self, Entry};
use crate::{Descriptor, Error, Layout};

/// An entry of Docker's `manifest.json`; the Engine up to 24 reads only this one.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoadEntry {
    config: String,
    repo_tags: Option<[String; 1]>,
    layers: Vec<String>,
}

/// Whether whoever loads an archive gets a name for the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `NAME:latest`, which then no longer names what it named before.
    Latest,
    /// None: the image is found by its digest only.
    None,
}

/// Writes the archive. Its layers stay compressed, its `index.json` names the platform's manifest, and its bytes depend
/// on the image and the name alone. Each blob is checked while it is copied: after an error the output is incomplete
/// and must be thrown away.
pub fn save(
    layout: &Layout,
    entry: &ImageEntry,
    platform: Platform,
    tag: Tag,
    writer: impl Write,
) -> Result<(), Error> {
    let image = entry.platform(platform)?;
    write(layout, entry, image, tag, writer).map_err(|source| match source.downcast::<Error>() {
        Ok(own) => own,
        Err(source) => Error::Archive { image: entry.name().clone(), source },
    })
}

fn write(
    layout: &Layout,
    entry: &ImageEntry,
    image: &PlatformImage,
    tag: Tag,
    writer: impl Write,
) -> io::Result<()> {
    let mut tar = Builder::new(writer);
    let mut file =
        |path: &str, bytes: &[u8]| tarball::append(&mut tar, &Entry::file(path, bytes.len() as u64), bytes);
    file("oci-layout", &marker())?;
    let manifest = match tag {
        Tag::Latest => named(image.manifest().clone(), entry.name()),
        Tag::None => image.manifest().clone(),
    };
    file("index.json", &to_json(&Index::new(vec![manifest], [].into())))?;
    file("manifest.json", &to_json(&[load_entry(entry, image, tag)]))?;
    for folder in ["blobs/", "blobs/sha256/"] {
        tarball::append(&mut tar, &Entry::folder(folder), io::empty())?;
    }
    for blob in blobs_once(image) {
        let reader = layout.blobs().open_sized(blob).map_err(io::Error::other)?;
        tarball::append(&mut tar, &Entry::file(&blob_path(blob), reader.size()), reader)?;
    }
    tar.into_inner()?.flush()
}

fn load_entry(entry: &ImageEntry, image: &PlatformImage, tag: Tag) -> LoadEntry {
    LoadEntry {
        config: blob_path(image.config_blob()),
        repo_tags: (tag == Tag::Latest).then(|| [layout::reference(entry.name())]),
        layers: image.layers().iter().map(blob_path).collect(),
    }
}

/// Manifest, config and layers in this order; a layer that occurs twice is written once.
fn blobs_once(image: &PlatformImage) -> Vec<&Descriptor> {
    let mut once: Vec<&Descriptor> = Vec::new();
    for blob in [image.manifest(), image.config_blob()].into_iter().chain(image.layers()) {
        if once.iter().all(|known| known.digest != blob.digest) {
            once.push(blob);
        }
    }
    once
}

fn blob_path(blob: &Descriptor) -> String {
    format!("blobs/sha256/{}", blob.digest.hex())
}

#[cfg(test)]
mod tests;
