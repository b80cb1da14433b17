//! The images of a scenario's containers: built for every platform that takes part, and in the Engine.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use xedge_bundle::statement::{PlatformRun, Simulated};
use xedge_model::{Digest, ImageName, Platform};
use xedge_oci::ImageEntry;
use xedge_sim::Engine;

use super::{Prepared, foreign};
use crate::build::{self, Built};
use crate::commands::Context;
use crate::engine;
use crate::error::Result;
use crate::locks::Mode;

/// The images of a run by node, built for every platform that takes part, and in the Engine.
pub(crate) struct Images {
    by_node: BTreeMap<String, Built>,
    /// What the Engine calls them, by image and platform.
    ids: BTreeMap<(ImageName, Platform), Digest>,
}

impl Images {
    /// Those of a scenario without containers.
    pub(super) fn none() -> Self {
        Self { by_node: BTreeMap::new(), ids: BTreeMap::new() }
    }

    pub(super) async fn build(
        cx: &Context<'_>,
        engine: &Engine,
        prepared: &Prepared,
        native: Platform,
        foreign: &foreign::Able,
        mode: Mode,
    ) -> Result<Self> {
        let (mut by_node, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for (node, image) in &prepared.images {
            let supported = &image.def.platforms;
            if !supported.value.contains(&native) {
                let message =
                    format!("{} is not built for {native}, which this machine runs", image.def.name);
                return Err(image.source.error_at(supported, message).into());
            }
            let able = |platform: &Platform| {
                *platform == native || foreign.get(platform).is_some_and(std::result::Result::is_ok)
            };
            let platforms: Vec<Platform> = supported.value.iter().copied().filter(able).collect();
            let built = build::at_least(cx, image, &platforms, mode).await?;
            let manifest = &built.entry.platform(native)?.manifest().digest;
            cx.printer.say(&format!("{node}: {}:latest is {manifest} ({native})", image.def.name));
            for platform in platforms {
                let id = engine::ensure(cx, engine, &built.entry, platform).await?;
                ids.insert((image.def.name.clone(), platform), id);
            }
            by_node.insert(node.clone(), built);
        }
        Ok(Self { by_node, ids })
    }

    /// The image of a node of the scenario.
    pub(crate) fn of(&self, node: &str) -> &ImageEntry {
        &self.by_node[node].entry
    }

    /// What the Engine calls the image of a node on a platform that takes part.
    pub(super) fn id(&self, node: &str, platform: Platform) -> Option<&Digest> {
        self.ids.get(&(self.of(node).name().clone(), platform))
    }

    /// The locks that were used, by file.
    pub(crate) fn locks(&self) -> impl Iterator<Item = (&Utf8PathBuf, &Digest)> {
        self.by_node.values().map(|built| (&built.lock_file, &built.lock))
    }

    pub(super) fn native(&self, native: Platform) -> Vec<PlatformRun> {
        let mut runs = BTreeMap::new();
        for Built { entry, .. } in self.by_node.values() {
            let manifest = entry.platforms().get(&native).map(|image| image.manifest().digest.clone());
            let (image, simulated) = (entry.name().clone(), Simulated::Native);
            let run =
                PlatformRun { image: image.clone(), platform: native, manifest, simulated, reason: None };
            runs.insert(image, run);
        }
        runs.into_values().collect()
    }
}
