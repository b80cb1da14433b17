//! Images of a layout as values, each document checked against its digest on the way. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use xedge_model::yaml::near;
use xedge_model::{Digest, ImageName, Platform};

use super::{Layout, image_name, read_json};
use crate::config::ImageConfig;
use crate::descriptor::OciPlatform;
use crate::index::Index;
use crate::manifest::Manifest;
use crate::{Descriptor, Error};

/// An image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    name: ImageName,
    index: Descriptor,
    platforms: BTreeMap<Platform, PlatformImage>,
}

/// An image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformImage {
    manifest: Descriptor,
    annotations: BTreeMap<String, String>,
    config_blob: Descriptor,
    config: ImageConfig,
    layers: Vec<Descriptor>,
}

impl ImageEntry {
    /// The name.
    pub fn name(&self) -> &ImageName {
        &self.name
    }

    /// The index over all platforms, without the layout's annotations.
    pub fn index(&self) -> &Descriptor {
        &self.index
    }

    /// The image of each platform that we know; others in the index (such as attestations) are left out.
    pub fn platforms(&self) -> &BTreeMap<Platform, PlatformImage> {
        &self.platforms
    }

    /// The image of one platform.
    pub fn platform(&self, platform: Platform) -> Result<&PlatformImage, Error> {
        self.platforms.get(&platform).ok_or_else(|| {
            let built: Vec<_> = self.platforms.keys().map(|platform| platform.as_str()).collect();
            let built = if built.is_empty() { "no platform".to_owned() } else { built.join(", ") };
            Error::UnknownPlatform { image: self.name.clone(), platform, built }
        })
    }
}

impl PlatformImage {
    /// The manifest; its digest is what is gated, pushed and run.
    pub fn manifest(&self) -> &Descriptor {
        &self.manifest
    }

    /// The manifest's annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// The config's blob; its digest is the image's id in an Engine with the classic store.
    pub fn config_blob(&self) -> &Descriptor {
        &self.config_blob
    }

    /// The config.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The layers' blobs, lowest first.
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// Digests of the uncompressed layers, lowest first; as many as there are layers.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.config.rootfs.diff_ids
    }

    /// Length of manifest, config and layers together in bytes: what has to be moved to a machine that has nothing.
    pub fn size(&self) -> u64 {
        let layers = self.layers.iter().map(|layer| layer.size);
        layers.fold(self.manifest.size.saturating_add(self.config_blob.size), u64::saturating_add)
    }

    /// When it was made, RFC 3339.
    pub fn created(&self) -> Option<&str> {
        self.config.created.as_deref()
    }
}

impl Layout {
    /// One image; an unknown name is an input error that knows near names.
    pub fn image(&self, name: &ImageName) -> Result<ImageEntry, Error> {
        self.entry(name.clone(), self.find(name)?)
    }

    /// All images that have a name of ours, ordered by it.
    pub fn images(&self) -> Result<Vec<ImageEntry>, Error> {
        let named = self.named_images()?;
        named.into_iter().map(|(name, descriptor)| self.entry(name, descriptor)).collect()
    }

    /// The descriptor that a name stands for, without the layout's annotations.
    pub(super) fn find(&self, name: &ImageName) -> Result<Descriptor, Error> {
        let mut named = self.named_images()?;
        named.remove(name).ok_or_else(|| {
            let near = near(name.as_str(), named.keys().map(ImageName::as_str));
            let near = near.and_then(|near| near.parse().ok());
            Error::UnknownImage { image: name.clone(), layout: self.dir.clone(), near }
        })
    }

    fn named_images(&self) -> Result<BTreeMap<ImageName, Descriptor>, Error> {
        let mut named = BTreeMap::new();
        for mut descriptor in self.index()?.manifests {
            let Some(name) = image_name(&descriptor) else { continue };
            descriptor.annotations.clear();
            if named.insert(name.clone(), descriptor).is_some() {
                return Err(Error::NamedTwice { path: self.index_path(), image: name });
            }
        }
        Ok(named)
    }

    pub(super) fn index(&self) -> Result<Index, Error> {
        read_json(&self.index_path(), "an OCI image index")
    }

    /// Visits every blob that a descriptor reaches, each one once, and each one before what it names.
    pub(super) fn walk(
        &self,
        root: &Descriptor,
        visit: &mut impl FnMut(&Descriptor) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![root.clone()];
        while let Some(blob) = waiting.pop() {
            if !seen.insert((blob.digest.clone(), blob.size)) {
                continue;
            }
            visit(&blob)?;
            if blob.is_index() {
                waiting.extend(self.document::<Index>(&blob, "an image index")?.manifests);
            } else if blob.is_manifest() {
                let manifest: Manifest = self.document(&blob, "an image manifest")?;
                waiting.extend(manifest.layers);
                waiting.push(manifest.config);
            }
        }
        Ok(())
    }

    /// The image behind an index that this process just wrote, whatever the name stands for by now.
    pub fn entry(&self, name: ImageName, index: Descriptor) -> Result<ImageEntry, Error> {
        let mut platforms = BTreeMap::new();
        if index.is_manifest() {
            let image = self.platform_image(&index)?;
            platforms.extend(platform_of(&image.config).map(|platform| (platform, image)));
            return Ok(ImageEntry { name, index, platforms });
        }
        for manifest in self.document::<Index>(&index, "an image index")?.manifests {
            let Some(platform) = manifest.platform.as_ref().and_then(OciPlatform::known) else {
                continue;
            };
            let image = self.platform_image(&manifest)?;
            if platform_of(&image.config) != Some(platform) {
                let why = format!("its config is not for {platform}, as the index says");
                return Err(Error::Inconsistent { digest: manifest.digest, why });
            }
            if platforms.insert(platform, image).is_some() {
                return Err(Error::Inconsistent {
                    digest: index.digest,
                    why: format!("it has {platform} twice"),
                });
            }
        }
        Ok(ImageEntry { name, index, platforms })
    }

    /// The image of one platform by its manifest, whose blobs are all there; it needs no name. A config for another
    /// platform is an error.
    pub fn platform_of(&self, manifest: &Descriptor, platform: Platform) -> Result<PlatformImage, Error> {
        let image = self.platform_image(manifest)?;
        if platform_of(&image.config) == Some(platform) {
            return Ok(image);
        }
        let why = format!("its config is not for {platform}, as the index says");
        Err(Error::Inconsistent { digest: manifest.digest.clone(), why })
    }

    fn platform_image(&self, descriptor: &Descriptor) -> Result<PlatformImage, Error> {
        let manifest: Manifest = self.document(descriptor, "an image manifest")?;
        let config: ImageConfig = self.document(&manifest.config, "an image config")?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            let why = format!("it has {layers} layers, its config has {diff_ids}");
            return Err(Error::Inconsistent { digest: descriptor.digest.clone(), why });
        }
        Ok(PlatformImage {
            manifest: descriptor.clone(),
            annotations: manifest.annotations,
            config_blob: manifest.config,
            config,
            layers: manifest.layers,
        })
    }

    fn document<T: DeserializeOwned>(&self, blob: &Descriptor, what: &'static str) -> Result<T, Error> {
        let bytes = self.blobs.read(blob)?;
        let path = self.blobs.path(&blob.digest);
        serde_json::from_slice(&bytes).map_err(|source| Error::Garbage { path, what, source })
    }
}

fn platform_of(config: &ImageConfig) -> Option<Platform> {
    let (architecture, os, variant) =
        (config.architecture.clone(), config.os.clone(), config.variant.clone());
    OciPlatform { architecture, os, variant }.known()
}
