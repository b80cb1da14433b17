//! The counter of a stack's releases: one more than the registry and this machine's record know. A number that is taken by
//! something else is refused, never overwritten.

use std::collections::BTreeMap;

use xedge_bundle::Manifest;
use xedge_model::{Digest, ImageName};
use xedge_registry::{Repository, Tag, TagKind};
use xedge_sign::{Artifact, Layer, standalone};

use super::push::put;
use crate::error::{Error, Failed, Result};
use crate::registry::Registry;

/// Artifact type and media type of a release's description in a registry.
const RELEASE: &str = "application/vnd.xedge.release.v1+json";
/// How tags of release numbers begin; no version may.
pub(crate) const PREFIX: &str = "seq-";

/// The format has no room for higher numbers.
const HIGHEST: u64 = 1 << 40;

/// The numbers of a stack's releases at a registry.
pub(crate) struct Numbers {
    repository: Repository,
    stack: String,
    /// The highest number, and what it names where that could be read.
    newest: Option<(u64, Option<Digest>)>,
    tags: Vec<String>,
}

impl Numbers {
    /// Asks the registry; an answer that cannot be read is an error, never "none".
    pub(crate) async fn read(registry: &Registry, stack: &str) -> Result<Self> {
        let repository = registry.repository(&name(stack)?)?;
        let tags = registry.client.tags(&repository).await?;
        let newest = match tags.iter().filter_map(|tag| number(tag)).max() {
            None => None,
            Some(seq) => Some((seq, registry.client.head_manifest(&repository, &tag_of(seq)).await?)),
        };
        Ok(Self { repository, stack: stack.to_owned(), newest, tags })
    }

    /// The highest number that the registry knows.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.as_ref().map_or(0, |(seq, _)| *seq)
    }

    /// Whether the registry's newest release is this one: then a run before this one took the number for it.
    pub(crate) fn is_newest(&self, manifest: &Manifest) -> bool {
        let own = artifact(manifest).descriptor().digest;
        matches!(&self.newest, Some((seq, Some(digest))) if *seq == manifest.seq && *digest == own)
    }

    /// How often bundles of this release were stamped, as far as the registry knows: the next free number.
    pub(crate) fn next_stamp(&self, seq: u64) -> u16 {
        let prefix = format!("{}.", tag_of(seq));
        let stamps = self.tags.iter().filter_map(|tag| tag.strip_prefix(&prefix)?.parse::<u16>().ok());
        stamps.max().map_or(0, |highest| highest.saturating_add(1))
    }

    /// Refuses a version that names another release.
    pub(crate) async fn check_version(&self, registry: &Registry, manifest: &Manifest) -> Result<()> {
        let own = artifact(manifest).descriptor().digest;
        match registry.client.head_manifest(&self.repository, &manifest.version).await? {
            Some(found) if found != own => Err(self.version_taken(manifest, &found)),
            _ => Ok(()),
        }
    }

    /// Takes number and version for this release.
    pub(crate) async fn take(&self, registry: &Registry, manifest: &Manifest) -> Result<()> {
        let taken = |error: Failed, why: Error| {
            let is_taken = error.is(|error| matches!(error, xedge_registry::Error::TagTaken { .. }));
            if is_taken { why.into() } else { error }
        };
        let seq = || Error::SeqTaken { stack: self.stack.clone(), seq: manifest.seq };
        self.tag(registry, manifest, &tag_of(manifest.seq), TagKind::Version)
            .await
            .map_err(|e| taken(e, seq()))?;
        self.tag(registry, manifest, &manifest.version, TagKind::Version).await
    }

    /// Writes down that a bundle of this release gets this stamp.
    pub(crate) async fn stamp(&self, registry: &Registry, manifest: &Manifest, restamp: u16) -> Result<()> {
        let tag = format!("{}.{restamp}", tag_of(manifest.seq));
        self.tag(registry, manifest, &tag, TagKind::Moving).await
    }

    async fn tag(&self, registry: &Registry, manifest: &Manifest, name: &str, kind: TagKind) -> Result<()> {
        let tag = Some(Tag::new(name, kind)?);
        put(&registry.client, &self.repository, (artifact(manifest), tag)).await.map(|_changed| ())
    }

    fn version_taken(&self, manifest: &Manifest, found: &Digest) -> Failed {
        let wanted = artifact(manifest).descriptor().digest;
        let (stack, version) = (self.stack.clone(), manifest.version.clone());
        Error::VersionTaken { stack, version, found: found.clone(), wanted }.into()
    }
}

fn tag_of(seq: u64) -> String {
    format!("{PREFIX}{seq}")
}

/// The number in a tag; a tag that is not written as we write it is none.
fn number(tag: &str) -> Option<u64> {
    let seq = tag.strip_prefix(PREFIX)?.parse().ok()?;
    (tag_of(seq) == tag && seq <= HIGHEST).then_some(seq)
}

fn artifact(manifest: &Manifest) -> Artifact {
    standalone(RELEASE, vec![Layer::new(RELEASE, manifest.to_bytes())], &BTreeMap::new())
}

/// A repository of its own beside the images.
pub(super) fn name(stack: &str) -> Result<ImageName> {
    let stack = stack.to_ascii_lowercase();
    let named = format!("xedge-releases/{stack}").parse();
    Ok(named.map_err(|_| Error::Unknown {
        what: "a name in the registry for the stack",
        name: stack,
        hint: "a stack that is released has a name of small letters, digits and `-`".to_owned(),
    })?)
}
