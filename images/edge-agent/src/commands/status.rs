//! `status`: what runs here, and what needs a person.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xedge_agent::apply::stack_status;
use xedge_agent::engine::Engine;
use xedge_agent::facts::device_facts;
use xedge_agent::{Error, Result, records};
use xedge_bundle::time;
use xedge_model::Failure as _;
use xedge_wire::{DeviceStatus, Health, Measure, ReleaseSummary, ServiceStatus, StackStatus};

use super::{Context, VERSION};

pub(super) fn run(cx: &Context, measure: Option<u32>) -> Result<()> {
    let mut status = gather(cx)?;
    if let Some(seconds) = measure {
        let engine = cx.connect()?;
        let until = Instant::now() + Duration::from_secs(seconds.into());
        let used = measured(engine.as_ref(), &status, until)?;
        // A service that ended meanwhile must not look as if it had run all the time.
        status = gather(cx)?;
        for service in status.stacks.iter_mut().flat_map(|stack| &mut stack.services) {
            service.usage = used.get(&service.container).copied();
        }
    }
    cx.printer.data(&status, || in_words(&status))
}

/// Everything that can be said; what cannot be looked at is a problem and no error.
pub(super) fn gather(cx: &Context) -> Result<DeviceStatus> {
    let mut problems = Vec::new();
    let mut note = |error: &Error| problems.push(problem(error));
    let engine = cx.connect().inspect_err(&mut note).ok();
    let facts = engine.as_ref().and_then(|engine| engine.facts().inspect_err(&mut note).ok());
    let device = device_facts(&cx.home, &cx.machine, &cx.clock, facts).inspect_err(&mut note).ok();
    let mut stacks = Vec::new();
    for stack in records::stacks(&cx.home)? {
        let Some(engine) = &engine else { continue };
        match stack_status(&cx.agent(engine.as_ref()), &stack, false) {
            Ok(status) => stacks.push(status),
            Err(error) => note(&error),
        }
    }
    if device.as_ref().is_some_and(|device| device.root.is_none()) {
        note(&Error::NotEnrolled);
    }
    let device = device.unwrap_or_default();
    problems.extend(stacks.iter().flat_map(unwell));
    Ok(DeviceStatus { agent: VERSION.to_owned(), device, stacks, problems })
}

/// The mean of processors and the most of memory and disk, measured one after the other until the time is over, by container.
fn measured(engine: &dyn Engine, status: &DeviceStatus, until: Instant) -> Result<BTreeMap<String, Measure>> {
    let services = status.stacks.iter().flat_map(|stack| &stack.services);
    let running: Vec<&str> =
        services.filter(|service| service.running).map(|service| service.container.as_str()).collect();
    let (mut sums, mut rounds) = (BTreeMap::<String, Measure>::new(), 0.0);
    loop {
        rounds += 1.0;
        for container in &running {
            let Measure { cpus, memory, disk } = engine.usage(container)?;
            let sum = sums.entry((*container).to_owned()).or_default();
            sum.cpus += cpus;
            sum.memory = sum.memory.max(memory);
            sum.disk = sum.disk.max(disk);
        }
        let now = Instant::now();
        if now >= until {
            break;
        }
        // The Engine takes its time over each service; where there is none, nobody does.
        if running.is_empty() {
            std::thread::sleep(Duration::from_secs(1).min(until - now));
        }
    }
    for usage in sums.values_mut() {
        usage.cpus /= rounds;
    }
    Ok(sums)
}

fn problem(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

fn unwell(stack: &StackStatus) -> Vec<String> {
    let name = &stack.name;
    let pending =
        stack.pending.iter().map(|what| format!("{name}: {what}; `xedge-agent watch --once` finishes it"));
    let bad = |service: &&ServiceStatus| !service.running || service.health == Health::Unhealthy;
    let services = stack.services.iter().filter(bad).map(|service| {
        let state = if service.running { "is unhealthy" } else { "does not run" };
        format!("{name}: {} {state}; see `xedge-agent logs {name} {}`", service.name, service.name)
    });
    pending.chain(services).collect()
}

fn in_words(status: &DeviceStatus) -> Vec<String> {
    let device = &status.device;
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let mut lines = vec![format!(
        "device {} ({}, {}), agent {}",
        or(&device.id, "without an id"),
        or(&device.board, "unknown board"),
        device.architecture,
        status.agent
    )];
    if let (Some(kind), Some(root)) = (&device.status, &device.root) {
        lines.push(format!("  trusts the {kind} root {}", root.short()));
    }
    if let Some(engine) = &device.engine {
        lines.push(format!("  {} {} (API {})", engine.kind, engine.version, engine.api));
    }
    for stack in &status.stacks {
        lines.push(format!("{}: {}", stack.name, release(stack.current.as_ref())));
        if let Some(previous) = &stack.previous {
            lines.push(format!("  before it: {}", release(Some(previous))));
        }
        lines.extend(stack.services.iter().map(service));
    }
    lines.extend(status.problems.iter().map(|problem| format!("! {problem}")));
    lines
}

fn release(release: Option<&ReleaseSummary>) -> String {
    match release {
        None => "nothing is installed".to_owned(),
        Some(release) if release.seq == 0 => "containers that were started by hand".to_owned(),
        Some(ReleaseSummary { seq, version, since, .. }) => {
            format!("{version} (release {seq}) since {}", time::format(*since))
        }
    }
}

fn service(service: &ServiceStatus) -> String {
    let state = match (service.running, service.exit_code, service.health) {
        (false, Some(code), _) => format!("ended with {code}"),
        (false, None, _) => "does not run".to_owned(),
        (true, _, Health::None) => "runs".to_owned(),
        (true, _, Health::Starting) => "runs, its health check has not said anything yet".to_owned(),
        (true, _, Health::Healthy) => "runs, healthy".to_owned(),
        (true, _, Health::Unhealthy) => "runs, UNHEALTHY".to_owned(),
    };
    let restarts = match service.restarts {
        0 => String::new(),
        count => format!(", restarted {count} times"),
    };
    let usage = service.usage.map_or_else(String::new, |usage| {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        format!(
            ", {:.3} processors, {} MiB of memory, {} MiB written",
            usage.cpus,
            mib(usage.memory),
            mib(usage.disk)
        )
    });
    format!("  {}: {state}{restarts}{usage}", service.name)
}
