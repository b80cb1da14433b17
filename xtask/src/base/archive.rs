//! Base images in an archive: what a registry takes down, a locked build still finds there by digest.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use xedge_model::lock::LockedBase;
use xedge_model::{Digest, ImageLock, ImageName, Platform};
use xedge_registry::{Blob, BlobSource, Manifest, PushImage, Tag, TagKind};

use super::{blob, manifest, read};
use crate::commands::Context;
use crate::error::Result;
use crate::fetch::Store;
use crate::locks;
use crate::registry::Registry;
use crate::release::push::shown_on;

/// The repository of all base images, below the registry's path.
const REPOSITORY: &str = "xedge-bases";

/// That repository's name.
pub(super) fn repository_name() -> ImageName {
    REPOSITORY.parse().expect("the archive's name is an image's name")
}

/// Puts the bases that a lock names into the archive, a manifest a platform: the index may name platforms that nobody has
/// here. Returns their references.
pub(crate) async fn archive(
    cx: &Context<'_>,
    registry: &Registry,
    image: &ImageName,
    lock: &ImageLock,
) -> Result<Vec<String>> {
    let mut references = Vec::new();
    for (platform, locked) in &lock.platforms {
        let Some(base) = &locked.base else { continue };
        put(cx, registry, image, *platform, base).await?;
        references.push(registry.reference(&repository_name(), &base.manifest)?);
    }
    Ok(references)
}

async fn put(
    cx: &Context<'_>,
    registry: &Registry,
    image: &ImageName,
    platform: Platform,
    base: &LockedBase,
) -> Result<()> {
    let store = locks::store(cx);
    let bytes = read(&store, &base.manifest)?;
    let found = manifest(&base.manifest, &bytes)?;
    let blobs: BTreeSet<Blob> = found.layers.iter().chain([&found.config]).map(blob).collect();
    // A tag keeps it where a registry cleans up what none names.
    let tag = format!("{}-{}", base.manifest.short(), platform.file_stem());
    let push = PushImage {
        repository: registry.repository(&repository_name())?,
        index: Manifest { bytes: bytes.into(), media_type: found.media_type, digest: base.manifest.clone() },
        manifests: Vec::new(),
        blobs: blobs.into_iter().collect(),
        tags: vec![Tag::new(&tag, TagKind::Moving)?],
        mount_from: Vec::new(),
    };
    let plan = registry.client.plan(push).await?;
    let bar = cx.printer.bytes_bar(plan.upload_bytes(), image.as_str());
    let source: Arc<dyn BlobSource> = Arc::new(Stored(store));
    let pushed = registry.client.push(&plan, &source, &shown_on(&bar)).await;
    bar.finish_and_clear();
    pushed?;
    Ok(())
}

/// Blobs from the store; the push hashes them.
struct Stored(Store);

impl BlobSource for Stored {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::fs::File::open(self.0.path(digest))?))
    }
}
