//! OCI manifests that refer to an image (image-spec 1.1, manifest.md, `subject`): signatures, SBOMs, evidence. Pure bytes; pushes nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use xedge_oci::Descriptor;
use xedge_oci::descriptor::MANIFEST;

/// Media type of the config of a manifest that needs none.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The bytes of that config.
pub const EMPTY_BYTES: &[u8] = b"{}";

/// A manifest and the blobs that it names, which must be pushed before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The manifest's bytes; its media type is [`MANIFEST`].
    pub manifest: Vec<u8>,
    /// Its config and layers, in this order.
    pub blobs: Vec<Vec<u8>>,
}

/// One layer of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What the bytes are.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Notes on the layer.
    pub annotations: BTreeMap<String, String>,
}

/// The order of the fields is the order in the JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl Manifest<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("manifests have string keys and no failing serialisers")
    }
}

impl Artifact {
    /// The descriptor of its manifest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(MANIFEST, &self.manifest)
    }
}

impl Layer {
    /// A layer without annotations.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.to_owned(), bytes, annotations: BTreeMap::new() }
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor { annotations: self.annotations.clone(), ..Descriptor::of(&self.media_type, &self.bytes) }
    }
}

/// An artifact about `subject`, the manifest or index of an image.
pub fn referrer(
    artifact_type: &str,
    subject: &Descriptor,
    layers: Vec<Layer>,
    annotations: &BTreeMap<String, String>,
) -> Artifact {
    // What a subject is called or runs on where it was found is not part of what it is.
    let subject = Descriptor::new(&subject.media_type, subject.digest.clone(), subject.size);
    let config = Layer::new(EMPTY, EMPTY_BYTES.to_vec());
    artifact(Some(artifact_type), config, layers, Some(&subject), annotations)
}

/// An artifact that is about nothing else.
pub fn standalone(
    artifact_type: &str,
    layers: Vec<Layer>,
    annotations: &BTreeMap<String, String>,
) -> Artifact {
    let config = Layer::new(EMPTY, EMPTY_BYTES.to_vec());
    artifact(Some(artifact_type), config, layers, None, annotations)
}

/// An artifact that lists blobs which are elsewhere: they must be pushed before it, beside its own config.
pub fn listing(artifact_type: &str, layers: Vec<Descriptor>) -> Artifact {
    let config = Layer::new(EMPTY, EMPTY_BYTES.to_vec());
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        artifact_type: Some(artifact_type),
        config: config.descriptor(),
        layers,
        subject: None,
        annotations: &BTreeMap::new(),
    };
    Artifact { manifest: manifest.to_bytes(), blobs: vec![config.bytes] }
}

pub(crate) fn artifact(
    artifact_type: Option<&str>,
    config: Layer,
    layers: Vec<Layer>,
    subject: Option<&Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Artifact {
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        artifact_type,
        config: config.descriptor(),
        layers: layers.iter().map(Layer::descriptor).collect(),
        subject,
        annotations,
    };
    let manifest = manifest.to_bytes();
    let blobs = std::iter::once(config).chain(layers).map(|layer| layer.bytes).collect();
    Artifact { manifest, blobs }
}
