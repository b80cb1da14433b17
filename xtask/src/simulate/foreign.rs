//! The platforms that this machine only emulates: their images are started and probed, or the evidence says why not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use xedge_bundle::statement::{PlatformRun, Simulated};
use xedge_model::scenario::Role;
use xedge_model::{Class, ImageName, Platform};
use xedge_oci::ImageEntry;
use xedge_sim::{ContainerPlan, Docker, Limits, ProbePlan, Progress, Secret, probe_container};

use super::prepare::{Prepared, containers};
use super::{Flags, place, plan};
use crate::commands::Context;
use crate::error::Result;
use crate::locks::Mode;
use crate::project::ImageSource;
use crate::setup::{self, Surroundings};
use crate::{build, engine, secrets};

/// How long an emulated container must stay up and healthy after its first answer.
const OBSERVE: Duration = Duration::from_secs(3);

/// One entry for every image and every platform of it that is not this machine's.
pub(super) async fn platforms(
    cx: &Context<'_>,
    engine: &Docker,
    prepared: &Prepared,
    native: Platform,
    mode: Mode,
    cancel: watch::Receiver<bool>,
) -> Result<Vec<PlatformRun>> {
    let mut runs = Vec::new();
    for platform in Platform::ALL.into_iter().filter(|platform| *platform != native) {
        let wanted = prepared.images.values().any(|image| image.def.platforms.value.contains(&platform));
        if wanted {
            runs.extend(one_platform(cx, engine, prepared, (native, platform), mode, cancel.clone()).await?);
        }
    }
    Ok(runs)
}

async fn one_platform(
    cx: &Context<'_>,
    engine: &Docker,
    prepared: &Prepared,
    (native, platform): (Platform, Platform),
    mode: Mode,
    cancel: watch::Receiver<bool>,
) -> Result<Vec<PlatformRun>> {
    let surroundings = Surroundings::of(&cx.environment, cx.project.root());
    if !setup::starts_foreign(&surroundings, platform) {
        return Ok(not_simulated(cx, prepared, platform, "this machine starts no programs for it (binfmt)"));
    }
    let built = match build_all(cx, prepared, native, platform, mode).await {
        Ok(built) => built,
        // Without a cross toolchain there is nothing to emulate; anything else is a failure of its own.
        Err(error) if error.class() == Class::Environment => {
            return Ok(not_simulated(cx, prepared, platform, &error.chain()[0]));
        }
        Err(error) => return Err(error),
    };
    for entry in built.values() {
        engine::ensure(cx, engine, entry, platform).await?;
    }
    probe_all(cx, engine, prepared, &built, platform, cancel).await
}

/// Both platforms, so that the index in the layout is the whole one again.
async fn build_all(
    cx: &Context<'_>,
    prepared: &Prepared,
    native: Platform,
    platform: Platform,
    mode: Mode,
) -> Result<BTreeMap<String, ImageEntry>> {
    let mut built = BTreeMap::new();
    for (node, image) in &prepared.images {
        built.insert(node.clone(), build::at_least(cx, image, &[native, platform], mode).await?);
    }
    Ok(built)
}

async fn probe_all(
    cx: &Context<'_>,
    engine: &Docker,
    prepared: &Prepared,
    built: &BTreeMap<String, ImageEntry>,
    platform: Platform,
    cancel: watch::Receiver<bool>,
) -> Result<Vec<PlatformRun>> {
    let passwords = secrets::development(&cx.project, &cx.environment, &prepared.users)?;
    let flags = Flags { duration: None, seed: None, keep: false, mode: Mode::Use };
    let run = plan::run_plan(cx, prepared, built, platform, &passwords, flags)?;
    let mut runs = BTreeMap::new();
    for (number, (node, _)) in containers(&prepared.scenario).enumerate() {
        let image = &prepared.images[&node.id.value];
        if runs.contains_key(&image.def.name) {
            continue;
        }
        let Some(container) = run.containers.iter().find(|c| c.node_id == node.id.value) else { continue };
        let needs = |other: &&ContainerPlan| container.role != Role::Broker && other.role == Role::Broker;
        let probe = ProbePlan {
            run_id: format!("{}-{number}", run.run_id),
            container: container.clone(),
            beside: run.containers.iter().filter(needs).cloned().collect(),
            credentials: passwords
                .iter()
                .map(|(user, password)| (user.clone(), Secret::new(password.clone())))
                .collect(),
            observe: OBSERVE,
            limits: Limits::EMULATED,
        };
        let manifest = built[&node.id.value].platform(platform)?.manifest().digest.clone();
        let entry = probe_one(cx, engine, &probe, image, manifest, cancel.clone()).await?;
        runs.insert(image.def.name.clone(), entry);
    }
    Ok(runs.into_values().collect())
}

async fn probe_one(
    cx: &Context<'_>,
    engine: &Docker,
    probe: &ProbePlan,
    image: &ImageSource,
    manifest: xedge_model::Digest,
    cancel: watch::Receiver<bool>,
) -> Result<PlatformRun> {
    let (name, platform) = (image.def.name.clone(), probe.container.platform);
    let warn = |progress: Progress| {
        if let Progress::Warning(text) = progress {
            cx.printer.warn(&text);
        }
    };
    let place = place(cx, &probe.run_id);
    let entry = |simulated, reason: &str| PlatformRun {
        image: name.clone(),
        platform,
        manifest: Some(manifest.clone()),
        simulated,
        reason: Some(reason.to_owned()),
    };
    match probe_container(engine, probe, &place, &warn, cancel).await {
        Ok(probed) => {
            let millis = probed.answered().as_millis();
            cx.printer.good("  emulated", &format!("{name} {platform} answers after {millis} ms"));
            Ok(entry(
                Simulated::Emulated,
                "started, answered and stayed up under emulation; nothing is said about timing",
            ))
        }
        // What the kernel cannot start is not simulated; anything else, such as a lost Engine, is a failure of its own.
        Err(error @ xedge_sim::Error::ForeignPlatform { .. }) => {
            cx.printer.warn(&format!("{name} {platform} was not simulated: {error}"));
            Ok(entry(Simulated::NotSimulated, &error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

fn not_simulated(
    cx: &Context<'_>,
    prepared: &Prepared,
    platform: Platform,
    reason: &str,
) -> Vec<PlatformRun> {
    let wanted = prepared.images.values().filter(|image| image.def.platforms.value.contains(&platform));
    let images: BTreeSet<ImageName> = wanted.map(|image| image.def.name.clone()).collect();
    let entry = |image| {
        cx.printer.say(&format!("  not simulated: {image} {platform}: {reason}"));
        let (simulated, reason) = (Simulated::NotSimulated, Some(reason.to_owned()));
        PlatformRun { image, platform, manifest: None, simulated, reason }
    };
    images.into_iter().map(entry).collect()
}
