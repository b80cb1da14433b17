//! `sim`: prepared scenarios become runs on the Engine, runs become reports and evidence.

mod foreign;
mod plan;
mod prepare;
mod production;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::Utf8PathBuf;
use serde_json::json;
use tokio::sync::watch;
use xedge_bundle::statement::{PlatformRun, Simulated};
use xedge_model::{Class, Platform, atomic};
use xedge_oci::ImageEntry;
use xedge_sim::{Docker, Outcome, Place, Progress, State};

use crate::commands::Context;
use crate::error::{Error, Result};
use crate::locks::Mode;
use crate::{build, engine, evidence, secrets};

pub(crate) use prepare::{Prepared, prepare};

/// How the user wants runs to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags {
    /// Shorter publishing phase.
    pub(crate) duration: Option<Duration>,
    /// Another seed.
    pub(crate) seed: Option<u64>,
    /// Leave everything in the Engine.
    pub(crate) keep: bool,
    /// How locks may be treated.
    pub(crate) mode: Mode,
}

/// What one scenario came to.
pub(crate) struct Finished {
    /// `None` when it passed.
    pub(crate) class: Option<Class>,
    /// The report folder.
    pub(crate) report: Utf8PathBuf,
    /// The evidence, where the run was fit for it.
    pub(crate) evidence: Option<Utf8PathBuf>,
}

/// Builds, runs, reports and signs one scenario.
pub(crate) async fn scenario(
    cx: &Context<'_>,
    engine: &Docker,
    prepared: &Prepared,
    flags: Flags,
    cancel: watch::Receiver<bool>,
) -> Result<Finished> {
    evidence::withdraw(cx, &prepared.name);
    let platform = crate::commands::host_platform()?;
    let built = built(cx, engine, prepared, platform, flags.mode).await?;
    let passwords = secrets::development(&cx.project, &cx.environment, &prepared.users)?;
    let plan = plan::run_plan(cx, prepared, &built, platform, &passwords, flags)?;
    let place = place(cx, &plan.run_id);
    let progress = |progress| show(cx, &progress);
    let ran = xedge_sim::run(engine, &plan, &place, &progress, cancel.clone()).await;
    let report = publish_report(cx, prepared, &place)?;
    let outcome = ran?;
    conclude(cx, prepared, &outcome);
    if flags.keep {
        cx.printer.say(&format!(
            "kept: look with `docker ps --filter label=xedge.run={}`, remove with `cargo xtask gc`",
            plan.run_id
        ));
    }
    let mut finished = Finished { class: outcome.verdict().class(), report, evidence: None };
    if outcome.eligible_for_evidence() && flags.seed.is_none() {
        let mut platforms = native(prepared, &built, platform);
        platforms.extend(foreign::platforms(cx, engine, prepared, platform, flags.mode, cancel).await?);
        finished.evidence = Some(evidence::write(cx, prepared, &outcome, platforms)?);
    } else {
        cx.printer.say("no evidence: the run was shortened, kept or had another seed than its scenario");
    }
    Ok(finished)
}

/// The images of a scenario for this machine's platform, by node, built and in the Engine.
async fn built(
    cx: &Context<'_>,
    engine: &Docker,
    prepared: &Prepared,
    platform: Platform,
    mode: Mode,
) -> Result<BTreeMap<String, ImageEntry>> {
    let mut by_node = BTreeMap::new();
    for (node, image) in &prepared.images {
        let supported = &image.def.platforms;
        if !supported.value.contains(&platform) {
            let message = format!("{} is not built for {platform}, which this machine runs", image.def.name);
            return Err(image.source.error_at(supported, message).into());
        }
        let entry = build::at_least(cx, image, &[platform], mode).await?;
        let manifest = &entry.platform(platform)?.manifest().digest;
        cx.printer.say(&format!("{node}: {}:latest is {manifest} ({platform})", image.def.name));
        engine::ensure(cx, engine, &entry, platform).await?;
        by_node.insert(node.clone(), entry);
    }
    Ok(by_node)
}

fn native(prepared: &Prepared, built: &BTreeMap<String, ImageEntry>, platform: Platform) -> Vec<PlatformRun> {
    let mut seen = BTreeSet::new();
    let images = prepared.images.iter().filter(|(_, image)| seen.insert(image.def.name.clone()));
    images
        .filter_map(|(node, image)| {
            let manifest = built.get(node)?.platforms().get(&platform)?.manifest().digest.clone();
            Some(PlatformRun {
                image: image.def.name.clone(),
                platform,
                manifest: Some(manifest),
                simulated: Simulated::Native,
                reason: None,
            })
        })
        .collect()
}

/// Every run writes into a folder of its own first, so that two runs of one scenario do not mix their reports.
fn place(cx: &Context<'_>, run_id: &str) -> Place {
    Place {
        locks: cx.project.home().join("runs"),
        report: cx.project.output("reports").join(format!(".{run_id}")),
        host: cx.environment.host_name(),
    }
}

/// Adds what only this crate knows, and puts the report where people look for it.
fn publish_report(cx: &Context<'_>, prepared: &Prepared, place: &Place) -> Result<Utf8PathBuf> {
    let target = cx.project.output("reports").join(&prepared.name);
    if !place.report.exists() {
        return Ok(target);
    }
    if let Some(rendered) = &prepared.rendered {
        let parity = json!({"stack": rendered.stack(), "config": rendered.digest(), "differences": prepared.differences});
        let text = serde_json::to_vec_pretty(&parity).expect("the list has string keys only");
        atomic::write(&place.report.join("parity.json"), &text, 0o644)?;
    }
    let failed = |source| Error::Read { path: target.clone(), source };
    match std::fs::remove_dir_all(&target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error).into()),
        _ => std::fs::rename(&place.report, &target).map_err(failed)?,
    }
    Ok(target)
}

fn show(cx: &Context<'_>, progress: &Progress) {
    match progress {
        Progress::Starting { node } => cx.printer.say(&format!("  starting {node}")),
        Progress::Ready { node, waited } => {
            cx.printer.say(&format!("  {node} answers after {} ms", waited.as_millis()));
        }
        Progress::Phase { name } => cx.printer.say(&format!("  {name}")),
        Progress::Warning(text) => cx.printer.warn(text),
        Progress::Claim(claim) => match claim.state {
            State::Held => cx.printer.good("  held", &format!("{}: {}", claim.id, claim.text)),
            State::Failed => cx.printer.bad("  FAILED", &format!("{}: {}", claim.id, claim.text)),
            State::Invalid => cx.printer.bad("  INVALID", &format!("{}: {}", claim.id, claim.text)),
        },
    }
}

fn conclude(cx: &Context<'_>, prepared: &Prepared, outcome: &Outcome) {
    for difference in &prepared.differences {
        let (service, setting, reason) = (&difference.service, difference.setting, difference.reason);
        cx.printer.say(&format!("  differs from production: {service}.{setting}: {reason}"));
    }
    for leftover in outcome.leftovers() {
        cx.printer.warn(&format!("not removed from the Engine: {leftover}; the next run tries again"));
    }
}
