//! The images of a bundle whose head lies here, as far as the Engine has them: for whoever takes away what a release left that
//! did not come. Looks only; what cannot be read says nothing.

use std::fs::File;

use camino::Utf8Path;
use serde::Deserialize;
use xedge_bundle::verify::read_head;
use xedge_model::Digest;

use super::Agent;
use crate::staged::platform;
use crate::store::Store;

#[derive(Deserialize)]
struct Manifest {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    digest: Digest,
}

/// Ids of the images that the Engine has of this head. The head need not be believed: whoever removes an image asks whether
/// something needs it.
pub(super) fn images(agent: Agent<'_>, head: &Utf8Path) -> Vec<String> {
    let (Ok(file), Ok(platform)) = (File::open(head), platform(agent.engine)) else { return Vec::new() };
    let Ok(head) = read_head(file) else { return Vec::new() };
    let store = Store::new(agent.home);
    let id = |manifest: &Digest| {
        let name = xedge_bundle::member::blob(manifest);
        let bytes =
            head.plan.has(&name).then(|| store.read(manifest, head.plan.target(&name).length).ok())??;
        let Manifest { config } = serde_json::from_slice(&bytes).ok()?;
        agent.engine.image(&config.digest, manifest).ok()?
    };
    let mut ids: Vec<String> = head
        .manifest
        .services
        .iter()
        .filter_map(|service| service.manifests.get(&platform))
        .filter_map(id)
        .collect();
    ids.sort();
    ids.dedup();
    ids
}
