//! Whether the blobs are exactly what the services' images consist of, and the gate has seen each of these images
//! (FORMAT.md §4 and §5; OCI image-spec). Reads indexes and
//! manifests as far as they name other blobs, and unpacks nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use xedge_model::{Digest, Platform};

use super::Plan;
use super::evidence::Judge;
use super::plan::MAX_HELD;
use crate::manifest::{Manifest, Service};
use crate::member;
use crate::refusal::{Code, Refusal};
use crate::stream::limit;
use crate::tuf::Target;

const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// How many indexes and manifests a bundle may have, how many bytes these have together, and how many blobs they name.
const MAX_DOCUMENTS: usize = 2_000;
const MAX_BYTES: u64 = 8 << 20;
const MAX_NAMED: usize = 100_000;

/// The indexes and manifests seen so far.
#[derive(Default)]
pub(super) struct Closure {
    indexes: BTreeMap<Digest, Vec<Descriptor>>,
    manifests: BTreeMap<Digest, Vec<Descriptor>>,
    named: usize,
    bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    platform: Option<OciPlatform>,
}

#[derive(Deserialize)]
struct OciPlatform {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: Option<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct ImageManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Closure {
    /// Whether a blob's bytes are needed.
    pub(super) fn holds(target: &Target) -> bool {
        is_document(target) && target.length <= MAX_HELD as u64
    }

    /// Notes what a blob names.
    pub(super) fn add(&mut self, name: &str, target: &Target, bytes: &[u8]) -> Result<(), Refusal> {
        let kind = target.custom.kind.as_str();
        let digest = target.hashes.sha256().clone();
        let unreadable = |error: serde_json::Error| Refusal::new(Code::Closure, name, error.to_string());
        let many = || Refusal::new(Code::Limits, name, "the images have too many or too long parts");
        if is_document(target) {
            self.bytes = self.bytes.saturating_add(target.length);
            if self.bytes > MAX_BYTES {
                return Err(many());
            }
        }
        let (list, names) = if INDEXES.contains(&kind) {
            limit(name, target.length, MAX_HELD)?;
            let Index { manifests } = serde_json::from_slice(bytes).map_err(unreadable)?;
            (&mut self.indexes, manifests)
        } else if MANIFESTS.contains(&kind) {
            limit(name, target.length, MAX_HELD)?;
            let ImageManifest { config, layers } = serde_json::from_slice(bytes).map_err(unreadable)?;
            (&mut self.manifests, std::iter::once(config).chain(layers).collect())
        } else {
            return Ok(());
        };
        self.named += names.len();
        list.insert(digest, names);
        if self.named > MAX_NAMED || self.indexes.len() + self.manifests.len() > MAX_DOCUMENTS {
            return Err(many());
        }
        Ok(())
    }

    /// What is left out is a layer and nothing else. An image's configuration says which layers there are, so it is always there.
    pub(super) fn check_absent(&self, absent: &BTreeSet<Digest>) -> Result<(), Refusal> {
        let layers: BTreeSet<&Digest> =
            self.manifests.values().flat_map(|parts| parts.iter().skip(1)).map(|part| &part.digest).collect();
        let configs: BTreeSet<&Digest> =
            self.manifests.values().filter_map(|parts| parts.first()).map(|part| &part.digest).collect();
        match absent.iter().find(|digest| configs.contains(digest) || !layers.contains(digest)) {
            Some(digest) => Err(needed(member::blob(digest))),
            None => Ok(()),
        }
    }

    /// Every blob is reached from a service, every blob that is reached is there, and every image that an index names
    /// has been through the gate.
    pub(super) fn check(&self, manifest: &Manifest, plan: &Plan, gate: &Judge) -> Result<(), Refusal> {
        let mut reached = BTreeSet::new();
        for service in &manifest.services {
            let index = member::blob(&service.index);
            let Some(images) = self.indexes.get(&service.index) else {
                let reason = format!("it is no index that is there, and {} needs it", service.name);
                return Err(Refusal::new(Code::Closure, index, reason));
            };
            reached.insert(index.clone());
            check_platforms(&index, images, service)?;
            check_gated(&index, images, service, gate)?;
            for image in images {
                reached.insert(check_blob(plan, image, &index)?);
                let name = member::blob(&image.digest);
                let Some(parts) = self.manifests.get(&image.digest) else {
                    return Err(Refusal::new(
                        Code::Closure,
                        name,
                        format!("{index} names it, and it is no manifest"),
                    ));
                };
                for part in parts {
                    reached.insert(check_blob(plan, part, &name)?);
                }
            }
        }
        match plan.names().find(|name| name.starts_with("blob.") && !reached.contains(*name)) {
            Some(name) => Err(Refusal::new(Code::Closure, name, "no image has it")),
            None => Ok(()),
        }
    }
}

/// Whether a blob names others.
pub(super) fn is_document(target: &Target) -> bool {
    let kind = target.custom.kind.as_str();
    INDEXES.contains(&kind) || MANIFESTS.contains(&kind)
}

/// Why a blob may not be left out.
pub(super) fn needed(name: String) -> Refusal {
    Refusal::new(Code::MemberMissing, name, "it is no layer, so it may not be left out")
}

/// A blob that is named is there, with the length and type that it is named with.
fn check_blob(plan: &Plan, named: &Descriptor, by: &str) -> Result<String, Refusal> {
    let name = member::blob(&named.digest);
    if !plan.has(&name) {
        return Err(Refusal::new(Code::Closure, name, format!("{by} names it, and it is not there")));
    }
    let target = plan.target(&name);
    if target.length == named.size && target.custom.kind == named.media_type {
        return Ok(name);
    }
    let reason = format!(
        "{by} says {} bytes of `{}`, the signed list {} of `{}`",
        named.size,
        named.media_type.escape_debug(),
        target.length,
        target.custom.kind
    );
    Err(Refusal::new(Code::Closure, name, reason))
}

/// The index gives each platform the manifest that the service names.
fn check_platforms(index: &str, images: &[Descriptor], service: &Service) -> Result<(), Refusal> {
    for (platform, expected) in &service.manifests {
        let mut fitting = images.iter().filter(|image| image.is_for(*platform));
        let found = (fitting.next().map(|image| &image.digest), fitting.next());
        if !matches!(found, (Some(digest), None) if digest == expected) {
            let reason = format!("it does not name {expected}, and only that, for {platform}");
            return Err(Refusal::new(Code::Closure, index, reason));
        }
    }
    Ok(())
}

/// The gate has seen every image that the index names, on the platform that it is named for: an engine may choose any.
fn check_gated(index: &str, images: &[Descriptor], service: &Service, gate: &Judge) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for image in images {
        let platform = Platform::ALL.into_iter().find(|platform| image.is_for(*platform));
        let Some(platform) = platform.filter(|p| gate.proves(&service.image, *p, &image.digest)) else {
            let reason = format!(
                "it names {}, and no evidence names that as simulated on the platform that it is for",
                image.digest
            );
            return Err(Refusal::new(Code::EvidenceNotAboutThis, index, reason));
        };
        if !seen.insert(platform) {
            return Err(Refusal::new(Code::Closure, index, format!("it names two images for {platform}")));
        }
    }
    Ok(())
}

impl Descriptor {
    fn is_for(&self, platform: Platform) -> bool {
        self.platform.as_ref().is_some_and(|found| {
            found.os == "linux"
                && found.architecture == platform.oci_architecture()
                && (found.variant.is_none() || found.variant.as_deref() == platform.oci_variant())
        })
    }
}
