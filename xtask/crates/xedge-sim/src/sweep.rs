//! Removes what dead runs left in the Engine. What a running simulation, another machine or an agent made stays.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::Error;
use crate::engine::{Engine, Object};
use crate::lock::{Holder, holder};

/// Label with a run's id.
pub(crate) const RUN: &str = "xedge.run";
/// Label with the path of a run's lock file.
pub(crate) const LOCK: &str = "xedge.lock";
/// Label with the name of the machine that a run was started on.
pub(crate) const HOST: &str = "xedge.host";
/// Label of objects that were asked to stay.
pub(crate) const KEEP: &str = "xedge.keep";

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Ids of the runs.
    pub runs: Vec<String>,
    /// How many containers, volumes and networks.
    pub objects: usize,
}

/// Removes everything of this machine's runs whose lock is free or gone, except what was kept on purpose.
pub async fn sweep(engine: &Engine, host: &str) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    for (run, objects) in runs_of(engine, host).await? {
        if objects.iter().any(is_kept) {
            continue;
        }
        let Some(lock) = objects.iter().find_map(|o| o.labels.get(LOCK)) else { continue };
        let held = holder(Utf8Path::new(lock), &run);
        if !matches!(held, Holder::Busy) {
            remove(engine, run, &objects, &mut swept).await?;
        }
    }
    Ok(swept)
}

/// Removes everything that runs of this machine were asked to keep.
pub async fn remove_kept(engine: &Engine, host: &str) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    for (run, objects) in runs_of(engine, host).await? {
        let busy = |o: &Object| {
            o.labels.get(LOCK).is_some_and(|l| matches!(holder(Utf8Path::new(l), &run), Holder::Busy))
        };
        if objects.iter().any(is_kept) && !objects.iter().any(busy) {
            remove(engine, run, &objects, &mut swept).await?;
        }
    }
    Ok(swept)
}

fn is_kept(object: &Object) -> bool {
    object.labels.get(KEEP).is_some_and(|keep| keep == "true")
}

async fn runs_of(engine: &Engine, host: &str) -> Result<BTreeMap<String, Vec<Object>>, Error> {
    let mut runs: BTreeMap<String, Vec<Object>> = BTreeMap::new();
    for object in engine.labelled(&format!("{HOST}={host}")).await? {
        if let Some(run) = object.labels.get(RUN) {
            runs.entry(run.clone()).or_default().push(object);
        }
    }
    Ok(runs)
}

async fn remove(engine: &Engine, run: String, objects: &[Object], swept: &mut Swept) -> Result<(), Error> {
    // Sorted: containers first, then what they use.
    for object in objects {
        engine.remove(object.kind, &object.id).await?;
    }
    swept.objects += objects.len();
    swept.runs.push(run);
    Ok(())
}
