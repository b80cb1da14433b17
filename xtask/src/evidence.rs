//! Evidence of a run: an in-toto statement about exactly what ran, signed with the gate key, checked before it is kept.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::Envelope;
use xedge_bundle::statement::{
    Engine, EngineKind, FORMAT, Honesty, KeyStatus, PlatformRun, ResourceDescriptor, RunRecord, Runs,
    Simulated, Statement, Subject, TestResult, Verdict,
};
use xedge_model::{Digest, atomic};
use xedge_sign::GateKey;
use xedge_sim::{EngineFacts, Outcome, State};

use crate::build;
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::simulate::trials::Series;
use crate::simulate::{Images, Prepared};
use crate::stage::{Gate, Gated};
use crate::trust;

/// The environment that is run and released where no other is named.
pub(crate) const PRODUCTION: &str = "production";

/// Where the evidence of a scenario lies; that of another environment than production has its name.
pub(crate) fn file(cx: &Context<'_>, prepared: &Prepared) -> Utf8PathBuf {
    let name = match prepared.environment.as_str() {
        PRODUCTION => prepared.slug.clone(),
        other => format!("{}.{other}", prepared.slug),
    };
    cx.project.output("gates").join(format!("{name}.dsse.json"))
}

/// Signs what a run showed and writes it.
pub(crate) fn write(
    cx: &Context<'_>,
    prepared: &Prepared,
    images: &Images,
    series: &Series,
    platforms: Vec<PlatformRun>,
) -> Result<Utf8PathBuf> {
    let key = trust::gate_key(cx)?;
    let path = file(cx, prepared);
    let origin = cx.project.relative(&path).to_string();
    let statement = statement(cx, prepared, images, series, platforms, key.status());
    let envelope = key.sign_statement(&origin, &statement)?;
    if let Some(facts) = series.telling().virtual_time() {
        let shown = cx.project.relative(&path);
        cx.printer.say(&format!("evidence: trace {}, {} key: {shown}", facts.trace, key.status().as_str()));
    }
    // A run without images is accepted by no release, and is not meant to.
    let has_images = !statement.predicate.xedge.platforms.is_empty();
    if has_images && statement.predicate.result == Verdict::Passed {
        accept(cx, prepared, &envelope, &key)?;
    }
    atomic::write(&path, &envelope.to_json(), 0o644)?;
    Ok(path)
}

/// What was just signed must be acceptable, unless the layout moved on while the scenario ran.
fn accept(cx: &Context<'_>, prepared: &Prepared, envelope: &Envelope, key: &GateKey) -> Result<()> {
    match Gated::from_evidence(&build::layout(cx)?, &gate(prepared), envelope, &[key.verifying_key()]) {
        Ok(gated) => {
            let (count, status) = (gated.manifests().len(), key.status().as_str());
            let path = file(cx, prepared);
            let shown = cx.project.relative(&path);
            cx.printer.say(&format!("evidence: {count} platform manifests, {status} key: {shown}"));
        }
        Err(error) => {
            let why = error.chain().join(": ");
            cx.printer.warn(&format!(
                "the images were built again while this ran; the evidence is about what ran: {why}"
            ));
        }
    }
    Ok(())
}

/// What evidence of a scenario must be about.
pub(crate) fn gate(prepared: &Prepared) -> Gate<'_> {
    Gate { scenario: &prepared.slug, scenario_digest: &prepared.digest, config: config(prepared) }
}

/// Removes the evidence of an earlier run: from here on only the run that follows speaks for the scenario.
pub(crate) fn withdraw(cx: &Context<'_>, prepared: &Prepared) -> Result<()> {
    let path = file(cx, prepared);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Write { path, source }.into())
        }
        _ => Ok(()),
    }
}

fn config(prepared: &Prepared) -> Option<&Digest> {
    prepared.rendered.as_ref().map(xedge_config::Rendered::digest)
}

fn statement(
    cx: &Context<'_>,
    prepared: &Prepared,
    images: &Images,
    series: &Series,
    platforms: Vec<PlatformRun>,
    key_status: KeyStatus,
) -> Statement {
    let outcome = series.telling();
    let (passed, total) = series.passed();
    let names = |state: fn(&State) -> bool| -> Vec<String> {
        outcome.claims().iter().filter(|claim| state(&claim.state)).map(|claim| claim.id.clone()).collect()
    };
    let record = RunRecord {
        format: FORMAT,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: prepared.slug.clone(),
        scenario_digest: prepared.digest.clone(),
        level: prepared.scenario.level,
        seed: outcome.seed(),
        duration_ms: u64::try_from(outcome.duration().as_millis()).unwrap_or(u64::MAX),
        engine: engine(outcome.engine()),
        honesty: honesty(outcome),
        config_digest: config(prepared).cloned(),
        trace: outcome.virtual_time().map(|facts| facts.trace.clone()),
        runs: (total > 1).then_some(Runs { passed, total }),
        platforms,
        key_status,
    };
    Statement {
        subject: subjects(&record),
        predicate: TestResult {
            result: if series.class().is_none() { Verdict::Passed } else { Verdict::Failed },
            configuration: configuration(cx, prepared, images),
            url: None,
            passed_tests: names(|state| *state == State::Held),
            warned_tests: Vec::new(),
            failed_tests: names(|state| *state != State::Held),
            xedge: record,
        },
    }
}

/// A run in virtual time is repeated to the last event; another was measured once, after a plan that can be repeated.
fn honesty(outcome: &Outcome) -> BTreeSet<Honesty> {
    match outcome.virtual_time() {
        Some(_) => BTreeSet::from([Honesty::L3]),
        None => BTreeSet::from([Honesty::L1, Honesty::L2]),
    }
}

fn engine(facts: &EngineFacts) -> Engine {
    let kind = match facts.kind {
        xedge_sim::EngineKind::Docker => EngineKind::Docker,
        xedge_sim::EngineKind::Podman => EngineKind::Podman,
        xedge_sim::EngineKind::Embedded => EngineKind::Embedded,
        xedge_sim::EngineKind::Virtual => EngineKind::Virtual,
    };
    Engine { kind, version: facts.version.clone() }
}

/// Platform manifests that ran, and the configuration that was mounted; of a run in virtual time its scenario.
fn subjects(record: &RunRecord) -> Vec<Subject> {
    let ran = record.platforms.iter().filter(|run| run.simulated != Simulated::NotSimulated);
    let manifests = ran.filter_map(|run| {
        let name = format!("{} {}", run.image, run.platform);
        Some(Subject::new(&name, run.manifest.clone()?))
    });
    let config = record.config_digest.iter().map(|digest| Subject::new("configuration", digest.clone()));
    let is_virtual = record.engine.kind == EngineKind::Virtual;
    let scenario = is_virtual.then(|| Subject::new(&record.scenario, record.scenario_digest.clone()));
    manifests.chain(config).chain(scenario).collect()
}

/// A file's path in the project; of one outside it the name, since folders of this machine are nobody's business.
fn shown(cx: &Context<'_>, file: &Utf8Path) -> String {
    let relative = cx.project.relative(file);
    if relative.is_absolute() {
        relative.file_name().unwrap_or_default().to_owned()
    } else {
        relative.to_string()
    }
}

/// The scenario file, the files that it names, and the locks that its images were made from.
fn configuration(cx: &Context<'_>, prepared: &Prepared, images: &Images) -> Vec<ResourceDescriptor> {
    let scenario = (&prepared.file, &prepared.digest);
    let files: BTreeMap<String, Digest> = std::iter::once(scenario)
        .chain(prepared.inputs.digests())
        .chain(images.locks())
        .map(|(file, digest)| (shown(cx, file), digest.clone()))
        .collect();
    let descriptor = |(name, digest): (String, Digest)| ResourceDescriptor {
        name,
        uri: None,
        digest: digest.into(),
        annotations: BTreeMap::new(),
    };
    files.into_iter().map(descriptor).collect()
}
