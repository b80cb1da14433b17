//! Config and layers that are in the blobs become one platform's image. What came in our form keeps its digest.

use super::contents::Contents;
use super::intake::{Unpacked, What};
use super::{Imported, ImportedLayer, Problem};
use crate::config::ImageConfig;
use crate::descriptor::{CONFIG, LAYER, MANIFEST, OciPlatform};
use crate::manifest::{Manifest, to_json};
use crate::{Descriptor, Error};

/// The image, or the platform that its config names if we do not know it. The config keeps its bytes, so that an
/// Engine calls the image as before.
pub(super) fn image(
    contents: &Contents<'_>,
    config_member: &str,
    layer_members: &[String],
    original: Option<(&Descriptor, &Manifest)>,
) -> Result<Result<Imported, String>, Error> {
    let config: ImageConfig = contents.json(config_member, "an image config")?;
    let stated = OciPlatform {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        variant: config.variant.clone(),
    };
    let Some(platform) = stated.known() else { return Ok(Err(stated.to_string())) };
    let (layers, diff_ids) = (layer_members.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        let why = format!("it has {diff_ids} layers, the manifest {layers}");
        return Err(contents.problem(Problem::Inconsistent { what: config_member.to_owned(), why }));
    }
    let mut unpacked = Vec::new();
    for (member, diff_id) in layer_members.iter().zip(&config.rootfs.diff_ids) {
        let layer = layer(contents, member)?;
        contents.same(&format!("layer {member}, unpacked,"), diff_id, &layer.diff_id)?;
        unpacked.push(layer);
    }
    let stored = contents.require(config_member)?;
    let config_blob = Descriptor::new(CONFIG, stored.digest.clone(), stored.size);
    let manifest = match original {
        Some((descriptor, manifest)) if is_ours(descriptor, manifest, &unpacked) => {
            Descriptor::new(MANIFEST, descriptor.digest.clone(), descriptor.size)
        }
        _ => write(contents, config_blob, &unpacked, original.map(|(_, manifest)| manifest))?,
    };
    let layers =
        unpacked.into_iter().map(|layer| ImportedLayer { diff_id: layer.diff_id, newest: layer.newest });
    Ok(Ok(Imported {
        platform,
        manifest: Descriptor { platform: Some(platform.into()), ..manifest },
        names: Vec::new(),
        created: config.created,
        layers: layers.collect(),
    }))
}

/// Whether a manifest can stay as it is: of the OCI's types, and with nothing of it compressed anew.
fn is_ours(descriptor: &Descriptor, manifest: &Manifest, layers: &[Unpacked]) -> bool {
    let is_named = |layer: &Descriptor| layer.media_type == LAYER;
    descriptor.media_type == MANIFEST
        && manifest.media_type.as_deref().is_none_or(|media_type| media_type == MANIFEST)
        && manifest.config.media_type == CONFIG
        && manifest.layers.iter().all(is_named)
        && layers.iter().all(|layer| layer.kept)
}

fn write(
    contents: &Contents<'_>,
    config: Descriptor,
    layers: &[Unpacked],
    original: Option<&Manifest>,
) -> Result<Descriptor, Error> {
    let bytes = to_json(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        config,
        layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
        annotations: original.map(|manifest| manifest.annotations.clone()).unwrap_or_default(),
    });
    contents.blobs.put(&bytes)?;
    Ok(Descriptor::of(MANIFEST, &bytes))
}

fn layer(contents: &Contents<'_>, member: &str) -> Result<Unpacked, Error> {
    let layer = || member.to_owned();
    let problem = match &contents.require(member)?.what {
        What::Layer(unpacked) => return Ok(unpacked.clone()),
        What::BrokenLayer(why) => Problem::BadLayer { layer: layer(), why: why.clone() },
        What::UnsafeLayer { entry, why } => {
            Problem::UnsafeName { place: format!("layer {member}"), name: entry.clone(), why }
        }
        What::Zstd => Problem::Zstd { layer: layer() },
        What::Document | What::Other => {
            Problem::BadLayer { layer: layer(), why: "it has no tar header".to_owned() }
        }
    };
    Err(contents.problem(problem))
}
