//! From a prepared scenario and built images to the plan of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use xedge_model::Platform;
use xedge_model::scenario::{Docker, Node};
use xedge_oci::ImageEntry;
use xedge_sim::{ContainerPlan, Limits, RestartPolicy, RunPlan, Secret, expand};

use super::prepare::{Prepared, containers};
use super::{Flags, production};
use crate::commands::Context;
use crate::engine;
use crate::error::{Error, Result};

/// MQTT's port (IANA), where a node names none.
const MQTT: u16 = 1883;

/// Engine's default time between SIGTERM and SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// The plan of one run on one platform.
pub(super) fn run_plan(
    cx: &Context<'_>,
    prepared: &Prepared,
    built: &BTreeMap<String, ImageEntry>,
    platform: Platform,
    passwords: &BTreeMap<String, String>,
    flags: Flags,
) -> Result<RunPlan> {
    let scenario = &prepared.scenario;
    let full = Duration::from_secs_f64(scenario.simulation.duration_s.value);
    let duration = flags.duration.map_or(full, |wanted| wanted.min(full));
    let mut plans = Vec::new();
    for (node, docker) in containers(scenario) {
        plans.push(container(cx, prepared, built, platform, passwords, node, docker)?);
    }
    let credentials =
        passwords.iter().map(|(user, password)| (user.clone(), Secret::new(password.clone()))).collect();
    Ok(RunPlan {
        scenario_name: prepared.name.clone(),
        run_id: run_id(cx)?,
        seed: flags.seed.unwrap_or(scenario.simulation.seed),
        duration,
        shortened: duration < full,
        keep: flags.keep,
        containers: plans,
        models: expand(scenario),
        expectations: scenario.expectations(),
        credentials,
        retained: None,
        limits: Limits::NATIVE,
    })
}

fn container(
    cx: &Context<'_>,
    prepared: &Prepared,
    built: &BTreeMap<String, ImageEntry>,
    platform: Platform,
    passwords: &BTreeMap<String, String>,
    node: &Node,
    docker: &Docker,
) -> Result<ContainerPlan> {
    let image = built[&node.id.value].platform(platform)?;
    let port = docker.ports.0.first().copied().or(node.port).unwrap_or(MQTT);
    let mut plan = ContainerPlan {
        node_id: node.id.value.clone(),
        role: node.role,
        image_ref: image.config_blob().digest.to_string(),
        accepted_ids: engine::ids(image).into_iter().collect(),
        platform,
        emulated: Some(platform) != Platform::of_machine(std::env::consts::ARCH),
        env: docker.environment.clone(),
        command: docker.command.clone(),
        service_port: port,
        volumes: Vec::new(),
        memory_bytes: None,
        nano_cpus: None,
        pids_limit: None,
        restart: RestartPolicy::No,
        read_only: false,
        cap_drop: Vec::new(),
        security_opt: Vec::new(),
        tmpfs: BTreeMap::new(),
        stop_grace: STOP_GRACE,
    };
    if let (Some(rendered), Some(service)) = (&prepared.rendered, &node.service) {
        let settings = rendered.compose().service(&service.value);
        let settings = settings.ok_or_else(|| Error::BadFile {
            path: prepared.file.clone(),
            reason: format!("the stack has no service `{}`", service.value),
        })?;
        production::apply(cx, rendered, settings, passwords, &mut plan)?;
    }
    Ok(plan)
}

fn run_id(cx: &Context<'_>) -> Result<String> {
    use std::fmt::Write as _;
    let mut random = [0; 6];
    cx.environment.random(&mut random)?;
    let mut id = String::new();
    for byte in random {
        write!(id, "{byte:02x}").expect("writing to a string cannot fail");
    }
    Ok(id)
}
