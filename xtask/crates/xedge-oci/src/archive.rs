//! One platform's image as a tar that is an OCI layout and a `docker load` archive at once. Constant memory, no clock.

use std::io::{self, Write};

use serde::Serialize;
use tar::Builder;
use xedge_model::{ImageName, Platform};

use crate::index::Index;
use crate::layout::{self, PlatformImage, marker, named};
use crate::manifest::to_json;
use crate::tarball::{self, Entry};
use crate::{Descriptor, Error, Layout};

/// An entry of Docker's `manifest.json`; the Engine up to 24 reads only this one.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoadEntry {
    config: String,
    repo_tags: [String; 1],
    layers: Vec<String>,
}

/// Writes the archive. Its layers stay compressed, its `index.json` names the platform's manifest, and its bytes depend
/// on the image and the name alone. Each blob is checked while it is copied: after an error the output is incomplete
/// and must be thrown away.
pub fn save(layout: &Layout, name: &ImageName, platform: Platform, writer: impl Write) -> Result<(), Error> {
    let entry = layout.image(name)?;
    let image = entry.platform(platform)?;
    write(layout, name, image, writer).map_err(|source| match source.downcast::<Error>() {
        Ok(own) => own,
        Err(source) => Error::Archive { image: name.clone(), source },
    })
}

fn write(layout: &Layout, name: &ImageName, image: &PlatformImage, writer: impl Write) -> io::Result<()> {
    let mut tar = Builder::new(writer);
    let mut file =
        |path: &str, bytes: &[u8]| tarball::append(&mut tar, &Entry::file(path, bytes.len() as u64), bytes);
    file("oci-layout", &marker())?;
    file("index.json", &to_json(&Index::new(vec![named(image.manifest().clone(), name)], [].into())))?;
    file("manifest.json", &to_json(&[load_entry(name, image)]))?;
    for folder in ["blobs/", "blobs/sha256/"] {
        tarball::append(&mut tar, &Entry::folder(folder), io::empty())?;
    }
    for blob in blobs_once(image) {
        let reader = layout.blobs().open_sized(blob).map_err(io::Error::other)?;
        tarball::append(&mut tar, &Entry::file(&blob_path(blob), reader.size()), reader)?;
    }
    tar.into_inner()?.flush()
}

fn load_entry(name: &ImageName, image: &PlatformImage) -> LoadEntry {
    LoadEntry {
        config: blob_path(image.config_blob()),
        repo_tags: [layout::reference(name)],
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
