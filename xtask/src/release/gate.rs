//! The gate of a release: evidence that is there is reused, what is missing is run, and what then is still open is an
//! error. Signs nothing itself.

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::{Envelope, VerifyingKey};

use super::ReadyStack;
use crate::commands::{Context, sim};
use crate::error::{Failed, Result, read_bytes};
use crate::locks::Mode;
use crate::project::entries;
use crate::simulate::Prepared;
use crate::stage::{Gated, Release};
use crate::{build, evidence};

/// Where evidence may come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Runs on this machine; scenarios without evidence are run.
    Here(Mode),
    /// Runs on this machine; nothing is run.
    HereOnly,
    /// This folder and those below it; nothing is run.
    Folder(&'a Utf8Path),
}

/// The release that this stack may become.
pub(crate) fn pass(
    cx: &Context<'_>,
    stack: &ReadyStack,
    keys: &[VerifyingKey],
    source: Source<'_>,
) -> Result<Release> {
    let demand = stack.demand();
    let (mut gated, mut refused) = look(cx, stack, keys, source)?;
    let gaps = demand.gaps(&gated);
    if let (false, Source::Here(mode)) = (gaps.is_empty(), source) {
        for gap in gaps {
            cx.printer.say(&format!("gate: {gap}"));
        }
        sim::gate(cx, &to_run(stack, &gated, &demand.config), mode)?;
        (gated, refused) = look(cx, stack, keys, source)?;
    }
    for run in gated.iter().filter(|run| !run.level().is_usual()) {
        let (scenario, level) = (run.scenario(), run.level().as_str());
        cx.printer.say(&format!("gate: level {level}: {scenario} says nothing about what the services do"));
    }
    let release = Release::new(demand, gated);
    if release.is_err() {
        for error in &refused {
            cx.printer.report(error);
        }
    }
    release
}

/// What the evidence that is there comes to.
pub(crate) struct Open {
    /// What is missing.
    pub(crate) gaps: Vec<String>,
    /// The release, where nothing is.
    pub(crate) release: Option<Release>,
}

/// Looks at the evidence that is there; runs nothing.
pub(crate) fn open(
    cx: &Context<'_>,
    stack: &ReadyStack,
    keys: &[VerifyingKey],
    source: Source<'_>,
) -> Result<Open> {
    let demand = stack.demand();
    let (gated, _refused) = look(cx, stack, keys, source)?;
    let gaps = demand.gaps(&gated);
    let release = if gaps.is_empty() { Some(Release::new(demand, gated)?) } else { None };
    Ok(Open { gaps, release })
}

/// The scenarios to run: those without evidence, or, where all have some, those that run this configuration.
fn to_run<'a>(stack: &'a ReadyStack, gated: &[Gated], config: &xedge_model::Digest) -> Vec<&'a Prepared> {
    let has = |scenario: &&Prepared| gated.iter().any(|run| run.scenario() == scenario.slug);
    let missing: Vec<&Prepared> = stack.scenarios.iter().filter(|scenario| !has(scenario)).collect();
    if !missing.is_empty() {
        return missing;
    }
    let runs_it = |scenario: &&Prepared| scenario.rendered.as_ref().is_some_and(|r| r.digest() == config);
    stack.scenarios.iter().filter(runs_it).collect()
}

/// Acceptable evidence of each scenario, and why other files that claim to be some were refused.
fn look(
    cx: &Context<'_>,
    stack: &ReadyStack,
    keys: &[VerifyingKey],
    source: Source<'_>,
) -> Result<(Vec<Gated>, Vec<Failed>)> {
    let (mut gated, mut refused) = (Vec::new(), Vec::new());
    for scenario in &stack.scenarios {
        let mut reasons = Vec::new();
        let mut accepted = None;
        for file in candidates(cx, source, scenario)? {
            match accept(cx, scenario, &file, keys) {
                Ok(found) => accepted = accepted.or(Some(found)),
                Err(error) => reasons.push(error),
            }
        }
        match accepted {
            Some(found) => gated.push(found),
            None => refused.append(&mut reasons),
        }
    }
    Ok((gated, refused))
}

fn accept(cx: &Context<'_>, scenario: &Prepared, file: &Utf8Path, keys: &[VerifyingKey]) -> Result<Gated> {
    let origin = cx.project.relative(file).as_str();
    let envelope = Envelope::parse(origin, &read_bytes(file)?)?;
    Gated::from_evidence(&build::layout(cx)?, &evidence::gate(scenario), &envelope, keys)
}

fn candidates(cx: &Context<'_>, source: Source<'_>, scenario: &Prepared) -> Result<Vec<Utf8PathBuf>> {
    let file = evidence::file(cx, scenario);
    match source {
        Source::Here(_) | Source::HereOnly => {
            Ok(Some(file).filter(|file| file.exists()).into_iter().collect())
        }
        Source::Folder(folder) => {
            let name = file.file_name().unwrap_or_default();
            let mut found = files_below(folder)?;
            found.retain(|path| path.file_name() == Some(name));
            Ok(found)
        }
    }
}

/// Shards upload a folder each, so evidence may lie some folders down.
fn files_below(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            // Links are not followed: a ring of them would never end.
            match entry.symlink_metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry),
                Ok(meta) if meta.is_file() => files.push(entry),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}
