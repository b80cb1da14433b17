//! The image index (image-spec, image-index.md): one image for several platforms, and a layout's list of images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::INDEX;
use crate::manifest::{Notes, to_json};
use crate::{Blobs, Descriptor, Error};

/// A list of manifests; the order of the fields is the order in the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The type of this document; old tools leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Notes on the list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// A list of manifests, as they are.
    pub fn new(manifests: Vec<Descriptor>, annotations: BTreeMap<String, String>) -> Self {
        Self { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests, annotations }
    }
}

/// An index as the bytes that its digest is of. The manifests are put in order of architecture and variant, so that
/// the order in which platforms were built does not matter.
pub fn image_index(manifests: Vec<Descriptor>, notes: &Notes) -> Vec<u8> {
    sorted(manifests, notes.annotations())
}

fn sorted(mut manifests: Vec<Descriptor>, annotations: BTreeMap<String, String>) -> Vec<u8> {
    let key = |descriptor: &Descriptor| {
        let platform = descriptor.platform.clone();
        let platform = platform.map(|p| (p.os, p.architecture, p.variant));
        (platform, descriptor.digest.clone())
    };
    manifests.sort_by_cached_key(key);
    to_json(&Index::new(manifests, annotations))
}

/// Writes the index over an image's platforms, whose descriptors come from [`crate::manifest::write_platform`].
pub fn write_index(blobs: &Blobs, manifests: Vec<Descriptor>, notes: &Notes) -> Result<Descriptor, Error> {
    let bytes = image_index(manifests, notes);
    blobs.put(&bytes)?;
    Ok(Descriptor::of(INDEX, &bytes))
}

/// Writes an index that says nothing but its manifests: the same ones always give the same digest.
pub fn write_list(blobs: &Blobs, manifests: Vec<Descriptor>) -> Result<Descriptor, Error> {
    let bytes = sorted(manifests, BTreeMap::new());
    blobs.put(&bytes)?;
    Ok(Descriptor::of(INDEX, &bytes))
}
