//! Where reports of runs go, and what is said while they are made. Decides nothing.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use xedge_bundle::statement::PlatformRun;
use xedge_model::atomic;
use xedge_sim::{Outcome, Place, Progress, State};

use super::Prepared;
use super::production::Difference;
use crate::commands::Context;
use crate::error::{Error, Result};

/// Where people look for the report of a scenario.
pub(crate) fn report_folder(cx: &Context<'_>, scenario: &str) -> Utf8PathBuf {
    cx.project.output("reports").join(scenario)
}

/// Every run writes into a folder of its own first, so that two runs of one scenario do not mix their reports.
pub(super) fn place(cx: &Context<'_>, run_id: &str) -> Result<Place> {
    Ok(Place {
        locks: cx.project.home()?.join("runs"),
        report: cx.project.output("reports").join(format!(".{run_id}")),
        host: cx.environment.host_name(),
    })
}

/// Adds what only this crate knows, and puts the report where people look for it.
pub(super) fn publish_report(
    prepared: &Prepared,
    differences: &[Difference],
    place: &Place,
    target: &Utf8Path,
) -> Result<()> {
    if !place.report.exists() {
        return Ok(());
    }
    if let Some(rendered) = &prepared.rendered {
        let parity =
            json!({"stack": rendered.stack(), "config": rendered.digest(), "differences": differences});
        write_json(&place.report.join("parity.json"), &parity)?;
    }
    let old = place.report.with_extension("old");
    let failed = |source| Error::Write { path: target.to_owned(), source };
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // A run of the same scenario beside this one may publish in between: then it is moved aside as well.
    for _ in 0..10 {
        if std::fs::rename(target, &old).is_ok() {
            std::fs::remove_dir_all(&old).map_err(failed)?;
        }
        match std::fs::rename(&place.report, target) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
            renamed => return Ok(renamed.map_err(failed)?),
        }
    }
    Err(failed(std::io::ErrorKind::DirectoryNotEmpty.into()).into())
}

/// An old report must not stand for a run that does not get as far as writing one.
pub(super) fn clear_report(cx: &Context<'_>, prepared: &Prepared) -> Result<()> {
    let path = report_folder(cx, &prepared.name);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Write { path, source }.into())
        }
        _ => Ok(()),
    }
}

/// `report.json` is about this machine's platform; what became of the others stands beside it.
pub(super) fn write_platforms(
    cx: &Context<'_>,
    prepared: &Prepared,
    platforms: &[PlatformRun],
) -> Result<()> {
    write_json(&report_folder(cx, &prepared.name).join("platforms.json"), &json!({ "platforms": platforms }))
}

pub(super) fn write_json(path: &Utf8PathBuf, value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).expect("reports have string keys only");
    Ok(atomic::write(path, &text, 0o644)?)
}

pub(super) fn show(cx: &Context<'_>, progress: &Progress) {
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

pub(super) fn conclude(cx: &Context<'_>, differences: &[Difference], outcome: &Outcome) {
    for difference in differences {
        let (service, setting, reason) = (&difference.service, difference.setting, &difference.reason);
        cx.printer.say(&format!("  differs from production: {service}.{setting}: {reason}"));
    }
    for leftover in outcome.leftovers() {
        cx.printer.warn(&format!("not removed from the Engine: {leftover}; the next run tries again"));
    }
}
