//! `deploy --env staging`: what a release uses on a spare device, signed with the gate key into `staging.json`. It measures through
//! the device's agent, and changes nothing there.

use std::collections::BTreeSet;
use std::fs;

use camino::Utf8PathBuf;
use serde_json::json;
use xedge_bundle::staging::{FORMAT, Measured, MeasuredService, Staging, StagingDevice};
use xedge_bundle::statement::{KeyStatus, Subject};
use xedge_bundle::{Manifest, member};
use xedge_deploy::{BundleFile, Place, Transport, accept, run as agent};
use xedge_model::{Digest, atomic};
use xedge_sign::GateKey;
use xedge_wire::{DeviceStatus, Health, StackStatus};

use crate::commands::Context;
use crate::error::{Error, Result};
use crate::evidence::PRODUCTION;

/// The environment that measures.
const STAGING: &str = "staging";

/// Whether this environment measures.
pub(crate) fn is_asked(environment: &str) -> bool {
    environment == STAGING
}

/// The environment whose release goes to the device: a spare one gets what production gets, unless the project says otherwise.
pub(crate) fn environment(cx: &Context<'_>, named: &str) -> Result<String> {
    let known = xedge_config::environments(&cx.project.templates())?;
    let is_own = !is_asked(named) || known.iter().any(|environment| environment == named);
    Ok(if is_own { named } else { PRODUCTION }.to_owned())
}

/// Measures the release that was just deployed, signs what came out and writes it.
///
/// # Errors
/// A service that does not run, was started again or is unhealthy fails the stage (2), and nothing is signed.
pub(crate) fn record(
    cx: &Context<'_>,
    device: &dyn Transport,
    place: &Place,
    bundle: &BundleFile,
    key: &GateKey,
    seconds: u32,
) -> Result<()> {
    let (what, host) = ("measure what it uses", device.host());
    cx.printer.say(&format!("measures {host} for {seconds} s"));
    let arguments = ["--format", "json", "status", "--measure", &seconds.to_string()];
    let output = accept(host, what, agent(device, place, &arguments, &[], what)?)?;
    let status: DeviceStatus = serde_json::from_str(output.text.trim())
        .map_err(|error| Error::DeviceAnswer { host: host.to_owned(), reason: error.to_string() })?;
    let now = cx.environment.now_unix();
    let staging = measured(bundle.manifest(), content(bundle), &status, seconds, now, key.status())
        .map_err(|reason| failed(host, bundle.manifest(), &reason))?;
    let path = file(cx, bundle.manifest(), &staging.predicate.device.id);
    let origin = cx.project.relative(&path).to_string();
    let envelope = key.sign_staging(&origin, &staging)?;
    let folder = path.parent().unwrap_or(&path);
    fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    atomic::write(&path, &envelope.to_json(), 0o644)?;
    report(cx, host, &staging, &origin)
}

/// Where the measurements of a release on a device lie.
fn file(cx: &Context<'_>, manifest: &Manifest, device: &str) -> Utf8PathBuf {
    let release = format!("{}-{}", manifest.stack, manifest.version);
    // The device names itself: its id is a file name only where it looks like one.
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let device: String = device.chars().take(64).map(plain).collect();
    cx.project.output(STAGING).join(release).join(device).join("staging.json")
}

/// Digest of `bundle.json`, which stays the same however often the bundle is stamped.
fn content(bundle: &BundleFile) -> Digest {
    let listed = bundle.targets().find(|(name, _)| *name == member::BUNDLE);
    listed.map_or_else(
        || Digest::of(&bundle.manifest().to_bytes()),
        |(_, target)| target.hashes.sha256().clone(),
    )
}

/// What a device's report says about a release, as it is signed; or why the release did not do well.
fn measured(
    manifest: &Manifest,
    content: Digest,
    status: &DeviceStatus,
    seconds: u32,
    measured_at: i64,
    key_status: KeyStatus,
) -> std::result::Result<Staging, String> {
    let stack = status.stacks.iter().find(|stack| stack.name == manifest.stack);
    let stack = stack.ok_or_else(|| format!("the device does not have the stack {}", manifest.stack))?;
    let current = stack.current.as_ref().map(|current| current.seq);
    if current != Some(manifest.seq) {
        let runs = current.map_or("nothing".to_owned(), |seq| format!("release {seq}"));
        return Err(format!("the device runs {runs}, not release {}", manifest.seq));
    }
    let services = services(manifest, stack)?;
    let manifests: BTreeSet<&Digest> = services.iter().map(|service| &service.manifest).collect();
    let mut subject = vec![
        Subject::new(member::BUNDLE, content),
        Subject::new("configuration", manifest.config.digest.clone()),
    ];
    subject.extend(manifests.into_iter().map(|digest| Subject::new("manifest", digest.clone())));
    let facts = &status.device;
    let engine = facts.engine.as_ref().map(|engine| format!("{} {}", engine.kind, engine.version));
    let device = StagingDevice {
        id: facts.id.clone(),
        class: facts.class.clone(),
        board: facts.board.clone(),
        architecture: facts.architecture.clone(),
        kernel: facts.kernel.clone(),
        engine: engine.unwrap_or_default(),
        agent: status.agent.clone(),
        memory: facts.memory,
        free_disk: facts.free_disk,
    };
    let predicate = Measured {
        format: FORMAT,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        key_status,
        stack: manifest.stack.clone(),
        seq: manifest.seq,
        version: manifest.version.clone(),
        device,
        measured_at,
        seconds,
        services,
    };
    Ok(Staging { subject, predicate })
}

fn services(manifest: &Manifest, stack: &StackStatus) -> std::result::Result<Vec<MeasuredService>, String> {
    let mut services = Vec::new();
    for listed in &manifest.services {
        let name = &listed.name;
        let found = stack.services.iter().find(|service| service.name == *name);
        let found = found.ok_or_else(|| format!("{name} is not on the device"))?;
        let state = match (found.running, found.health, found.restarts) {
            (false, ..) => Some("does not run".to_owned()),
            (_, Health::Unhealthy, _) => Some("is unhealthy".to_owned()),
            (.., 1..) => Some(format!("was started again {} times", found.restarts)),
            _ => None,
        };
        if let Some(state) = state {
            return Err(format!("{name} {state}"));
        }
        let digest =
            found.manifest.clone().filter(|digest| listed.manifests.values().any(|one| one == digest));
        let digest = digest.ok_or_else(|| format!("{name} runs another image than the release has"))?;
        let usage = found.usage.ok_or_else(|| format!("the agent did not measure {name}"))?;
        if usage.memory == 0 {
            // Nothing runs in no memory: such an Engine reads no control groups, and its zeros are no figures.
            return Err(format!(
                "the device's Engine does not measure {name}: `xedge-agent doctor` says what it lacks"
            ));
        }
        services.push(MeasuredService {
            name: name.clone(),
            image: listed.image.clone(),
            manifest: digest,
            millicpus: millicpus(usage.cpus),
            memory: usage.memory,
            disk: usage.disk,
        });
    }
    services.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(services)
}

/// Thousandths of a processor, rounded up, so that little is not nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped; no device has a million processors"
)]
fn millicpus(cpus: f64) -> u64 {
    (cpus * 1000.0).ceil().clamp(0.0, 1e9) as u64
}

fn failed(host: &str, manifest: &Manifest, reason: &str) -> Error {
    let hint = format!("see why: `cargo xtask device logs --host {host} --stack {}`", manifest.stack);
    Error::Job { job: STAGING, what: format!("{host}: {reason}"), hint }
}

fn report(cx: &Context<'_>, host: &str, staging: &Staging, file: &str) -> Result<()> {
    let Measured { stack, version, services, .. } = &staging.predicate;
    if cx.printer.is_json() {
        return cx.printer.json(&json!({"host": host, "staging": file, "services": services}));
    }
    for MeasuredService { name, millicpus, memory, disk, .. } in services {
        let memory = memory.div_ceil(1 << 20);
        let disk = disk.div_ceil(1 << 20);
        let cpus = format!("{}.{:03}", millicpus / 1000, millicpus % 1000);
        cx.printer.data(&format!(
            "{host} {stack}/{name}: {cpus} processors, {memory} MiB of memory, {disk} MiB written"
        ))?;
    }
    cx.printer.good("measured", &format!("{stack} {version}: {file}"));
    Ok(())
}

#[cfg(test)]
mod tests;
