//! The images of an earlier release at a registry: usually they are there, by digest, and only get another tag. What is not
//! there comes out of the bundle, with everything that refers to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use serde::Deserialize;
use xedge_bundle::member;
use xedge_model::{Digest, ImageName, Platform};
use xedge_registry::{Blob, BlobSource, Manifest, MemoryBlobs, Progress, PushImage, Silent, Tag, TagKind};
use xedge_sign::{Artifact, ImageKey, Layer, referrer};

use super::old::Old;
use crate::commands::Context;
use crate::error::Result;
use crate::registry::Registry;
use crate::release::bundle;
use crate::release::manifest::Members;
use crate::release::push::{ENVELOPE, SPDX, notes, put, shown_on, signatures};

/// One image of the release.
pub(super) struct Image {
    name: ImageName,
    index: Digest,
    /// The manifests that the index lists, and their platforms.
    manifests: Vec<(Digest, Option<Platform>)>,
    push: PushImage,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Named>,
}

#[derive(Deserialize)]
struct Parts {
    config: Named,
    layers: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    digest: Digest,
    #[serde(default)]
    platform: Option<Machine>,
}

#[derive(Deserialize)]
struct Machine {
    os: String,
    architecture: String,
}

/// Every image once, to be tagged with the version and with others.
pub(super) fn images(registry: &Registry, old: &Old, version: &str, others: &[String]) -> Result<Vec<Image>> {
    let mut tags = vec![Tag::new(version, TagKind::Version)?];
    for tag in others {
        tags.push(Tag::new(tag, TagKind::Moving)?);
    }
    let services = &old.manifest().services;
    let images: BTreeMap<&ImageName, &Digest> =
        services.iter().map(|service| (&service.image, &service.index)).collect();
    images.into_iter().map(|(name, index)| image(registry, old, name, index, &tags)).collect()
}

fn image(registry: &Registry, old: &Old, name: &ImageName, index: &Digest, tags: &[Tag]) -> Result<Image> {
    let listed = document::<Index>(old, index)?.manifests;
    let mut blobs = BTreeSet::new();
    for manifest in &listed {
        let Parts { config, layers } = document(old, &manifest.digest)?;
        for part in layers.into_iter().chain([config]) {
            let size = old.descriptor(&part.digest).size;
            blobs.insert(Blob { digest: part.digest, size });
        }
    }
    let push = PushImage {
        repository: registry.repository(name)?,
        index: manifest(old, index)?,
        manifests: listed.iter().map(|named| manifest(old, &named.digest)).collect::<Result<_>>()?,
        blobs: blobs.into_iter().collect(),
        tags: tags.to_vec(),
        mount_from: Vec::new(),
    };
    let manifests =
        listed.into_iter().map(|named| (named.digest, named.platform.as_ref().and_then(known))).collect();
    Ok(Image { name: name.clone(), index: index.clone(), manifests, push })
}

/// Refuses a version that names something else.
pub(super) async fn check(registry: &Registry, images: &[Image]) -> Result<()> {
    for image in images {
        if let Some(conflict) = registry.client.plan(image.push.clone()).await?.conflict() {
            return Err(conflict.into());
        }
    }
    Ok(())
}

/// Sends what the registry does not have; tags come later.
pub(super) async fn send(
    cx: &Context<'_>,
    registry: &Registry,
    old: &Old,
    images: &[Image],
    key: &ImageKey,
) -> Result<()> {
    let source: Arc<dyn BlobSource> = Arc::new(Blobs(old.members()));
    for image in images {
        let repository = &image.push.repository;
        let signed = ImageKey::signature_tag(&image.index);
        let plan = registry.client.plan(PushImage { tags: Vec::new(), ..image.push.clone() }).await?;
        // The signature of the index is the last that is sent: where one is, all the rest is.
        if plan.is_unchanged() && registry.client.head_manifest(repository, &signed).await?.is_some() {
            continue;
        }
        let bar = cx.printer.bytes_bar(plan.upload_bytes(), image.name.as_str());
        let pushed = registry.client.push(&plan, &source, &shown_on(&bar)).await;
        bar.finish_and_clear();
        pushed?;
        for artifact in artifacts(registry, old, image, key)? {
            put(&registry.client, repository, artifact).await?;
        }
    }
    Ok(())
}

/// Sets the tags; returns the references by digest.
pub(super) async fn tag(registry: &Registry, images: &[Image]) -> Result<Vec<String>> {
    let source: Arc<dyn BlobSource> = Arc::new(MemoryBlobs::default());
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    let mut references = Vec::new();
    for image in images {
        let plan = registry.client.plan(image.push.clone()).await?;
        registry.client.push(&plan, &source, &silent).await?;
        references.push(registry.reference(&image.name, &image.index)?);
    }
    Ok(references)
}

/// Everything that refers to an image, the signature of the index last.
fn artifacts(
    registry: &Registry,
    old: &Old,
    image: &Image,
    key: &ImageKey,
) -> Result<Vec<(Artifact, Option<Tag>)>> {
    let mut all = Vec::new();
    for (digest, platform) in &image.manifests {
        let subject = old.descriptor(digest);
        let is_its = |sbom: &&xedge_bundle::manifest::Sbom| {
            sbom.image == image.name && Some(sbom.platform) == *platform
        };
        for sbom in old.manifest().sboms.iter().filter(is_its) {
            let sbom = Layer::new(SPDX, old.read(&member::sbom(&sbom.image, sbom.platform))?);
            all.push((referrer(SPDX, &subject, vec![sbom], &BTreeMap::new()), None));
        }
        for run in old.verified().evidence().iter().filter(|run| run.statement.covers(digest)) {
            let envelope = Layer::new(ENVELOPE, old.read(&member::evidence(&run.scenario))?);
            let notes = notes(&run.scenario, run.statement.predicate.xedge.level);
            all.push((referrer(ENVELOPE, &subject, vec![envelope], &notes), None));
        }
        all.extend(signatures(registry, &image.name, &subject, key)?);
    }
    all.extend(signatures(registry, &image.name, &old.descriptor(&image.index), key)?);
    Ok(all)
}

fn manifest(old: &Old, digest: &Digest) -> Result<Manifest> {
    let bytes = old.read(&member::blob(digest))?.into();
    Ok(Manifest { bytes, media_type: old.descriptor(digest).media_type, digest: digest.clone() })
}

/// An index or a manifest. The verifier has read it before, so it can be read.
fn document<T: serde::de::DeserializeOwned>(old: &Old, digest: &Digest) -> Result<T> {
    let bytes = old.read(&member::blob(digest))?;
    Ok(serde_json::from_slice(&bytes).map_err(|error| crate::error::Error::BadFile {
        path: old.path().to_owned(),
        reason: format!("its {digest} is unreadable: {error}"),
    })?)
}

fn known(machine: &Machine) -> Option<Platform> {
    let is =
        |platform: &Platform| machine.os == "linux" && platform.oci_architecture() == machine.architecture;
    Platform::ALL.into_iter().find(is)
}

/// Blobs out of the bundle; what is sent is hashed by the registry.
struct Blobs(Members);

impl BlobSource for Blobs {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        let member = self.0.get(&member::blob(digest));
        let member = member.ok_or_else(|| io::Error::other(format!("the bundle has no {digest}")))?;
        Ok(Box::new(bundle::part_reader(&member.content)?))
    }
}
