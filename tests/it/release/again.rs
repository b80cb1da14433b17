//! `release --content-of`: an earlier release under a new number, and what is never released again.

use std::fs;

use serde_json::Value;

use super::stack::{
    Printed, SIMULATED, TEMPLATE, assert_verified, names, numbers, record, records, release, tags_folder,
    tiny, traces,
};
use crate::sim::bench::Bench;
use crate::support::edit;

#[test]
fn an_earlier_release_comes_back_under_a_new_number() {
    let bench = tiny();
    let first = Printed::of(&release(&bench, &[]).expect(0));
    edit(&bench.project().join(TEMPLATE), "max_connections 9", "max_connections 10");
    let second = Printed::of(&release(&bench, &[]).expect(0));
    assert_ne!(first.config, second.config);

    let before = traces(&bench);
    let plan = release(&bench, &["--content-of", "1", "--dry-run"]).expect(0).stdout;
    assert!(plan.contains("the content of release 1") && plan.contains("release 3, to make"), "{plan}");
    assert_eq!(traces(&bench), before);

    let ran = release(&bench, &["--content-of", "1"]).expect(0).says("released tiny r3 (release 3)");
    assert!(!ran.stderr.contains(SIMULATED), "{}", ran.stderr);
    let third = Printed::of(&ran);
    assert_eq!((&third.reference, &third.config), (&first.reference, &first.config));
    assert_verified(&bench, "r3", 3);
    same_content(&bench, "r1", "r3");
    assert_eq!(numbers(&bench), ["seq-1", "seq-2", "seq-3"]);
    assert_eq!(records(&bench), ["1.json", "2.json", "3.json"]);
    assert!(names(tags_folder(&bench, "xedgesim/mosquitto").as_std_path()).contains(&"r3".to_owned()));

    let before = traces(&bench);
    release(&bench, &["--content-of", "1"]).expect(0).says("unchanged: release 3 of tiny");
    assert_eq!(traces(&bench), before);
    // Forward again, from a copy elsewhere, under a version of its own.
    let copy = bench.home().join("copy.xedge");
    fs::copy(bench.output("bundles/tiny-r2.xedge"), &copy).unwrap();
    let ran = release(&bench, &["--content-of", copy.as_str(), "--version", "2.0.0"]).expect(0);
    assert_eq!(Printed::of(&ran).config, second.config);
    assert_verified(&bench, "2.0.0", 4);
    same_content(&bench, "r2", "2.0.0");
    what_a_registry_lost_comes_out_of_the_bundle(&bench, &first);
    bench.assert_clean();
}

/// Everything but number, version and the tool that wrote it.
fn same_content(bench: &Bench, one: &str, other: &str) {
    let content = |version: &str| {
        let file = bench.output(&format!("bundles/tiny-{version}.xedge"));
        let mut shown: Value =
            serde_json::from_str(&bench.run(&["bundle", "inspect", file.as_str()]).expect(0).stdout).unwrap();
        let mut bundle = shown["bundle"].take();
        for own in ["seq", "version", "tool"] {
            bundle.as_object_mut().unwrap().remove(own).unwrap();
        }
        let mut members = shown["members"].take();
        members.as_array_mut().unwrap().retain(|member| member["name"] != "bundle.json");
        (bundle, members)
    };
    assert_eq!(content(one), content(other));
}

fn what_a_registry_lost_comes_out_of_the_bundle(bench: &Bench, first: &Printed) {
    let repository = bench.home().join("registry/content/repositories/xedgesim/mosquitto");
    fs::remove_dir_all(&repository).unwrap();
    let ran = release(bench, &["--content-of", "1", "--version", "3.0.0"]).expect(0);
    assert_eq!(Printed::of(&ran).reference, first.reference);
    let tags = names(tags_folder(bench, "xedgesim/mosquitto").as_std_path());
    let digest = first.reference.split_once('@').unwrap().1.replace(':', "-");
    assert!(tags.contains(&"3.0.0".to_owned()), "{tags:?}");
    assert!(tags.contains(&format!("{digest}.sig")), "it is signed: {tags:?}");
}

#[test]
fn what_may_not_come_back_is_refused() {
    let bench = tiny();
    release(&bench, &[]).expect(0);
    let stack = bench.project().join("templates/stacks/tiny/stack.yaml");
    // What is said about data is no configuration, so the gate need not run again.
    edit(&stack, "gate: [tiny]", "data: {version: 2, floor: 2}\ngate: [tiny]");
    let ran = release(&bench, &[]).expect(0).says("(release 2)");
    assert!(!ran.stderr.contains(SIMULATED), "{}", ran.stderr);
    assert_eq!(record(&bench, 2)["data"], serde_json::json!({"version": 2, "floor": 2}));

    let refused = |arguments: &[&str], code: i32, part: &str| {
        let before = traces(&bench);
        release(&bench, arguments).expect(code).says(part);
        assert_eq!(traces(&bench), before, "{arguments:?}");
    };
    refused(&["--content-of", "1"], 6, "[data-floor]");
    refused(&["--content-of", "1", "--dry-run"], 6, "hint: `cargo xtask bundle why data-floor`");
    refused(&["--content-of", "7"], 3, "releases of tiny on this machine: 1, 2");
    refused(&["--content-of", "no-such.xedge"], 3, "hint: there is no such file");
    refused(&["--content-of", "2", "--version", "r1"], 3, "r1");
    refused(&["--content-of", "2", "--env", "simulation"], 3, "cannot be used with");

    let bundle = bench.output("bundles/tiny-r2.xedge");
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = bench.home().join("changed.xedge");
    fs::write(&changed, &bytes).unwrap();
    refused(&["--content-of", changed.as_str()], 6, "[digest]");
    // A floor that was lowered by mistake is noticed before devices do.
    edit(&stack, "{version: 2, floor: 2}", "{version: 1, floor: 1}");
    refused(&[], 6, "[data-floor]");
    fs::remove_file(&bundle).unwrap();
    refused(&["--content-of", "2"], 3, "is not there any more");
}

#[test]
fn a_stack_says_how_a_device_asks() {
    let bench = tiny();
    let stack = bench.project().join("templates/stacks/tiny/stack.yaml");
    edit(
        &stack,
        "gate: [tiny]",
        "boards: [imx8]\nprobes:\n  - {service: broker, mqtt: 1883}\nsettle: 3s\nstart: 20s\ngate: [tiny]",
    );
    release(&bench, &[]).expect(0);
    let file = bench.output("bundles/tiny-r1.xedge");
    let shown: Value =
        serde_json::from_str(&bench.run(&["bundle", "inspect", file.as_str()]).expect(0).stdout).unwrap();
    let bundle = &shown["bundle"];
    assert_eq!(bundle["compatibility"]["boards"], serde_json::json!(["imx8"]));
    let port: u64 = bundle["probes"][0]["port"].as_u64().unwrap();
    let probe = serde_json::json!([{"kind": "mqtt", "service": "broker", "port": port}]);
    assert_eq!((&bundle["probes"], &bundle["settleS"], &bundle["startS"]), (&probe, &3.into(), &20.into()));

    edit(&stack, "mqtt: 1883", "mqtt: 1884");
    let before = traces(&bench);
    release(&bench, &[]).expect(3).says("no port of the device leads to port 1884 of broker");
    assert_eq!(traces(&bench), before);
}
