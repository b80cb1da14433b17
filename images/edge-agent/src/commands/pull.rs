//! `pull`: a release from a registry, for devices that nobody can reach.

use std::env;

use camino::Utf8PathBuf;
use xedge_agent::apply::Options;
use xedge_agent::install::install;
use xedge_agent::pull::{self, From, Logins};
use xedge_agent::{Device, Result};

use super::Context;
use super::apply::in_words;
use crate::cli::Pull;

pub(super) fn run(cx: &Context, args: &Pull) -> Result<()> {
    let (trust, now) = cx.trust()?;
    let (engine, device) = (cx.connect_for_good()?, Device::load(&cx.home)?);
    let logins = Logins::read(&files())?;
    let look = cx.look(engine.as_ref(), &device, &trust);
    let from = From { look: &look, now, logins: &logins };
    let head = pull::pull(&from, &args.reference, &mut |event| cx.printer.event(&event))?;
    let agent = cx.agent(engine.as_ref());
    let options = Options { adopt: args.adopt.clone(), check_only: args.check_only };
    let applied = install(&agent, &head, &options, &mut |event| cx.printer.event(&event))?;
    cx.printer.data(&applied, || in_words(&applied))
}

/// Where Docker and Podman keep logins, Docker's first.
fn files() -> Vec<Utf8PathBuf> {
    let var = |name: &str| env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let home = || var("HOME").unwrap_or_else(|| "/root".into());
    let docker = var("DOCKER_CONFIG").unwrap_or_else(|| home().join(".docker")).join("config.json");
    let runtime = var("XDG_RUNTIME_DIR").unwrap_or_else(|| "/run".into()).join("containers/auth.json");
    let podman = home().join(".config/containers/auth.json");
    [docker]
        .into_iter()
        .chain(var("REGISTRY_AUTH_FILE"))
        .chain([runtime, "/run/containers/0/auth.json".into(), podman])
        .collect()
}
