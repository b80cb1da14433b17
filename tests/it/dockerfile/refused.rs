//! Dockerfile images that are not built: an error with its class, a hint, and nothing half-done.

use std::fs;
use std::process::{Command, Stdio};

use super::{Bench, docker, unique};
use crate::support::Ran;

#[track_caller]
fn refused(bench: &Bench, arguments: &[&str], code: i32, says: &str) -> Ran {
    let ran = bench.classic(arguments).expect(code).says(says).says("hint: ");
    assert_eq!(ran.stdout, "");
    ran
}

#[test]
fn a_program_that_is_not_there_is_the_dockerfiles_fault() {
    let bench = Bench::empty();
    let program = unique("/nothing");
    bench.dockerfile("bad", &format!("FROM scratch\nCOPY image /\nRUN [\"{program}\"]\n"));
    bench.write("images/bad/image", "x");
    refused(&bench, &["build", "bad"], 3, "images/bad/Dockerfile: Step 3/3 : RUN [").says("no such file");
    let all = docker(&["ps", "--all", "--no-trunc", "--format", "{{.Command}}"]).unwrap();
    assert!(!all.contains(&program), "{all}");
    // What the step before it left in the Engine is written down for `gc`.
    let left: Vec<_> = fs::read_dir(bench.home.path().join("loaded")).unwrap().map(Result::unwrap).collect();
    assert_eq!(left.len(), 1);
    docker(&["image", "inspect", left[0].file_name().to_str().unwrap()]).unwrap();
    bench.dockerfile("bad", "FROM scratch\nCOPYY image /\n");
    refused(&bench, &["build", "bad"], 3, "unknown instruction: COPYY");
    bench.dockerfile("bad", "FROM scratch\nCOPY missing /\n");
    refused(&bench, &["build", "bad"], 3, "Step 2/2 : COPY missing /");
}

#[test]
fn the_engines_own_builder_gets_no_secrets() {
    let bench = Bench::empty();
    bench.dockerfile("bad", "FROM scratch\nRUN --mount=type=secret,id=token [\"/x\"]\n");
    refused(&bench, &["build", "bad"], 3, "`RUN --mount` in line 2 needs BuildKit");
    bench.dockerfile("bad", "FROM scratch\nCOPY x /\n");
    bench.write("token", "very secret");
    bench.definition("bad", "from: {dockerfile: {secrets: {token: token}}}\n");
    let ran = refused(&bench, &["build", "bad"], 3, "its `secrets` need BuildKit");
    assert!(!ran.stderr.contains("very secret"), "{}", ran.stderr);
}

#[test]
fn images_that_stand_on_each_other_are_told_as_a_circle() {
    let bench = Bench::empty();
    bench.dockerfile("one", "FROM two\n");
    bench.dockerfile("two", "FROM scratch\nCOPY --from=three:1 /x /\n");
    bench.dockerfile("three", "ARG BASE=one\nFROM ${BASE}\n");
    refused(&bench, &["build", "one"], 3, "one stands on two stands on three stands on one");
    bench.dockerfile("one", "FROM one:1\n");
    refused(&bench, &["build", "one"], 3, "one stands on one");
}

#[test]
fn a_locked_build_wants_digests() {
    let bench = Bench::empty();
    bench.dockerfile("bad", "FROM nowhere.invalid/x:1\nRUN [\"/x\"]\n");
    refused(
        &bench,
        &["build", "bad"],
        1,
        "images/bad/Dockerfile:1: FROM nowhere.invalid/x:1 has no digest: what it names may",
    )
    .says("Step 1/2 : FROM nowhere.invalid/x:1");
    // Written by the first build.
    assert!(bench.path("images/bad/image.lock.json").exists());
    refused(
        &bench,
        &["build", "bad", "--locked"],
        3,
        "images/bad/Dockerfile:1: FROM nowhere.invalid/x:1 has no digest",
    );
}

#[test]
fn what_is_outside_or_not_there_is_refused() {
    let bench = Bench::empty();
    bench.dockerfile("bad", "FROM scratch\n");
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), bench.path("images/bad/link")).unwrap();
    for (build, says) in [
        ("context: ../../..", "is outside of the project"),
        ("context: link", "is outside of the project"),
        ("context: nowhere", "there is no images/bad/nowhere, its `context`"),
        ("file: Missing", "there is no images/bad/Missing, its `file`"),
    ] {
        bench.definition("bad", &format!("from: {{dockerfile: {{{build}}}}}\n"));
        refused(&bench, &["build", "bad"], 3, says);
    }
    bench.definition("bad", "from: dockerfile\nusers: [{name: a, id: 1, home: /}]\n");
    refused(&bench, &["build", "bad"], 3, "`users` is for assembled images");
    bench.assembled("base");
    bench.write(
        "images/base/image.yaml",
        "format: 1\nname: base\nplatforms: [linux/arm64]\nfrom: scratch\nconfig: {command: [/x]}\n",
    );
    bench
        .write("images/bad/image.yaml", "format: 1\nname: bad\nplatforms: [linux/amd64]\nfrom: dockerfile\n");
    bench.write("images/bad/Dockerfile", "FROM base\n");
    refused(
        &bench,
        &["build", "bad"],
        3,
        "it stands on base, which is for linux/arm64 and not for linux/amd64",
    );
}

#[test]
fn without_an_engine_all_other_images_are_built() {
    let bench = Bench::empty();
    bench.dockerfile("a", "FROM scratch\nCOPY x /\n");
    bench.write("images/a/x", "x");
    bench.assembled("b");
    bench.dockerfile("c", "FROM c\n");
    bench.assembled("d");
    let ran = bench.alone(&["build"]).expect(3);
    let names: Vec<&str> = ran.stdout.lines().filter_map(|line| Some(line.split_once('@')?.0)).collect();
    assert_eq!(names, ["b", "d"]);
    ran.says("failed to reach a Docker Engine at unix:///nonexistent").says("c stands on c");
}

/// Ctrl-C: exit 130, and the Engine has no container of the build any more.
#[test]
fn an_interrupted_build_leaves_no_container() {
    let bench = Bench::with_broker();
    let topic = unique("topic");
    // Waits for ever: nothing listens there.
    bench.dockerfile(
        "slow",
        &format!("FROM xedgesim/mosquitto\nENV TOPIC={topic}\nRUN [\"/usr/sbin/mosquitto\"]\n"),
    );
    let mut command = bench.command(&["build", "slow"]);
    let mut child = command.env("PATH", "/nonexistent").stderr(Stdio::null()).spawn().unwrap();
    let ours = || {
        let ids = docker(&["ps", "--all", "--quiet", "--filter", "status=running"]).unwrap();
        let has = |id: &&str| {
            docker(&["inspect", "--format", "{{.Config.Env}}", id]).is_ok_and(|env| env.contains(&topic))
        };
        ids.lines().filter(has).count()
    };
    while ours() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // The Engine needs a moment for it.
    while ours() > 0 {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
