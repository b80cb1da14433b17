//! What of a bundle would travel to a device: a pure function of the bundle and what the device has. Decides nothing: the device
//! names what it wants.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use xedge_bundle::{Code, ReadError, Refusal, member};
use xedge_model::{Digest, Platform};
use xedge_wire::Inventory;

use crate::bundle::BundleFile;
use crate::error::{Error, Result};

/// One line of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What it is, in words.
    pub what: String,
    /// Its digest, where it is one member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its bytes.
    pub bytes: u64,
    /// How many of them would travel.
    pub travels: u64,
}

/// What would travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferPlan {
    /// Line by line: what is small together, then layer by layer.
    pub lines: Vec<Line>,
    /// Bytes that would travel.
    pub travels: u64,
    /// Bytes of everything that this device needs.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct ImageManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
    size: u64,
}

#[derive(Deserialize)]
struct ImageConfig {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// Plans the transfer to a device whose containers have this architecture (Go's word).
pub fn plan(bundle: &BundleFile, architecture: &str, inventory: &Inventory) -> Result<TransferPlan> {
    let platform = platform(bundle, architecture)?;
    let layers = all_layers(bundle)?;
    let mut lines = vec![Line {
        what: "metadata and bundle.json".to_owned(),
        digest: None,
        bytes: bundle.head_length(),
        travels: bundle.head_length(),
    }];
    let mut small = Line {
        what: "evidence, locks, SBOMs, configuration, manifests".to_owned(),
        digest: None,
        bytes: 0,
        travels: 0,
    };
    let mut contents = BTreeSet::new();
    for (name, target) in bundle.targets() {
        let digest = target.hashes.sha256();
        // Two names of one content travel once.
        if name == member::BUNDLE || layers.contains(digest) || !contents.insert(digest) {
            continue;
        }
        small.bytes += target.length;
        small.travels += missing(inventory, digest, target.length);
    }
    lines.push(small);
    let mut seen = BTreeSet::new();
    for service in &bundle.manifest().services {
        let Some(manifest) = service.manifests.get(&platform) else { continue };
        if seen.insert(manifest.clone()) {
            image(bundle, service.image.as_str(), manifest, inventory, &mut lines)?;
        }
    }
    let sum = |each: fn(&Line) -> u64| lines.iter().map(each).sum();
    Ok(TransferPlan { travels: sum(|line| line.travels), bytes: sum(|line| line.bytes), lines })
}

fn image(
    bundle: &BundleFile,
    name: &str,
    manifest: &Digest,
    inventory: &Inventory,
    lines: &mut Vec<Line>,
) -> Result<()> {
    let manifest: ImageManifest = read(bundle, manifest)?;
    let config: ImageConfig = read(bundle, &manifest.config.digest)?;
    let diff_ids = config.rootfs.diff_ids;
    let count = manifest.layers.len();
    for (number, layer) in manifest.layers.iter().enumerate() {
        // A layer is there with everything below it, or not at all.
        let chain = diff_ids.get(..=number).unwrap_or_default();
        let is_there = !chain.is_empty() && inventory.chains.iter().any(|there| there.starts_with(chain));
        let again = lines.iter().any(|line| line.digest.as_ref() == Some(&layer.digest));
        lines.push(Line {
            what: format!("{name}: layer {} of {count}", number + 1),
            digest: Some(layer.digest.clone()),
            bytes: if again { 0 } else { layer.size },
            travels: if is_there || again { 0 } else { missing(inventory, &layer.digest, layer.size) },
        });
    }
    Ok(())
}

/// The layers of every image on every platform.
fn all_layers(bundle: &BundleFile) -> Result<BTreeSet<Digest>> {
    let mut all = BTreeSet::new();
    let manifests: BTreeSet<&Digest> =
        bundle.manifest().services.iter().flat_map(|service| service.manifests.values()).collect();
    for digest in manifests {
        let manifest: ImageManifest = read(bundle, digest)?;
        all.extend(manifest.layers.into_iter().map(|layer| layer.digest));
    }
    Ok(all)
}

fn platform(bundle: &BundleFile, architecture: &str) -> Result<Platform> {
    let platforms = &bundle.manifest().compatibility.platforms;
    let found = platforms.iter().find(|platform| platform.oci_architecture() == architecture);
    let reason = || format!("it has no images for {architecture}");
    let refused = || Refusal::new(Code::Platform, member::BUNDLE, reason());
    found.copied().ok_or_else(|| Error::Bundle(ReadError::Refused(refused())))
}

fn missing(inventory: &Inventory, digest: &Digest, length: u64) -> u64 {
    length.saturating_sub(inventory.members.get(digest).copied().unwrap_or_default())
}

fn read<T: for<'de> Deserialize<'de>>(bundle: &BundleFile, digest: &Digest) -> Result<T> {
    let bytes = bundle.member(&member::blob(digest))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::BadFile {
        path: bundle.path().to_owned(),
        reason: format!("{digest}: {error}"),
        hint: format!("look at it: `cargo xtask bundle inspect {}`", bundle.path()),
    })
}
