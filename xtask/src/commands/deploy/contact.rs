//! Before a release can travel: the device is ready, has an agent that is new enough, and is enrolled.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_deploy::{
    BundleFile, Cancel, Enrolment, Error as Deploy, Needs, Place, Probed, Session, Ssh, Transport as _,
    WAITS, enrol, install, persist,
};
use xedge_model::Platform;
use xedge_wire::DeviceFacts;

use super::VERSION;
use super::show::Show;
use crate::cli;
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::payload;

/// What was done on first contact.
pub(super) struct Contact {
    /// An agent was installed, or a newer one.
    pub(super) installed: bool,
    /// The device was enrolled, or enrolled again.
    pub(super) enrolled: bool,
}

/// The agent's programs by architecture, each built once.
pub(super) struct Programs<'a> {
    cx: &'a Context<'a>,
    named: Option<&'a Utf8Path>,
    built: BTreeMap<String, Utf8PathBuf>,
}

impl<'a> Programs<'a> {
    pub(super) fn new(cx: &'a Context<'a>, named: Option<&'a Utf8Path>) -> Self {
        Self { cx, named, built: BTreeMap::new() }
    }

    fn program(&mut self, architecture: &str) -> Result<Utf8PathBuf> {
        if let Some(named) = self.named {
            return Ok(self.cx.environment.folder()?.join(named));
        }
        if let Some(built) = self.built.get(architecture) {
            return Ok(built.clone());
        }
        let platform = Platform::ALL.into_iter().find(|one| one.oci_architecture() == architecture);
        let platform = platform.ok_or_else(|| Error::Unknown {
            what: "a program of the agent for",
            name: architecture.to_owned(),
            hint: "name one that was built for it: `cargo xtask deploy --agent FILE`".to_owned(),
        })?;
        let spinner = self.cx.printer.spinner(&format!("builds xedge-agent for {platform}"));
        let built = payload::agent(&self.cx.project, &self.cx.environment, platform);
        spinner.finish_and_clear();
        Ok(self.built.entry(architecture.to_owned()).or_insert(built?).clone())
    }
}

/// Tells everything that the device's shell found at once; fails if something is in the way.
pub(super) fn ready(cx: &Context<'_>, host: &str, probed: &Probed, needs: &Needs) -> Result<()> {
    let findings = probed.findings(needs);
    if findings.iter().any(|finding| finding.blocks) {
        return Err(Deploy::Unready { host: host.to_owned(), findings }.into());
    }
    for finding in findings {
        cx.printer.warn(&format!("{host}: {}: `{}`", finding.in_words(), finding.mend));
    }
    Ok(())
}

/// Installs the agent where there is none or an older one, and enrols the device where it is not.
#[expect(clippy::too_many_arguments, reason = "one call, and a struct of them would be named nowhere else")]
pub(super) fn make(
    cx: &Context<'_>,
    flags: &cli::Deploy,
    bundle: &BundleFile,
    ssh: &mut Ssh,
    place: &Place,
    probed: &Probed,
    programs: &mut Programs<'_>,
    cancel: &Cancel,
    show: &mut Show<'_>,
) -> Result<Contact> {
    let architecture = probed.kernel_architecture().unwrap_or_default();
    let mut installed = flags.agent.is_some() || probed.lacks_agent(VERSION);
    if installed {
        installed = bring(cx, ssh, place, &programs.program(architecture)?, cancel, show)?;
    }
    let mut device = greet(ssh, place, cancel, show);
    if let Err(Deploy::Older { .. }) = &device {
        installed = bring(cx, ssh, place, &programs.program(architecture)?, cancel, show)?;
        device = greet(ssh, place, cancel, show);
    }
    let enrolled = pin(cx, flags, bundle, ssh, place, &device?, cancel, show)?;
    Ok(Contact { installed, enrolled })
}

fn greet(
    ssh: &mut Ssh,
    place: &Place,
    cancel: &Cancel,
    show: &mut Show<'_>,
) -> xedge_deploy::Result<DeviceFacts> {
    persist(ssh, cancel, &WAITS, show, &mut |ssh, _| Ok(Session::open(ssh, place, VERSION)?.device().clone()))
}

/// Brings a program there; whether it was not in use already.
fn bring(
    cx: &Context<'_>,
    ssh: &mut Ssh,
    place: &Place,
    program: &Utf8Path,
    cancel: &Cancel,
    show: &mut Show<'_>,
) -> Result<bool> {
    let length = program.metadata().map_or(0, |meta| meta.len());
    let installed = persist(ssh, cancel, &WAITS, show, &mut |ssh, show| {
        show.to_send(length);
        install(ssh, place, program, &mut |bytes| show.sent(bytes))
    })?;
    show.clear();
    if installed {
        cx.printer.good("installed", &format!("xedge-agent {VERSION} on {}", ssh.host()));
    }
    Ok(installed)
}

/// Enrols a device that is not enrolled, or is to be enrolled again; whether it did.
#[expect(clippy::too_many_arguments, reason = "as above")]
fn pin(
    cx: &Context<'_>,
    flags: &cli::Deploy,
    bundle: &BundleFile,
    ssh: &mut Ssh,
    place: &Place,
    device: &DeviceFacts,
    cancel: &Cancel,
    show: &mut Show<'_>,
) -> Result<bool> {
    let status = bundle.manifest().key_status.as_str();
    let again = match (&device.status, &device.root) {
        (Some(old), Some(root)) if flags.reenroll && !bundle.has_root(root) => {
            cx.printer.say(&format!("{} was enrolled for {old} with {root}", ssh.host()));
            true
        }
        (Some(_), _) => return Ok(false),
        (None, _) => false,
    };
    let enrolment = Enrolment { root: bundle.root_bytes(), class: flags.class.as_deref(), again };
    let output = persist(ssh, cancel, &WAITS, show, &mut |ssh, _| enrol(ssh, place, &enrolment))?;
    let said: serde_json::Value = serde_json::from_str(output.text.trim()).unwrap_or_default();
    let id = said["id"].as_str().unwrap_or("it");
    cx.printer.good(
        "enrolled",
        &format!("{} as {id} for {status}: it trusts the root {}", ssh.host(), bundle.root()),
    );
    cx.printer.say("compare it with what the keeper of the keys has: `sha256sum trust/*.root.json` in the data folder there");
    if said["service"] == "no-systemd" {
        cx.printer.warn(&format!(
            "{}: systemd does not run there, so nothing starts the agent after a restart: have it run `xedge-agent watch`",
            ssh.host()
        ));
    }
    Ok(true)
}
