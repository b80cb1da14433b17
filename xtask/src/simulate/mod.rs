//! `sim`: prepared scenarios become runs on the Engine, runs become reports and evidence.

mod claims;
mod foreign;
mod inputs;
mod plan;
mod prepare;
mod production;
mod settings;
mod unready;
mod virtual_time;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use camino::Utf8PathBuf;
use serde_json::json;
use tokio::sync::watch;
use xedge_bundle::statement::{PlatformRun, Simulated};
use xedge_model::{Class, Digest, ImageName, Platform, atomic};
use xedge_oci::ImageEntry;
use xedge_sim::{Claim, Engine, Outcome, Place, Progress, State};

use crate::build::{self, Built};
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::locks::Mode;
use crate::{engine, evidence, secrets};

use production::Difference;

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
    /// The evidence, where the run was fit for it.
    pub(crate) evidence: Option<Utf8PathBuf>,
    /// Every claim, as it was decided.
    pub(crate) claims: Vec<Claim>,
}

impl Flags {
    /// Whether runs made like this can be evidence.
    pub(crate) fn proves(&self) -> bool {
        self.duration.is_none() && self.seed.is_none() && !self.keep
    }
}

/// Builds, runs, reports and signs one scenario.
pub(crate) async fn scenario(
    cx: &Context<'_>,
    engine: Option<&Engine>,
    prepared: &Prepared,
    flags: Flags,
    phase: &Phase,
    cancel: watch::Receiver<bool>,
) -> Result<Finished> {
    clear_report(cx, prepared)?;
    let Some(engine) = engine.filter(|_| prepared.needs_engine()) else {
        return virtual_time::scenario(cx, prepared, flags, phase, cancel).await;
    };
    let native = crate::commands::host_platform()?;
    let values = secrets::development(cx, &prepared.users, prepared.rendered.as_ref())?;
    let foreign = if flags.proves() { foreign::able(cx, prepared, native) } else { BTreeMap::new() };
    let images = Images::build(cx, engine, prepared, native, &foreign, flags.mode).await?;
    let plan = plan::run_plan(cx, prepared, &images, native, &values, flags)?;
    let place = place(cx, &plan.run_id)?;
    let differences = prepared.differences(engine.facts().kind);
    let progress = |progress| show(cx, &progress);
    let _in_engine = phase.enter();
    let ran = xedge_sim::run(engine, &plan, &place, &progress, cancel.clone()).await;
    let outcome = match (ran, publish_report(cx, prepared, &differences, &place)) {
        (Ok(outcome), Ok(())) => outcome,
        (Ok(_), Err(error)) => return Err(error),
        (Err(error), published) => {
            // What went wrong first is what the exit code tells.
            if let Err(unpublished) = published {
                cx.printer.report(&unpublished);
            }
            return Err(error.into());
        }
    };
    conclude(cx, &differences, &outcome);
    let claims = outcome.claims().to_vec();
    let mut finished = Finished { class: outcome.verdict().class(), evidence: None, claims };
    if flags.keep {
        cx.printer
            .say(&format!("kept: {}, remove with `cargo xtask gc`", engine::kept(engine, &plan.run_id)));
    }
    if flags.proves() && outcome.eligible_for_evidence() {
        let mut platforms = images.native(native);
        platforms.extend(foreign::probe(cx, engine, prepared, &images, &foreign, cancel).await?);
        write_platforms(cx, prepared, &platforms)?;
        finished.evidence = Some(evidence::write(cx, prepared, &images, &outcome, platforms)?);
    } else {
        cx.printer.say("no evidence: the run was shortened, kept or had another seed than its scenario");
    }
    Ok(finished)
}

/// Whether something of ours is in the Engine that an interrupt must clear away first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase(Arc<AtomicBool>);

impl Phase {
    /// Whether an interrupt has to be handled by the run.
    pub(crate) fn is_in_engine(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn enter(&self) -> InEngine<'_> {
        self.0.store(true, Ordering::SeqCst);
        InEngine(self)
    }
}

/// Ends the phase when it is dropped.
struct InEngine<'a>(&'a Phase);

impl Drop for InEngine<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::SeqCst);
    }
}

/// The images of a run by node, built for every platform that takes part, and in the Engine.
pub(crate) struct Images {
    by_node: BTreeMap<String, Built>,
    /// What the Engine calls them, by image and platform.
    ids: BTreeMap<(ImageName, Platform), Digest>,
}

impl Images {
    /// Those of a scenario without containers.
    fn none() -> Self {
        Self { by_node: BTreeMap::new(), ids: BTreeMap::new() }
    }

    async fn build(
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
    fn id(&self, node: &str, platform: Platform) -> Option<&Digest> {
        self.ids.get(&(self.of(node).name().clone(), platform))
    }

    /// The locks that were used, by file.
    pub(crate) fn locks(&self) -> impl Iterator<Item = (&Utf8PathBuf, &Digest)> {
        self.by_node.values().map(|built| (&built.lock_file, &built.lock))
    }

    fn native(&self, native: Platform) -> Vec<PlatformRun> {
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

/// Where people look for the report of a scenario.
pub(crate) fn report_folder(cx: &Context<'_>, scenario: &str) -> Utf8PathBuf {
    cx.project.output("reports").join(scenario)
}

/// Every run writes into a folder of its own first, so that two runs of one scenario do not mix their reports.
fn place(cx: &Context<'_>, run_id: &str) -> Result<Place> {
    Ok(Place {
        locks: cx.project.home()?.join("runs"),
        report: cx.project.output("reports").join(format!(".{run_id}")),
        host: cx.environment.host_name(),
    })
}

/// Adds what only this crate knows, and puts the report where people look for it.
fn publish_report(
    cx: &Context<'_>,
    prepared: &Prepared,
    differences: &[Difference],
    place: &Place,
) -> Result<()> {
    if !place.report.exists() {
        return Ok(());
    }
    if let Some(rendered) = &prepared.rendered {
        let parity =
            json!({"stack": rendered.stack(), "config": rendered.digest(), "differences": differences});
        write_json(&place.report.join("parity.json"), &parity)?;
    }
    let target = report_folder(cx, &prepared.name);
    let old = place.report.with_extension("old");
    let failed = |source| Error::Write { path: target.clone(), source };
    // A run of the same scenario beside this one may publish in between: then it is moved aside as well.
    for _ in 0..10 {
        if std::fs::rename(&target, &old).is_ok() {
            std::fs::remove_dir_all(&old).map_err(failed)?;
        }
        match std::fs::rename(&place.report, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
            renamed => return Ok(renamed.map_err(failed)?),
        }
    }
    Err(failed(std::io::ErrorKind::DirectoryNotEmpty.into()).into())
}

/// An old report must not stand for a run that does not get as far as writing one.
fn clear_report(cx: &Context<'_>, prepared: &Prepared) -> Result<()> {
    let path = report_folder(cx, &prepared.name);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Write { path, source }.into())
        }
        _ => Ok(()),
    }
}

/// `report.json` is about this machine's platform; what became of the others stands beside it.
fn write_platforms(cx: &Context<'_>, prepared: &Prepared, platforms: &[PlatformRun]) -> Result<()> {
    write_json(&report_folder(cx, &prepared.name).join("platforms.json"), &json!({ "platforms": platforms }))
}

fn write_json(path: &Utf8PathBuf, value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).expect("reports have string keys only");
    Ok(atomic::write(path, &text, 0o644)?)
}

fn show(cx: &Context<'_>, progress: &Progress) {
    match progress {
        Progress::Starting { node } => cx.printer.say(&format!("  starting {node}")),
        Progress::Ready { node, waited } => {
            cx.printer.say(&format!("  {node} answers after {} ms", waited.as_millis()));
        }
        Progress::Completed { node, waited } => {
            cx.printer.say(&format!("  {node} completed after {} ms", waited.as_millis()));
        }
        Progress::Fault { what } => cx.printer.say(&format!("  {what}")),
        Progress::Phase { name } => cx.printer.say(&format!("  {name}")),
        Progress::Passed { virtual_time, took } => {
            let times = virtual_time.as_secs_f64() / took.as_secs_f64();
            let (gone, took) = (virtual_time.as_secs_f64(), took.as_secs_f64());
            cx.printer.say(&format!("  {gone} s went by twice in {took:.2} s: {times:.0} times real time"));
        }
        Progress::Warning(text) => cx.printer.warn(text),
        Progress::Claim(claim) => match claim.state {
            State::Held => cx.printer.good("  held", &format!("{}: {}", claim.id, claim.text)),
            State::Failed => cx.printer.bad("  FAILED", &format!("{}: {}", claim.id, claim.text)),
            State::Invalid => cx.printer.bad("  INVALID", &format!("{}: {}", claim.id, claim.text)),
        },
    }
}

fn conclude(cx: &Context<'_>, differences: &[Difference], outcome: &Outcome) {
    for difference in differences {
        let (service, setting, reason) = (&difference.service, difference.setting, &difference.reason);
        cx.printer.say(&format!("  differs from production: {service}.{setting}: {reason}"));
    }
    for leftover in outcome.leftovers() {
        cx.printer.warn(&format!("not removed from the Engine: {leftover}; the next run tries again"));
    }
}
