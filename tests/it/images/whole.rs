//! Blobs that are damaged or lost: named and never handed on, and lost ones are made again.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::layout::{BROKER, Layout, index_of};
use crate::support::{project_with_packages, run};

/// A project with the broker image in its layout: what `build` printed, and the digests of index, manifest, config, layer.
fn broker() -> (TempDir, String, [String; 4]) {
    let project = project_with_packages();
    let stdout = run(project.path(), &["build", "mqtt-broker"]).expect(0).stdout;
    let layout = Layout::of(project.path());
    let descriptor = layout.find(&index_of(&stdout, BROKER));
    let entry = layout.json(&descriptor)["manifests"][0].clone();
    let manifest = layout.json(&entry);
    let digest = |descriptor: &Value| descriptor["digest"].as_str().unwrap().to_owned();
    let blobs = [&descriptor, &entry, &manifest["config"], &manifest["layers"][0]].map(digest);
    (project, stdout, blobs)
}

#[test]
fn a_flipped_bit_is_found_and_named_and_never_saved() {
    let (project, _, blobs) = broker();
    let layout = Layout::of(project.path());
    let inspect = || run(project.path(), &["image", "inspect", "mqtt-broker"]);
    inspect().expect(0);
    for digest in &blobs {
        let good = fs::read(layout.path(digest)).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(layout.path(digest), bad).unwrap();
            inspect().expect(6).says(digest).says("hint: remove ");
        }
        let ran = run(
            project.path(),
            &["image", "save", "mqtt-broker", "--platform", "linux/amd64", "-o", "x.tar"],
        );
        assert_eq!(ran.expect(6).says(digest).stdout, "");
        assert!(!project.path().join("x.tar").exists(), "a damaged archive was left");
        fs::write(layout.path(digest), &good[..good.len() - 1]).unwrap();
        inspect().expect(6).says(digest).says("expected");
        fs::write(layout.path(digest), good).unwrap();
    }
    inspect().expect(0);
}

#[test]
fn a_lost_blob_is_named_and_the_next_build_makes_it_again() {
    let (project, stdout, blobs) = broker();
    let layout = Layout::of(project.path());
    let inspect = || run(project.path(), &["image", "inspect", "mqtt-broker"]);
    for digest in &blobs {
        fs::remove_file(layout.path(digest)).unwrap();
        inspect().expect(6).says(digest).says("hint: make it again: `cargo xtask build`");
        assert_eq!(run(project.path(), &["build", "mqtt-broker"]).expect(0).stdout, stdout);
        inspect().expect(0);
    }
}

#[test]
fn the_hint_for_a_damaged_blob_mends_it() {
    let (project, stdout, blobs) = broker();
    let path = Layout::of(project.path()).path(&blobs[3]);
    fs::write(&path, b"garbage").unwrap();
    let inspect = || run(project.path(), &["image", "inspect", "mqtt-broker"]);
    inspect().expect(6).says(&format!("hint: remove {} and make it again", path.display()));
    fs::remove_file(path).unwrap();
    assert_eq!(run(project.path(), &["build", "mqtt-broker"]).expect(0).stdout, stdout);
    inspect().expect(0);
}
