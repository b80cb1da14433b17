//! House rules that a machine can check: module docs, sizes, fenced dependencies, no names of mirrors.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::root;

fn files(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && name != "target" && name != ".git" {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push((
                    path.strip_prefix(root()).unwrap().to_owned(),
                    fs::read_to_string(&path).unwrap(),
                ));
            }
        }
    }
    assert!(!found.is_empty(), "no .{extension} file at all");
    found.sort();
    found
}

#[test]
fn every_module_says_what_it_is_for() {
    for (path, text) in files("rs") {
        assert!(text.starts_with("//! "), "{} does not open with `//!`", path.display());
    }
}

#[test]
fn no_file_grows_past_600_lines() {
    for (path, text) in files("rs") {
        assert!(text.lines().count() <= 600, "{} is too long: split it by topic", path.display());
    }
}

#[test]
fn churning_crates_are_named_in_one_module_each() {
    for (name, homes) in [
        (
            "bollard::",
            &[
                "images/edge-agent/src/engine/docker.rs",
                "xtask/crates/xedge-sim/src/engine/docker/build.rs",
                "xtask/crates/xedge-sim/src/engine/docker.rs",
            ][..],
        ),
        (
            "minijinja::",
            &["xtask/crates/xedge-config/src/template.rs", "xtask/crates/xedge-config/src/template/trace.rs"],
        ),
        ("oci_distribution::", &["xtask/crates/xedge-registry/src/reference.rs"]),
        ("serde_saphyr::", &["xtask/crates/xedge-model/src/yaml.rs"]),
        ("serde_yaml::", &["xtask/crates/xedge-model/src/yaml.rs"]),
        ("tough::", &["xtask/crates/xedge-sign/src/tuf.rs"]),
        // Files by digest from mirrors, and everything that speaks to registries.
        ("reqwest::", &["xtask/crates/xedge-registry/src/http.rs", "xtask/src/fetch.rs"]),
    ] {
        let users: Vec<PathBuf> = files("rs")
            .into_iter()
            .filter(|(path, text)| {
                !path.components().any(|part| part.as_os_str() == "tests") && text.contains(name)
            })
            .map(|(path, _)| path)
            .collect();
        let mut homes: Vec<&Path> = homes.iter().map(Path::new).collect();
        homes.sort();
        assert_eq!(users, homes, "{name}");
    }
}

#[test]
fn dependencies_come_from_the_workspace_table() {
    for (path, text) in files("toml").into_iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        if path == Path::new("Cargo.toml") {
            continue;
        }
        let sections =
            text.split("\n[").filter(|s| s.starts_with("dependencies") || s.starts_with("dev-dependencies"));
        for line in sections.flat_map(|section| section.lines().skip(1)).filter(|line| line.contains('=')) {
            assert!(line.contains("workspace = true"), "{}: {line}", path.display());
        }
    }
}

#[test]
fn the_changelog_has_this_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))));
}
