//! Pushing gated images: blobs and manifests by digest, then signatures and what else refers to them, tags last.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use indicatif::ProgressBar;
use xedge_model::scenario::Level;
use xedge_model::{Digest, ImageName};
use xedge_oci::{Descriptor, ImageEntry, Layout};
use xedge_registry::{
    Blob, BlobSource, Client, Event, Manifest, MemoryBlobs, Plan, Progress, PushArtifact, PushImage,
    Repository, Silent, Tag, TagKind,
};
use xedge_sign::{Artifact, ImageKey, Layer, referrer};

use crate::build::{self, sbom_file};
use crate::commands::Context;
use crate::error::{Result, read_bytes};
use crate::registry::Registry;
use crate::stage::Release;

/// Media type of a DSSE envelope.
pub(super) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// Media type of an SPDX document in JSON (IANA).
pub(super) const SPDX: &str = "application/spdx+json";

/// What is to be pushed where, looked up at the registry.
pub(crate) struct Shipment {
    images: Vec<(ImageEntry, Plan)>,
}

impl Shipment {
    /// Looks at the registry; a version that already names something else is an error before anything is sent.
    pub(crate) async fn plan(
        cx: &Context<'_>,
        registry: &Registry,
        entries: Vec<ImageEntry>,
        tags: &[Tag],
    ) -> Result<Self> {
        let layout = build::layout(cx)?;
        let names: Vec<ImageName> = entries.iter().map(|entry| entry.name().clone()).collect();
        let mut images = Vec::new();
        for entry in entries {
            let image = push_image(registry, &layout, &entry, &names, tags.to_vec())?;
            images.push((entry, registry.client.plan(image).await?));
        }
        Ok(Self { images })
    }

    /// The error for the first version tag that names something else.
    pub(crate) fn check(&self) -> Result<()> {
        match self.images.iter().find_map(|(_, plan)| plan.conflict()) {
            Some(conflict) => Err(conflict.into()),
            None => Ok(()),
        }
    }

    /// Each image with its plan.
    pub(crate) fn images(&self) -> impl Iterator<Item = (&ImageEntry, &Plan)> {
        self.images.iter().map(|(entry, plan)| (entry, plan))
    }

    /// Sends everything but the tags of the images.
    pub(crate) async fn send(
        self,
        cx: &Context<'_>,
        registry: &Registry,
        release: &Release,
        key: &ImageKey,
    ) -> Result<Sent> {
        self.check()?;
        let mut images = Vec::new();
        for (entry, plan) in self.images {
            let done = is_done(registry, &entry, &plan, key).await?;
            if !done {
                send(cx, registry, &entry, &plan, release, key).await?;
            }
            images.push((entry, plan, done));
        }
        Ok(Sent { images })
    }
}

/// Images that are in the registry by digest, with all that refers to them; only their tags are to be set.
#[must_use]
pub(crate) struct Sent {
    images: Vec<(ImageEntry, Plan, bool)>,
}

impl Sent {
    /// Sets the tags; returns the references by digest.
    pub(crate) async fn tag(self, registry: &Registry) -> Result<Vec<String>> {
        let source: Arc<dyn BlobSource> = Arc::new(MemoryBlobs::default());
        let silent: Arc<dyn Progress> = Arc::new(Silent);
        let mut references = Vec::new();
        for (entry, plan, done) in self.images {
            if !done {
                let plan = registry.client.plan(plan.image().clone()).await?;
                registry.client.push(&plan, &source, &silent).await?;
            }
            references.push(registry.reference(entry.name(), &entry.index().digest)?);
        }
        Ok(references)
    }
}

/// The signature of the index is the last that is sent before tags: where ours is, all the rest is.
async fn is_done(registry: &Registry, entry: &ImageEntry, plan: &Plan, key: &ImageKey) -> Result<bool> {
    if !plan.is_unchanged() {
        return Ok(false);
    }
    let index = &entry.index().digest;
    let own = key.sign_for_tag(&registry.shown(entry.name())?, index).descriptor().digest;
    let tag = ImageKey::signature_tag(index);
    Ok(registry.client.head_manifest(&plan.image().repository, &tag).await? == Some(own))
}

async fn send(
    cx: &Context<'_>,
    registry: &Registry,
    entry: &ImageEntry,
    plan: &Plan,
    release: &Release,
    key: &ImageKey,
) -> Result<()> {
    let source: Arc<dyn BlobSource> = Arc::new(LayoutBlobs(build::layout(cx)?));
    let bar = cx.printer.bytes_bar(plan.upload_bytes(), entry.name().as_str());
    let progress = shown_on(&bar);
    let client = &registry.client;
    let untagged = PushImage { tags: Vec::new(), ..plan.image().clone() };
    let pushed = client.push(&client.plan(untagged).await?, &source, &progress).await;
    bar.finish_and_clear();
    let pushed = pushed?;
    let (uploaded, bytes, mounted) = (pushed.uploaded, pushed.uploaded_bytes, pushed.mounted);
    cx.printer
        .say(&format!("{}: {uploaded} blobs uploaded ({bytes} bytes), {mounted} mounted", entry.name()));
    for artifact in artifacts(cx, registry, entry, release, key)? {
        put(client, &plan.image().repository, artifact).await?;
    }
    Ok(())
}

/// Everything that refers to an image, the signature of the index last.
fn artifacts(
    cx: &Context<'_>,
    registry: &Registry,
    entry: &ImageEntry,
    release: &Release,
    key: &ImageKey,
) -> Result<Vec<(Artifact, Option<Tag>)>> {
    let mut all = Vec::new();
    for (platform, image) in entry.platforms() {
        let sbom = read_bytes(&sbom_file(cx, entry.name(), *platform))?;
        all.push((referrer(SPDX, image.manifest(), vec![Layer::new(SPDX, sbom)], &BTreeMap::new()), None));
        let is_about = |run: &&crate::stage::Gated| {
            run.manifests().get(&(entry.name().clone(), *platform)) == Some(&image.manifest().digest)
        };
        for run in release.gated().iter().filter(is_about) {
            let envelope = Layer::new(ENVELOPE, run.envelope().to_vec());
            let notes = notes(run.scenario(), run.level());
            all.push((referrer(ENVELOPE, image.manifest(), vec![envelope], &notes), None));
        }
        all.extend(signatures(registry, entry.name(), image.manifest(), key)?);
    }
    all.extend(signatures(registry, entry.name(), entry.index(), key)?);
    Ok(all)
}

/// What is written on evidence, for whoever looks for it in a registry.
pub(super) fn notes(scenario: &str, level: Level) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::from([("org.xedge.scenario".to_owned(), scenario.to_owned())]);
    if !level.is_usual() {
        notes.insert("org.xedge.level".to_owned(), level.as_str().to_owned());
    }
    notes
}

/// As cosign 3 and as cosign 2 look for it.
pub(super) fn signatures(
    registry: &Registry,
    name: &ImageName,
    image: &Descriptor,
    key: &ImageKey,
) -> Result<[(Artifact, Option<Tag>); 2]> {
    let tag = Tag::new(&ImageKey::signature_tag(&image.digest), TagKind::Moving)?;
    let bundle = key.sign_as_referrer(image, None);
    Ok([(bundle, None), (key.sign_for_tag(&registry.shown(name)?, &image.digest), Some(tag))])
}

/// Pushes a small artifact.
pub(super) async fn put(
    client: &Client,
    repository: &Repository,
    (artifact, tag): (Artifact, Option<Tag>),
) -> Result<bool> {
    let descriptor = artifact.descriptor();
    let manifest = Manifest {
        bytes: artifact.manifest.into(),
        media_type: descriptor.media_type,
        digest: descriptor.digest,
    };
    let blobs: Vec<Bytes> = artifact.blobs.into_iter().map(Bytes::from).collect();
    let blob = |bytes: &Bytes| Blob { digest: Digest::of(bytes), size: bytes.len() as u64 };
    let push = PushArtifact {
        repository: repository.clone(),
        manifest,
        blobs: blobs.iter().map(blob).collect(),
        tag,
    };
    let source: Arc<dyn BlobSource> = Arc::new(MemoryBlobs::new(blobs));
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    Ok(client.push_artifact(push, &source, &silent).await?.changed)
}

/// An image of the layout as a push takes it.
pub(crate) fn push_image(
    registry: &Registry,
    layout: &Layout,
    entry: &ImageEntry,
    names: &[ImageName],
    tags: Vec<Tag>,
) -> Result<PushImage> {
    let read = |descriptor: &Descriptor| -> Result<Manifest> {
        Ok(Manifest {
            bytes: layout.blobs().read(descriptor)?.into(),
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.clone(),
        })
    };
    let images = entry.platforms().values();
    let blobs: BTreeSet<Blob> = images
        .clone()
        .flat_map(|image| image.layers().iter().chain([image.config_blob()]))
        .map(|descriptor| Blob { digest: descriptor.digest.clone(), size: descriptor.size })
        .collect();
    let others = names.iter().filter(|name| *name != entry.name());
    let mount_from: Vec<String> =
        others.map(|name| Ok(registry.repository(name)?.path().to_owned())).collect::<Result<_>>()?;
    Ok(PushImage {
        repository: registry.repository(entry.name())?,
        index: read(entry.index())?,
        manifests: images.map(|image| read(image.manifest())).collect::<Result<_>>()?,
        blobs: blobs.into_iter().collect(),
        tags,
        mount_from,
    })
}

/// The layout's blobs; a damaged one is an error when its last byte is read.
pub(crate) struct LayoutBlobs(pub(crate) Layout);

impl BlobSource for LayoutBlobs {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.0.blobs().open(digest).map_err(io::Error::other)?))
    }
}

/// Progress that is shown on a bar.
pub(crate) fn shown_on(bar: &ProgressBar) -> Arc<dyn Progress> {
    Arc::new(Bar { bar: bar.clone(), moved: Mutex::default() })
}

/// Shows the bytes that are under way; those of an upload that starts again are taken back.
struct Bar {
    bar: ProgressBar,
    moved: Mutex<BTreeMap<Digest, u64>>,
}

impl Progress for Bar {
    fn event(&self, event: Event) {
        let Ok(mut moved) = self.moved.lock() else { return };
        let (digest, bytes) = match event {
            Event::Started(digest) => (digest, 0),
            Event::Resumed(digest, from) => (digest, from),
            Event::Moved(digest, more) => {
                let so_far = moved.get(&digest).copied().unwrap_or(0);
                (digest, so_far + more)
            }
            Event::There(_) | Event::Mounted(_) | Event::Done(_) => return,
        };
        moved.insert(digest, bytes);
        self.bar.set_position(moved.values().sum());
    }
}
