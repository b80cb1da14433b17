//! New projects, and new parts of one: as a newcomer makes them, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::support::{Ran, command, edit, finish, here, root, run};

mod parts;

/// Makes a project on this repository's xedge.
fn make(folder: &Path, arguments: &[&str]) -> Ran {
    let source = format!("path={}", root().display());
    let mut all = vec!["new", folder.to_str().unwrap(), "--xedge", &source];
    all.extend(arguments);
    run(&std::env::temp_dir(), &all)
}

/// A new project that shares this repository's fetched packages.
fn made() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("My Gateway");
    make(&project, &[]).expect(0).says("made the project my-gateway");
    drop(here(&["lock", "mqtt-broker"]).expect(0));
    fs::create_dir_all(project.join("target/xedge")).unwrap();
    std::os::unix::fs::symlink(root().join("target/xedge/store"), project.join("target/xedge/store"))
        .unwrap();
    (folder, project)
}

/// Every file below a folder, outputs left out.
fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() && entry.file_name() != "target" => folders.push(path),
                path => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_new_project_passes_its_gate_and_becomes_a_release() {
    let (_folder, project) = made();
    for folder in ["xtask", "images", "scenarios", "templates", ".github", "tests"] {
        assert!(project.join(folder).is_dir(), "{folder}");
    }
    run(&project, &["sim", "validate", "scenarios/sensors.yaml"]).expect(0);
    run(&project, &["render", "--diff", "simulation"]).expect(0);
    // A data folder of its own: the record of releases is no other test's.
    let data = tempfile::tempdir().unwrap();
    let release = || {
        let mut command = command(&project, &["release"]);
        command.env("XEDGE_HOME", data.path());
        finish(command)
    };
    let ran = release().expect(0).says("held auth.anonymous == refused").says("released my-gateway r1");
    assert!(ran.stdout.contains("target/xedge/bundles/my-gateway-r1.xedge"), "{}", ran.stdout);
}

/// In this repository's own target folder, so that what is compiled already is used: checking makes no binary, and so
/// replaces none.
#[test]
fn the_workspace_of_a_new_project_compiles_with_the_lock_that_it_got() {
    let (_folder, project) = made();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--workspace", "--tests", "--locked", "--offline", "--quiet"]).current_dir(&project);
    cargo.env("CARGO_TARGET_DIR", root().join("target")).env_remove("RUSTFLAGS");
    finish(cargo).expect(0);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["fmt", "--check"]).current_dir(&project);
    finish(cargo).expect(0);

    let (ours, theirs) = (root().join("Cargo.lock"), project.join("Cargo.lock"));
    let (ours, theirs) = (fs::read_to_string(ours).unwrap(), fs::read_to_string(theirs).unwrap());
    for package in theirs.split("\n\n").filter(|package| package.contains("\nchecksum = ")) {
        // What our own tests need switches features on, and with them what a package stands on.
        let pinned = package.split("\ndependencies = ").next().unwrap();
        assert!(ours.contains(pinned.trim()), "another version than the tested one:\n{package}");
    }
}

const DOCKERFILE: &str = "FROM scratch\nCOPY service /service\nEXPOSE 8080 9090/udp\nHEALTHCHECK CMD [\"/service\", \"--health\"]\n\
                          ENTRYPOINT [\"/service\"]\n";

#[test]
fn a_folder_with_a_dockerfile_becomes_a_project_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("counter");
    fs::create_dir(&project).unwrap();
    for (name, text) in [
        ("Dockerfile", DOCKERFILE),
        ("service", "a program"),
        ("README.md", "Mine."),
        (".gitignore", "*.o\n"),
    ] {
        fs::write(project.join(name), text).unwrap();
    }
    let ran = make(&project, &[]).expect(0);
    let ran =
        ran.says("README.md was there and stays as it is").says(".gitignore was there and stays as it is");
    assert_eq!(ran.stdout.trim(), fs::canonicalize(&project).unwrap().to_str().unwrap());
    for (name, text) in [("Dockerfile", DOCKERFILE), ("README.md", "Mine."), (".gitignore", "*.o\n")] {
        assert_eq!(fs::read_to_string(project.join(name)).unwrap(), text, "{name}");
    }
    let image = fs::read_to_string(project.join("images/counter/image.yaml")).unwrap();
    assert!(image.contains("dockerfile: {context: \"../..\", file: \"Dockerfile\"}"), "{image}");
    let ignored = fs::read_to_string(project.join(".dockerignore")).unwrap();
    for made in files(&project).iter().filter_map(|file| file.split('/').next()) {
        let theirs = ["Dockerfile", "service", ".gitignore"].contains(&made);
        assert_eq!(ignored.lines().any(|line| line == made), !theirs, "{made}:\n{ignored}");
    }
    run(&project, &["sim", "validate", "scenarios/counter_smoke.yaml"]).expect(0);
    run(&project, &["render"]).expect(0);
    let compose =
        fs::read_to_string(project.join("target/xedge/rendered/counter.production/compose.yaml")).unwrap();
    assert!(compose.contains("8080:8080") && compose.contains("9090:9090/udp"), "{compose}");
    run(&project, &["render", "--diff", "simulation"]).expect(0);
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_half_made() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("p");
    fs::create_dir_all(project.join("images/broker")).unwrap();
    fs::write(project.join("images/broker/image.yaml"), "mine\n").unwrap();
    let ran = make(&project, &[]).expect(3);
    ran.says("this file is already there: images/broker/image.yaml").says("no file is overwritten");
    assert_eq!(files(&project), ["images/broker/image.yaml"]);

    fs::write(project.join("Cargo.toml"), "[package]\nname = \"mine\"\n").unwrap();
    make(&project, &[]).expect(3).says("it holds a Cargo.toml already").says("`cargo xtask new DIR`");
    assert_eq!(files(&project), ["Cargo.toml", "images/broker/image.yaml"]);
}

#[test]
fn what_cannot_become_a_project_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("p");
    fs::write(folder.path().join("file"), "").unwrap();
    make(&folder.path().join("file"), &[]).expect(3).says("it is no folder");
    make(&new, &["--name", "No Name"]).expect(3).says("lower-case letters").says("--name NAME");
    make(&folder.path().join("…"), &[]).expect(3).says("lower-case letters");
    let from = |source: &str| run(folder.path(), &["new", "p", "--xedge", source]).expect(3);
    from("path=.").says("there is no clone of xedge at").says("--xedge git=URL@COMMIT");
    from("git=https://example.com/o/xedge@main").says("all 40 digits");
    from("https://example.com/o/xedge").says("expected git=URL@COMMIT or path=DIR");
    run(folder.path(), &["new"]).expect(3);
    assert!(!new.exists());
}

/// From a repository that Cargo can fetch without a network: a copy of this one.
#[test]
fn a_repository_is_named_with_its_commit_and_nothing_of_this_machine() {
    let (clone, folder, cargo_home) = (super::support::copy(), tempfile::tempdir().unwrap(), cargo_home());
    let commit = committed(clone.path());
    let url = format!("file://{}", clone.path().display());
    let mut command = command(folder.path(), &["new", "p", "--xedge", &format!("git={url}@{commit}")]);
    command.env("CARGO_HOME", cargo_home.path());
    finish(command).expect(0).says(&format!("on xedge from {url} at {commit}"));
    let text = |file: &str| fs::read_to_string(folder.path().join("p").join(file)).unwrap();
    assert!(text("xtask/Cargo.toml").contains(&format!("git = \"{url}\", rev = \"{commit}\"")));
    assert!(text("Cargo.lock").contains(&format!("source = \"git+{url}?rev={commit}#{commit}\"")));
    assert!(text(".cargo/config.toml").contains("git-fetch-with-cli = true"));
    for file in files(&folder.path().join("p")) {
        assert!(!text(&file).contains(root().to_str().unwrap()), "{file}");
    }
}

/// Cargo's folder with what is downloaded already, so that the copy above is not kept in the user's own.
fn cargo_home() -> TempDir {
    let ours = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let ours = ours.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"));
    let home = tempfile::tempdir().unwrap();
    for name in ["registry", "config.toml", "config", "credentials.toml"] {
        if ours.join(name).exists() {
            std::os::unix::fs::symlink(ours.join(name), home.path().join(name)).unwrap();
        }
    }
    home
}

/// Makes a folder a repository with one commit; gives the commit.
fn committed(folder: &Path) -> String {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .current_dir(folder)
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments);
        finish(command).expect(0).stdout.trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "one"]);
    git(&["rev-parse", "HEAD"])
}

#[test]
fn doctor_lists_every_file_of_another_format() {
    let project = super::support::copy();
    for (file, from, to) in [
        ("images/gateway/image.yaml", "format: 1", "format: 2"),
        ("templates/parity.yaml", "format: 1", "format: 0"),
        ("templates/stacks/edge/stack.yaml", "format: 1\n", ""),
        ("scenarios/gateway.yaml", "simulation:", "format: 3\nsimulation:"),
        ("images/mqtt-broker/image.lock.json", "\"format\": 1", "\"format\": 9"),
    ] {
        edit(&project.path().join(file), from, to);
    }
    let ran = run(project.path(), &["doctor"]).expect(3).says("found 5 files of another format");
    for line in [
        "- images/gateway/image.yaml has format 2, this xedge",
        "- images/mqtt-broker/image.lock.json has format 9",
        "- scenarios/gateway.yaml has format 3",
        "- templates/parity.yaml has format 0",
        "- templates/stacks/edge/stack.yaml has no format",
        "update xedge: `git pull` in its clone",
        "it has to begin with `format: 1`",
        "CHANGELOG.md",
    ] {
        assert!(ran.stdout.contains(line), "{line}:\n{}", ran.stdout);
    }
    let json = run(project.path(), &["doctor", "--format", "json"]).expect(3).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["formats"].as_array().unwrap().len(), 5, "{json}");
    // What uses such a file says the same, and not that it holds a typing error.
    run(project.path(), &["build", "gateway"])
        .expect(3)
        .says("this xedge reads format 1")
        .says("update xedge");
}

/// The first hour of someone who has containers: a folder with a Dockerfile and a Compose file beside it. The Dockerfile
/// stands on an image of the Engine, so nothing is pulled.
#[test]
fn a_folder_with_a_dockerfile_passes_its_gate_and_a_compose_file_beside_it_too() {
    drop(here(&["build", "mqtt-broker", "--load"]).expect(0));
    let dockerfile = "FROM xedgesim/mosquitto:latest\nCOPY own.conf /own.conf\nEXPOSE 1883\n\
         HEALTHCHECK CMD [\"/usr/bin/mosquitto_sub\", \"-t\", \"x\", \"-E\", \"-W\", \"3\"]\n\
         ENTRYPOINT [\"/usr/sbin/mosquitto\", \"-c\", \"/own.conf\"]\nCMD []\n";
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = folder.path().join("theirs");
    let project = folder.path().join("hub");
    for place in [&project, &theirs.join("hub")] {
        fs::create_dir_all(place).unwrap();
        fs::write(place.join("Dockerfile"), dockerfile).unwrap();
        fs::write(place.join("own.conf"), "listener 1883\nallow_anonymous true\n").unwrap();
    }
    let with_data = |arguments: &[&str]| {
        let mut command = command(&project, arguments);
        command.env("XEDGE_HOME", data.path());
        finish(command)
    };
    make(&project, &[]).expect(0);
    with_data(&["sim"]).expect(0).says("held service.healthy(hub)").says("held service.answers(hub, 1883)");
    with_data(&["release"]).expect(0).says("released hub r1");

    let compose = "services:\n  hub:\n    build: ./hub\n    ports: [\"1883:1883\"]\n    secrets: [token]\n\
         secrets: {token: {file: ./token.txt}}\n";
    fs::write(theirs.join("compose.yaml"), compose).unwrap();
    fs::write(theirs.join("token.txt"), "theirs\n").unwrap();
    with_data(&["import", "compose", "../theirs/compose.yaml", "--name", "mine"]).expect(0);
    let ran = with_data(&["sim", "mine_smoke"]).expect(0);
    assert_eq!(ran.stdout, "mine_smoke passed target/xedge/gates/mine_smoke.dsse.json\n");
}
