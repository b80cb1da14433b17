//! The archive of locked packages in a registry: a mirror forgets superseded versions, an archive does not. A package's digest in
//! the lock is its blob's digest in the registry, so nothing has to be looked up.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use xedge_model::lock::LockedPackage;
use xedge_model::{Digest, ImageLock, ImageName};
use xedge_oci::Descriptor;
use xedge_registry::{
    Blob, BlobSource, Client, Error as RegistryError, Manifest, MemoryBlobs, PushArtifact, Repository, Tag,
    TagKind, Target,
};
use xedge_sign::listing;

use crate::commands::Context;
use crate::error::Result;
use crate::fetch::Store;
use crate::locks;
use crate::registry::{self, Registry};
use crate::release::push::shown_on;

const ARCHIVE: &str = "application/vnd.xedge.packages.v1+json";
/// Media type of a Debian package (IANA).
const DEB: &str = "application/vnd.debian.binary-package";
/// The repository of all packages, below the registry's path.
const REPOSITORY: &str = "xedge-packages";
/// Hexadecimal digits of a lock's digest in its tag.
const SHORT: usize = 16;

/// The archive at a registry.
pub(crate) struct Archive<'a> {
    registry: &'a Registry,
    name: ImageName,
}

impl<'a> Archive<'a> {
    /// The archive at this registry.
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self { registry, name: repository_name() }
    }

    /// Puts every package of a lock into the archive; returns the artifact's reference, or nothing for a lock without packages.
    pub(crate) async fn put(
        &self,
        cx: &Context<'_>,
        image: &ImageName,
        lock: &ImageLock,
    ) -> Result<Option<String>> {
        let packages = packages(lock);
        if packages.is_empty() {
            return Ok(None);
        }
        let layers = packages.values().map(|package| descriptor(package)).collect();
        let artifact = listing(ARCHIVE, layers);
        let own: Vec<Bytes> = artifact.blobs.iter().cloned().map(Bytes::from).collect();
        let small = own.iter().map(|bytes| Blob { digest: Digest::of(bytes), size: bytes.len() as u64 });
        let blob = |package: &&LockedPackage| Blob { digest: package.sha256.clone(), size: package.size };
        let blobs: Vec<Blob> = small.chain(packages.values().map(blob)).collect();
        let manifest = artifact.descriptor();
        let push = PushArtifact {
            repository: self.registry.repository(&self.name)?,
            manifest: Manifest {
                bytes: artifact.manifest.into(),
                media_type: manifest.media_type,
                digest: manifest.digest.clone(),
            },
            tag: Some(Tag::new(&tag(image, lock), TagKind::Version)?),
            blobs,
        };
        let source: Arc<dyn BlobSource> =
            Arc::new(Packages { store: locks::store(cx), own: MemoryBlobs::new(own) });
        let bar = cx.printer.bytes_bar(packages.values().map(|package| package.size).sum(), image.as_str());
        let pushed = self.registry.client.push_artifact(push, &source, &shown_on(&bar)).await;
        bar.finish_and_clear();
        let _artifact = pushed?;
        cx.printer.say(&format!("{image}: {} packages are in the archive", packages.len()));
        Ok(Some(self.registry.reference(&self.name, &manifest.digest)?))
    }
}

/// Brings what archives have into the store; returns what none of them has.
pub(crate) async fn fetch<'a>(
    cx: &Context<'_>,
    store: &Store,
    mut missing: Vec<&'a LockedPackage>,
) -> Result<Vec<&'a LockedPackage>> {
    let name = repository_name();
    if let Some(named) = cx.environment.var("XEDGE_ARCHIVE") {
        let target: Target = named.parse()?;
        let client = registry::client(cx, &registry::reach_of_environment(cx))?;
        match fetch_from(&client, &target.repository(&name)?, store, &missing).await {
            Ok(left) => missing = left,
            // What the mirror said decides; the archive is a second chance only.
            Err(error) => cx.printer.warn(&format!("the archive at {named} was no help: {error}")),
        }
    }
    missing.retain(|package| !store.path(&package.sha256).exists());
    if missing.is_empty() || !registry::folder(cx)?.exists() {
        return Ok(missing);
    }
    let embedded = Registry::embedded(cx, &registry::reach_of_environment(cx)).await?;
    Ok(fetch_from(&embedded.client, &embedded.repository(&name)?, store, &missing).await?)
}

async fn fetch_from<'a>(
    client: &Client,
    repository: &Repository,
    store: &Store,
    missing: &[&'a LockedPackage],
) -> std::result::Result<Vec<&'a LockedPackage>, RegistryError> {
    let mut left = Vec::new();
    for package in missing.iter().copied() {
        let path = store.path(&package.sha256);
        match client.blob_to_file(repository, &package.sha256, package.size, &path).await {
            Ok(_) => {}
            Err(RegistryError::NotFound { .. }) => left.push(package),
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

fn repository_name() -> ImageName {
    REPOSITORY.parse().expect("the archive's name is an image's name")
}

/// One tag for each lock of each image.
fn tag(image: &ImageName, lock: &ImageLock) -> String {
    let digest = Digest::of(lock.to_text().as_bytes());
    format!("{}-{}", image.as_str().replace('/', "."), &digest.hex()[..SHORT])
}

/// The packages of all platforms, each once.
fn packages(lock: &ImageLock) -> BTreeMap<&Digest, &LockedPackage> {
    let all = lock.platforms.values().flat_map(|platform| &platform.packages);
    all.map(|package| (&package.sha256, package)).collect()
}

fn descriptor(package: &LockedPackage) -> Descriptor {
    let mut descriptor = Descriptor::new(DEB, package.sha256.clone(), package.size);
    let title = package.filename.rsplit('/').next().unwrap_or(&package.filename);
    descriptor.annotations.insert("org.opencontainers.image.title".to_owned(), title.to_owned());
    descriptor
}

/// Packages from the store, and the artifact's own small blobs.
struct Packages {
    store: Store,
    own: MemoryBlobs,
}

impl BlobSource for Packages {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        match self.own.open(digest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Box::new(std::fs::File::open(self.store.path(digest))?))
            }
            own => own,
        }
    }
}
