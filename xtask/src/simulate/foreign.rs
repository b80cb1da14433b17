//! The platforms that this machine only emulates: their images are started and probed, or the evidence says why not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use xedge_bundle::statement::{PlatformRun, Simulated};
use xedge_model::scenario::{Node, Role, Scenario};
use xedge_model::{ImageName, Platform};
use xedge_oci::ImageEntry;
use xedge_sim::{ContainerPlan, Engine, Limits, ProbePlan, Progress, probe_container};

use super::prepare::{Prepared, containers};
use super::{Images, place, plan};
use crate::commands::Context;
use crate::error::Result;
use crate::secrets;
use crate::setup::{self, Surroundings};

/// How long an emulated container must stay up and healthy after its first answer.
const OBSERVE: Duration = Duration::from_secs(3);

/// The platforms that this machine is not of: whether it can build and start them, or why not.
pub(super) type Able = BTreeMap<Platform, std::result::Result<(), String>>;

/// Which of the scenario's foreign platforms can take part.
pub(super) fn able(cx: &Context<'_>, prepared: &Prepared, native: Platform) -> Able {
    let surroundings = Surroundings::of(&cx.environment, cx.project.root());
    let wanted = |platform: &Platform| {
        *platform != native
            && prepared.images.values().any(|image| image.def.platforms.value.contains(platform))
    };
    let has_programs = prepared.images.values().any(|image| !image.def.payloads.is_empty());
    let check = |platform: Platform| {
        if !setup::starts_foreign(&surroundings, platform) {
            return Err("this machine starts no programs for it (binfmt)".to_owned());
        }
        match setup::target_toolchain(platform, &surroundings) {
            Err(error) if has_programs => Err(error.to_string()),
            _ => Ok(()),
        }
    };
    Platform::ALL.into_iter().filter(wanted).map(|platform| (platform, check(platform))).collect()
}

/// One entry for every image and every foreign platform of it.
pub(super) async fn probe(
    cx: &Context<'_>,
    engine: &Engine,
    prepared: &Prepared,
    images: &Images,
    able: &Able,
    cancel: watch::Receiver<bool>,
) -> Result<Vec<PlatformRun>> {
    let mut runs = Vec::new();
    for (platform, state) in able {
        match state {
            Ok(()) => runs.extend(probe_all(cx, engine, prepared, images, *platform, cancel.clone()).await?),
            Err(reason) => runs.extend(not_simulated(cx, prepared, *platform, reason)),
        }
    }
    Ok(runs)
}

async fn probe_all(
    cx: &Context<'_>,
    engine: &Engine,
    prepared: &Prepared,
    images: &Images,
    platform: Platform,
    cancel: watch::Receiver<bool>,
) -> Result<Vec<PlatformRun>> {
    let values = secrets::development(cx, &prepared.users, prepared.rendered.as_ref())?;
    let built = |node: &Node| images.id(&node.id.value, platform).is_some();
    let plans = plan::containers_for(cx, prepared, images, platform, &values)?;
    let id = plan::run_id(cx)?;
    let mut runs = BTreeMap::new();
    let nodes = containers(&prepared.scenario).filter(|(node, _)| built(node));
    let planned = nodes.filter_map(|(node, _)| plans.iter().find(|plan| plan.node_id == node.id.value));
    let mut planned: Vec<&ContainerPlan> = planned.collect();
    // Of the services that share an image, one that stays up shows more than one that is to complete.
    planned.sort_by_key(|container| container.extras.completes);
    for (number, container) in planned.into_iter().enumerate() {
        let image = images.of(&container.node_id);
        if runs.contains_key(image.name()) {
            continue;
        }
        let probe = ProbePlan {
            run_id: format!("{id}-{number}"),
            container: container.clone(),
            beside: beside(&plans, container),
            credentials: plan::credentials(&values),
            observe: OBSERVE,
            limits: emulated(&prepared.scenario),
        };
        let entry = probe_one(cx, engine, &probe, image, cancel.clone()).await?;
        runs.insert(image.name().clone(), entry);
    }
    Ok(runs.into_values().collect())
}

/// A scenario that gives a native start more time than is usual means no less of it for an emulated one.
fn emulated(scenario: &Scenario) -> Limits {
    let own = plan::limits(scenario, Limits::EMULATED);
    Limits { ready: own.ready.max(Limits::EMULATED.ready), ..own }
}

/// What a container needs to work, in the order of starts: all that it depends on, and a broker where it may talk to one.
fn beside(plans: &[ContainerPlan], container: &ContainerPlan) -> Vec<ContainerPlan> {
    let brokers = plans.iter().filter(|plan| container.role != Role::Broker && plan.role == Role::Broker);
    let mut wanted: BTreeSet<&str> = brokers.map(|plan| plan.node_id.as_str()).collect();
    let mut open: Vec<&ContainerPlan> = vec![container];
    while let Some(next) = open.pop() {
        let found = plans.iter().filter(|plan| next.extras.needs.contains_key(&plan.node_id));
        open.extend(found.filter(|plan| wanted.insert(plan.node_id.as_str())));
    }
    // Those that do not depend on each other have no order, and brokers first is as good as any.
    let mut ordered: Vec<ContainerPlan> = Vec::new();
    while let Some(next) = plans.iter().find(|plan| {
        let placed = |id: &str| ordered.iter().any(|done| done.node_id == id);
        wanted.contains(plan.node_id.as_str())
            && !placed(&plan.node_id)
            && plan.extras.needs.keys().all(|need| placed(need) || !wanted.contains(need.as_str()))
    }) {
        ordered.push(next.clone());
    }
    ordered
}

async fn probe_one(
    cx: &Context<'_>,
    engine: &Engine,
    probe: &ProbePlan,
    image: &ImageEntry,
    cancel: watch::Receiver<bool>,
) -> Result<PlatformRun> {
    let (name, platform) = (image.name().clone(), probe.container.platform);
    let manifest = image.platform(platform)?.manifest().digest.clone();
    let warn = |progress: Progress| {
        if let Progress::Warning(text) = progress {
            cx.printer.warn(&text);
        }
    };
    let place = place(cx, &probe.run_id)?;
    let entry = |simulated, reason: &str| PlatformRun {
        image: name.clone(),
        platform,
        manifest: Some(manifest.clone()),
        simulated,
        reason: Some(reason.to_owned()),
    };
    match probe_container(engine, probe, &place, &warn, cancel).await {
        Ok(probed) => {
            for leftover in probed.leftovers() {
                cx.printer
                    .warn(&format!("not removed from the Engine: {leftover}; the next run tries again"));
            }
            let millis = probed.answered().as_millis();
            let (what, reason) = if probe.container.extras.completes {
                ("completed", "started and completed under emulation; nothing is said about timing")
            } else {
                let reason = "started, answered and stayed up under emulation; nothing is said about timing";
                ("answers", reason)
            };
            cx.printer.good("  emulated", &format!("{name} {platform} {what} after {millis} ms"));
            Ok(entry(Simulated::Emulated, reason))
        }
        // What the kernel cannot start is not simulated; anything else, such as a lost Engine, is a failure of its own.
        Err(error @ xedge_sim::Error::ForeignPlatform { .. }) => {
            cx.printer.warn(&format!("{name} {platform} was not simulated: {error}"));
            Ok(entry(Simulated::NotSimulated, &error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn not_simulated(
    cx: &Context<'_>,
    prepared: &Prepared,
    platform: Platform,
    reason: &str,
) -> Vec<PlatformRun> {
    let wanted = prepared.images.values().filter(|image| image.def.platforms.value.contains(&platform));
    let images: BTreeSet<ImageName> = wanted.map(|image| image.def.name.clone()).collect();
    let entry = |image| {
        cx.printer.warn(&format!("not simulated: {image} {platform}: {reason}"));
        let (simulated, reason) = (Simulated::NotSimulated, Some(reason.to_owned()));
        PlatformRun { image, platform, manifest: None, simulated, reason }
    };
    images.into_iter().map(entry).collect()
}
