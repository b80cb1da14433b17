//! Scenarios of models and scripts only: checked, run in virtual time without an engine, reported, and signed.

use tokio::sync::watch;
use xedge_model::scenario::{Expectation, Scenario};
use xedge_model::yaml::{Source, Spanned};

use super::{Finished, Flags, Images, Phase, Prepared, conclude, place, plan, publish_report, show};
use crate::commands::Context;
use crate::error::Result;
use crate::{evidence, secrets};

/// Checks what the scenario's text alone cannot say: that scripts are there, and in the project.
pub(super) fn check(cx: &Context<'_>, source: &Source, scenario: &Scenario) -> Result<()> {
    for script in scenario.nodes.value.iter().filter_map(|node| node.script.as_ref()) {
        check_script(cx, source, script)?;
    }
    if let Some(entry) = scenario.timeline.first().filter(|_| scenario.is_virtual()) {
        let message = "`timeline` is about containers, and all of this scenario runs in virtual time";
        return Err(source.error_at(&entry.at, message).into());
    }
    Ok(())
}

fn check_script(cx: &Context<'_>, source: &Source, script: &Spanned<String>) -> Result<()> {
    let root = cx.project.root();
    let file = root.join(&script.value);
    if !file.is_file() {
        let hint = format!("scripts are files of the project, relative to {root}");
        let message = format!("there is no script `{}`", script.value);
        return Err(source.error_with_hint(script, message, hint).into());
    }
    let inside = file.canonicalize_utf8().ok().zip(root.canonicalize_utf8().ok());
    if !inside.is_some_and(|(file, root)| file.starts_with(root)) {
        let message = format!("`{}` is outside of the project: evidence could not name it", script.value);
        return Err(source.error_at(script, message).into());
    }
    Ok(())
}

/// What must hold. In virtual time there is no broker, so the seed's claims are three.
pub(super) fn expectations(scenario: &Scenario) -> Option<Vec<Expectation>> {
    let all = scenario.expectations();
    if scenario.expect.is_some() || !scenario.is_virtual() {
        return all;
    }
    let in_time = Expectation::SEED.into_iter().filter(|claim| *claim != Expectation::BrokerStarts);
    Some(in_time.collect())
}

/// Runs, reports and signs one scenario.
pub(super) async fn scenario(
    cx: &Context<'_>,
    prepared: &Prepared,
    flags: Flags,
    phase: &Phase,
    cancel: watch::Receiver<bool>,
) -> Result<Finished> {
    let images = Images::none();
    let values = secrets::development(cx, &prepared.users, None)?;
    let plan = plan::run_plan(cx, prepared, &images, crate::commands::host_platform()?, &values, flags)?;
    let place = place(cx, &plan.run_id)?;
    let progress = |progress| show(cx, &progress);
    // Scripts must be ended before we are.
    let _in_engine = phase.enter();
    let ran = xedge_sim::run_virtual(&plan, &place, &progress, cancel).await;
    let published = publish_report(cx, prepared, &[], &place);
    let outcome = match (ran, published) {
        (Ok(outcome), published) => {
            published?;
            outcome
        }
        (Err(error), published) => {
            if let Err(unpublished) = published {
                cx.printer.report(&unpublished);
            }
            return Err(error.into());
        }
    };
    conclude(cx, &[], &outcome);
    let claims = outcome.claims().to_vec();
    let mut finished = Finished { class: outcome.verdict().class(), evidence: None, claims };
    if flags.proves() && outcome.eligible_for_evidence() {
        finished.evidence = Some(evidence::write(cx, prepared, &images, &outcome, Vec::new())?);
    } else {
        cx.printer.say("no evidence: the run was shortened, kept or had another seed than its scenario");
    }
    Ok(finished)
}
