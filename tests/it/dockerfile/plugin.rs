//! docker's buildx plugin, in the words of which we speak to it. A script stands for it here, since Debian 12 has none: it
//! writes down what it is told and has the Engine build.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Bench, architecture, docker, native, unique};
use crate::support::finish;

const SCRIPT: &str = r#"#!/bin/sh
real=REAL
if [ "$*" = "buildx version" ]; then echo "github.com/docker/buildx v0"; exit 0; fi
printf '%s\n' "$@" >TOLD
host=$2
while [ $# -gt 1 ]; do
    case "$1" in
    --file) file=$2 ;;
    --iidfile) id=$2 ;;
    --platform) platform=$2 ;;
    esac
    shift
done
cat "$file" >TOLD.dockerfile
cat "$file.dockerignore" >TOLD.ignore
exec "$real" --host "$host" build --platform "$platform" --file "$file" --iidfile "$id" "$1" >&2
"#;

#[test]
fn secrets_go_to_buildx_as_files_and_names_as_tags_that_are_taken_away() {
    let bench = Bench::empty();
    bench.assembled("base");
    bench.dockerfile("app", "FROM base\nCOPY x /x\n");
    bench.write("images/app/x", &unique("plugin"));
    bench.write("images/app/.dockerignore", "y\n");
    bench.write("token", "very secret");
    bench.definition("app", "from: {dockerfile: {secrets: {token: token}, args: {A: b}}}\n");
    let tools = tempfile::tempdir().unwrap();
    let at = |name: &str| tools.path().join(name).to_str().unwrap().to_owned();
    let folders = std::env::var_os("PATH").unwrap();
    let mut all = std::env::split_paths(&folders).map(|folder| folder.join("docker"));
    let real = all.find(|path| path.is_file()).expect("docker is there: `cargo xtask setup`");
    let script = SCRIPT.replace("REAL", real.to_str().unwrap()).replace("TOLD", &at("told"));
    fs::write(at("docker"), script).unwrap();
    fs::set_permissions(at("docker"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.path().display());
    let build = || {
        let mut command = bench.command(&["build", "app"]);
        command.env("PATH", &path);
        finish(command).expect(0)
    };
    let stdout = build().stdout;
    let (manifest, _) = bench.built(&stdout, "app", architecture());
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);

    let told = fs::read_to_string(at("told")).unwrap();
    let token = bench.path("token");
    let secret = format!("--secret\nid=token,src={}\n", token.display());
    for part in [
        &secret,
        "--load\n",
        "--builder\ndefault\n",
        "--build-arg\nA=b\n",
        &format!("--platform\n{}\n", native()),
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(!told.contains("very secret"), "{told}");
    let dockerfile = fs::read_to_string(at("told.dockerfile")).unwrap();
    let tag = dockerfile.lines().next().unwrap().strip_prefix("FROM ").unwrap();
    assert!(tag.starts_with("xedge-build:xedge-"), "{dockerfile}");
    docker(&["image", "inspect", tag]).unwrap_err();
    let ignored = fs::read_to_string(at("told.ignore")).unwrap();
    assert_eq!(ignored.lines().collect::<Vec<_>>(), ["y", "", "image.yaml", "image.lock.json"]);

    // The value of a secret is no input, that there is one is.
    fs::remove_file(at("told")).unwrap();
    bench.write("token", "another");
    assert_eq!(build().stdout, stdout);
    fs::read(at("told")).unwrap_err();
    fs::remove_file(&token).unwrap();
    let mut command = bench.command(&["build", "app"]);
    command.env("PATH", &path);
    finish(command).expect(3).says("there is no file").says("for the secret token").says("hint: ");
}

#[test]
fn gc_takes_away_the_tags_of_builds_that_were_killed() {
    let bench = Bench::empty();
    bench.dockerfile("app", "FROM scratch\nCOPY x /x\n");
    bench.write("images/app/x", &unique("killed"));
    bench.run(&["build", "app"]).expect(0);
    let record = fs::read_dir(bench.home.path().join("loaded")).unwrap().next().unwrap().unwrap();
    let id = format!("sha256:{}", record.file_name().to_string_lossy());
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let tag = |process: u32| format!("xedge-build:xedge-{process}-0123456789ab");
    let (dead, alive) = (tag(child.id()), tag(std::process::id()));
    for tag in [&dead, &alive] {
        docker(&["tag", &id, tag]).unwrap();
    }
    bench.run(&["gc"]).expect(0);
    let is_there = |name: &str| docker(&["image", "inspect", name]).is_ok();
    assert_eq!((is_there(&dead), is_there(&alive)), (false, true));
    docker(&["rmi", &alive]).unwrap();
}
