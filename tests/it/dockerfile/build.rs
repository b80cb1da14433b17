//! What the Engine builds, and when it is asked at all.

use super::{Bench, architecture, docker, paths, unique};
use crate::support::edit;

const APP: &str = "\
# The name of an image of the project, with a tag.
FROM base:1 AS first
ARG WORD=default
LABEL word=$WORD
COPY . /app/
FROM scratch AS second
COPY --from=base /etc/base /copied
COPY --from=first /app/kept /kept
CMD [\"/kept\"]
";

/// A project with an image of files and one from a Dockerfile on top of it, for both platforms.
fn project(word: &str) -> Bench {
    let bench = Bench::empty();
    bench.assembled("base");
    // One project's images are removed while another's are built: they must not share steps in the Engine.
    bench.write("images/base/rootfs/etc/base", &format!("base of {}", unique(word)));
    bench.write("images/app/image.yaml", &definition("first"));
    bench.write("images/app/Dockerfile", APP);
    bench.write("images/app/.dockerignore", "*.secret\n!open.secret\nDockerfile\n");
    for name in ["kept", "a.secret", "open.secret"] {
        bench.write(&format!("images/app/{name}"), name);
    }
    bench
}

fn definition(target: &str) -> String {
    format!(
        "format: 1\nname: app\nplatforms: [linux/amd64, linux/arm64]\nfrom:\n  dockerfile:\n    target: {target}\n    \
         args: {{WORD: given}}\n"
    )
}

#[test]
fn a_dockerfile_stands_on_an_image_of_the_project_for_every_platform() {
    let bench = project("stands");
    let ran = bench.run(&["build", "app"]).expect(0).says("app linux/arm64: not reproducible: created 20");
    let base = bench.alone(&["build", "base"]).expect(0).stdout;
    let layout = bench.layout();
    for architecture in ["amd64", "arm64"] {
        let (manifest, config) = bench.built(&ran.stdout, "app", architecture);
        assert_eq!(config["architecture"], architecture);
        assert_eq!(
            (&config["config"]["Labels"]["word"], &config["config"]["User"]),
            (&"given".into(), &"7".into())
        );
        // The base's layer is the very blob of the base: it is stored and pushed once.
        let (base, _) = bench.built(&base, "base", architecture);
        assert_eq!(manifest["layers"][0], base["layers"][0]);
        let mut found = paths(&layout, &manifest["layers"][1]);
        found.sort();
        assert_eq!(found, ["app", "app/kept", "app/open.secret"]);
        let notes = &manifest["annotations"];
        assert_eq!(notes["org.xedge.reproducible"], "false");
        assert!(notes["org.xedge.leaks"].as_str().unwrap().contains("created 20"), "{notes}");
    }
    let shown = bench.alone(&["image", "inspect", "app"]).expect(0).stdout;
    assert!(
        shown.contains("\"reproducible\": false") && shown.contains("\"leaks\": \"created 20"),
        "{shown}"
    );

    bench.write("images/app/image.yaml", &definition("second"));
    let second = bench.run(&["build", "app"]).expect(0).stdout;
    for architecture in ["amd64", "arm64"] {
        let (manifest, config) = bench.built(&second, "app", architecture);
        assert_eq!(
            (&config["architecture"], &config["config"]["Cmd"][0]),
            (&architecture.into(), &"/kept".into())
        );
        let found: Vec<String> =
            manifest["layers"].as_array().unwrap().iter().flat_map(|layer| paths(&layout, layer)).collect();
        assert_eq!(found, ["copied", "kept"]);
    }
}

#[test]
fn an_unchanged_image_keeps_its_digest_and_asks_no_engine() {
    let bench = project("same");
    let first = bench.run(&["build", "app"]).expect(0).stdout;
    assert_eq!(bench.alone(&["build", "app"]).expect(0).stdout, first);
    // Neither what is ignored nor a comment in image.yaml is part of the image.
    bench.write("images/app/a.secret", "changed");
    edit(&bench.path("images/app/image.yaml"), "format: 1", "# a comment\nformat: 1");
    assert_eq!(bench.alone(&["build", "app"]).expect(0).stdout, first);
    let changes: [(&str, &str, &str); 4] = [
        ("images/app/kept", "kept", "changed"),
        ("images/app/Dockerfile", "CMD", "ENTRYPOINT"),
        ("images/app/image.yaml", "given", "other"),
        ("images/base/rootfs/etc/base", "base", "changed"),
    ];
    for (file, from, to) in changes {
        edit(&bench.path(file), from, to);
        bench.alone(&["build", "app"]).expect(1).says("failed to reach a Docker Engine");
        edit(&bench.path(file), to, from);
        assert_eq!(bench.alone(&["build", "app"]).expect(0).stdout, first, "{file}");
    }
    bench.alone(&["image", "inspect", "app"]).expect(0);
}

#[test]
fn settings_of_image_yaml_stand_over_those_of_the_dockerfile() {
    let bench = Bench::empty();
    bench.dockerfile("set", "FROM scratch\nCOPY x /x\nENV A=1 B=2\nSTOPSIGNAL SIGINT\nCMD [\"/x\"]\n");
    bench.write("images/set/x", &unique("set"));
    bench
        .definition("set", "from: dockerfile\nconfig: {entrypoint: [/y], env: {B: \"3\"}, labels: {a: b}}\n");
    let stdout = bench.run(&["build", "set"]).expect(0).stdout;
    let (_, config) = bench.built(&stdout, "set", architecture());
    let run = &config["config"];
    assert_eq!(
        (&run["Entrypoint"][0], &run["Cmd"], &run["StopSignal"]),
        (&"/y".into(), &serde_json::Value::Null, &"SIGINT".into())
    );
    let env: Vec<&str> = run["Env"].as_array().unwrap().iter().filter_map(|line| line.as_str()).collect();
    assert!(env.contains(&"A=1") && env.contains(&"B=3") && !env.contains(&"B=2"), "{env:?}");
    assert_eq!(
        (&run["Labels"]["a"], &config["history"][0]["empty_layer"]),
        (&"b".into(), &serde_json::Value::Null)
    );
}

/// A program of the broker image runs for both platforms; what it says is shown when it fails.
#[test]
fn steps_run_emulated_too_and_a_failing_one_is_told_with_its_last_lines() {
    let bench = Bench::with_broker();
    let run = |argument: &str| {
        format!(
            "FROM xedgesim/mosquitto\nRUN [\"/usr/bin/mosquitto_passwd\", \"-b\", \"{argument}\", \"/mosquitto/data/{}\", \"a\", \"b\"]\n",
            unique("p")
        )
    };
    bench.write("images/run/Dockerfile", &run("-c"));
    let yaml = "format: 1\nname: run\nplatforms: [linux/amd64, linux/arm64]\nfrom: dockerfile\n";
    bench.write("images/run/image.yaml", yaml);
    let built = bench.run(&["build", "run"]).expect(0).stdout;
    for architecture in ["amd64", "arm64"] {
        let (manifest, _) = bench.built(&built, "run", architecture);
        let last = manifest["layers"].as_array().unwrap().last().unwrap().clone();
        let file = format!("mosquitto/data/{}", unique("p"));
        assert!(paths(&bench.layout(), &last).contains(&file), "{architecture}");
    }
    bench.write("images/run/Dockerfile", &run("--nonsense"));
    let ran = bench.classic(&["build", "run"]).expect(3);
    let ran = ran.says("failed to build run for linux/amd64: images/run/Dockerfile: Step 2/2 : RUN ");
    let ran = ran.says("returned a non-zero code: 1").says("\n  | ").says("hint: mend that step");
    assert_eq!(ran.stdout, "");
    // The image from before is still there, and no container of the failed step is.
    bench.alone(&["image", "inspect", "run"]).expect(0);
    let all = docker(&["ps", "--all", "--no-trunc", "--format", "{{.Command}}"]).unwrap();
    assert!(!all.contains(&unique("p")), "{all}");
}
