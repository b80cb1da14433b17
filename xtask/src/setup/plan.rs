//! From what a machine lacks to the steps that mend it. Pure: the same machine gives the same plan, and running it
//! (`setup`), showing it (`setup --check`) and explaining it (`doctor`) start from the same remedies.

use serde::Serialize;

use super::machine::{Engine, Machine, Privilege};
use super::need::Need;
use super::remedy::{
    PODMAN_PACKAGE, REGISTRY_PACKAGE, Remedy, install_command, join_docker_group, prepare_commands, remedy,
    stop_podman, stop_registry,
};

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it does, as an order: completes "failed to …".
    pub title: String,
    /// What it is for.
    pub why: String,
    /// What it provides.
    pub needs: Vec<Need>,
    /// The exact commands, in order, for `sh`; a line that starts with `#` is advice.
    pub commands: Vec<String>,
    /// What runs instead if these fail: the same without what is optional. Usually empty.
    pub fallback: Vec<String>,
    /// Whether a failure is only noted.
    pub optional: bool,
    /// Whether it is for the person to run: another system, no rights, or a choice that is not ours.
    pub by_hand: bool,
    /// What works without it.
    pub without: String,
}

/// The steps that give `machine` what it lacks, in order; empty when nothing is missing.
pub fn plan(machine: &Machine) -> Vec<Step> {
    let missing: Vec<(Need, Remedy)> =
        Need::missing(machine).into_iter().map(|need| (need, remedy(machine, need))).collect();
    let mut steps = Vec::new();
    steps.extend(package_steps(machine, &missing));
    let rest = missing.iter().filter(|(_, remedy)| !remedy.then.is_empty());
    steps.extend(rest.map(|(need, remedy)| follow_up(machine, *need, remedy)));
    steps.extend(join_group(machine));
    steps
}

/// An Engine that is about to be started answers to root and to the group `docker` only.
fn join_group(machine: &Machine) -> Option<Step> {
    let starting = matches!(machine.engine, Engine::Down | Engine::Absent);
    let wanted = starting && machine.is_linux() && machine.privilege != Privilege::Root;
    wanted.then(|| Step {
        title: "reach the Engine as this user".to_owned(),
        why: "the Engine answers to root and to the group docker".to_owned(),
        needs: vec![Need::Engine],
        commands: join_docker_group(machine),
        fallback: Vec::new(),
        optional: false,
        by_hand: true,
        without: Need::Engine.without().to_owned(),
    })
}

/// The packages of all needs together: lists are fetched once, and the package manager runs once.
fn package_steps(machine: &Machine, missing: &[(Need, Remedy)]) -> Vec<Step> {
    let with_packages: Vec<&(Need, Remedy)> =
        missing.iter().filter(|(_, r)| !r.packages.is_empty()).collect();
    let packages = collect(&with_packages, |_| true);
    let needed = collect(&with_packages, |need| !need.is_optional());
    let Some(install) = install_command(machine, &packages) else { return Vec::new() };
    let by_hand = !machine.is_ours_to_change();
    let needs: Vec<Need> = with_packages.iter().map(|(need, _)| *need).collect();
    let prepare = prepare_commands(machine, &packages);
    let mut steps = Vec::new();
    if !prepare.is_empty() {
        steps.push(Step {
            title: "refresh the package lists".to_owned(),
            why: prepare_reason(&prepare).to_owned(),
            needs: Vec::new(),
            commands: prepare,
            fallback: Vec::new(),
            // One dead third-party source must not keep Debian's packages away: the lists that are there are tried.
            optional: true,
            by_hand,
            without: "the packages of the lists that are here already".to_owned(),
        });
    }
    let fallback = if needed.len() < packages.len() { install_command(machine, &needed) } else { None };
    steps.push(Step {
        title: "install packages".to_owned(),
        why: reasons(&needs),
        commands: vec![install],
        fallback: fallback.into_iter().collect(),
        optional: needed.is_empty(),
        by_hand,
        without: without(&needs),
        needs,
    });
    steps.extend(keep_registry_still(machine, &packages, by_hand));
    steps.extend(keep_podman_still(machine, &packages, by_hand));
    steps
}

/// Debian's package of a registry starts it as a service for everybody on port 5000, now and at every start of the
/// machine. The tests start their own, so a service that came with our installation goes again; one that was there
/// before is not missing, and never touched.
fn keep_registry_still(machine: &Machine, packages: &[String], by_hand: bool) -> Option<Step> {
    let command = packages.iter().any(|name| name == REGISTRY_PACKAGE).then(|| stop_registry(machine))?;
    Some(Step {
        title: "keep the installed registry from running".to_owned(),
        why: "its package starts a service on port 5000, and the tests start a registry of their own"
            .to_owned(),
        needs: Vec::new(),
        commands: vec![command],
        fallback: Vec::new(),
        optional: true,
        by_hand,
        without: "all of xedge; an idle registry listens on port 5000".to_owned(),
    })
}

/// The same with Podman: its socket would be an Engine that nobody asked for, and its timer pulls images.
fn keep_podman_still(machine: &Machine, packages: &[String], by_hand: bool) -> Option<Step> {
    // One that was there before may be somebody's Engine.
    let new = packages.iter().any(|name| name == PODMAN_PACKAGE) && !machine.programs.contains("podman");
    let command = new.then(|| stop_podman(machine))??;
    Some(Step {
        title: "keep the installed Podman from running".to_owned(),
        why: "its package starts a socket for root and a timer, and the tests start a Podman of their own"
            .to_owned(),
        needs: Vec::new(),
        commands: vec![command],
        fallback: Vec::new(),
        optional: true,
        by_hand,
        without: "all of xedge; Podman answers at /run/podman/podman.sock".to_owned(),
    })
}

fn prepare_reason(commands: &[String]) -> &'static str {
    if commands.len() > 1 {
        "Rust's standard library for the other architecture is a package of that architecture"
    } else {
        "the newest versions are installed, also on a machine that never fetched a list"
    }
}

/// The packages of the needs that pass, each once, in the order of the needs.
fn collect(missing: &[&(Need, Remedy)], wanted: impl Fn(Need) -> bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in missing.iter().filter(|(need, _)| wanted(*need)).flat_map(|(_, remedy)| &remedy.packages) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn follow_up(machine: &Machine, need: Need, remedy: &Remedy) -> Step {
    // The project's own folder may be changed on every system, once Python is there.
    let in_project = need == Need::PythonTools && remedy.packages.is_empty();
    let ours = (machine.is_ours_to_change() || in_project) && !remedy.by_hand;
    Step {
        title: title(machine, need),
        why: need.why().to_owned(),
        needs: vec![need],
        commands: remedy.then.clone(),
        fallback: Vec::new(),
        optional: need.is_optional(),
        by_hand: !ours,
        without: need.without().to_owned(),
    }
}

fn title(machine: &Machine, need: Need) -> String {
    match need {
        Need::Engine if matches!(machine.engine, Engine::Down | Engine::Absent) => {
            "start the Engine".to_owned()
        }
        Need::Engine => "reach the Engine".to_owned(),
        Need::Linker(platform) => format!("get a linker for {platform}"),
        Need::RustTarget(platform) => format!("get Rust for {platform}"),
        Need::Emulation(platform) => format!("register the emulator for {platform}"),
        Need::EnginePorts => "share a network with the Engine".to_owned(),
        Need::DebianMirror => "name a mirror of Debian's archive".to_owned(),
        Need::PythonTools => "get the Python tools of the tests".to_owned(),
        Need::Gpgv
        | Need::Certificates
        | Need::Runtime
        | Need::Ssh
        | Need::Podman
        | Need::Compose
        | Need::MqttClients
        | Need::Registry
        | Need::Htpasswd
        | Need::Openssl
        | Need::Rustfmt
        | Need::Clippy => {
            format!("get {need}")
        }
    }
}

/// Each reason once.
fn reasons(needs: &[Need]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for need in needs {
        if !reasons.contains(&need.why()) {
            reasons.push(need.why());
        }
    }
    reasons.join("; ")
}

/// What works without each need; needs of the same loss together.
fn without(needs: &[Need]) -> String {
    let mut losses: Vec<(&str, Vec<String>)> = Vec::new();
    for need in needs {
        match losses.iter_mut().find(|(loss, _)| *loss == need.without()) {
            Some((_, names)) => names.push(need.to_string()),
            None => losses.push((need.without(), vec![need.to_string()])),
        }
    }
    if let [(loss, _)] = losses[..] {
        return loss.to_owned();
    }
    let told: Vec<String> =
        losses.into_iter().map(|(loss, names)| format!("without {}: {loss}", names.join(" and "))).collect();
    told.join("; ")
}

/// The plan for a person: every command exactly as it will run.
pub fn render_plan(steps: &[Step]) -> String {
    if steps.is_empty() {
        return "Nothing to do: this machine has all that xedge uses.\n".to_owned();
    }
    let (by_hand, ours): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.by_hand);
    let mut lines = Vec::new();
    for (title, part) in [("This will run here:", ours), ("These are for you to run:", by_hand)] {
        if !part.is_empty() {
            lines.push(title.to_owned());
            lines.extend(part.into_iter().flat_map(step_lines));
        }
    }
    lines.join("\n") + "\n"
}

fn step_lines(step: &Step) -> Vec<String> {
    let optional = if step.optional { " (optional)" } else { "" };
    let mut lines = vec![format!("\n- {}{optional}", step.title), format!("  why: {}", step.why)];
    lines.extend(step.commands.iter().map(|command| format!("    {command}")));
    if !step.fallback.is_empty() {
        lines.push("  if that fails:".to_owned());
        lines.extend(step.fallback.iter().map(|command| format!("    {command}")));
    }
    lines.push(format!("  works without it: {}", step.without));
    lines
}
