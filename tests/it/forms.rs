//! The forms of `render --as`, in the hands of what reads them: a shell, the Engine, docker-compose, Podman.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use camino::Utf8Path;
use serde_json::Value;
use tempfile::TempDir;
use xedge_config::outputs::{Form, backup, output};

use super::support::{copy, root, run};

/// Containers, volumes, networks and the image of one test, gone when it ends.
struct Objects {
    prefix: String,
    folder: TempDir,
}

impl Objects {
    /// An image that holds nothing: containers are only created, and copied from and to.
    fn new(test: &str) -> Self {
        let prefix = format!("xf{}{test}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        sh(
            folder.path(),
            &format!("tar -c --files-from /dev/null | docker import --change 'CMD [\"/none\"]' - {prefix}"),
        );
        Self { prefix, folder }
    }

    /// A text in which names are this test's own, and images the empty one.
    fn own(&self, text: &str) -> String {
        let prefix = &self.prefix;
        let mut text = text.to_owned();
        for image in ["xedgesim/mosquitto:latest", "xedgesim/gateway:latest"] {
            text = text.replace(image, prefix);
        }
        text.replace("edge_", &format!("{prefix}_"))
            .replace("--name=", &format!("--name={prefix}-"))
            .replace("container_name: ", &format!("container_name: {prefix}-"))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let prefix = &self.prefix;
        let list = format!(
            "docker ps --all --quiet --filter name={prefix} | xargs --no-run-if-empty docker rm --force --volumes;
             docker volume ls --quiet --filter name={prefix} | xargs --no-run-if-empty docker volume rm;
             docker network ls --quiet --filter name={prefix} | xargs --no-run-if-empty docker network rm;
             docker image rm {prefix}"
        );
        let _ = Command::new("sh").args(["-c", &list]).stdout(Stdio::null()).status();
    }
}

/// Runs a line of a shell, which must work; its stdout.
fn sh(folder: &Path, line: &str) -> String {
    let output = Command::new("sh").args(["-euc", line]).current_dir(folder).output().expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{}{stderr}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// The production stack in a form, below the folder.
fn made(folder: &Path, form: &str) -> PathBuf {
    let out = folder.join(form);
    let project = copy();
    let out_text = out.to_str().unwrap();
    run(project.path(), &["render", "--as", form, "--set", "site_id=plant-7", "--out", out_text]).expect(0);
    let toml = fs::read_to_string(out.join("edge/gateway/gateway.toml")).unwrap();
    assert!(toml.contains("\"upstream/plant-7-{id}\""), "{toml}");
    fs::create_dir(out.join("secrets")).unwrap();
    for name in ["mosquitto-passwd", "mosquitto_sub", "gateway-password"] {
        fs::write(out.join("secrets").join(name), "x").unwrap();
    }
    out
}

/// What the Engine will do with a container, but for what has the folder's or the project's name in it.
fn inspected(folder: &Path, container: &str) -> Value {
    let text = sh(folder, &format!("docker inspect {container}"));
    let all: Value = serde_json::from_str(&text).unwrap();
    let host = &all[0]["HostConfig"];
    let mut mounts: Vec<String> = all[0]["Mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| format!("{} {} {}", mount["Type"], mount["Destination"], mount["RW"]))
        .collect();
    mounts.sort();
    let mut wanted =
        serde_json::json!({"mounts": mounts, "env": all[0]["Config"]["Env"], "cmd": all[0]["Config"]["Cmd"]});
    for key in [
        "Memory",
        "NanoCpus",
        "PidsLimit",
        "ReadonlyRootfs",
        "CapDrop",
        "CapAdd",
        "RestartPolicy",
        "LogConfig",
        "PortBindings",
        "Init",
        "Privileged",
    ] {
        wanted[key] = host[key].clone();
    }
    // Compose writes `no-new-privileges:true`, which means the same.
    let options = host["SecurityOpt"].as_array().unwrap();
    let option = |option: &Value| option.as_str().unwrap().trim_end_matches(":true").to_owned();
    wanted["SecurityOpt"] = options.iter().map(option).collect();
    wanted["StopTimeout"] = all[0]["Config"]["StopTimeout"].clone();
    wanted
}

/// Two ways to the same containers: a shell that runs the script, and docker-compose that reads its file.
#[test]
fn the_script_makes_the_containers_that_docker_compose_makes() {
    let objects = Objects::new("a");
    let folder = objects.folder.path();
    let script = made(folder, "run").join("edge/run.sh");
    // Nothing can run in an empty image, so that containers are created only.
    let text =
        objects.own(&fs::read_to_string(&script).unwrap()).replace("docker run --detach", "docker create");
    fs::write(&script, text).unwrap();
    assert!(!script.with_file_name("compose.yaml").exists());
    sh(folder, "sh run/edge/run.sh");
    let of = |name: &str| inspected(folder, &format!("{}-{name}", objects.prefix));
    let by_script = (of("mosquitto"), of("gateway"));
    assert_eq!(by_script.0["Memory"], 160 << 20);
    sh(folder, &format!("docker rm {0}-mosquitto {0}-gateway", objects.prefix));

    let compose = made(folder, "compose").join("edge/compose.yaml");
    fs::write(&compose, objects.own(&fs::read_to_string(&compose).unwrap())).unwrap();
    sh(
        folder,
        &format!(
            "docker network rm {0}_edge >/dev/null; docker-compose -p {0} -f compose/edge/compose.yaml up --no-start",
            objects.prefix
        ),
    );
    assert_eq!(of("mosquitto"), by_script.0);
    assert_eq!(of("gateway"), by_script.1);
}

/// Every line of the runbook's backup and restore, typed.
#[test]
fn what_a_volume_holds_comes_back() {
    let objects = Objects::new("b");
    let (prefix, folder) = (&objects.prefix, objects.folder.path());
    made(folder, "compose");
    fs::rename(folder.join("compose/edge"), folder.join(prefix)).unwrap();
    fs::rename(folder.join("compose/secrets"), folder.join("secrets")).unwrap();
    let file = folder.join(prefix).join("compose.yaml");
    fs::write(&file, objects.own(&fs::read_to_string(&file).unwrap())).unwrap();
    let up = format!("docker-compose -p {prefix} -f {prefix}/compose.yaml up --no-start");
    sh(folder, &up);
    let broker = format!("{prefix}-mosquitto");
    sh(
        folder,
        &format!(
            "mkdir d; echo kept > d/mosquitto.db; chmod 0600 d/mosquitto.db; tar -c -C d --owner 1883 --group 1883 . | docker cp - {broker}:/mosquitto/data"
        ),
    );

    let compose = fs::read_to_string(&file).unwrap();
    let compose =
        xedge_model::compose::Compose::parse(&xedge_model::yaml::Source::new("compose.yaml", compose))
            .unwrap();
    let lines = backup(prefix, &compose);
    // The empty image cannot run; docker-compose is the older tool's name.
    let typed = |line: &String| {
        let line = line.replace("docker compose --project-name", "docker-compose -p").replace("--file", "-f");
        if line.starts_with("docker start") {
            line + " || true"
        } else {
            line.replace("up --detach", "up --no-start")
        }
    };
    for line in lines.save.iter().map(typed) {
        sh(folder, &line);
    }
    let listed = || sh(folder, &format!("docker cp {broker}:/mosquitto/data/. - | tar -tv --numeric-owner"));
    let before = listed();
    assert!(before.contains("-rw------- 1883/1883") && before.contains("mosquitto.db"), "{before}");
    sh(
        folder,
        &format!(
            "echo lost > d/mosquitto.db; echo more > d/other; tar -c -C d . | docker cp - {broker}:/mosquitto/data"
        ),
    );
    assert!(listed().contains("other"));
    for line in lines.restore.iter().map(typed) {
        sh(folder, &line);
    }
    assert_eq!(listed(), before);
    assert_eq!(sh(folder, &format!("docker cp {broker}:/mosquitto/data/mosquitto.db - | tar -xO")), "kept\n");
}

/// Debian 12's Podman is 4.3, which has no generator yet: that it knows every flag, it can say.
#[test]
fn podman_knows_every_flag_of_the_units() {
    let help = sh(&root(), "podman create --help");
    let templates = Utf8Path::from_path(&root()).unwrap().join("templates");
    let rendered = xedge_config::render(&templates, "edge", "production").unwrap();
    let units = output(Form::Quadlet, "edge", rendered.compose(), Utf8Path::new("/etc/xedge/edge"));
    let args = units
        .files
        .iter()
        .flat_map(|file| file.text.lines())
        .filter_map(|line| line.strip_prefix("PodmanArgs="));
    let flags: Vec<&str> = args.map(|arg| arg.trim_matches('"').split('=').next().unwrap()).collect();
    assert!(flags.len() > 5, "{flags:?}");
    for flag in flags {
        assert!(help.lines().any(|line| line.split_whitespace().any(|word| word == flag)), "{flag}");
    }
}

#[test]
fn units_lie_beside_the_configuration_that_they_mount() {
    let folder = tempfile::tempdir().unwrap();
    let out = made(folder.path(), "quadlet");
    let mut names: Vec<String> = fs::read_dir(out.join("quadlet"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "edge-edge.network",
            "edge-gateway.container",
            "edge-mosquitto-data.volume",
            "edge-mosquitto-log.volume",
            "edge-mosquitto.container"
        ]
    );
    assert!(out.join("edge/mosquitto/mosquitto.conf").exists() && !out.join("edge/compose.yaml").exists());
    let project = copy();
    let again = ["render", "--as", "quadlet", "--set", "site_id=x", "--out", out.to_str().unwrap()];
    run(project.path(), &again).expect(3).says("it is there already");
    let lacking = folder.path().join("lacking");
    run(project.path(), &["render", "--as", "run", "--out", lacking.to_str().unwrap()])
        .expect(3)
        .says("site_id");
    assert!(!lacking.exists(), "nothing is written");
}
