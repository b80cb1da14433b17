//! What docker-compose makes of the original and of the rendered file, line by line. Every difference that is left stands in
//! the fixture's file `differences`; any other fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use xedge_model::tree::Tree;
use xedge_model::yaml::Source;

use super::{FIXTURES, Trial, fixtures};
use crate::support::run;

type Settings = BTreeMap<String, String>;

/// What `docker-compose config` says, flat; the file's own folder is `FOLDER`.
fn config(file: &Path) -> Settings {
    let output = Command::new("docker-compose")
        .args(["--file", file.to_str().unwrap(), "config"])
        .current_dir(file.parent().unwrap())
        .env("COMPOSE_PROJECT_NAME", "x")
        .output()
        .expect("docker-compose is needed to compare: `cargo xtask setup` installs it");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker-compose refuses {}: {talk}", file.display());
    let folder = file.parent().unwrap().to_str().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().replace(folder, "FOLDER");
    flat(&text)
}

fn flat(text: &str) -> Settings {
    let tree = Tree::parse(&Source::new("config", text)).unwrap();
    let mut all = Settings::new();
    for (path, _) in tree.leaves() {
        let value = leaf(&tree, &path).and_then(Tree::text).unwrap_or_else(|| "nothing".into());
        all.insert(path, value);
    }
    all.remove("version");
    all
}

/// The value at a path that `leaves` gave.
fn leaf<'t>(tree: &'t Tree, path: &str) -> Option<&'t Tree> {
    fn find<'t>(tree: &'t Tree, at: &str, path: &str) -> Option<&'t Tree> {
        if at == path {
            return Some(tree);
        }
        match &tree.value {
            xedge_model::tree::Value::Map(all) => {
                all.iter().find_map(|(key, value)| find(value, &xedge_model::tree::join(at, &key.name), path))
            }
            xedge_model::tree::Value::List(all) => {
                all.iter().enumerate().find_map(|(index, value)| find(value, &format!("{at}[{index}]"), path))
            }
            _ => None,
        }
    }
    find(tree, "", path)
}

fn differences(original: &Settings, rendered: &Settings) -> String {
    let mut lines = Vec::new();
    for (path, value) in original {
        if rendered.get(path) != Some(value) {
            lines.push(format!("{path} - {value}\n"));
        }
    }
    for (path, value) in rendered {
        if original.get(path) != Some(value) {
            lines.push(format!("{path} + {value}\n"));
        }
    }
    lines.sort();
    lines.concat()
}

#[test]
fn what_is_rendered_means_the_same_but_for_listed_differences() {
    for (name, file) in FIXTURES {
        let trial = Trial::new(name, file);
        trial.import(&[]).expect(0);
        run(&trial.project(), &["render", "--stack", "stack", "--out", "out"]).expect(0);
        let original = config(&trial.theirs().join(file));
        let rendered = config(&trial.project().join("out/compose.yaml"));
        if std::env::var_os("XEDGE_WRITE_DIFFERENCES").is_some() {
            fs::write(fixtures().join(name).join("differences"), differences(&original, &rendered)).unwrap();
        }
        let listed = fs::read_to_string(fixtures().join(name).join("differences")).unwrap_or_default();
        assert_eq!(differences(&original, &rendered), listed, "{name}");

        // A comparison that no loss can pass.
        for path in rendered.keys() {
            let mut less = rendered.clone();
            less.remove(path);
            assert_ne!(differences(&original, &less), listed, "{name}: nobody would miss {path}");
        }
        for path in original.keys().filter(|path| rendered.contains_key(*path)) {
            let mut more = rendered.clone();
            more.insert(path.clone(), "another value".into());
            assert_ne!(differences(&original, &more), listed, "{name}: nobody would notice {path}");
        }
    }
}

#[test]
fn the_seeds_example_is_word_for_word() {
    let text = fs::read_to_string(fixtures().join("seed/docker-compose.yml")).unwrap();
    for line in [
        "version: '3.8'",
        "    container_name: mosquitto",
        "      - ./config:/mosquitto/config",
        "    image: xedgesim/gateway:latest  # When implemented in M3+",
        "      MQTT_BROKER: mosquitto:1883",
        "    driver: bridge",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}");
    }
    assert_eq!(xedge_model::Digest::of(text.as_bytes()).to_string(), SEED, "the seed's file was changed");
}

const SEED: &str = "sha256:31f1a6414ceb37fe7fdb73bb7c3418ff7b0f326d9ff8d6842c3641123d662a38";
