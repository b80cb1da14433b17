//! A service of a rendered stack as a container of the simulation: the same files and settings, and a list of every
//! difference that is left, each with its reason. No setting is neither applied nor on the list.

mod capabilities;
mod differences;
mod extras;
mod ulimits;
mod volumes;

use xedge_config::Rendered;
use xedge_model::compose::{Restart, Service};
use xedge_model::stack::{SubstituteError, samples, substitute};
use xedge_sim::{ContainerPlan, RestartPolicy};

use crate::commands::Context;
use crate::error::Result;
use crate::secrets::Values;

pub(super) use differences::{Difference, differences};
pub(super) use extras::{check_completion, published_tcp};

/// The text as a device sees it whose values are the samples.
fn with_samples(rendered: &Rendered, text: &[u8]) -> std::result::Result<Vec<u8>, SubstituteError> {
    let declared = rendered.device_values();
    substitute(text, declared, &samples(declared))
}

/// Gives a container the production settings and files of the service of this name.
pub(super) fn apply(
    cx: &Context<'_>,
    rendered: &Rendered,
    name: &str,
    service: &Service,
    values: &Values,
    container: &mut ContainerPlan,
) -> Result<()> {
    for (name, value) in &service.environment.0 {
        let value = with_samples(rendered, value.as_bytes())?;
        container.env.insert(name.clone(), String::from_utf8_lossy(&value).into_owned());
    }
    if let Some(command) = &service.command {
        container.command = Some(command.0.iter().map(ToString::to_string).collect());
    }
    container.memory_bytes = service.memory_bytes().and_then(|bytes| i64::try_from(bytes).ok());
    container.nano_cpus = service.nano_cpus().and_then(|nano| i64::try_from(nano).ok());
    container.pids_limit = service.pids_limit.map(i64::from);
    container.read_only = service.read_only.unwrap_or(false);
    container.cap_drop = service.cap_drop.iter().map(ToString::to_string).collect();
    container.security_opt = service.security_opt.iter().map(ToString::to_string).collect();
    container.tmpfs = service.memory_folders().into_iter().collect();
    container.restart = match service.restart_policy() {
        Restart::No => RestartPolicy::No,
        Restart::Always => RestartPolicy::Always,
        Restart::UnlessStopped => RestartPolicy::UnlessStopped,
        Restart::OnFailure(tries) => RestartPolicy::OnFailure(tries.unwrap_or(0)),
    };
    container.stop_grace = service.stop_grace().unwrap_or(container.stop_grace);
    container.extras = extras::extras(rendered.compose(), name, service);
    container.volumes = volumes::volumes(rendered, service)?;
    container.volumes.extend(volumes::secrets(cx, rendered, service, values)?);
    Ok(())
}

/// Every user that the stack's secrets name.
pub(super) fn users(rendered: &Rendered) -> impl Iterator<Item = &String> {
    rendered.secrets().iter().flat_map(|reference| &reference.users)
}

#[cfg(test)]
mod tests;
