//! `sim`: prepared scenarios become runs on the Engine, runs become reports and evidence.

pub(crate) mod budget;
mod claims;
mod foreign;
mod images;
mod inputs;
mod plan;
mod prepare;
mod production;
mod rate;
mod report;
mod scripts;
mod settings;
pub(crate) mod trials;
mod unready;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::watch;
use xedge_model::{Class, Platform};
use xedge_sim::{Claim, Engine, Outcome};

use crate::commands::Context;
use crate::error::Result;
use crate::locks::Mode;
use crate::secrets::Values;
use crate::{engine, evidence, secrets};

pub(crate) use images::Images;
pub(crate) use prepare::{Prepared, prepare};
pub(crate) use report::report_folder;
use report::{clear_report, conclude, place, publish_report, show, write_platforms};

/// How the user wants runs to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags {
    /// Shorter publishing phase.
    pub(crate) duration: Option<Duration>,
    /// Another seed.
    pub(crate) seed: Option<u64>,
    /// Another number of runs for each seed.
    pub(crate) repeat: Option<u32>,
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
    /// Every claim, as it was decided; of several runs, those of the first that did not pass.
    pub(crate) claims: Vec<Claim>,
}

impl Flags {
    /// Whether runs made like this can be evidence.
    pub(crate) fn proves(&self) -> bool {
        self.duration.is_none() && self.seed.is_none() && !self.keep
    }
}

/// A scenario that can start at once: its images are built and in the Engine, its passwords made.
pub(crate) struct Ready<'a> {
    /// The scenario.
    pub(crate) prepared: &'a Prepared,
    native: Platform,
    values: Values,
    foreign: foreign::Able,
    images: Images,
}

/// Builds what one scenario needs. Without an engine only those can be made ready that need none.
pub(crate) async fn ready<'a>(
    cx: &Context<'_>,
    engine: Option<&Engine>,
    prepared: &'a Prepared,
    flags: Flags,
) -> Result<Ready<'a>> {
    clear_report(cx, prepared)?;
    let native = crate::commands::host_platform()?;
    let values = secrets::development(cx, &prepared.users, prepared.rendered.as_ref())?;
    let mut foreign = BTreeMap::new();
    let images = match engine.filter(|_| prepared.needs_engine()) {
        None => Images::none(),
        Some(engine) => {
            if flags.proves() {
                foreign = foreign::able(cx, prepared, native);
            }
            Images::build(cx, engine, prepared, native, &foreign, flags.mode).await?
        }
    };
    Ok(Ready { prepared, native, values, foreign, images })
}

/// Runs, reports and signs one scenario, as often as it says.
pub(crate) async fn run(
    cx: &Context<'_>,
    engine: Option<&Engine>,
    ready: &Ready<'_>,
    flags: Flags,
    phase: &Phase,
    cancel: watch::Receiver<bool>,
) -> Result<Finished> {
    let prepared = ready.prepared;
    let engine = engine.filter(|_| prepared.needs_engine());
    let trials = trials::of(&prepared.scenario, flags);
    let folder = report_folder(cx, &prepared.name);
    let mut series = trials::Series::new(&prepared.scenario, trials.len());
    for trial in &trials {
        trial.announce(cx);
        let one = Flags { seed: Some(trial.seed), ..flags };
        let target = trial.folder(&folder);
        let outcome = Box::pin(trial_run(cx, engine, ready, one, &target, phase, cancel.clone())).await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                series.write(cx, prepared, &folder, Some(&error))?;
                return Err(error);
            }
        };
        series.add(trial.clone(), outcome);
    }
    series.write(cx, prepared, &folder, None)?;
    let outcome = series.telling();
    let mut finished = Finished { class: series.class(), evidence: None, claims: outcome.claims().to_vec() };
    if !flags.proves() || !trials::are_enough(&prepared.scenario, flags) || !outcome.eligible_for_evidence() {
        cx.printer.say(
            "no evidence: the run was shortened, kept, had another seed than its scenario, or fewer runs",
        );
        return Ok(finished);
    }
    if prepared.is_of_programs_only() {
        cx.printer.say("no evidence: all that ran are programs of this machine, of which nothing is signed");
        return Ok(finished);
    }
    let mut platforms = Vec::new();
    if let Some(engine) = engine {
        platforms = ready.images.native(ready.native);
        let _in_engine = phase.enter();
        platforms.extend(foreign::probe(cx, engine, prepared, &ready.images, &ready.foreign, cancel).await?);
        write_platforms(cx, prepared, &platforms)?;
    }
    let evidence = evidence::write(cx, prepared, &ready.images, &series, platforms)?;
    finished.evidence = Some(evidence);
    Ok(finished)
}

/// One run of one scenario, with its report.
async fn trial_run(
    cx: &Context<'_>,
    engine: Option<&Engine>,
    ready: &Ready<'_>,
    flags: Flags,
    target: &Utf8Path,
    phase: &Phase,
    cancel: watch::Receiver<bool>,
) -> Result<Outcome> {
    let Ready { prepared, native, values, images, .. } = ready;
    let plan = plan::run_plan(cx, prepared, images, *native, values, flags)?;
    let place = place(cx, &plan.run_id)?;
    let differences = engine.map(|engine| prepared.differences(engine.facts().kind)).unwrap_or_default();
    let progress = |progress| show(cx, &progress);
    // Scripts, too, must be ended before we are.
    let _in_engine = phase.enter();
    let ran = match engine.filter(|_| plan.virtual_time.is_none()) {
        Some(real) => xedge_sim::run(real, &plan, &place, &progress, cancel).await,
        None => xedge_sim::run_virtual(engine, &plan, &place, &progress, cancel).await,
    };
    let outcome = match (ran, publish_report(prepared, &differences, &place, target)) {
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
    if let Some(engine) = engine.filter(|_| flags.keep) {
        cx.printer
            .say(&format!("kept: {}, remove with `cargo xtask gc`", engine::kept(engine, &plan.run_id)));
    }
    Ok(outcome)
}

/// How many runs have something in the Engine that an interrupt must clear away first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase(Arc<AtomicUsize>);

impl Phase {
    /// Whether an interrupt has to be handled by a run.
    pub(crate) fn is_in_engine(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    fn enter(&self) -> InEngine<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        InEngine(self)
    }
}

/// Ends the phase of one run when it is dropped.
struct InEngine<'a>(&'a Phase);

impl Drop for InEngine<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
