//! The same sources give the same images in another folder, and sources that do not compile give none.

use std::fs;

use super::layout::{ASSEMBLE, Layout, built};
use crate::support::{edit, project_with_packages, run};

/// One test for both, because the payload's dependencies are built only once that way: it is by far the longest. It needs
/// the toolchains of both platforms and fails without them.
#[test]
fn another_folder_gives_the_same_digests_and_a_payload_that_does_not_compile_gives_nothing() {
    let project = project_with_packages();
    assert_eq!(run(project.path(), ASSEMBLE).expect(0).stdout, built());

    let index = fs::read(project.path().join("target/xedge/layout/index.json")).unwrap();
    let program = project.path().join("images/gateway/src/main.rs");
    let good = fs::read_to_string(&program).unwrap();
    fs::write(&program, format!("{good}\nfn wrong() -> u32 {{ \"text\" }}\n")).unwrap();
    let ran = run(project.path(), &["build", "gateway"])
        .expect(3)
        .says("failed to build gateway for linux/")
        .says("mismatched types")
        .says("hint: see its own words: `cargo build --package gateway`");
    assert_eq!(ran.stdout, "");
    assert_eq!(fs::read(project.path().join("target/xedge/layout/index.json")).unwrap(), index);

    fs::write(&program, good).unwrap();
    let mended = run(project.path(), ASSEMBLE).expect(0).stdout;
    assert_eq!(mended, built());
}

#[test]
fn every_input_of_an_image_counts_for_its_digest() {
    let project = project_with_packages();
    let build = || run(project.path(), &["build", "mqtt-broker"]).expect(0).stdout;
    let first = build();
    let rootfs = project.path().join("images/mqtt-broker/rootfs/mosquitto/config/mosquitto.conf");
    edit(&rootfs, "log_type all", "log_type error");
    let second = build();
    edit(
        &project.path().join("images/mqtt-broker/image.yaml"),
        "stop_signal: SIGTERM",
        "stop_signal: SIGINT",
    );
    let third = build();
    assert!(first != second && second != third && first != third, "{first}{second}{third}");
    edit(&rootfs, "log_type error", "log_type all");
    edit(
        &project.path().join("images/mqtt-broker/image.yaml"),
        "stop_signal: SIGINT",
        "stop_signal: SIGTERM",
    );
    assert_eq!(build(), first);
    let index = super::layout::index_of(&first, super::layout::BROKER);
    assert_eq!(Layout::of(project.path()).manifests(&index).len(), 2);
}
