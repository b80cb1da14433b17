//! From a prepared scenario and built images to the plan of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use xedge_model::Platform;
use xedge_model::scenario::{Docker, Node, Process, Role, Scenario};
use xedge_oci::PlatformImage;
use xedge_sim::{
    ContainerExtras, ContainerPlan, Credentials, Limits, ProcessPlan, RestartPolicy, RunPlan, Secret,
    VirtualPlan, expand, links,
};

use super::prepare::{Prepared, containers};
use super::{Flags, Images, claims, production, settings};
use crate::commands::Context;
use crate::engine;
use crate::error::{Error, Result};
use crate::secrets::Values;

/// MQTT's port (IANA), where a node names none.
pub(super) const MQTT: u16 = 1883;

/// Engine's default time between SIGTERM and SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// The plan of one run on one platform.
pub(super) fn run_plan(
    cx: &Context<'_>,
    prepared: &Prepared,
    images: &Images,
    platform: Platform,
    values: &Values,
    flags: Flags,
) -> Result<RunPlan> {
    let scenario = &prepared.scenario;
    let full = Duration::from_secs_f64(scenario.simulation.duration_s.value);
    let duration = flags.duration.map_or(full, |wanted| wanted.min(full));
    let mut containers = containers_for(cx, prepared, images, platform, values)?;
    containers.extend(processes(cx, prepared, platform));
    let expectations = scenario.expectations().unwrap_or_else(|| {
        let programs = processes(cx, prepared, platform);
        let is_program = |node: &str| programs.iter().any(|program| program.node_id == node);
        let has_check = |node: &str| !is_program(node) && claims::image_has_check(images.of(node), platform);
        claims::of_containers(&containers, duration, has_check)
    });
    Ok(RunPlan {
        scenario_name: prepared.name.clone(),
        run_id: run_id(cx)?,
        seed: flags.seed.unwrap_or(scenario.simulation.seed),
        duration,
        shortened: duration < full,
        keep: flags.keep,
        containers,
        models: expand(scenario),
        authorities: prepared.inputs.authorities().clone(),
        timeline: scenario.timeline.clone(),
        expectations,
        credentials: credentials(values),
        links: links(scenario),
        retained: None,
        limits: limits(scenario, Limits::NATIVE),
        virtual_time: scenario.is_virtual().then(|| virtual_plan(cx, prepared, duration, flags)),
    })
}

/// The plan of a run in virtual time, with the user's duration and seed.
fn virtual_plan(cx: &Context<'_>, prepared: &Prepared, duration: Duration, flags: Flags) -> VirtualPlan {
    let plan = VirtualPlan::of(&prepared.scenario, &prepared.name, cx.project.root());
    VirtualPlan { duration, seed: flags.seed.unwrap_or(plan.seed), ..plan }
}

/// The scenario's word on how long things may take, where it has one.
pub(super) fn limits(scenario: &Scenario, limits: Limits) -> Limits {
    let ready = scenario.simulation.ready_s.as_ref().map(|seconds| Duration::from_secs_f64(seconds.value));
    let lag = scenario.limits.as_ref().and_then(|own| own.lag_p99.as_ref());
    Limits {
        ready: ready.unwrap_or(limits.ready),
        lag_p99: lag.map_or(limits.lag_p99, |lag| lag.value.0),
        ..limits
    }
}

/// The passwords as the simulator takes them, and whatever else must be in no log.
pub(super) fn credentials(values: &Values) -> Credentials {
    values.shown_nowhere().into_iter().map(|(user, password)| (user, Secret::new(password))).collect()
}

/// The scenario's containers on one platform; an image without that platform has none.
pub(super) fn containers_for(
    cx: &Context<'_>,
    prepared: &Prepared,
    images: &Images,
    platform: Platform,
    values: &Values,
) -> Result<Vec<ContainerPlan>> {
    let mut plans = Vec::new();
    for (node, docker) in containers(&prepared.scenario) {
        let image = images.of(&node.id.value).platforms().get(&platform);
        if let (Some(image), Some(id)) = (image, images.id(&node.id.value, platform)) {
            let mut plan = container(node, docker, image, platform);
            plan.image_ref = id.to_string();
            settings::apply(node, &prepared.inputs, &mut plan);
            if node.role == Role::Broker {
                plan.extras.authority = settings::authority(&prepared.scenario, &prepared.inputs);
            }
            apply_service(cx, prepared, values, node, &mut plan)?;
            plans.push(plan);
        }
    }
    Ok(plans)
}

/// The scenario's programs of this machine.
fn processes(cx: &Context<'_>, prepared: &Prepared, platform: Platform) -> Vec<ContainerPlan> {
    let nodes = prepared.scenario.nodes.value.iter();
    let programs = nodes.filter_map(|node| Some((node, &node.process.as_ref()?.value)));
    let plan = |(node, process): (&Node, &Process)| {
        let process = ProcessPlan {
            command: process.command.value.clone(),
            env: process.environment.clone(),
            folder: cx.project.root().to_owned(),
        };
        let extras = ContainerExtras { process: Some(process), ..ContainerExtras::default() };
        ContainerPlan { extras, ..empty(node, platform) }
    };
    programs.map(plan).collect()
}

fn container(node: &Node, docker: &Docker, image: &PlatformImage, platform: Platform) -> ContainerPlan {
    ContainerPlan {
        // Which part a lockstep container plays is told to its program, not to the engine.
        role: if node.is_lockstep() { Role::Service } else { node.role },
        image_ref: image.config_blob().digest.to_string(),
        accepted_ids: engine::ids(image).into_iter().collect(),
        emulated: Some(platform) != Platform::of_machine(std::env::consts::ARCH),
        env: docker.environment.clone(),
        command: docker.command.clone(),
        extras: ContainerExtras { published_tcp: docker.ports.0.clone(), ..ContainerExtras::default() },
        service_port: docker.ports.0.first().copied().or(node.port).unwrap_or(MQTT),
        ..empty(node, platform)
    }
}

/// What a node is that says nothing.
fn empty(node: &Node, platform: Platform) -> ContainerPlan {
    ContainerPlan {
        node_id: node.id.value.clone(),
        role: node.role,
        image_ref: String::new(),
        accepted_ids: Vec::new(),
        platform,
        emulated: false,
        env: BTreeMap::new(),
        command: None,
        extras: ContainerExtras::default(),
        service_port: node.port.unwrap_or(MQTT),
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
    }
}

/// In a production run, the settings and files of the node's service.
fn apply_service(
    cx: &Context<'_>,
    prepared: &Prepared,
    values: &Values,
    node: &Node,
    plan: &mut ContainerPlan,
) -> Result<()> {
    let (Some(rendered), Some(service)) = (&prepared.rendered, &node.service) else { return Ok(()) };
    let settings = rendered.compose().service(&service.value).ok_or_else(|| Error::BadFile {
        path: prepared.file.clone(),
        reason: format!("the stack has no service `{}`", service.value),
    })?;
    production::apply(cx, rendered, &service.value, settings, values, plan)
}

/// A random name for a run.
pub(super) fn run_id(cx: &Context<'_>) -> Result<String> {
    use std::fmt::Write as _;
    let mut random = [0; 6];
    cx.environment.random(&mut random)?;
    let mut id = String::new();
    for byte in random {
        write!(id, "{byte:02x}").expect("writing to a string cannot fail");
    }
    Ok(id)
}
