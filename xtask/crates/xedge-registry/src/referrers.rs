//! What refers to an image: the referrers API, and the tag that stands in for it. A list that cannot be read is never
//! an empty one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xedge_model::Digest;

use crate::auth::Scope;
use crate::client::Client;
use crate::error::Result;
use crate::plan::Manifest;
use crate::push::vanished;
use crate::read::{self, Fetched, not_json, strange};
use crate::reference::{OCI_INDEX, says_absent};
use crate::target::Repository;

const MAX_LIST: u64 = 8 << 20;
/// How often the stand-in tag is written anew because somebody else wrote it at the same time.
const ROUNDS: usize = 5;

/// A manifest that refers to another, as a list of referrers shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the manifest.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What else it says about itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct List {
    // An empty list is written as `null` by some.
    manifests: Option<Vec<Descriptor>>,
}

impl Client {
    /// Everything that refers to `subject`: what the registry lists itself, then what only the stand-in tag lists.
    pub async fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>> {
        let scope = Scope::pull(repository);
        let mut all = self.listed(&scope, repository, subject).await?.unwrap_or_default();
        if let Some(fetched) = self.manifest_in(&scope, repository, &tag_for(subject)).await? {
            for descriptor in descriptors(repository, subject, &fetched)? {
                if !all.iter().any(|known| known.digest == descriptor.digest) {
                    all.push(descriptor);
                }
            }
        }
        Ok(all)
    }

    /// The answer of the referrers API; `None` where the registry has no such thing.
    pub(crate) async fn listed(
        &self,
        scope: &Scope,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>> {
        let what = format!("list what refers to {}", repository.by_digest(subject));
        let rest = format!("referrers/{subject}");
        let list = read::List { rest: &rest, what: &what, limit: MAX_LIST, absent: says_absent };
        let Some(pages) = self.pages(scope, repository, &list).await? else {
            return Ok(None);
        };
        let mut all = Vec::new();
        for page in pages {
            let list: List = serde_json::from_slice(&page).map_err(|e| not_json(&what, &e))?;
            all.extend(list.manifests.unwrap_or_default());
        }
        Ok(Some(all))
    }

    /// Sees to it that the stand-in tag lists the descriptor. Returns whether anything was written.
    pub(crate) async fn stand_in(
        &self,
        scope: &Scope,
        repository: &Repository,
        subject: &Digest,
        descriptor: &Descriptor,
    ) -> Result<bool> {
        let tag = tag_for(subject);
        for round in 0..ROUNDS {
            let found = self.manifest_in(scope, repository, &tag).await?;
            let known = match &found {
                Some(fetched) => descriptors(repository, subject, fetched)?,
                None => Vec::new(),
            };
            if known.iter().any(|known| known.digest == descriptor.digest) {
                return Ok(round > 0);
            }
            let next = appended(repository, &tag, found, descriptor)?;
            self.put_manifest(scope, repository, &tag, &next).await?;
        }
        Err(vanished(repository.at(&tag), &descriptor.digest))
    }
}

/// The tag that stands in for the referrers API.
fn tag_for(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

fn descriptors(repository: &Repository, subject: &Digest, fetched: &Fetched) -> Result<Vec<Descriptor>> {
    let what = repository.at(&tag_for(subject));
    let list: List = serde_json::from_slice(&fetched.bytes).map_err(|e| not_json(&what, &e))?;
    list.manifests.ok_or_else(|| strange(&what, "it is not an image index"))
}

/// The index with one more descriptor; everything that others wrote into it stays.
fn appended(
    repository: &Repository,
    tag: &str,
    found: Option<Fetched>,
    descriptor: &Descriptor,
) -> Result<Manifest> {
    let what = repository.at(tag);
    let mut index: Value = match found {
        Some(fetched) => serde_json::from_slice(&fetched.bytes).map_err(|e| not_json(&what, &e))?,
        None => json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }),
    };
    let list = index.get_mut("manifests").and_then(Value::as_array_mut);
    let list = list.ok_or_else(|| strange(&what, "it is not an image index"))?;
    list.push(serde_json::to_value(descriptor).expect("a descriptor can be written as JSON"));
    let bytes = serde_json::to_vec(&index).expect("a JSON value can be written as JSON");
    let digest = Digest::of(&bytes);
    Ok(Manifest { bytes: bytes.into(), media_type: OCI_INDEX.to_owned(), digest })
}
