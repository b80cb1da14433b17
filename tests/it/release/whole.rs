//! The whole chain: what it prints and leaves, that a second run changes nothing, and that a killed one is finished.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::stack::{
    Printed, SIMULATED, TEMPLATE, arguments, assert_verified, names, numbers, record, records, release, tiny,
    traces,
};
use crate::sim::bench::{Bench, Running};
use crate::support::edit;

#[test]
fn a_release_is_made_once_and_the_next_one_has_the_next_number() {
    let bench = tiny();
    a_dry_run_changes_nothing(&bench, "release 1, to make");
    let first =
        Printed::of(&release(&bench, &[]).expect(0).says(SIMULATED).says("released tiny r1 (release 1)"));
    assert_eq!(first.bundle, "target/xedge/bundles/tiny-r1.xedge");
    assert_verified(&bench, "r1", 1);
    bench.assert_clean();

    a_second_run_changes_nothing(&bench, &first);
    a_dry_run_changes_nothing(&bench, "release 1, there");
    a_lost_bundle_is_made_again(&bench, &first);
    a_version_is_a_release_of_its_own(&bench, &first);
    another_configuration_is_gated_anew(&bench, &first);
    assert_eq!(numbers(&bench), ["seq-1", "seq-2", "seq-3"]);
    assert_eq!(records(&bench), ["1.json", "2.json", "3.json"]);
}

fn a_dry_run_changes_nothing(bench: &Bench, bundle: &str) {
    let before = traces(bench);
    let ran = release(bench, &["--dry-run"]).expect(0);
    assert_eq!(traces(bench), before);
    let mut steps: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    steps.dedup();
    assert_eq!(steps, ["build", "render", "gate", "push", "tag", "bundle"], "{}", ran.stdout);
    assert!(ran.stdout.trim_end().ends_with(bundle), "`{bundle}` is not in {}", ran.stdout);
    assert!(!ran.stderr.contains(SIMULATED), "{}", ran.stderr);
}

fn a_second_run_changes_nothing(bench: &Bench, first: &Printed) {
    let before = traces(bench);
    let ran = release(bench, &[]).expect(0).says("unchanged: release 1 of tiny");
    assert_eq!(&Printed::of(&ran), first);
    assert_eq!(traces(bench), before);
}

/// `cargo clean` removes bundles; the release stays the same, only its time stamp is a later one.
fn a_lost_bundle_is_made_again(bench: &Bench, first: &Printed) {
    fs::remove_dir_all(bench.output("bundles")).unwrap();
    let before = record(bench, 1);
    let ran = release(bench, &[]).expect(0);
    assert_eq!(&Printed::of(&ran), first);
    assert_verified(bench, "r1", 1);
    let after = record(bench, 1);
    assert_eq!(after["content"], before["content"]);
    assert_eq!(after["restamp"], 1);
    assert_eq!(numbers(bench), ["seq-1"]);
}

fn a_version_is_a_release_of_its_own(bench: &Bench, first: &Printed) {
    let ran = release(bench, &["--version", "1.2.3"]).expect(0);
    let printed = Printed::of(&ran);
    assert_eq!((&printed.reference, &printed.config), (&first.reference, &first.config));
    assert_eq!(printed.bundle, "target/xedge/bundles/tiny-1.2.3.xedge");
    assert!(!ran.stderr.contains(SIMULATED), "{}", ran.stderr);
    assert_verified(bench, "1.2.3", 2);
    // Without a version it is still that release.
    release(bench, &[]).expect(0).says("unchanged: release 2 of tiny");
}

fn another_configuration_is_gated_anew(bench: &Bench, first: &Printed) {
    edit(&bench.project().join(TEMPLATE), "max_connections 9", "max_connections 10");
    let ran = release(bench, &[]).expect(0).says(SIMULATED);
    let printed = Printed::of(&ran);
    assert_eq!(printed.reference, first.reference);
    assert_ne!(printed.config, first.config);
    assert_verified(bench, "r3", 3);
    assert_verified(bench, "1.2.3", 2);
    bench.assert_clean();
}

/// Whatever moment the kill hits: there is no half bundle, and the next run ends it. None of the assertions needs a kill
/// to hit any certain moment.
#[test]
fn a_killed_release_leaves_no_half_bundle_and_is_finished_by_the_next() {
    let bench = tiny();
    bench.sim(&["tiny"]).expect(0);
    for delay in [50, 100, 200, 400, 600, 800] {
        let run = Running::start(bench.command(&arguments(&[])));
        sleep(Duration::from_millis(delay));
        kill(&bench, run);
    }
    // A new version is work again, and here the kill follows what the run says.
    for line in ["push ", "bundle "] {
        let mut run = Running::start(bench.command(&arguments(&["--version", "1.0.0"])));
        run.until(line);
        kill(&bench, run);
    }
    release(&bench, &["--version", "1.0.0"]).expect(0);
    let numbers = numbers(&bench);
    let seq = numbers.len() as u64;
    let expected: Vec<String> = (1..=seq).map(|seq| format!("seq-{seq}")).collect();
    assert_eq!(numbers, expected);
    assert!(seq <= 2, "two releases at most were asked for: {numbers:?}");
    assert_eq!(records(&bench).last().unwrap(), &format!("{seq}.json"));
    assert_verified(&bench, "1.0.0", seq);
    release(&bench, &["--version", "1.0.0"]).expect(0).says("unchanged");
}

fn kill(bench: &Bench, mut run: Running) {
    if run.is_going() {
        run.signal(Signal::KILL);
    }
    run.finish();
    // An unfinished file has another name.
    for name in names(bench.output("bundles").as_std_path()) {
        if name.strip_suffix(".xedge").is_some() {
            bench.run(&["verify", bench.output(&format!("bundles/{name}")).as_str()]).expect(0);
        }
    }
}
