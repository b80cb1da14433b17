//! The image manifest (image-spec, manifest.md) and the writing of one platform's image into the blobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xedge_model::image::RunConfig;
use xedge_model::{Digest, Platform};

use crate::config::{History, image_config};
use crate::descriptor::{CONFIG, MANIFEST, OciPlatform};
use crate::{Blobs, Descriptor, Error, Layer};

/// An image for one platform; the order of the fields is the order in the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The type of this document; old tools leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Notes on the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What manifests and indexes say about an image (image-spec, annotations.md).
#[derive(Clone, Debug)]
pub struct Notes {
    /// Name for people.
    pub title: String,
    /// When the image was made, RFC 3339.
    pub created: String,
    /// The image below it, if there is one.
    pub base: Option<Base>,
}

/// The image that another one stands on.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its reference as the definition gives it.
    pub name: String,
    /// Digest of its manifest for the same platform (in an index: of its index).
    pub digest: Digest,
}

impl Notes {
    /// The annotations with the reserved names of the image-spec.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let key = |name: &str| format!("org.opencontainers.image.{name}");
        let mut notes =
            BTreeMap::from([(key("created"), self.created.clone()), (key("title"), self.title.clone())]);
        if let Some(base) = &self.base {
            notes.insert(key("base.name"), base.name.clone());
            notes.insert(key("base.digest"), base.digest.to_string());
        }
        notes
    }
}

/// A manifest as the bytes that its digest is of.
pub fn image_manifest(config: Descriptor, layers: Vec<Descriptor>, notes: &Notes) -> Vec<u8> {
    to_json(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        config,
        layers,
        annotations: notes.annotations(),
    })
}

/// Everything that one platform's image is made of, apart from its name.
#[derive(Clone, Debug)]
pub struct PlatformParts<'a> {
    /// Where it runs.
    pub platform: Platform,
    /// How it runs.
    pub run: &'a RunConfig,
    /// Its layers, lowest first; they are in the blobs already.
    pub layers: &'a [Layer],
    /// One step per layer, lowest first.
    pub history: &'a [History],
    /// Annotations, and the time of the config.
    pub notes: &'a Notes,
}

/// Writes config and manifest of one platform; returns the manifest's descriptor with its platform.
pub fn write_platform(blobs: &Blobs, parts: &PlatformParts<'_>) -> Result<Descriptor, Error> {
    let diff_ids: Vec<Digest> = parts.layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let config = image_config(parts.run, parts.platform, &diff_ids, &parts.notes.created, parts.history);
    blobs.put(&config)?;
    let layers = parts.layers.iter().map(|layer| layer.descriptor.clone()).collect();
    let manifest = image_manifest(Descriptor::of(CONFIG, &config), layers, parts.notes);
    blobs.put(&manifest)?;
    let platform = Some(OciPlatform::from(parts.platform));
    Ok(Descriptor { platform, ..Descriptor::of(MANIFEST, &manifest) })
}

/// Compact JSON with fields in the order of their declaration and maps in the order of their keys.
pub(crate) fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("image documents have string keys and no failing serialisers")
}
