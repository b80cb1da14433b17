//! What an image consists of, and which members of a bundle are still missing. Reads the store, asks the Engine what it
//! has, writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use xedge_bundle::tuf::{Target, Targets};
use xedge_bundle::{Code, Offer, Refusal, member};
use xedge_model::{Digest, Platform};
use xedge_wire::Want;

use super::{is_layer, no_platform};
use crate::Result;
use crate::check::Needs;
use crate::engine::{Engine, LayerLoad};
use crate::store::Store;

/// An image for this device's platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Bytes of its config.
    pub config: Vec<u8>,
    /// Digest of its config.
    pub config_digest: Digest,
    /// Its layers, lowest first; `here` is what the Engine had when it was asked.
    pub layers: Vec<LayerLoad>,
    /// The user of its processes, as the config has it; empty is root.
    pub user: String,
}

/// What is missing of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    /// The members that can be named so far, in the order of the bundle. Layers come once everything else is there.
    pub members: Vec<Want>,
    /// The images of this device's platform by the digest of their manifests; none before `members` names layers only.
    pub images: BTreeMap<Digest, Image>,
}

impl Missing {
    /// The room that it takes: in the store, and once the Engine has unpacked the layers.
    pub fn needs(&self) -> Needs {
        let store = self.members.iter().map(|want| want.length - want.from).sum();
        let layers = self.images.values().flat_map(|image| &image.layers).filter(|layer| !layer.here);
        Needs { store, layers: layers.map(|layer| layer.length).sum(), ..Needs::default() }
    }
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
struct Config {
    rootfs: RootFs,
    #[serde(default)]
    config: Option<Process>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

#[derive(Default, Deserialize)]
struct Process {
    #[serde(default, rename = "User")]
    user: Option<String>,
}

/// What is missing of the bundle of this offer: first everything but layers, and with that at hand the layers that the
/// Engine does not have.
pub fn missing(offer: &Offer, store: &Store, platform: Platform, engine: &dyn Engine) -> Result<Missing> {
    let plan = offer.plan();
    // Two members may have the same bytes; they are kept once, and asked for once.
    let mut seen = BTreeSet::new();
    let mut want = |name: &str, target: &Target| -> Result<Option<Want>> {
        if !seen.insert(target.hashes.sha256().clone()) {
            return Ok(None);
        }
        let from = store.resume(target)?;
        let length = target.length;
        Ok((from < length || !store.has(target)).then(|| Want { name: name.to_owned(), from, length }))
    };
    let (mut members, mut seen) = (Vec::new(), BTreeSet::new());
    for name in plan.names().filter(|name| *name != member::BUNDLE) {
        let target = plan.target(name);
        // Two names of one content, such as the SBOMs of two platforms, are one member here.
        if !is_layer(name, target) && seen.insert(target.hashes.sha256()) {
            members.extend(want(name, target)?);
        }
    }
    if !members.is_empty() {
        return Ok(Missing { members, images: BTreeMap::new() });
    }
    let images = images(offer, store, platform, engine)?;
    let needed: BTreeSet<&Digest> = needed(&images);
    for name in plan.names() {
        let target = plan.target(name);
        if is_layer(name, target) && needed.contains(target.hashes.sha256()) {
            members.extend(want(name, target)?);
        }
    }
    Ok(Missing { members, images })
}

/// The layers that are left out of the verified whole: all that no image here needs.
pub(super) fn absent(offer: &Offer, images: &BTreeMap<Digest, Image>) -> BTreeSet<Digest> {
    let needed = needed(images);
    let layers = offer.targets().targets.iter().filter(|(name, target)| is_layer(name, target));
    let absent = layers.map(|(_, target)| target.hashes.sha256()).filter(|digest| !needed.contains(digest));
    absent.cloned().collect()
}

fn needed(images: &BTreeMap<Digest, Image>) -> BTreeSet<&Digest> {
    let layers = images.values().flat_map(|image| &image.layers);
    layers.filter(|layer| !layer.here).map(|layer| &layer.digest).collect()
}

fn images(
    offer: &Offer,
    store: &Store,
    platform: Platform,
    engine: &dyn Engine,
) -> Result<BTreeMap<Digest, Image>> {
    let chains = engine.chains()?;
    let mut images = BTreeMap::new();
    for service in &offer.manifest().services {
        let digest = service.manifests.get(&platform).ok_or_else(|| no_platform(platform))?;
        if images.contains_key(digest) {
            continue;
        }
        let mut image = Image::read(service.image.as_str(), digest, offer.targets(), store)?;
        image.layers = match engine.image(&image.config_digest, digest)? {
            Some(_) => image.layers.into_iter().map(|layer| LayerLoad { here: true, ..layer }).collect(),
            None => image.marked(&chains),
        };
        images.insert(digest.clone(), image);
    }
    Ok(images)
}

impl Image {
    fn read(name: &str, manifest: &Digest, targets: &Targets, store: &Store) -> Result<Self> {
        let refuse =
            |digest: &Digest, reason: String| Refusal::new(Code::Closure, member::blob(digest), reason);
        let blob = |digest: &Digest| -> Result<Vec<u8>> {
            let missing = || refuse(digest, "an image has it, and the signed list does not".to_owned());
            let target = targets.targets.get(&member::blob(digest)).ok_or_else(missing)?;
            store.read(digest, target.length)
        };
        let parsed: ImageManifest = serde_json::from_slice(&blob(manifest)?)
            .map_err(|error| refuse(manifest, format!("it is no manifest of an image: {error}")))?;
        let config_digest = parsed.config.digest;
        let config = blob(&config_digest)?;
        let Config { rootfs, config: process } = serde_json::from_slice(&config)
            .map_err(|error| refuse(&config_digest, format!("it is no config of an image: {error}")))?;
        if rootfs.diff_ids.len() != parsed.layers.len() {
            let (ids, layers) = (rootfs.diff_ids.len(), parsed.layers.len());
            let reason = format!("it names {ids} layers, its manifest {layers}");
            return Err(refuse(&config_digest, reason).into());
        }
        let layer = |(layer, diff_id): (Descriptor, Digest)| LayerLoad {
            digest: layer.digest,
            length: layer.size,
            diff_id,
            here: false,
        };
        let layers = parsed.layers.into_iter().zip(rootfs.diff_ids).map(layer).collect();
        let user = process.and_then(|process| process.user).unwrap_or_default();
        Ok(Self { name: name.to_owned(), manifest: manifest.clone(), config, config_digest, layers, user })
    }

    /// The layers, with those marked that one of these chains begins with.
    pub(super) fn marked(&self, chains: &[Vec<Digest>]) -> Vec<LayerLoad> {
        let shared = |chain: &Vec<Digest>| {
            chain.iter().zip(&self.layers).take_while(|(id, layer)| **id == layer.diff_id).count()
        };
        let here = chains.iter().map(shared).max().unwrap_or(0);
        let mark = |(at, layer): (usize, &LayerLoad)| LayerLoad { here: at < here, ..layer.clone() };
        self.layers.iter().enumerate().map(mark).collect()
    }
}
