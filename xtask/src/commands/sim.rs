//! `sim`: every scenario is checked before the first one runs; then one after the other, and the worst verdict counts.

use camino::Utf8PathBuf;
use serde_json::json;
use tokio::sync::watch;
use xedge_model::Class;

use super::Context;
use crate::cli::{Sim, SimCommand};
use crate::engine;
use crate::error::{Error, Failed, Result};
use crate::locks::Mode;
use crate::simulate::{self, Finished, Flags, Prepared, prepare};

/// Prints one line per scenario: `NAME VERDICT EVIDENCE-OR-REPORT`.
pub(super) fn run(cx: &Context<'_>, flags: &Sim) -> Result<()> {
    if let Some(SimCommand::Validate { files }) = &flags.command {
        return validate(cx, files);
    }
    let files = cx.project.select_scenarios(&flags.scenarios, cx.environment.folder()?)?;
    let prepared = prepare_all(cx, &files)?;
    let classes = super::runtime()?.block_on(run_all(cx, &prepared, flags))?;
    let failed = classes.iter().flatten().count();
    match Class::worst(classes.iter().flatten().copied()) {
        None => Ok(()),
        Some(class) => Err(Error::Scenarios { count: failed, total: classes.len(), class }.into()),
    }
}

fn validate(cx: &Context<'_>, files: &[Utf8PathBuf]) -> Result<()> {
    let folder = cx.environment.folder()?;
    let files: Vec<Utf8PathBuf> = files.iter().map(|file| folder.join(file)).collect();
    for prepared in prepare_all(cx, &files)? {
        cx.printer.data(&format!("{} is valid", cx.project.relative(&prepared.file)))?;
    }
    Ok(())
}

/// Checks every file and reports every bad one before it fails with the last.
fn prepare_all(cx: &Context<'_>, files: &[Utf8PathBuf]) -> Result<Vec<Prepared>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        match prepare(cx, file) {
            Ok(prepared) => good.push(prepared),
            Err(error) => bad.push(error),
        }
    }
    let Some(last) = bad.pop() else { return Ok(good) };
    for error in &bad {
        cx.printer.report(error);
    }
    Err(last)
}

async fn run_all(cx: &Context<'_>, prepared: &[Prepared], wanted: &Sim) -> Result<Vec<Option<Class>>> {
    let engine = engine::connect(cx).await?;
    engine::sweep(cx, &engine).await?;
    let flags = Flags {
        duration: wanted.duration.map(|span| span.0),
        seed: wanted.seed,
        keep: wanted.keep,
        mode: if wanted.locked { Mode::Locked } else { Mode::Use },
    };
    let cancel = cancel_on_interrupt();
    let mut classes = Vec::new();
    for scenario in prepared {
        cx.printer.say(&format!("{} ({} s)", scenario.name, scenario.scenario.simulation.duration_s.value));
        let finished = simulate::scenario(cx, &engine, scenario, flags, cancel.clone()).await;
        let ends_all = |error: &Failed| matches!(error.class(), Class::Environment | Class::Interrupted);
        classes.push(match finished {
            Ok(finished) => report(cx, scenario, &finished)?,
            Err(error) if ends_all(&error) || prepared.len() == 1 => return Err(error),
            Err(error) => {
                cx.printer.report(&error);
                Some(error.class())
            }
        });
    }
    Ok(classes)
}

fn report(cx: &Context<'_>, scenario: &Prepared, finished: &Finished) -> Result<Option<Class>> {
    let word = finished.class.map_or("passed".to_owned(), |class| class.to_string());
    let report = cx.project.relative(&finished.report);
    let evidence = finished.evidence.as_deref().map(|path| cx.project.relative(path));
    if cx.printer.is_json() {
        let code = finished.class.map_or(0, Class::exit_code);
        let line = json!({"scenario": scenario.name, "verdict": word, "code": code, "report": report, "evidence": evidence});
        cx.printer.json(&line)?;
    } else {
        cx.printer.data(&format!("{} {word} {}", scenario.name, evidence.unwrap_or(report)))?;
    }
    Ok(finished.class)
}

/// Ctrl-C and SIGTERM end a run in order: containers stopped, everything removed, exit 130.
fn cancel_on_interrupt() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        let terminated = async {
            match &mut terminate {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
        // Nobody listens once all runs are done.
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    receiver
}
