//! Doing what a plan says: blobs, child manifests, index, tags, and reading it all back. Tags come last, so that a push
//! that is broken off leaves none; a version is never moved.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use xedge_model::Digest;

use crate::auth::Scope;
use crate::client::{Client, refusal};
use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::http::{Body, Method, Request};
use crate::plan::{self, Blob, BlobStep, Manifest, ManifestStep, Plan, PushImage, TagStep};
use crate::source::{BlobSource, Event, Progress};
use crate::target::{Repository, Tag};
use crate::upload::{Arrived, Upload};

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The image by digest, to be pulled as it is: `HOST/PATH@sha256:…`.
    pub reference: String,
    /// The tags that were set.
    pub tags: Vec<String>,
    /// How many blobs were uploaded.
    pub uploaded: usize,
    /// How many bytes these have.
    pub uploaded_bytes: u64,
    /// How many blobs were mounted.
    pub mounted: usize,
}

impl Client {
    /// Does what `plan` says, and reads it back. For a plan without changes no request is made: the plan has just
    /// read everything. A future that is dropped leaves no tag that was not set already.
    pub async fn push(
        &self,
        plan: &Plan,
        source: &Arc<dyn BlobSource>,
        progress: &Arc<dyn Progress>,
    ) -> Result<Pushed> {
        if let Some(conflict) = plan.conflict() {
            return Err(conflict);
        }
        let feed = Feed { source: source.clone(), progress: progress.clone() };
        let scope = Scope::push(&plan.image.repository);
        let mut pushed = self.push_blobs(&scope, plan, &feed).await?;
        for (manifest, step) in plan.manifests().chain([(&plan.image.index, plan.index)]) {
            if step == ManifestStep::Put {
                self.put_manifest(&scope, &plan.image.repository, manifest.digest.as_str(), manifest).await?;
            }
        }
        let written = plan.index == ManifestStep::Put;
        if written {
            self.read_back(&scope, &plan.image).await?;
        }
        for (tag, _) in plan.tags().filter(|(_, step)| **step == TagStep::Set) {
            self.set_tag(&scope, &plan.image, tag).await?;
            pushed.tags.push(tag.name().to_owned());
        }
        Ok(pushed)
    }

    async fn push_blobs(&self, scope: &Scope, plan: &Plan, feed: &Feed) -> Result<Pushed> {
        let mut pushed = Pushed {
            reference: plan.image.repository.by_digest(&plan.image.index.digest),
            tags: Vec::new(),
            uploaded: 0,
            uploaded_bytes: 0,
            mounted: 0,
        };
        // Collected, so that no closure is held across an await: the future would not be `Send`.
        let steps: Vec<_> =
            plan.blobs().map(|(blob, step)| self.push_blob(scope, plan, blob, step, feed)).collect();
        let mut arrivals = stream::iter(steps).buffer_unordered(self.settings.parallel.max(1));
        while let Some((arrived, size)) = arrivals.try_next().await? {
            match arrived {
                Some(Arrived::Uploaded) => {
                    pushed.uploaded += 1;
                    pushed.uploaded_bytes += size;
                }
                Some(Arrived::Mounted) => pushed.mounted += 1,
                None => {}
            }
        }
        Ok(pushed)
    }

    async fn push_blob(
        &self,
        scope: &Scope,
        plan: &Plan,
        blob: &Blob,
        step: &BlobStep,
        feed: &Feed,
    ) -> Result<(Option<Arrived>, u64)> {
        let repository = &plan.image.repository;
        let upload = Upload { client: self, scope, repository, blob, feed };
        let arrived = match step {
            BlobStep::There => {
                feed.progress.event(Event::There(blob.digest.clone()));
                None
            }
            BlobStep::Mount { from } => Some(upload.run(Some(from)).await?),
            BlobStep::Upload { .. } => Some(upload.run(None).await?),
        };
        Ok((arrived, blob.size))
    }

    /// Puts a manifest under its digest or under a tag.
    pub(crate) async fn put_manifest(
        &self,
        scope: &Scope,
        repository: &Repository,
        reference: &str,
        manifest: &Manifest,
    ) -> Result<()> {
        let address = self.address(repository, &format!("manifests/{reference}"))?;
        let what = repository.at(reference);
        let step = format!("put {what}");
        let make = || {
            Request::new(Method::PUT, address.clone())
                .header("content-type", manifest.media_type.clone())
                .body(Body::Bytes(manifest.bytes.clone()))
        };
        let reply = self.send(scope, &step, make).await?;
        if !reply.is_ok() {
            return Err(refusal(reply, &step).await);
        }
        // Some registries say nothing about what they kept; it is read back in any case.
        match reply.header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok()) {
            Some(found) if found != manifest.digest => {
                Err(Error::WrongDigest { what, expected: manifest.digest.clone(), found })
            }
            _ => Ok(()),
        }
    }

    async fn read_back(&self, scope: &Scope, image: &PushImage) -> Result<()> {
        let digest = &image.index.digest;
        match self.manifest_in(scope, &image.repository, digest.as_str()).await? {
            Some(_) => Ok(()),
            None => Err(vanished(image.repository.by_digest(digest), digest)),
        }
    }

    /// Looks at the tag once more right before it is set, and right after.
    async fn set_tag(&self, scope: &Scope, image: &PushImage, tag: &Tag) -> Result<()> {
        if let TagStep::Conflict { found } = self.tag_step(scope, image, tag).await? {
            return Err(plan::taken(image, tag, &found));
        }
        self.put_manifest(scope, &image.repository, tag.name(), &image.index).await?;
        let (what, expected) = (image.repository.at(tag.name()), &image.index.digest);
        match self.head_in(scope, &image.repository, tag.name()).await? {
            Some(found) if found == *expected => Ok(()),
            Some(found) => Err(Error::WrongDigest { what, expected: expected.clone(), found }),
            None => Err(vanished(what, expected)),
        }
    }
}

pub(crate) fn vanished(what: String, expected: &Digest) -> Error {
    Error::Vanished { what, expected: expected.clone() }
}
