//! `deploy`: a release to devices, one after the other. What the device lacks is the device's to say, and whether it takes the
//! release; here are only the steps and what people see of them.

mod contact;
mod show;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use xedge_bundle::verify::{Observer, Progress, read_head};
use xedge_deploy::{
    BundleFile, Cancel, Delivered, Delivery, Needs, Place, Probed, Session, Ssh, Transport, WAITS, deliver,
    persist, plan, preflight,
};
use xedge_model::stack::{Probe, SecretReference};
use xedge_sign::GateKey;
use xedge_wire::Inventory;

use super::{Context, runtime};
use crate::adhoc::{self, AdHoc};
use crate::cli::Deploy;
use crate::error::{Error, Result};
use crate::release;
use crate::secrets::{self, Store};
use crate::{staging, trust};

use contact::{Contact, Programs};
use show::{Show, bytes};

pub(super) use show::outcome;

/// Version of this xedge, and of the agent that it brings.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Deploys to every host, up to the first failure.
pub(super) fn run(cx: &Context<'_>, flags: &Deploy) -> Result<()> {
    let file = match AdHoc::of(&flags.of_image, &flags.registry, flags.locked) {
        Some(wanted) if flags.dry_run => return adhoc::plan(cx, &wanted).and_then(|plan| planned(cx, &plan)),
        Some(wanted) => adhoc::release_adhoc(cx, &wanted)?,
        None => file(cx, flags)?,
    };
    // Its passphrase is asked for before anything goes on that Ctrl-C has to stop in order.
    let gate = (staging::is_asked(&flags.env) && !flags.dry_run).then(|| trust::gate_key(cx)).transpose()?;
    interruptible(|cancel| {
        let bundle = open(cx, flags, &file, cancel)?;
        let mut programs = Programs::new(cx, flags.agent.as_deref());
        let hosts = &flags.hosts.host;
        for (number, host) in hosts.iter().enumerate() {
            let host = host.clone().or_user(flags.hosts.user.as_deref());
            let mut ssh = Ssh::new(host, flags.hosts.ssh_config.as_deref(), cancel)?;
            if let Err(failed) = one(cx, flags, &bundle, gate.as_ref(), &mut ssh, &mut programs, cancel) {
                let rest: Vec<String> = hosts[number + 1..].iter().map(ToString::to_string).collect();
                if !rest.is_empty() {
                    cx.printer.warn(&format!("stopped at {}; not touched: {}", ssh.host(), rest.join(", ")));
                }
                return Err(failed);
            }
        }
        Ok(())
    })
}

/// What would be released of an image; no device is asked, since what it lacks depends on a bundle that is not there.
fn planned(cx: &Context<'_>, plan: &release::Plan) -> Result<()> {
    if cx.printer.is_json() {
        return cx.printer.json(&json!({"dryRun": true, "release": plan.json()}));
    }
    plan.lines().try_for_each(|line| cx.printer.data(&line))?;
    cx.printer.say("no device was asked: after `cargo xtask release` with the same flags, `cargo xtask deploy --bundle FILE --dry-run` shows what would travel");
    Ok(())
}

/// Runs work that Ctrl-C and SIGTERM stop in order: its child processes end, its temporary folders go.
pub(super) fn interruptible<T>(work: impl FnOnce(&Cancel) -> Result<T>) -> Result<T> {
    let (cancel, runtime) = (Cancel::default(), runtime()?);
    let stopped = cancel.clone();
    runtime.spawn(async move {
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
        stopped.cancel();
    });
    let done = work(&cancel);
    runtime.shutdown_background();
    if cancel.is_cancelled() && done.is_err() { Err(Error::Interrupted.into()) } else { done }
}

/// The bundle that is named, or the newest release of the stack.
fn file(cx: &Context<'_>, flags: &Deploy) -> Result<Utf8PathBuf> {
    if let Some(file) = &flags.bundle {
        return Ok(cx.environment.folder()?.join(file));
    }
    let stack = cx.project.select_stack(flags.stack.as_deref())?;
    let environment = staging::environment(cx, &flags.env)?;
    for record in release::record::all(cx, &stack)?.iter().rev() {
        let path = release::bundle::path(cx, &release::bundle::file_name(&stack, &record.version));
        let Ok(opened) = File::open(&path) else { continue };
        if read_head(opened).is_ok_and(|head| head.manifest.config.environment == environment) {
            return Ok(path);
        }
    }
    let hint = format!("make one: `cargo xtask release --stack {stack} --env {environment}`");
    let name = format!("{stack} for {environment}");
    Err(Error::Unknown { what: "the bundle of a release of", name, hint }.into())
}

/// Verifies the bundle here first: what a device would refuse need not travel.
fn open(cx: &Context<'_>, flags: &Deploy, file: &Utf8Path, cancel: &Cancel) -> Result<BundleFile> {
    let root = trust::pinned(cx, flags.root.as_deref())?;
    let bar = cx.printer.bytes_bar(0, file.file_name().unwrap_or("bundle"));
    let mut watch = Watch { shown: release::bundle::Shown(bar), cancel };
    let opened = BundleFile::open(file, &root, cx.environment.now_unix(), &mut watch);
    watch.shown.0.finish_and_clear();
    let bundle = opened?;
    let manifest = bundle.manifest();
    cx.printer
        .good("verified", &format!("{} {} (release {})", manifest.stack, manifest.version, manifest.seq));
    Ok(bundle)
}

struct Watch<'a> {
    shown: release::bundle::Shown,
    cancel: &'a Cancel,
}

impl Observer for Watch<'_> {
    fn bytes(&mut self, progress: &Progress<'_>, bytes: &[u8]) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            // Not the kind `Interrupted`: that one is tried again.
            return Err(io::Error::other("it was stopped"));
        }
        self.shown.bytes(progress, bytes)
    }
}

fn one(
    cx: &Context<'_>,
    flags: &Deploy,
    bundle: &BundleFile,
    gate: Option<&GateKey>,
    ssh: &mut Ssh,
    programs: &mut Programs<'_>,
    cancel: &Cancel,
) -> Result<()> {
    let (place, mut show) = (Place::system(), Show::new(cx.printer, ssh.host()));
    ssh.connect()?;
    let probed = persist(ssh, cancel, &WAITS, &mut show, &mut |ssh, _| preflight(ssh, &place))?;
    contact::ready(cx, ssh.host(), &probed, &needs(cx, bundle))?;
    if flags.dry_run {
        return dry_run(cx, bundle, ssh, &place, &probed);
    }
    let contact = contact::make(cx, flags, bundle, ssh, &place, &probed, programs, cancel, &mut show)?;
    let values: BTreeMap<String, String> = flags.set.iter().cloned().collect();
    let adopt = flags.adopt.as_deref();
    let delivery = Delivery { bundle, values: &values, adopt, version: VERSION, waits: &WAITS };
    let environment = &bundle.manifest().config.environment;
    let mut contents = |lacking: &[&SecretReference]| {
        let names: Vec<&str> = lacking.iter().map(|secret| secret.name.as_str()).collect();
        let contents = secrets::contents(cx, &Store::open(cx, environment)?, environment, lacking)?;
        cx.printer.say(&format!("lacks the secrets {}, which go there from {environment}", names.join(", ")));
        Ok(contents)
    };
    let delivered = deliver(ssh, &place, &delivery, cancel, &mut contents, &mut show);
    show.clear();
    match delivered {
        Ok(delivered) => {
            report(cx, ssh.host(), bundle, &contact, &delivered)?;
            gate.map_or(Ok(()), |key| staging::record(cx, ssh, &place, bundle, key, flags.measure))
        }
        Err(failed) => {
            if cancel.is_cancelled() && show.is_installing() {
                cx.printer.warn(&format!(
                    "{host} goes on by itself, to the end or back: `cargo xtask device status --host {host}`",
                    host = ssh.host()
                ));
            }
            Err(failed)
        }
    }
}

/// What the release asks of a device, as far as a shell can tell.
fn needs(cx: &Context<'_>, bundle: &BundleFile) -> Needs {
    let manifest = bundle.manifest();
    let platforms = manifest.compatibility.platforms.iter();
    let mut ports: Vec<u16> = manifest.probes.iter().filter_map(port).collect();
    ports.sort_unstable();
    ports.dedup();
    Needs {
        architectures: platforms.map(|platform| platform.oci_architecture().to_owned()).collect(),
        ports,
        now: cx.environment.now_unix(),
    }
}

fn port(probe: &Probe) -> Option<u16> {
    match probe {
        Probe::Tcp { port, .. } | Probe::Http { port, .. } | Probe::Mqtt { port, .. } => Some(*port),
        Probe::Command { .. } => None,
    }
}

/// What would travel; nothing is changed, not even the agent.
fn dry_run(cx: &Context<'_>, bundle: &BundleFile, ssh: &Ssh, place: &Place, probed: &Probed) -> Result<()> {
    let lacks_agent = probed.lacks_agent(VERSION);
    let asked = match probed.agent() {
        Some(_) => Session::open(ssh, place, VERSION).and_then(|mut session| session.inventory()),
        None => Ok(Inventory::default()),
    };
    let inventory = match asked {
        Err(xedge_deploy::Error::Older { .. }) => Inventory::default(),
        other => other?,
    };
    let architecture = probed.architecture().unwrap_or_default();
    let plan = plan(bundle, architecture, &inventory)?;
    let host = ssh.host();
    if cx.printer.is_json() {
        return cx.printer.json(&json!({"host": host, "dryRun": true, "installsAgent": lacks_agent,
            "architecture": architecture, "lines": plan.lines, "travels": plan.travels, "bytes": plan.bytes}));
    }
    if lacks_agent {
        cx.printer.data(&format!("{host} installs xedge-agent {VERSION} for {architecture}"))?;
    }
    for line in &plan.lines {
        let digest = line.digest.as_ref().map_or(String::new(), |digest| format!(" {}", digest.short()));
        let what = &line.what;
        let travels = if line.travels == 0 { "is there".to_owned() } else { bytes(line.travels) };
        cx.printer.data(&format!("{host} {what}{digest}: {travels} of {}", bytes(line.bytes)))?;
    }
    cx.printer.data(&format!("{host} in all: {} of {}", bytes(plan.travels), bytes(plan.bytes)))
}

fn report(
    cx: &Context<'_>,
    host: &str,
    bundle: &BundleFile,
    contact: &Contact,
    delivered: &Delivered,
) -> Result<()> {
    let applied = &delivered.applied;
    if cx.printer.is_json() {
        return cx.printer.json(&json!({
            "host": host,
            "device": delivered.device.id,
            "stack": applied.stack,
            "seq": applied.seq,
            "version": applied.version,
            "unchanged": applied.unchanged,
            "awayMs": applied.changed,
            "kept": applied.kept,
            "sentBytes": delivered.sent,
            "bundleBytes": bundle.length(),
            "sendingMs": u64::try_from(delivered.sending.as_millis()).unwrap_or(u64::MAX),
            "reconnected": delivered.retries,
            "agentInstalled": contact.installed,
            "enrolled": contact.enrolled,
            "root": delivered.device.root,
        }));
    }
    let seconds = delivered.sending.as_secs_f64();
    let millis = u64::try_from(delivered.sending.as_millis()).unwrap_or(u64::MAX).max(1);
    let (sent, length) = (delivered.sent, bundle.length());
    let rate = bytes(sent.saturating_mul(1_000) / millis);
    cx.printer.good("sent", &format!("{} of {} in {seconds:.1} s ({rate}/s)", bytes(sent), bytes(length)));
    if applied.unchanged && delivered.retries > 0 {
        cx.printer.say("the connection broke on the way: what was done before that is on the device, and not in this report");
    }
    cx.printer.data(&format!("{host} {}", outcome(applied)))
}
