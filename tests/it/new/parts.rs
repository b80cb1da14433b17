//! `new image|scenario|stack` in a project: what they write passes the checks of the other commands.

use std::fs;

use super::super::support::{copy, edit, run};
use super::made;

#[test]
fn images_of_each_kind_are_read_back_by_the_project() {
    let (_folder, project) = made();
    let image = |name: &str| fs::read_to_string(project.join(format!("images/{name}/image.yaml"))).unwrap();
    let reference = format!("eclipse-mosquitto@sha256:{}", "0".repeat(64));
    run(&project, &["new", "image", "base", "--from", &reference]).expect(0);
    assert!(image("base").contains(&format!("from: \"{reference}\"\n")), "{}", image("base"));
    assert!(image("base").contains("name: my-gateway/base\n"), "named like the project's other images");

    fs::create_dir(project.join("src")).unwrap();
    fs::write(project.join("src/Dockerfile"), "FROM scratch\nEXPOSE 80\n").unwrap();
    run(&project, &["new", "image", "web", "--dockerfile", "src"]).expect(0);
    assert!(
        image("web").contains("dockerfile: {context: \"../../src\", file: \"Dockerfile\"}"),
        "{}",
        image("web")
    );
    fs::create_dir_all(project.join("images/own")).unwrap();
    fs::write(project.join("images/own/Dockerfile"), "FROM scratch\n").unwrap();
    run(&project, &["new", "image", "own"]).expect(0);
    assert!(image("own").contains("from: dockerfile\n"), "{}", image("own"));

    let debian =
        ["new", "image", "tool", "--debian", "busybox", "--entrypoint", "/bin/busybox", "sleep", "-1"];
    let ran = run(&project, &debian).expect(0);
    assert_eq!(ran.stdout, "images/tool/image.yaml\n");
    assert!(image("tool").contains("entrypoint: [\"/bin/busybox\", \"sleep\", \"-1\"]"), "{}", image("tool"));
    run(&project, &["new", "image", "guess", "--debian", "busybox"])
        .expect(0)
        .says("/usr/bin/busybox is a guess");
    let ran = run(&project, &["build", "tool"]).expect(0);
    assert!(ran.stdout.starts_with("my-gateway/tool@sha256:"), "{}", ran.stdout);
}

#[test]
fn a_stack_brings_its_scenario_and_renders() {
    let (_folder, project) = made();
    let ran = run(&project, &["new", "stack", "second", "--service", "broker"]).expect(0);
    let files = [
        "scenarios/second_smoke.yaml",
        "templates/stacks/second/compose.yaml.j2",
        "templates/stacks/second/stack.yaml",
    ];
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), files);
    run(&project, &["new", "scenario", "again", "--stack", "second"]).expect(0);
    run(&project, &["sim", "validate", "scenarios/second_smoke.yaml", "scenarios/again.yaml"]).expect(0);
    run(&project, &["render", "--stack", "second"]).expect(0);
    let compose = project.join("target/xedge/rendered/second.production/compose.yaml");
    let compose = fs::read_to_string(compose).unwrap();
    assert!(compose.contains("1883:1883") && compose.contains("my-gateway/broker:latest"), "{compose}");
    run(&project, &["sim", "second_smoke", "--duration", "2s"]).expect(0);
}

#[test]
fn what_cannot_be_added_is_refused_and_nothing_is_written() {
    let project = copy();
    let new = |arguments: &[&str]| run(project.path(), &[&["new"], arguments].concat()).expect(3);
    new(&["image", "gateway", "--debian", "busybox"])
        .says("this file is already there: images/gateway/image.yaml");
    new(&["image", "x"]).says("nothing says what it is made of").says("--dockerfile FOLDER");
    new(&["image", "x", "--dockerfile", "images"]).says("there is no").says("images/Dockerfile");
    new(&["image", "x", "--dockerfile", "nowhere"]).says("failed to read");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    new(&["image", "x", "--dockerfile", outside.path().to_str().unwrap()]).says("is outside of the project");
    new(&["image", "X", "--from", "a"]).says("lower-case letters");
    new(&["image", "../x", "--from", "a"]).says("lower-case letters");
    new(&["image", "x", "--from", "a", "--debian", "b"]).says("cannot be used with");
    new(&["stack", "x"]).says("a stack needs a service").says("gateway, mqtt-broker");
    new(&["stack", "x", "--service", "gatewya"]).says("did you mean `gateway`?");
    new(&["stack", "edge", "--service", "gateway"]).says("templates/stacks/edge/stack.yaml");
    new(&["scenario", "gateway", "--stack", "edge"]).says("scenarios/gateway.yaml");
    new(&["scenario", "x", "--stack", "egde"]).says("there is no stack `egde`, only edge");
    fs::create_dir_all(project.path().join("templates/stacks/other")).unwrap();
    edit(&project.path().join("scenarios/gateway.yaml"), "seed: 7", "seed: 8");
    new(&["scenario", "x"]).says("there are several stacks: edge, other");
    for left in ["images/x", "scenarios/x.yaml", "templates/stacks/x"] {
        assert!(!project.path().join(left).exists(), "{left}");
    }
}
