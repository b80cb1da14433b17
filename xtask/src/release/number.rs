//! The counter of a stack's releases: one more than the registry and this machine's record know. A number that is taken by
//! something else is refused, never overwritten.

use std::collections::BTreeMap;

use xedge_bundle::Manifest;
use xedge_model::{Digest, ImageName};
use xedge_registry::{Repository, Tag, TagKind};
use xedge_sign::{Artifact, Layer, standalone};

use super::push::put;
use crate::error::{Error, Result};
use crate::registry::Registry;

/// Artifact type and media type of a release's description in a registry.
const RELEASE: &str = "application/vnd.xedge.release.v1+json";
const PREFIX: &str = "seq-";
/// Before a version, so that no version reads as a number.
const VERSION: &str = "v-";

/// The numbers of a stack's releases at a registry.
pub(crate) struct Numbers {
    repository: Repository,
    stack: String,
    newest: Option<(u64, Digest)>,
}

impl Numbers {
    /// Asks the registry; an answer that cannot be read is an error, never "none".
    pub(crate) async fn read(registry: &Registry, stack: &str) -> Result<Self> {
        let repository = registry.repository(&name(stack)?)?;
        let tags = registry.client.tags(&repository).await?;
        let newest = tags.iter().filter_map(|tag| tag.strip_prefix(PREFIX)?.parse::<u64>().ok()).max();
        let newest = match newest {
            None => None,
            Some(seq) => {
                let tag = format!("{PREFIX}{seq}");
                registry.client.head_manifest(&repository, &tag).await?.map(|digest| (seq, digest))
            }
        };
        Ok(Self { repository, stack: stack.to_owned(), newest })
    }

    /// The highest number that the registry knows.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.as_ref().map_or(0, |(seq, _)| *seq)
    }

    /// Whether the registry's newest release is this one: then a run before this one was stopped after it took the number.
    pub(crate) fn is_newest(&self, manifest: &Manifest) -> bool {
        let own = artifact(manifest).descriptor().digest;
        self.newest.as_ref().is_some_and(|(seq, digest)| *seq == manifest.seq && *digest == own)
    }

    /// Refuses a version that another release has: images are the same when only the configuration changed, so their tags
    /// do not tell.
    pub(crate) async fn check_version(&self, registry: &Registry, manifest: &Manifest) -> Result<()> {
        let wanted = artifact(manifest).descriptor().digest;
        let tag = version_tag(manifest)?;
        match registry.client.head_manifest(&self.repository, tag.name()).await? {
            Some(found) if found != wanted => {
                let (stack, version) = (self.stack.clone(), manifest.version.clone());
                Err(Error::VersionTaken { stack, version, found, wanted }.into())
            }
            _ => Ok(()),
        }
    }

    /// Takes number and version of this release for it, the number first: who loses a race for it has used up no version.
    pub(crate) async fn take(&self, registry: &Registry, manifest: &Manifest) -> Result<()> {
        if !self.is_newest(manifest) {
            self.take_number(registry, manifest).await?;
        }
        let tag = version_tag(manifest)?;
        put(&registry.client, &self.repository, (artifact(manifest), Some(tag))).await?;
        Ok(())
    }

    async fn take_number(&self, registry: &Registry, manifest: &Manifest) -> Result<()> {
        let tag = Tag::new(&format!("{PREFIX}{}", manifest.seq), TagKind::Version)?;
        match put(&registry.client, &self.repository, (artifact(manifest), Some(tag))).await {
            Ok(_) => Ok(()),
            Err(error) if error.is::<xedge_registry::Error>(|e| matches!(e, xedge_registry::Error::TagTaken { .. })) => {
                Err(Error::SeqTaken { stack: self.stack.clone(), seq: manifest.seq }.into())
            }
            Err(error) => Err(error),
        }
    }
}

fn version_tag(manifest: &Manifest) -> Result<Tag> {
    Ok(Tag::new(&format!("{VERSION}{}", manifest.version), TagKind::Version)?)
}

fn artifact(manifest: &Manifest) -> Artifact {
    standalone(RELEASE, vec![Layer::new(RELEASE, manifest.to_bytes())], &BTreeMap::new())
}

/// A repository of its own beside the images.
fn name(stack: &str) -> Result<ImageName> {
    let stack = stack.to_ascii_lowercase();
    let named = format!("xedge-releases/{stack}").parse();
    Ok(named.map_err(|_| Error::Unknown {
        what: "a name in the registry for the stack",
        name: stack,
        hint: "a stack that is released has a name of small letters, digits and `-`".to_owned(),
    })?)
}
