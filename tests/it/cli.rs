//! The command line itself: help, exit codes, data on stdout.

use super::support::{here, run};

#[test]
fn help_is_data_and_names_every_command_and_exit_code() {
    let help = here(&["--help"]).expect(0).stdout;
    for command in ["setup", "doctor", "lock", "build", "image", "render", "sim", "gc", "ci"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}\n{help}");
    }
    assert!(help.contains("Exit codes: 0 done"), "{help}");
}

#[test]
fn bad_usage_is_exit_3() {
    here(&["biuld"]).expect(3).says("build");
    here(&["sim", "--duration", "soon"]).expect(3).says("is not a length of time");
    here(&["build", "--platform", "linux/riscv64"])
        .expect(3)
        .says("expected linux/amd64, linux/arm64 or linux/arm/v7");
}

#[test]
fn outside_of_a_project_the_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["build"]).expect(3).says("failed to find a project").says("hint:");
}

#[test]
fn an_unknown_image_or_scenario_gets_a_near_name() {
    here(&["build", "mqtt-borker"]).expect(3).says("did you mean `mqtt-broker`?");
    here(&["sim", "mqtt_tets"]).expect(3).says("did you mean `mqtt_test`?");
}

#[test]
fn errors_are_json_when_asked_for() {
    let ran = here(&["--format", "json", "build", "nothing-like-it"]).expect(3);
    let error: serde_json::Value = serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], 3);
    assert_eq!(ran.stdout, "");
}

/// Runs `ci JOB` with a script in Cargo's place; gives what it was called with, line by line.
fn ci(job: &str, script: &str, code: i32) -> (crate::support::Ran, Vec<String>) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (cargo, log) = (folder.path().join("cargo"), folder.path().join("log"));
    let script = format!("#!/bin/sh\necho \"$*\" >>{}\n{script}\n", log.display());
    std::fs::write(&cargo, script).unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = crate::support::command(&crate::support::root(), &["ci", job]);
    command.env("CARGO", &cargo);
    let ran = crate::support::finish(command).expect(code);
    (ran, std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect())
}

/// The names of this binary's tests, as Cargo would list them with these flags.
const LISTS: &str = r#"case "$*" in *--list*) while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done; shift; exec SELF "$@" ;; esac"#;

#[test]
fn a_job_whose_filter_leaves_no_test_fails() {
    let (ran, _) = ci("device-faults", "true", 2);
    ran.says("no test is left by `device::faults::kills");
}

#[test]
fn the_filters_of_the_jobs_leave_the_tests_that_they_are_for() {
    let own = std::env::current_exe().unwrap();
    let script = LISTS.replace("SELF", own.to_str().unwrap());
    for (job, kills, weight) in [("device", true, false), ("device-faults", true, true)] {
        let (_, calls) = ci(job, &script, 0);
        assert_eq!(calls.len(), 2, "{calls:?}");
        let (_, flags) = calls[1].split_once(" -- ").unwrap();
        let list = std::process::Command::new(&own).args(flags.split(' ')).arg("--list").output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        let has = |name: &str| list.contains(name);
        assert_eq!((has("device::faults::kills"), has("device::weight::")), (kills, weight), "{job}: {list}");
    }
}

#[test]
fn only_the_tests_that_need_a_device_are_left_out_of_the_job_test() {
    let own = std::env::current_exe().unwrap();
    let (_, calls) = ci("test", &LISTS.replace("SELF", own.to_str().unwrap()), 0);
    let skips: Vec<&String> = calls.iter().filter(|call| call.contains("--skip")).collect();
    assert!(!skips.is_empty() && skips.iter().all(|call| call.contains("--package xtask")), "{calls:?}");
    assert!(skips.iter().all(|call| call.contains("--test it")), "{calls:?}");
    assert!(calls.iter().any(|call| call.contains("--package xtask") && call.contains("--lib --bins")));
}
