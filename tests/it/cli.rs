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
    here(&["build", "--platform", "linux/riscv64"]).expect(3).says("expected linux/amd64 or linux/arm64");
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
