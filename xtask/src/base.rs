//! Existing images as bases: asked for at their registry, locked by digest, and their blobs in the store. Makes no image.

mod archive;
mod origin;
mod update;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use futures_util::{StreamExt, TryStreamExt, stream};
use xedge_model::lock::LockedBase;
use xedge_model::{Digest, ImageLock, Platform, Reference};
use xedge_oci::base::{Document, Manifest, document};
use xedge_oci::{Descriptor, Layout, PlatformImage};
use xedge_registry::{Blob, Error as RegistryError};

use crate::commands::Context;
use crate::error::{Error, Result};
use crate::fetch::{Store, Wanted};
use crate::locks;
use crate::project::ImageSource;
use crate::release::push::shown_on;
use origin::Origin;

pub(crate) use archive::archive;
pub(crate) use update::{follow, report, rewritten};

/// Blobs that move at once.
const AT_ONCE: usize = 4;

/// What a reference names for each platform, in the form of the lock.
pub(crate) async fn resolve(
    cx: &Context<'_>,
    reference: &Reference,
    platforms: &[Platform],
) -> Result<BTreeMap<Platform, LockedBase>> {
    let (origin, store) = (Origin::of(cx, reference).await?, locks::store(cx));
    let (index, bytes) = origin.document(&store, reference.digest(), reference.followed()).await?;
    let found = match document(&index, &bytes)? {
        Document::Index(named) => {
            let of = |platform| (platform, named.platform(platform));
            (platforms.iter().copied().map(of).collect(), named.shown())
        }
        Document::Manifest(manifest) => {
            let own = Descriptor::new(&manifest.media_type, index.clone(), bytes.len() as u64);
            single(&origin, &store, own, &manifest, platforms).await?
        }
    };
    let (found, has): (BTreeMap<Platform, Option<Descriptor>>, Vec<String>) = found;
    let mut locked = BTreeMap::new();
    for (platform, descriptor) in found {
        let Some(Descriptor { digest: manifest, size, .. }) = descriptor else {
            return Err(Error::BasePlatform { reference: reference.to_string(), platform, has }.into());
        };
        let repository = reference.name().to_owned();
        locked.insert(platform, LockedBase { repository, index: index.clone(), manifest, size });
    }
    Ok(locked)
}

/// An image without an index is for the platform that its config names.
async fn single(
    origin: &Origin,
    store: &Store,
    own: Descriptor,
    manifest: &Manifest,
    platforms: &[Platform],
) -> Result<(BTreeMap<Platform, Option<Descriptor>>, Vec<String>)> {
    let config = origin.small_blob(store, &manifest.config).await?;
    let is_for = xedge_oci::base::platform_of_config(&manifest.config.digest, &config)?;
    let of = |platform| (platform, (is_for.known() == Some(platform)).then(|| own.clone()));
    Ok((platforms.iter().copied().map(of).collect(), vec![is_for.to_string()]))
}

/// Brings everything that a lock names of these platforms into the store, from its registry or else from an archive;
/// returns what none of them has.
pub(crate) async fn fetch(
    cx: &Context<'_>,
    image: &ImageSource,
    reference: &Reference,
    lock: &ImageLock,
    platforms: &[Platform],
) -> Result<Vec<String>> {
    let origin = Origin::of(cx, reference).await?;
    let found = fetch_from(cx, image, &origin, lock, platforms).await;
    if matches!(&found, Ok(gone) if gone.is_empty()) {
        return found;
    }
    // What the registry said decides; an archive is a second chance only.
    for (named, archive) in Origin::archives(cx, reference).await? {
        match fetch_from(cx, image, &archive, lock, platforms).await {
            Ok(gone) if gone.is_empty() => return Ok(gone),
            Ok(_) => {}
            Err(error) => {
                let why = error.chain().join(": ");
                cx.printer.warn(&format!("the archive at {named} was no help: {why}"));
            }
        }
    }
    found
}

async fn fetch_from(
    cx: &Context<'_>,
    image: &ImageSource,
    origin: &Origin,
    lock: &ImageLock,
    platforms: &[Platform],
) -> Result<Vec<String>> {
    let store = locks::store(cx);
    let mut wanted: BTreeSet<Blob> = BTreeSet::new();
    let mut gone = Vec::new();
    for locked in platforms.iter().filter_map(|platform| lock.platforms.get(platform)?.base.as_ref()) {
        match origin.document(&store, Some(&locked.manifest), None).await {
            Ok((digest, bytes)) => {
                let manifest = manifest(&digest, &bytes)?;
                wanted.extend(manifest.layers.iter().chain([&manifest.config]).map(blob));
            }
            Err(error) if is_gone(&error) => gone.push(format!("{}@{}", locked.repository, locked.manifest)),
            Err(error) => return Err(error),
        }
    }
    if gone.is_empty() {
        wanted.retain(|blob| !has(&store, blob));
        gone = download(cx, image, origin, &store, wanted).await?;
    }
    Ok(gone)
}

async fn download(
    cx: &Context<'_>,
    image: &ImageSource,
    origin: &Origin,
    store: &Store,
    wanted: BTreeSet<Blob>,
) -> Result<Vec<String>> {
    let bytes = wanted.iter().map(|blob| blob.size).sum();
    let bar = cx.printer.bytes_bar(bytes, image.def.name.as_str());
    let progress = shown_on(&bar);
    let one = async |blob: &Blob| match origin.blob(store, blob, &*progress).await {
        Ok(()) => Ok(None),
        Err(error) if is_gone(&error) => Ok(Some(format!("its blob {}", blob.digest))),
        Err(error) => Err(error),
    };
    let all = stream::iter(&wanted).map(one).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await;
    bar.finish_and_clear();
    Ok(all?.into_iter().flatten().collect())
}

fn is_gone(error: &crate::error::Failed) -> bool {
    error.is::<RegistryError>(|error| matches!(error, RegistryError::NotFound { .. }))
}

/// The base of one platform in the layout, its documents checked.
pub(crate) fn adopt(
    cx: &Context<'_>,
    layout: &Layout,
    locked: &LockedBase,
    platform: Platform,
) -> Result<PlatformImage> {
    let store = locks::store(cx);
    let bytes = read(&store, &locked.manifest)?;
    let found = manifest(&locked.manifest, &bytes)?;
    let own = Descriptor::new(&found.media_type, locked.manifest.clone(), bytes.len() as u64);
    let own = Descriptor { platform: Some(platform.into()), ..own };
    for blob in found.layers.iter().chain([&found.config, &own]) {
        if layout.blobs().size(&blob.digest)? != Some(blob.size) {
            // Hashed before it gets its name in the layout.
            store.open(&blob.digest)?;
            layout.blobs().adopt(&store.path(&blob.digest), blob)?;
        }
    }
    Ok(layout.platform_of(&own, platform)?)
}

fn manifest(digest: &Digest, bytes: &[u8]) -> Result<Manifest> {
    match document(digest, bytes)? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => {
            let why = "it is an index, and an index names it as the image of one platform".to_owned();
            Err(xedge_oci::Error::Inconsistent { digest: digest.clone(), why }.into())
        }
    }
}

fn read(store: &Store, digest: &Digest) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let failed = |source| Error::Read { path: store.path(digest), source };
    store.open(digest)?.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn blob(descriptor: &Descriptor) -> Blob {
    Blob { digest: descriptor.digest.clone(), size: descriptor.size }
}

fn has(store: &Store, blob: &Blob) -> bool {
    store.has(&Wanted { url: String::new(), size: blob.size, digest: blob.digest.clone() })
}

fn put(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    Ok(xedge_model::atomic::write(path, bytes, 0o644)?)
}
