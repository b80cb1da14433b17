//! A container that was started by hand, as what ran before the first release: it is stopped and kept like an old release, and
//! its data is what the release works with from then on. Looks only.

use std::collections::BTreeMap;

use super::{Agent, ApplyError};
use crate::Result;
use crate::engine::{Container, STACK_LABEL, Source};
use crate::plan::{ReleasePlan, ServicePlan};
use crate::state::{Placed, StackState};

/// What is taken over.
pub(super) struct Adoption {
    /// The service that takes its place.
    pub(super) service: String,
    /// The container.
    pub(super) placed: Placed,
    /// Its volumes and folders, by the name that the stack has for them.
    pub(super) volumes: BTreeMap<String, String>,
}

/// Whether `NAME` or `SERVICE=NAME` was taken over before: a service of the release that runs stands for it, and nothing else
/// has the name by now. Then there is nothing to take over, and the release is a release like others.
pub(super) fn is_done(agent: Agent<'_>, wanted: &str, state: &StackState) -> Result<bool> {
    let (service, name) =
        wanted.split_once('=').map_or((None, wanted), |(service, name)| (Some(service), name));
    let was =
        state.adopted.iter().find(|(by, was)| *was == name && service.is_none_or(|service| service == *by));
    let current = was.and_then(|(by, _)| state.current.as_ref()?.services.get(by));
    let Some(current) = current else { return Ok(false) };
    Ok(agent.engine.inspect(name)?.is_none_or(|found| found.id == current.container))
}

/// Finds the container of `NAME` or `SERVICE=NAME`, and the service that it stands for.
pub(super) fn find(
    agent: Agent<'_>,
    wanted: &str,
    stack: &str,
    plan: &ReleasePlan,
    state: &StackState,
) -> Result<Adoption> {
    let (service, name) = match wanted.split_once('=') {
        Some((service, name)) => (Some(service), name),
        None => (None, wanted),
    };
    let refuse = |why: String| ApplyError::Adopt { name: name.to_owned(), why };
    let container =
        agent.engine.inspect(name)?.ok_or_else(|| refuse("there is none of that name".to_owned()))?;
    if container.auto_remove {
        return Err(ApplyError::Vanishing { name: name.to_owned() }.into());
    }
    // A container of this very stack that the state knows nothing of is one whose state was lost.
    if let Some(owner) = container.labels.get(STACK_LABEL).filter(|owner| *owner != stack) {
        return Err(refuse(format!("it belongs to the stack {owner} already")).into());
    }
    let service = match service {
        Some(service) if plan.services.contains_key(service) => service.to_owned(),
        Some(service) => return Err(refuse(format!("the stack has no service {service}")).into()),
        None => guess(name, plan).ok_or_else(|| {
            let all: Vec<&str> = plan.services.keys().map(String::as_str).collect();
            refuse(format!(
                "which service it is is not clear: write SERVICE={name} with one of {}",
                all.join(", ")
            ))
        })?,
    };
    if state.current.as_ref().is_some_and(|current| current.services.contains_key(&service)) {
        return Err(refuse(format!("the service {service} has a container of its own already")).into());
    }
    let planned = &plan.services[&service];
    Ok(Adoption {
        placed: placed(&container, planned),
        volumes: volumes(&container, planned, stack),
        service,
    })
}

/// The service whose container has this name or which has it itself, or the only one.
fn guess(name: &str, plan: &ReleasePlan) -> Option<String> {
    let named = plan.services.iter().find(|(service, planned)| planned.name == name || *service == name);
    let only = || plan.services.iter().next().filter(|_| plan.services.len() == 1);
    named.or_else(only).map(|(service, _)| service.clone())
}

fn placed(container: &Container, planned: &ServicePlan) -> Placed {
    Placed {
        container: container.id.clone(),
        name: container.name.clone(),
        image: container.image.clone(),
        image_name: String::new(),
        manifest: None,
        spec: None,
        restart: container.restart,
        attempts: 0,
        memory: None,
        // What it publishes is not asked of the Engine; those that replace it need the same.
        ports: planned.spec.ports.clone(),
        stop_grace_s: planned.stop_grace.as_secs().max(10),
        ends: false,
    }
}

/// Where the container has something mounted at the place of one of the service's volumes, that is the volume.
fn volumes(container: &Container, planned: &ServicePlan, stack: &str) -> BTreeMap<String, String> {
    let prefix = format!("{stack}_");
    let volume = |mount: &crate::engine::MountSpec| {
        let Source::Volume(name) = &mount.source else { return None };
        let (name, source) = (name.strip_prefix(&prefix)?, container.mounts.get(&mount.target)?);
        Some((name.to_owned(), source.clone()))
    };
    planned.spec.mounts.iter().filter_map(volume).collect()
}
