//! `sim`: every scenario is checked before the first one runs; the worst verdict counts.

mod crew;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use tokio::sync::watch;
use xedge_model::Class;
use xedge_sim::Engine;

use super::Context;
use crate::cli::{Sim, SimCommand};
use crate::error::{Error, Failed, Result};
use crate::github::{Github, Row};
use crate::locks::Mode;
use crate::simulate::{self, Finished, Flags, Phase, Prepared, budget, prepare};
use crate::{engine, evidence};
use crew::Crew;

/// Prints one line per scenario: `NAME VERDICT EVIDENCE-OR-REPORT`, with `-` where there is neither.
pub(super) fn run(cx: &Context<'_>, flags: &Sim) -> Result<()> {
    if let Some(SimCommand::Validate { files }) = &flags.command {
        return validate(cx, files);
    }
    let files = cx.project.select_scenarios(&flags.scenarios, cx.environment.folder()?)?;
    let mut prepared = prepare_all(cx, &files, &flags.env)?;
    if let Some(shard) = flags.shard {
        prepared = budget::shard(prepared, shard);
        cx.printer.say(&format!("shard {} of {}: {} scenarios", shard.number, shard.of, prepared.len()));
    }
    let prepared: Vec<&Prepared> = prepared.iter().collect();
    warn_of_policy(cx, &prepared)?;
    let wanted = Flags {
        duration: flags.duration.map(|span| span.0),
        seed: flags.seed,
        repeat: flags.repeat,
        keep: flags.keep,
        mode: if flags.locked { Mode::Locked } else { Mode::Use },
    };
    conclude(&run_all(cx, &prepared, wanted, flags.jobs, &data)?)
}

/// What a release of the configurations that are run would be refused for. A run itself is not.
fn warn_of_policy(cx: &Context<'_>, prepared: &[&Prepared]) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for rendered in prepared.iter().filter_map(|scenario| scenario.rendered.as_ref()) {
        if seen.insert(rendered.digest().clone()) {
            for finding in crate::policy::review(cx, rendered)?.findings {
                cx.printer.warn(&format!("policy: {}", finding.brief()));
            }
        }
    }
    Ok(())
}

/// Runs scenarios for a release: whole, and with nothing on stdout.
pub(crate) fn gate(cx: &Context<'_>, prepared: &[&Prepared], mode: Mode) -> Result<()> {
    let flags = Flags { duration: None, seed: None, repeat: None, keep: false, mode };
    let talk = |cx: &Context<'_>, scenario: &Prepared, class: Option<Class>, _: Option<&Utf8Path>| {
        cx.printer.say(&format!("gate: {} {}", scenario.name, word(class)));
        Ok(())
    };
    conclude(&run_all(cx, prepared, flags, None, &talk)?)
}

fn conclude(classes: &[Option<Class>]) -> Result<()> {
    let failed = classes.iter().flatten().count();
    match Class::worst(classes.iter().flatten().copied()) {
        None => Ok(()),
        Some(class) => Err(Error::Scenarios { count: failed, total: classes.len(), class }.into()),
    }
}

fn validate(cx: &Context<'_>, files: &[Utf8PathBuf]) -> Result<()> {
    let folder = cx.environment.folder()?;
    let files: Vec<Utf8PathBuf> = files.iter().map(|file| folder.join(file)).collect();
    for prepared in prepare_all(cx, &files, evidence::PRODUCTION)? {
        let name = prepared.name.find('[').map_or("", |at| &prepared.name[at..]);
        cx.printer.data(&format!("{}{name} is valid", cx.project.relative(&prepared.file)))?;
    }
    Ok(())
}

/// Checks every file and reports every bad one before it fails with the worst.
fn prepare_all(cx: &Context<'_>, files: &[Utf8PathBuf], environment: &str) -> Result<Vec<Prepared>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        match prepare(cx, file, environment) {
            Ok(prepared) => good.extend(prepared),
            Err(error) => bad.push(error),
        }
    }
    let worst = Class::worst(bad.iter().map(Failed::class));
    let Some(at) = bad.iter().position(|error| Some(error.class()) == worst) else { return Ok(good) };
    let worst = bad.remove(at);
    for error in &bad {
        cx.printer.report(error);
    }
    Err(worst)
}

/// Tells what a scenario came to.
type Tell = dyn Fn(&Context<'_>, &Prepared, Option<Class>, Option<&Utf8Path>) -> Result<()>;

fn run_all(
    cx: &Context<'_>,
    prepared: &[&Prepared],
    flags: Flags,
    jobs: Option<u32>,
    tell: &Tell,
) -> Result<Vec<Option<Class>>> {
    if flags.proves() {
        // Asked for a passphrase, or refused, before minutes go by.
        crate::trust::gate_key(cx)?;
    }
    for scenario in prepared {
        evidence::withdraw(cx, scenario)?;
    }
    let runtime = super::runtime()?;
    let (cancel, phase) = runtime.block_on(async { cancel_on_interrupt() });
    let needed = prepared.iter().any(|scenario| scenario.needs_engine());
    let engine = if needed { Some(runtime.block_on(ready_engine(cx))?) } else { None };
    let crew = Crew { cx, engine: engine.as_ref(), flags, phase, cancel, runtime: runtime.handle() };
    let github = Github::of(&cx.environment);
    let mut done: Vec<(usize, Option<Class>, Option<Row>)> = Vec::new();
    crew.run(prepared, jobs, &mut |index, finished: &Result<Finished>, took| {
        let scenario = prepared[index];
        let class = finished.as_ref().map_or_else(|error| Some(error.class()), |finished| finished.class);
        let evidence = finished.as_ref().ok().and_then(|finished| finished.evidence.as_deref());
        tell(cx, scenario, class, evidence)?;
        let row = github.as_ref().map(|github| row(cx, github, scenario, finished, took));
        done.push((index, class, row));
        Ok(class)
    })?;
    // As they were named, in whatever order they ended.
    done.sort_by_key(|(index, ..)| *index);
    let rows: Vec<Row> = done.iter_mut().filter_map(|(.., row)| row.take()).collect();
    if let Some(github) = &github {
        github.publish(cx.printer, &rows);
    }
    Ok(done.into_iter().map(|(_, class, _)| class).collect())
}

/// The Engine, with nothing in it that a dead run left.
async fn ready_engine(cx: &Context<'_>) -> Result<Engine> {
    let engine = engine::connect(cx).await?;
    engine::refuse_elsewhere(cx, &engine)?;
    engine::sweep(cx, &engine).await?;
    Ok(engine)
}

fn row(
    cx: &Context<'_>,
    github: &Github,
    scenario: &Prepared,
    finished: &Result<Finished>,
    took: Duration,
) -> Row {
    let done = finished.as_ref().ok();
    let evidence = done.and_then(|finished| finished.evidence.as_deref());
    Row {
        scenario: scenario.name.clone(),
        file: github.file_name(&scenario.file, cx.project.relative(&scenario.file)),
        verdict: word(finished.as_ref().map_or_else(|error| Some(error.class()), |finished| finished.class)),
        error: finished.as_ref().err().map(|error| error.chain().join(": ")),
        claims: done.map(|finished| finished.claims.clone()).unwrap_or_default(),
        evidence: evidence.map(|path| cx.project.relative(path).to_string()),
        took,
    }
}

/// The verdict in a word.
fn word(class: Option<Class>) -> String {
    class.map_or("passed".to_owned(), |class| class.to_string())
}

fn data(
    cx: &Context<'_>,
    scenario: &Prepared,
    class: Option<Class>,
    evidence: Option<&Utf8Path>,
) -> Result<()> {
    let word = word(class);
    let folder = simulate::report_folder(cx, &scenario.name);
    // A scenario that was refused before it ran has none.
    let report = if folder.exists() { cx.project.relative(&folder) } else { Utf8Path::new("-") };
    let evidence = evidence.map(|path| cx.project.relative(path));
    if cx.printer.is_json() {
        let code = class.map_or(0, Class::exit_code);
        let (name, report) = (&scenario.name, report);
        let line =
            json!({"scenario": name, "verdict": word, "code": code, "report": report, "evidence": evidence});
        return cx.printer.json(&line);
    }
    cx.printer.data(&format!("{} {word} {}", scenario.name, evidence.unwrap_or(report)))
}

/// Ctrl-C and SIGTERM end a run in order: containers stopped, everything removed, exit 130. While nothing of a run is in
/// the Engine (`phase` is false), there is nothing to put in order: files are whole or absent at any moment.
fn cancel_on_interrupt() -> (watch::Receiver<bool>, Phase) {
    let (sender, receiver) = watch::channel(false);
    let phase = Phase::default();
    let running = phase.clone();
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
        if !running.is_in_engine() {
            end_interrupted();
        }
        // Nobody listens once all runs are done.
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    (receiver, phase)
}

#[expect(clippy::exit, reason = "the work that is going on blocks, and needs no clearing up")]
fn end_interrupted() -> ! {
    std::process::exit(i32::from(Class::Interrupted.exit_code()))
}
