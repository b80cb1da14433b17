//! Many scenarios, and many runs of one: side by side, in shards, of a matrix, with several seeds.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::bench::{Bench, docker};
use super::signed::Evidence;

/// Long enough that two of them meet, whatever else this machine does.
const BROKER: &str = "
simulation: {duration_s: 6, seed: 5}
nodes:
  - {id: broker, type: broker, implementation: docker, docker: {image: xedgesim/mosquitto}, limits: {memory: 64m, cpus: 0.5}}
  - {id: sensor, type: sensor, implementation: model, config: {every: 200ms}}
  - {id: gateway, type: gateway, implementation: model}
";

/// In virtual time, with a link that loses one message in ten: how many is the seed's doing alone.
const LOSSY: &str = "
simulation: {duration_s: 100, seed: 1}
network: {model: latency, default_latency_us: 1000, links: [{src: sensor, dst: gateway, loss_rate: 0.1}]}
nodes:
  - {id: sensor, type: sensor, implementation: model}
  - {id: gateway, type: gateway, implementation: model}
";

#[test]
fn two_scenarios_run_side_by_side_and_leave_nothing() {
    let bench = Bench::new();
    bench.scenario("left", BROKER);
    bench.scenario("right", BROKER);
    let ran = bench.sim(&["left", "right", "--jobs", "2"]).expect(0);
    let lines: BTreeSet<&str> = ran.stdout.lines().collect();
    let line = |name: &str| format!("{name} passed target/xedge/gates/{name}.dsse.json");
    assert_eq!(lines, BTreeSet::from([line("left").as_str(), line("right").as_str()]));
    bench.assert_clean();

    let at = |text: &str| ran.stderr.find(text).unwrap_or_else(|| panic!("no `{text}` in:\n{}", ran.stderr));
    assert!(at("right:   publish") < at("left:   stop"), "one after the other:\n{}", ran.stderr);
    assert!(at("left:   publish") < at("right:   stop"), "one after the other:\n{}", ran.stderr);
    let (left, right) = (bench.report("left"), bench.report("right"));
    assert_ne!(left["run_id"], right["run_id"]);
    for (name, report) in [("left", left), ("right", right)] {
        assert_eq!((&report["scenario"], &report["verdict"]), (&name.into(), &"passed".into()));
        assert!(bench.output(&format!("reports/{name}/logs/broker.log")).exists());
        drop(Evidence::of(&bench, name).accept(None).unwrap());
    }
}

#[test]
fn an_interrupt_ends_all_of_them_in_order() {
    let bench = Bench::new();
    bench.scenario("left", &BROKER.replace("duration_s: 6", "duration_s: 600"));
    bench.scenario("right", &BROKER.replace("duration_s: 6", "duration_s: 600"));
    let mut run = bench.start(&["left", "right", "--jobs", "2"]);
    run.until("publish");
    run.until("publish");
    run.signal(rustix::process::Signal::INT);
    let ran = run.finish().expect(130);
    assert_eq!(ran.stdout.matches(" interrupted ").count(), 2, "{}", ran.stdout);
    bench.assert_clean();
}

#[test]
fn one_that_fails_does_not_disturb_the_other() {
    let bench = Bench::new();
    bench.scenario("good", BROKER);
    let claim = "expect: [broker.starts, \"logs(broker) =~ /no such line/\"]\n";
    bench.scenario("bad", &format!("{BROKER}{claim}"));
    let ran = bench.sim(&["bad", "good", "--jobs", "2"]).expect(2);
    assert!(ran.stdout.contains("bad failed target/xedge/gates/bad.dsse.json\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("good passed target/xedge/gates/good.dsse.json\n"), "{}", ran.stdout);
    bench.assert_clean();
}

#[test]
fn shards_run_everything_once() {
    let bench = Bench::new();
    let names: Vec<String> = (1..=5).map(|n| format!("part{n}")).collect();
    for (index, name) in names.iter().enumerate() {
        bench.scenario(name, &LOSSY.replace("seed: 1", &format!("seed: {index}")));
    }
    let mut all = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let mut arguments: Vec<&str> = names.iter().map(String::as_str).collect();
        arguments.extend(["--shard", shard, "--duration", "1s"]);
        let ran = bench.sim(&arguments);
        let ran_here: Vec<String> =
            ran.stdout.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert!(!ran_here.is_empty(), "{shard}: {}", ran.stderr);
        all.extend(ran_here);
    }
    all.sort();
    assert_eq!(all, names, "each in exactly one");
    for bad in ["0/3", "4/3", "1", "a/b", "1/0"] {
        bench.sim(&["part1", "--shard", bad]).expect(3).says("expected I/N with I from 1 to N");
    }
}

/// Whether each run of a scenario passed, by seed.
fn passes(report: &Value) -> Vec<(u64, bool)> {
    let runs = report["runs"].as_array().unwrap();
    runs.iter().map(|run| (run["seed"].as_u64().unwrap(), run["verdict"] == "passed")).collect()
}

#[test]
fn runs_of_which_some_fail_are_flaky_however_often_it_is_tried() {
    let bench = Bench::new();
    let seeds: Vec<String> = (1..=10).map(|seed| seed.to_string()).collect();
    let text =
        format!("{LOSSY}expect: [mqtt.delivery_ratio >= 0.9]\nruns: {{seeds: [{}]}}\n", seeds.join(", "));
    bench.scenario("flaky", &text);
    let ran = bench.sim(&["flaky"]).expect(5);
    assert!(ran.stdout.starts_with("flaky flaky "), "{}", ran.stdout);
    let report = bench.report("flaky");
    let found = passes(&report);
    let passed = found.iter().filter(|(_, passed)| *passed).count();
    assert!((1..10).contains(&passed), "{found:?}");
    assert_eq!((&report["total"], &report["passed"]), (&10.into(), &passed.into()));
    let (low, high) =
        (report["interval_95"][0].as_f64().unwrap(), report["interval_95"][1].as_f64().unwrap());
    #[expect(clippy::cast_precision_loss, reason = "ten runs")]
    let rate = passed as f64 / 10.0;
    assert!(low < rate && rate < high && low > 0.0 && high < 1.0, "{low} {high}");
    for (seed, passed) in &found {
        let own = bench.report(&format!("flaky/runs/{seed}-1"));
        assert_eq!((own["seed"].as_u64(), own["verdict"] == "passed"), (Some(*seed), *passed));
    }
    bench.sim(&["flaky"]).expect(5);
    assert_eq!(passes(&bench.report("flaky")), found, "a seed decides in virtual time");

    let (good, bad) = (found.iter().find(|(_, p)| *p).unwrap().0, found.iter().find(|(_, p)| !p).unwrap().0);
    bench.sim(&["flaky", "--seed", &good.to_string()]).expect(0).says("no evidence");
    bench.sim(&["flaky", "--seed", &bad.to_string(), "--repeat", "3"]).expect(2);
    bench.scenario("flaky", &text.replace("runs: {", "runs: {min_pass_rate: 0.1, "));
    let ran = bench.sim(&["flaky"]).expect(0);
    assert!(ran.stdout.starts_with("flaky passed target/xedge/gates/"), "{}", ran.stdout);
    let runs = Evidence::of(&bench, "flaky").statement().predicate.xedge.runs.unwrap();
    assert_eq!((runs.passed as usize, runs.total), (passed, 10));
}

#[test]
fn a_matrix_is_several_scenarios_with_evidence_of_their_own() {
    let bench = Bench::new();
    let text = LOSSY
        .replace(
            "- {id: sensor, type: sensor, implementation: model}",
            "
  - id: sensor
    type: sensor
    implementation: model
    count: ${sensors}",
        )
        .replace("src: sensor, dst: gateway, loss_rate: 0.1", "src: sensor, dst: gateway, loss_rate: 0.0");
    bench.scenario("grid", &format!("{text}matrix: {{sensors: [2, 3]}}\n"));
    let valid = bench.sim(&["validate", "scenarios/grid.yaml"]).expect(0);
    assert_eq!(
        valid.stdout,
        "scenarios/grid.yaml[sensors=2] is valid\nscenarios/grid.yaml[sensors=3] is valid\n"
    );
    let ran = bench.sim(&["grid", "--jobs", "1"]).expect(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    let mut evidence = BTreeSet::new();
    for (line, sensors) in lines.iter().zip([2, 3]) {
        let start = format!("grid[sensors={sensors}] passed target/xedge/gates/grid-");
        assert!(line.starts_with(&start), "{line}");
        evidence.insert(line.rsplit('/').next().unwrap());
        assert_eq!(bench.report(&format!("grid[sensors={sensors}]"))["verdict"], "passed");
    }
    assert_eq!(evidence.len(), 2, "each combination has its own");
}

#[test]
fn limits_volumes_and_files_reach_the_container() {
    let bench = Bench::new();
    fs::create_dir(bench.project().join("files")).unwrap();
    fs::write(bench.project().join("files/note.txt"), "from the project\n").unwrap();
    let settings =
        "limits: {memory: 64m, cpus: 0.5, pids: 60}, volumes: {scratch: {path: /scratch, size: 8m}}";
    let text = BROKER
        .replace("limits: {memory: 64m, cpus: 0.5}", settings)
        .replace("image: xedgesim/mosquitto", "image: xedgesim/mosquitto, volumes: [\"./files:/notes:ro\"]");
    bench.scenario("settings", &text);
    bench.sim(&["settings", "--keep", "--duration", "1s"]).expect(0);
    let container = bench.objects().into_iter().find_map(|o| o.strip_prefix("container ").map(str::to_owned));
    let container = container.expect("the kept container");
    let host =
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.Tmpfs}}";
    let found = docker(&["inspect", "--format", host, &container]);
    assert!(found.starts_with("67108864 500000000 60 map["), "{found}");
    assert!(found.contains("/scratch:size=8388608"), "{found}");
    let archive = docker(&["cp", &format!("{container}:/notes/note.txt"), "-"]);
    assert!(archive.contains("from the project\n"), "{archive}");

    fs::write(bench.project().join("scenarios/out.yaml"), text.replace("./files", "./../x")).unwrap();
    bench.sim(&["validate", "scenarios/out.yaml"]).expect(3).says("cannot read ./../x");
}
