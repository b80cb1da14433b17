//! Descriptors: how one image document names another (image-spec, descriptor.md). Reads no blobs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use xedge_model::{Digest, Platform};

/// Media type of an image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an image config.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer that is a gzip-compressed tar.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Media type of a layer that is a plain tar.
pub const PLAIN_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Docker's media type of an image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's media type of a layer that is a gzip-compressed tar.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's media type of a layer that is a plain tar.
pub const DOCKER_PLAIN_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Type, digest and size of a blob; the order of the fields is the order in the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is, for example [`LAYER`].
    pub media_type: String,
    /// What the blob's bytes hash to.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Notes on the blob in this place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where the image that it names can run; in an index only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<OciPlatform>,
}

impl Descriptor {
    /// The descriptor of these bytes, without annotations and platform.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// A descriptor without annotations and platform.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, annotations: BTreeMap::new(), platform: None }
    }

    /// Whether it names an index (OCI) or manifest list (Docker).
    pub fn is_index(&self) -> bool {
        [INDEX, DOCKER_INDEX].contains(&self.media_type.as_str())
    }

    /// Whether it names an image manifest.
    pub fn is_manifest(&self) -> bool {
        [MANIFEST, DOCKER_MANIFEST].contains(&self.media_type.as_str())
    }
}

/// A platform as OCI documents write it (image-spec, image-index.md, `platform`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciPlatform {
    /// The architecture by its name in Go, for example `arm64`.
    pub architecture: String,
    /// The operating system by its name in Go, for example `linux`.
    pub os: String,
    /// The variant of the architecture, for example `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl OciPlatform {
    /// The platform of ours that it names, if there is one; a missing variant of arm64 means `v8`.
    pub fn known(&self) -> Option<Platform> {
        Platform::ALL.into_iter().find(|known| {
            let variant_fits = self.variant.is_none() || self.variant.as_deref() == known.oci_variant();
            self.os == "linux" && self.architecture == known.oci_architecture() && variant_fits
        })
    }
}

impl fmt::Display for OciPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl From<Platform> for OciPlatform {
    fn from(platform: Platform) -> Self {
        Self {
            architecture: platform.oci_architecture().to_owned(),
            os: "linux".to_owned(),
            variant: platform.oci_variant().map(str::to_owned),
        }
    }
}
