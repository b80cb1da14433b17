//! Pushing an artifact such as a signature or a list of contents, so that it is found from the image it is about. It
//! must not make any manifest: the caller's bytes are pushed as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use xedge_model::Digest;

use crate::auth::Scope;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::plan::{Blob, Manifest, PushImage};
use crate::referrers::Descriptor;
use crate::source::{BlobSource, Progress};
use crate::target::{Repository, Tag};

/// An artifact to be pushed, as plain data.
#[derive(Clone, Debug)]
pub struct PushArtifact {
    /// Where it goes: to the repository of the image that it is about.
    pub repository: Repository,
    /// Its manifest.
    pub manifest: Manifest,
    /// The blobs that the manifest lists.
    pub blobs: Vec<Blob>,
    /// A tag for it.
    pub tag: Option<Tag>,
}

/// How an artifact is found from its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrer {
    /// It has no subject.
    None,
    /// The registry lists it.
    Listed,
    /// The stand-in tag `sha256-HEX` lists it.
    StandIn,
}

/// What the push of an artifact did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedArtifact {
    /// The artifact by digest.
    pub reference: String,
    /// Whether anything was written.
    pub changed: bool,
    /// How it is found.
    pub referrer: Referrer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    subject: Option<Subject>,
    artifact_type: Option<String>,
    config: Option<Config>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Subject {
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

impl Client {
    /// Pushes an artifact and sees to it that it is found from its subject. A registry's word (`OCI-Subject`) is not
    /// taken for that: some send it and list nothing, so the list is read back.
    pub async fn push_artifact(
        &self,
        artifact: PushArtifact,
        source: &Arc<dyn BlobSource>,
        progress: &Arc<dyn Progress>,
    ) -> Result<PushedArtifact> {
        let PushArtifact { repository, manifest, blobs, tag } = artifact;
        let shape = shape(&manifest)?;
        let image = PushImage {
            repository: repository.clone(),
            index: manifest.clone(),
            manifests: Vec::new(),
            blobs,
            tags: tag.into_iter().collect(),
            mount_from: Vec::new(),
        };
        let plan = self.plan(image).await?;
        let mut changed = !plan.is_unchanged();
        let reference = self.push(&plan, source, progress).await?.reference;
        let Some(subject) = &shape.subject else {
            return Ok(PushedArtifact { reference, changed, referrer: Referrer::None });
        };
        let scope = Scope::push(&repository);
        let listed = self.listed(&scope, &repository, &subject.digest).await?;
        let shows = |list: &[Descriptor]| list.iter().any(|known| known.digest == manifest.digest);
        if listed.is_some_and(|list| shows(&list)) {
            return Ok(PushedArtifact { reference, changed, referrer: Referrer::Listed });
        }
        let descriptor = descriptor(&manifest, &shape);
        changed |= self.stand_in(&scope, &repository, &subject.digest, &descriptor).await?;
        Ok(PushedArtifact { reference, changed, referrer: Referrer::StandIn })
    }
}

fn shape(manifest: &Manifest) -> Result<Shape> {
    serde_json::from_slice(&manifest.bytes).map_err(|e| Error::BadImage {
        what: manifest.digest.to_string(),
        problem: format!("it is no manifest, {e}"),
    })
}

fn descriptor(manifest: &Manifest, shape: &Shape) -> Descriptor {
    let of_config = || shape.config.as_ref().map(|config| config.media_type.clone());
    Descriptor {
        media_type: manifest.media_type.clone(),
        digest: manifest.digest.clone(),
        size: manifest.bytes.len() as u64,
        artifact_type: shape.artifact_type.clone().or_else(of_config),
        annotations: shape.annotations.clone(),
    }
}
