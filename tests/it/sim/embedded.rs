//! The embedded engine: what it leaves, and that it comes to the same as Docker's. Its verdicts are in `engines`.

use std::fs;
use std::process::Command;

use rustix::process::{Signal, geteuid};
use serde_json::Value;
use xedge_bundle::statement::EngineKind;

use super::bench::{Arm, Bench, SMALL, scenario_name};
use super::signed::Evidence;
use super::{clean, services};
use crate::support::finish;

/// Runs a test's body where the embedded engine can be had; elsewhere it has to refuse.
fn embedded(body: impl FnOnce(Bench)) {
    let bench = Bench::new().on(Arm::Embedded);
    if geteuid().is_root() {
        return body(bench);
    }
    bench.scenario("small", SMALL);
    bench.sim(&["small"]).expect(1).says("it needs root").says("hint: run it as root");
}

#[test]
fn a_stack_of_services_is_gated_as_a_whole() {
    embedded(services::gated_as_a_whole);
}

#[test]
fn services_without_a_common_network_do_not_reach_each_other() {
    embedded(services::kept_apart);
}

#[test]
fn a_port_where_nothing_listens_is_a_failed_claim() {
    embedded(services::silent_port);
}

#[test]
fn an_interrupted_run_takes_everything_away() {
    embedded(|bench| {
        bench.scenario("small", SMALL);
        for signal in [Signal::INT, Signal::TERM] {
            clean::interrupted(&bench, signal);
        }
    });
}

#[test]
fn a_killed_run_leaves_no_control_group() {
    embedded(|bench| {
        bench.scenario("small", SMALL);
        let mut run = bench.start(&["mqtt_test"]);
        run.until("  publish");
        let objects = bench.objects();
        let name = objects.iter().find_map(|object| object.strip_prefix("container ")).unwrap().to_owned();
        run.signal(Signal::KILL);
        run.finish().expect(-1);
        assert!(!groups(&name).is_empty() && !bench.processes().is_empty(), "the container went by itself");
        bench.run(&["gc"]).expect(0).says("removed what dead runs left");
        assert_eq!(groups(&name), [""; 0]);
        bench.assert_clean();
    });
}

/// Control groups with this name, in every hierarchy.
fn groups(name: &str) -> Vec<String> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let below = hierarchies.chain(["/sys/fs/cgroup".into()]).map(|path| path.join(name));
    below.filter(|path| path.is_dir()).map(|path| path.display().to_string()).collect()
}

#[test]
fn a_kept_run_stays_until_gc_which_removes_images_too() {
    embedded(|bench| {
        bench.scenario("small", SMALL);
        let run = bench.start(&["small", "--keep"]);
        let kept = clean::kept(&bench, run);
        bench.sim(&["mqtt_test", "--duration", "1s"]).expect(0);
        assert_eq!(bench.objects(), kept, "a later run touched what was kept");
        bench.run(&["gc"]).expect(0).says("removed 1 kept runs (2 objects)");
        bench.assert_clean();
        let images = fs::read_dir(bench.home().join("embedded/images")).unwrap().count();
        assert_eq!(images, 0, "images were left");
    });
}

/// Verdict and claims of a report, without counts and times.
fn essence(report: &Value) -> Value {
    let mut essence = report["result"]["claims"].clone();
    for claim in essence.as_array_mut().unwrap() {
        let claim = claim.as_object_mut().unwrap();
        claim.retain(|key, _| key == "id" || key == "state");
    }
    serde_json::json!({"verdict": report["verdict"], "claims": essence,
        "containers": report["result"]["containers"]})
}

/// The production profile: rendered files, secrets, read-only root, limits, another user, a restart.
#[test]
fn production_comes_to_the_same_on_both_engines() {
    let mut found = Vec::new();
    let arms = if geteuid().is_root() { &[Arm::Docker, Arm::Embedded][..] } else { &[Arm::Docker] };
    for arm in arms {
        let mut bench = Bench::here().on(*arm);
        let file = bench.shipped("production_parity");
        let ran = bench.sim(&[&file, "--duration", "2s"]).expect(0);
        let report = bench.report(&scenario_name(&ran));
        assert_eq!(report["result"]["engine"]["kind"], format!("{:?}", bench.arm()).to_lowercase());
        bench.assert_clean();
        found.push(essence(&report));
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:#?}");
}

#[test]
fn evidence_names_the_engine_and_is_about_the_same_images() {
    let docker = Bench::new();
    docker.scenario("small", SMALL);
    docker.sim(&["small"]).expect(0);
    let of_docker = Evidence::of(&docker, "small").statement();
    assert_eq!(of_docker.predicate.xedge.engine.kind, EngineKind::Docker);
    drop(docker);
    embedded(|bench| {
        bench.scenario("small", SMALL);
        bench.sim(&["small"]).expect(0);
        bench.assert_clean();
        let evidence = Evidence::of(&bench, "small");
        let statement = evidence.statement();
        assert_eq!(statement.predicate.xedge.engine.kind, EngineKind::Embedded);
        assert_eq!(statement.subject, of_docker.subject);
        assert_eq!(statement.predicate.passed_tests, of_docker.predicate.passed_tests);
        let simulated = |run: &xedge_bundle::statement::PlatformRun| (run.platform, run.simulated);
        let platforms = |s: &xedge_bundle::statement::Statement| -> Vec<_> {
            s.predicate.xedge.platforms.iter().map(simulated).collect()
        };
        assert_eq!(platforms(&statement), platforms(&of_docker));
        assert_eq!(evidence.accept(None).unwrap().config(), None);
    });
}

#[test]
fn auto_falls_back_only_where_nobody_named_an_engine() {
    embedded(|bench| {
        bench.scenario("small", SMALL);
        let mut named = bench.command(&["sim", "small", "--duration", "1s"]);
        named.env("DOCKER_HOST", "unix:///nonexistent.sock");
        finish(named).expect(1).says("failed to reach a Docker Engine");
        for (engine, code) in [("docker", 1), ("auto", 0)] {
            let ran = finish(without_sockets(&bench, engine)).expect(code);
            if code == 0 {
                ran.says(": containers run in the embedded engine (");
            }
        }
        bench.assert_clean();
    });
}

/// A command that sees no Engine's socket.
fn without_sockets(bench: &Bench, engine: &str) -> Command {
    let inner = bench.command(&["sim", "small", "--duration", "1s", "--engine", engine]);
    let mut outer = Command::new("unshare");
    outer.args(["--mount", "sh", "-c", "mount -t tmpfs none /run && exec \"$@\"", "sh"]);
    outer.arg(inner.get_program()).args(inner.get_args()).current_dir(bench.project());
    outer.env_remove("DOCKER_HOST").env_remove("XDG_RUNTIME_DIR").env_remove("XEDGE_PROJECT");
    outer.env("XEDGE_HOME", bench.home().as_str()).env("HOME", bench.home().as_str());
    outer
}
