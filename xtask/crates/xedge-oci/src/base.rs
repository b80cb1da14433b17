//! Existing images as the base of others: documents checked, layers read through once, config merged. No layer is ever
//! packed again, and nothing of one is written to a file system.

mod compare;
mod document;
mod merge;
mod packages;
mod rootfs;
mod scan;

use xedge_model::Digest;

use crate::config::{History, ImageConfig, RootFs as LayerList};
use crate::descriptor::{
    CONFIG, DOCKER_LAYER, DOCKER_PLAIN_LAYER, LAYER, MANIFEST, OciPlatform, PLAIN_LAYER,
};
use crate::layout::PlatformImage;
use crate::manifest::{PlatformParts, image_manifest, to_json};
use crate::{Blobs, Descriptor, Error};

pub use compare::{Look, changes};
pub use document::{Document, Manifest, Named, document};
pub use merge::merged;
pub use packages::{Contents, contents};
pub use rootfs::RootFs;

/// Reads every layer of a base through: each one must have the digest that the config says of its content, and names that
/// stay inside. What remains after all layers is the file system that a container sees.
pub fn root_fs(blobs: &Blobs, base: &PlatformImage) -> Result<RootFs, Error> {
    read_layers(blobs, base.layers(), base.diff_ids())
}

fn read_layers(blobs: &Blobs, layers: &[Descriptor], diff_ids: &[Digest]) -> Result<RootFs, Error> {
    let mut all = RootFs::default();
    for (layer, expected) in layers.iter().zip(diff_ids) {
        let scanned = scan::scan(blobs, layer)?;
        if scanned.diff_id != *expected {
            return Err(Error::LyingLayer {
                layer: layer.digest.clone(),
                expected: expected.clone(),
                found: scanned.diff_id,
            });
        }
        all.apply(scanned);
    }
    Ok(all)
}

/// Writes config and manifest of an image that stands on a base; returns the manifest's descriptor with its platform.
/// The base's layers are named as they are, only in OCI's words where they were in Docker's.
pub fn write_on_top(
    blobs: &Blobs,
    base: &PlatformImage,
    parts: &PlatformParts<'_>,
) -> Result<Descriptor, Error> {
    let config = to_json(&config_on_top(base.config(), parts));
    blobs.put(&config)?;
    let own = parts.layers.iter().map(|layer| layer.descriptor.clone());
    let layers = base.layers().iter().map(in_oci_words).chain(own).collect();
    let manifest = image_manifest(Descriptor::of(CONFIG, &config), layers, parts.notes);
    blobs.put(&manifest)?;
    let platform = Some(OciPlatform::from(parts.platform));
    Ok(Descriptor { platform, ..Descriptor::of(MANIFEST, &manifest) })
}

fn config_on_top(base: &ImageConfig, parts: &PlatformParts<'_>) -> ImageConfig {
    let own = parts.layers.iter().map(|layer| layer.diff_id.clone());
    ImageConfig {
        created: Some(parts.notes.created.clone()),
        author: base.author.clone(),
        architecture: parts.platform.oci_architecture().to_owned(),
        os: base.os.clone(),
        variant: parts.platform.oci_variant().map(str::to_owned),
        config: Some(merged(base, parts.run)),
        rootfs: LayerList {
            kind: base.rootfs.kind.clone(),
            diff_ids: base.rootfs.diff_ids.iter().cloned().chain(own).collect(),
        },
        history: Some(history_of(base).into_iter().chain(parts.history.iter().cloned()).collect()),
    }
}

/// The base's history; tools want as many steps with a layer as there are layers, so one that does not fit is replaced.
fn history_of(base: &ImageConfig) -> Vec<History> {
    let history = base.history.clone().unwrap_or_default();
    let layers = base.rootfs.diff_ids.len();
    if history.iter().filter(|step| !step.empty_layer).count() == layers {
        return history;
    }
    let step = History { created_by: Some("a layer of the base image".to_owned()), ..History::default() };
    vec![step; layers]
}

fn in_oci_words(layer: &Descriptor) -> Descriptor {
    let media_type = match layer.media_type.as_str() {
        DOCKER_LAYER => LAYER,
        DOCKER_PLAIN_LAYER => PLAIN_LAYER,
        other => other,
    };
    Descriptor { media_type: media_type.to_owned(), ..layer.clone() }
}

/// The platform that a config, whose digest was checked, says that its image is for.
pub fn platform_of_config(digest: &Digest, bytes: &[u8]) -> Result<OciPlatform, Error> {
    let ImageConfig { architecture, os, variant, .. } = config(digest, bytes)?;
    Ok(OciPlatform { architecture, os, variant })
}

fn config(digest: &Digest, bytes: &[u8]) -> Result<ImageConfig, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Inconsistent {
        digest: digest.clone(),
        why: format!("it is no image config, {error}"),
    })
}

#[cfg(test)]
mod tests;
