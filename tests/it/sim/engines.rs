//! The same scenarios give the same verdicts whatever runs the containers: one body, an arm for each engine.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, geteuid};
use xedge_bundle::statement::{EngineKind, Verdict};

use super::bench::{self, Bench, Running, SMALL, scenario_name};
use super::faults;
use super::podman::Podman;
use super::services::{HUB, SHORT};
use super::signed::Evidence;
use crate::support::{Ran, finish};

/// An engine, and how `sim` is brought to use it.
pub struct Arm<'a> {
    kind: EngineKind,
    /// What a bench has to know of it.
    on: bench::Arm,
    /// Variables of every command.
    environment: Vec<(&'static str, String)>,
    /// How many objects of a bench's runs are in the engine.
    left: &'a dyn Fn(&Bench) -> usize,
}

#[test]
fn verdicts_on_docker() {
    let left = |bench: &Bench| bench.objects().len();
    verdicts(&on_docker(&left));
}

#[test]
fn verdicts_on_podman() {
    let podman = Podman::start();
    let left = |bench: &Bench| in_podman(&podman, bench);
    verdicts(&on_podman(&podman, &left));
}

#[test]
fn what_runs_leave_on_docker() {
    let left = |bench: &Bench| bench.objects().len();
    leftovers(&on_docker(&left));
}

#[test]
fn what_runs_leave_on_podman() {
    let podman = Podman::start();
    let left = |bench: &Bench| in_podman(&podman, bench);
    leftovers(&on_podman(&podman, &left));
    assert_eq!(podman.images(), "", "`gc` leaves no image that only runs used");
}

/// Without root it has to refuse, here and below.
#[test]
fn verdicts_in_the_embedded_engine() {
    if geteuid().is_root() {
        let left = |bench: &Bench| bench.objects().len();
        verdicts(&embedded(&left));
    } else {
        refused();
    }
}

#[test]
fn what_runs_leave_in_the_embedded_engine() {
    if geteuid().is_root() {
        let left = |bench: &Bench| bench.objects().len();
        leftovers(&embedded(&left));
    } else {
        refused();
    }
}

#[test]
fn faults_on_docker() {
    let left = |bench: &Bench| bench.objects().len();
    faults::on(&on_docker(&left));
}

#[test]
fn faults_on_podman() {
    let podman = Podman::start();
    let left = |bench: &Bench| in_podman(&podman, bench);
    faults::on(&on_podman(&podman, &left));
}

#[test]
fn faults_in_the_embedded_engine() {
    if geteuid().is_root() {
        let left = |bench: &Bench| bench.objects().len();
        faults::on(&embedded(&left));
    } else {
        refused();
    }
}

#[test]
fn a_stack_of_services_on_docker() {
    let left = |bench: &Bench| bench.objects().len();
    services(&on_docker(&left));
}

#[test]
fn a_stack_of_services_on_podman() {
    let podman = Podman::start();
    let left = |bench: &Bench| in_podman(&podman, bench);
    services(&on_podman(&podman, &left));
}

#[test]
fn a_stack_of_services_in_the_embedded_engine() {
    if geteuid().is_root() {
        let left = |bench: &Bench| bench.objects().len();
        services(&embedded(&left));
    } else {
        refused();
    }
}

fn refused() {
    let bench = Bench::new().on(bench::Arm::Embedded);
    bench.scenario("small", SMALL);
    bench.sim(&["small"]).expect(1).says("it needs root");
}

fn on_docker(left: &dyn Fn(&Bench) -> usize) -> Arm<'_> {
    Arm { kind: EngineKind::Docker, on: bench::Arm::Docker, environment: Vec::new(), left }
}

fn embedded(left: &dyn Fn(&Bench) -> usize) -> Arm<'_> {
    let environment = vec![("XEDGE_ENGINE", "embedded".to_owned())];
    Arm { kind: EngineKind::Embedded, on: bench::Arm::Embedded, environment, left }
}

fn on_podman<'a>(podman: &Podman, left: &'a dyn Fn(&Bench) -> usize) -> Arm<'a> {
    let environment = vec![("DOCKER_HOST", podman.host())];
    Arm { kind: EngineKind::Podman, on: bench::Arm::Docker, environment, left }
}

fn in_podman(podman: &Podman, bench: &Bench) -> usize {
    let home = bench.home().canonicalize().unwrap();
    podman.locks().iter().filter(|lock| Path::new(lock).starts_with(&home)).count()
}

impl Arm<'_> {
    fn command(&self, bench: &Bench, arguments: &[&str]) -> Command {
        let mut command = bench.command(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn sim(&self, bench: &Bench, arguments: &[&str]) -> Command {
        self.command(bench, &[&["sim"], arguments].concat())
    }

    /// How many objects of a bench's runs are in the engine.
    pub fn left(&self, bench: &Bench) -> usize {
        (self.left)(bench)
    }

    /// What brings `sim` to a bench on this engine.
    pub fn bench(&self) -> bench::Arm {
        self.on
    }

    #[track_caller]
    pub fn assert_clean(&self, bench: &Bench) {
        assert_eq!((self.left)(bench), 0, "left in the engine");
        let locks = fs::read_dir(bench.home().join("runs")).map_or(0, Iterator::count);
        assert_eq!(locks, 0, "a lock file was left");
    }
}

/// What is run, and what must come of it on every engine.
fn verdicts(arm: &Arm<'_>) {
    let mut bench = Bench::here().on(arm.on);
    passes(arm, &mut bench);
    fails(arm, &mut bench);
    ends_at_once(arm, &mut bench);
    runs_production(arm, &mut bench);
}

fn passes(arm: &Arm<'_>, bench: &mut Bench) {
    let file = bench.own("passes", SMALL);
    let name = verdict(&finish(arm.sim(bench, &[&file])).expect(0), "passed");
    arm.assert_clean(bench);
    let statement = Evidence::of_file(bench, &name, Path::new(&file)).statement();
    assert_eq!(statement.predicate.result, Verdict::Passed);
    assert_eq!(statement.predicate.xedge.engine.kind, arm.kind);
    assert_ne!(statement.predicate.xedge.engine.version, "");
}

/// A broker that lets everybody in and forgets everything is not what is claimed here.
fn fails(arm: &Arm<'_>, bench: &mut Bench) {
    let claims = "expect: [broker.starts, auth.anonymous == refused, retained.survives(restart)]\n";
    let file = bench.own("fails", &format!("{SMALL}{claims}"));
    let ran = finish(arm.sim(bench, &[&file])).expect(2);
    verdict(&ran, "failed");
    ran.says("held broker.starts")
        .says("FAILED auth.anonymous == refused: a client without user got in")
        .says("FAILED retained.survives(restart): the message on sensors/sensor is gone after the restart");
    arm.assert_clean(bench);
}

fn ends_at_once(arm: &Arm<'_>, bench: &mut Bench) {
    let image = "image: xedgesim/mosquitto";
    let broken = SMALL.replace(image, &format!("{image}, command: [-c, /none.conf]"));
    assert_ne!(broken, SMALL);
    let file = bench.own("ends", &broken);
    let ran = finish(arm.sim(bench, &[&file])).expect(2);
    verdict(&ran, "failed");
    ran.says("failed to keep node broker running: its container ended at once with exit code 3")
        .says("Unable to open config file /none.conf");
    arm.assert_clean(bench);
}

/// Read-only volumes, secrets, health checks by name, limits, a restart with what was kept.
fn runs_production(arm: &Arm<'_>, bench: &mut Bench) {
    let file = bench.shipped("production_parity");
    let ran = finish(arm.sim(bench, &[&file, "--duration", "2s"])).expect(0);
    verdict(&ran, "passed");
    ran.says("held mqtt.end_to_end")
        .says("held auth.wrong_password(sensor) == refused")
        .says("held retained.survives(restart)");
    arm.assert_clean(bench);
}

/// The same claims about services without models: one that holds, and one where nothing listens.
fn services(arm: &Arm<'_>) {
    // Time enough for a busy machine.
    let scenario = SHORT.replace("ready_s: 5", "ready_s: 20");
    let bench = Bench::new().on(arm.on).stack(HUB, "", &scenario);
    verdict(&finish(arm.sim(&bench, &["demo"])).expect(0), "passed");
    let held = [
        ("service.healthy(hub)", "held"),
        ("service.answers(hub, 1883)", "held"),
        ("service.runs(hub, 2s)", "held"),
    ];
    assert_eq!(states(&bench), held.map(|(id, state)| (id.to_owned(), state.to_owned())));
    arm.assert_clean(&bench);

    // Two turns at once in one thread could wait for each other for ever.
    drop(bench);
    let silent = HUB.replace("11883:1883", "11883:1884");
    let bench = Bench::new().on(arm.on).stack(&silent, "", &scenario);
    verdict(&finish(arm.sim(&bench, &["demo"])).expect(2), "failed");
    let states = states(&bench);
    assert!(states.contains(&("service.answers(hub, 1884)".to_owned(), "failed".to_owned())), "{states:?}");
    arm.assert_clean(&bench);
}

/// Every claim of the last run, with what became of it.
fn states(bench: &Bench) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    bench.claims().iter().map(|claim| (text(&claim["id"]), text(&claim["state"]))).collect()
}

/// The scenario's name, after its verdict was checked.
#[track_caller]
fn verdict(ran: &Ran, word: &str) -> String {
    assert_eq!(ran.stdout.split(' ').nth(1), Some(word), "{}", ran.stdout);
    scenario_name(ran)
}

/// What a killed run left goes with the next run, what was asked to stay goes with `gc`.
fn leftovers(arm: &Arm<'_>) {
    let bench = Bench::alone().on(arm.on);
    bench.scenario("small", SMALL);
    let mut run = Running::start(arm.sim(&bench, &["mqtt_test"]));
    run.until("  publish");
    run.signal(Signal::KILL);
    run.finish().expect(-1);
    assert_eq!((arm.left)(&bench), 2, "a container and a network");
    let next = finish(arm.sim(&bench, &["small", "--duration", "1s"])).expect(0);
    next.says("removed what dead runs left in the Engine: 2 objects");
    arm.assert_clean(&bench);

    finish(arm.sim(&bench, &["small", "--keep", "--duration", "1s"])).expect(0).says("cargo xtask gc");
    assert_eq!((arm.left)(&bench), 2, "a container and a network");
    finish(arm.command(&bench, &["gc"])).expect(0).says("removed 1 kept runs (2 objects)");
    arm.assert_clean(&bench);
}
