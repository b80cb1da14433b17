//! What a reference leads to: an index or a manifest, in OCI's form or Docker's. Takes bytes whose digest was checked.

use std::collections::BTreeSet;

use serde::Deserialize;
use xedge_model::{Digest, Platform};

use crate::descriptor::{
    CONFIG, DOCKER_CONFIG, DOCKER_LAYER, DOCKER_PLAIN_LAYER, LAYER, MANIFEST, OciPlatform, PLAIN_LAYER,
};
use crate::{Descriptor, Error};

/// An index or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image for several platforms.
    Index(Named),
    /// An image for one platform.
    Manifest(Manifest),
}

/// The images of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(Vec<Descriptor>);

impl Named {
    /// The image of a platform, its descriptor saying the platform in our words.
    pub fn platform(&self, wanted: Platform) -> Option<Descriptor> {
        let of = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().and_then(OciPlatform::known) == Some(wanted)
                && descriptor.is_manifest()
        };
        // A base for arm64 without a variant serves for v8, but one that says v8 comes first.
        let exact = |descriptor: &&Descriptor| descriptor.platform == Some(wanted.into());
        let found = self.0.iter().filter(of).find(exact).or_else(|| self.0.iter().find(of))?;
        let named = Descriptor::new(&found.media_type, found.digest.clone(), found.size);
        Some(Descriptor { platform: Some(wanted.into()), ..named })
    }

    /// The platforms for people, each once; attestations (`unknown/unknown`) are for none.
    pub fn shown(&self) -> Vec<String> {
        let platforms = self.0.iter().filter_map(|descriptor| descriptor.platform.as_ref());
        let known = platforms.filter(|platform| platform.os != "unknown").map(ToString::to_string);
        known.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// An image for one platform, as far as it can be seen without its config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// Reads an index or manifest; what an Engine could not run is refused here, before anything large is fetched.
pub fn document(digest: &Digest, bytes: &[u8]) -> Result<Document, Error> {
    let refused = |why: String| Error::Inconsistent { digest: digest.clone(), why };
    let raw: Raw = serde_json::from_slice(bytes)
        .map_err(|error| refused(format!("it is no index or manifest of version 2, {error}")))?;
    if raw.schema_version != 2 {
        let version = raw.schema_version;
        return Err(refused(format!(
            "it has version {version} of the format, which only old registries serve"
        )));
    }
    match (raw.manifests, raw.config, raw.layers) {
        (Some(manifests), None, None) => Ok(Document::Index(Named(manifests))),
        (None, Some(config), Some(layers)) => {
            if ![CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
                return Err(refused(format!("it is no image, its config is of type {}", config.media_type)));
            }
            layers.iter().try_for_each(check_layer)?;
            let media_type = raw.media_type.unwrap_or_else(|| MANIFEST.to_owned());
            Ok(Document::Manifest(Manifest { media_type, config, layers }))
        }
        _ => Err(refused("it is neither an index nor a manifest".to_owned())),
    }
}

fn check_layer(layer: &Descriptor) -> Result<(), Error> {
    let media_type = layer.media_type.as_str();
    let why = match media_type {
        LAYER | PLAIN_LAYER | DOCKER_LAYER | DOCKER_PLAIN_LAYER => return Ok(()),
        zstd if zstd.ends_with("zstd") => "Engine 20.10 does not read zstd",
        foreign if foreign.contains("foreign") || foreign.contains("nondistributable") => {
            "its bytes may not be passed on"
        }
        _ => "this type of layer is not known",
    };
    Err(Error::UnsupportedLayer { layer: layer.digest.clone(), media_type: media_type.to_owned(), why })
}
