//! The archive of locked packages: a locked build takes from it what no mirror has.

use std::fs;

use crate::sim::bench::Bench;
use crate::support::{Ran, finish};

/// Nobody listens there.
const NO_MIRROR: &str = "http://127.0.0.1:9/debian";

fn build_without_a_mirror(bench: &Bench) -> Ran {
    fs::remove_dir_all(bench.output("store")).unwrap();
    let mut command = bench.command(&["build", "mqtt-broker", "--platform", "linux/amd64", "--locked"]);
    command.env("XEDGE_DEBIAN_MIRROR", NO_MIRROR).env_remove("XEDGE_ARCHIVE");
    finish(command)
}

#[test]
fn a_locked_build_takes_from_the_archive_what_no_mirror_has() {
    let bench = Bench::new();
    let first = bench.run(&["lock", "archive", "mqtt-broker"]).expect(0).says("packages are in the archive");
    assert!(first.stdout.starts_with("embedded/xedge-packages@sha256:"), "{}", first.stdout);
    let second = bench.run(&["lock", "archive", "mqtt-broker"]).expect(0);
    assert_eq!(second.stdout, first.stdout, "the same packages are the same artifact");
    build_without_a_mirror(&bench).expect(0);

    // Without the archive the same build says what it cannot reach.
    fs::remove_dir_all(bench.home().join("registry")).unwrap();
    build_without_a_mirror(&bench).expect(1).says(NO_MIRROR);
}
