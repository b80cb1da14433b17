//! `render` as a user runs it: stable files, drift, the six differences with their reasons, mistakes in values.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{Ran, command, copy, edit, finish, place, root, run, told};

/// Every file below a folder: path and content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

const PRODUCTION: &str = "target/xedge/rendered/edge.production";

#[test]
fn two_folders_and_two_runs_give_the_same_files_and_digest() {
    let (one, two) = (copy(), copy());
    let first = run(one.path(), &["render"]).expect(0).says(": created");
    let second = run(two.path(), &["render", "--env", "production"]).expect(0);
    assert_eq!(first.stdout, second.stdout);
    let digest = first.stdout.strip_prefix("edge.production@sha256:").unwrap().trim_end();
    assert!(digest.len() == 64 && first.stdout.lines().count() == 1, "{}", first.stdout);

    let rendered = files(&one.path().join(PRODUCTION));
    assert_eq!(rendered, files(&two.path().join(PRODUCTION)));
    let names: Vec<&str> = rendered.keys().map(String::as_str).collect();
    assert_eq!(names, ["compose.yaml", "gateway/gateway.toml", "mosquitto/mosquitto.conf", "rendered.json"]);

    let again = run(one.path(), &["render"]).expect(0).says(": unchanged");
    assert_eq!(again.stdout, first.stdout);
    let out = one.path().join("elsewhere");
    let elsewhere = run(one.path(), &["render", "--out", "elsewhere"]).expect(0);
    assert_eq!((elsewhere.stdout, files(&out)), (first.stdout, rendered));
}

#[test]
fn rendered_json_has_the_digest_of_every_file() {
    let project = copy();
    let stdout = run(project.path(), &["--format", "json", "render"]).expect(0).stdout;
    let record: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let rendered = files(&project.path().join(PRODUCTION));
    let on_disk: serde_json::Value = serde_json::from_slice(&rendered["rendered.json"]).unwrap();
    assert_eq!(record, on_disk);
    let listed = record["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, rendered.len());
    for file in listed {
        let found = xedge_model::Digest::of(&rendered[file["path"].as_str().unwrap()]);
        assert_eq!(file["digest"], found.to_string(), "{file}");
    }
}

#[test]
fn every_value_counts_for_the_digest() {
    let project = copy();
    let before = run(project.path(), &["render"]).expect(0).stdout;
    edit(&project.path().join(VALUES), "memory: 64m", "memory: 65m");
    let after = run(project.path(), &["render"]).expect(0).says(": replaced").stdout;
    assert_ne!(before, after);
}

#[test]
fn check_lists_what_has_changed_and_writes_nothing() {
    let project = copy();
    let check = || run(project.path(), &["render", "--check"]);
    check().expect(3).says("compose.yaml is missing");
    assert!(!project.path().join(PRODUCTION).exists());
    run(project.path(), &["render"]).expect(0);
    check().expect(0);

    let folder = project.path().join(PRODUCTION);
    edit(&folder.join("mosquitto/mosquitto.conf"), "allow_anonymous false", "allow_anonymous true");
    fs::remove_file(folder.join("gateway/gateway.toml")).unwrap();
    fs::write(folder.join("mine.txt"), "somebody's work").unwrap();
    let before = files(&folder);
    check()
        .expect(3)
        .says("mosquitto/mosquitto.conf has changed")
        .says("gateway/gateway.toml is missing")
        .says("mine.txt is not part of it");
    assert_eq!(files(&folder), before);

    run(project.path(), &["render"]).expect(3).says("mine.txt in it is not from rendering").says("hint:");
    assert_eq!(files(&folder), before, "somebody's work was touched");
    fs::remove_file(folder.join("mine.txt")).unwrap();
    run(project.path(), &["render"]).expect(0).says(": replaced");
    check().expect(0);
}

const ASPECTS: [&str; 6] =
    ["Authentication", "Persistence", "Logging", "Restart Policy", "Volumes", "Networking"];

/// Joins what the table has broken into lines of one cell.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The reasons of templates/parity.yaml, in their order.
fn reasons() -> Vec<String> {
    let text = fs::read_to_string(root().join("templates/parity.yaml")).unwrap();
    let reasons = text.lines().filter_map(|line| line.trim().strip_prefix("reason: "));
    reasons.map(str::to_owned).collect()
}

fn diff(project: &Path, before: &[&str]) -> Ran {
    run(project, &[before, &["render", "--env", "production", "--diff", "simulation"]].concat())
}

#[test]
fn the_six_rows_are_printed_with_their_reasons() {
    let project = copy();
    let table = diff(project.path(), &[]).expect(0).stdout;
    let titles: Vec<&str> = table
        .lines()
        .filter_map(|line| ASPECTS.into_iter().find(|aspect| line.starts_with(aspect)))
        .collect();
    assert_eq!(titles, ASPECTS, "{table}");
    assert!(table.starts_with("Aspect          Simulation  "), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    for cell in ["anonymous", "required, password file", "stdout; all types", "unless-stopped", "ephemeral"] {
        assert!(table.contains(cell), "{cell}\n{table}");
    }
    let start = table.find("Reason").unwrap();
    let column: Vec<&str> = table.lines().map(|line| line.get(start..).unwrap_or("")).collect();
    let shown = [flat(&column.join(" ")), flat(&table)].join(" ");
    for reason in reasons() {
        assert!(shown.contains(&reason), "{reason}\n{table}");
    }
    assert!(!project.path().join("target").exists(), "a comparison wrote something");
}

#[test]
fn the_six_rows_are_there_as_json() {
    let project = copy();
    let stdout = diff(project.path(), &["--format", "json"]).expect(0).stdout;
    let table: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&table["from"], &table["to"]), (&"simulation".into(), &"production".into()));
    let rows = table["rows"].as_array().unwrap();
    let found: Vec<&str> = rows.iter().map(|row| row["aspect"].as_str().unwrap()).collect();
    let wanted = ASPECTS.map(|aspect| aspect.to_lowercase().replace(' ', "_"));
    assert_eq!(found, wanted);
    let all = rows.iter().chain(table["extras"].as_array().unwrap());
    let shown: Vec<&str> = all.clone().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(shown, reasons());
    assert!(all.clone().all(|row| !row["differences"].as_array().unwrap().is_empty()), "{table}");
    assert!(rows.iter().all(|row| row["from"] != row["to"]), "{table}");
    assert_eq!(table["unexplained"], serde_json::json!([]));
}

#[test]
fn a_difference_that_nothing_explains_is_named() {
    let project = copy();
    let template = project.path().join(TEMPLATE);
    edit(&template, "max_packet_size {{", "max_keepalive 60\nmax_packet_size {{");
    let place = "mosquitto/mosquitto.conf max_keepalive: not set -> `60`";
    let ran = diff(project.path(), &[]).expect(3).says(place).says("templates/parity.yaml");
    assert!(ran.stdout.contains(place), "{}", ran.stdout);

    edit(&template, "max_keepalive 60\n", "");
    diff(project.path(), &[]).expect(0);
    let compose = project.path().join("templates/stacks/edge/compose.yaml.j2");
    edit(&compose, "    container_name: mosquitto\n", "    container_name: mosquitto\n    user: \"1883\"\n");
    diff(project.path(), &[]).expect(3).says("compose.yaml services.mosquitto.user: not set -> `1883`");
}

#[test]
fn a_reason_for_nothing_is_named() {
    let project = copy();
    let parity = project.path().join("templates/parity.yaml");
    edit(
        &parity,
        "      - compose.yaml services.*.cpus\n",
        "      - compose.yaml services.*.cpus\n      - compose.yaml services.*.init\n",
    );
    diff(project.path(), &[]).expect(3).says("Resource limits at `compose.yaml services.*.init`");
}

#[test]
fn the_broker_image_has_the_rendered_development_configuration() {
    let project = copy();
    run(project.path(), &["render", "--env", "simulation", "--out", "out"]).expect(0);
    let rendered = fs::read_to_string(project.path().join("out/mosquitto/mosquitto.conf")).unwrap();
    let baked = root().join("images/mqtt-broker/rootfs/mosquitto/config/mosquitto.conf");
    assert_eq!(fs::read_to_string(baked).unwrap(), rendered);
}

/// docker-compose 1.29 is what Debian 12 has, and `setup` installs it.
#[test]
fn docker_compose_accepts_the_compose_files() {
    let project = copy();
    for environment in ["production", "simulation"] {
        run(project.path(), &["render", "--env", environment]).expect(0);
        let folder = project.path().join(format!("target/xedge/rendered/edge.{environment}"));
        let output = Command::new("docker-compose")
            .args(["-f", folder.join("compose.yaml").to_str().unwrap(), "config"])
            .output()
            .expect("docker-compose starts: `cargo xtask setup` installs it");
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{environment}:\n{stderr}");
        assert!(!stderr.contains("WARN"), "{environment}:\n{stderr}");
        for service in ["  gateway:\n", "  mosquitto:\n"] {
            assert!(stdout.contains(service), "{environment}:\n{stdout}");
        }
    }
}

#[test]
fn no_secret_is_read_made_or_written_by_rendering() {
    let (project, home) = (copy(), tempfile::tempdir().unwrap());
    let render = || {
        let mut command = command(project.path(), &["render"]);
        command.env("XEDGE_HOME", home.path());
        finish(command).expect(0).stdout
    };
    let before = render();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "rendering made something in the data folder");

    let secrets = home.path().join("secrets/development");
    fs::create_dir_all(&secrets).unwrap();
    for user in ["gateway", "health", "sensor"] {
        fs::write(secrets.join(user), format!("a-password-of-{user}\n")).unwrap();
    }
    fs::remove_dir_all(project.path().join(PRODUCTION)).unwrap();
    assert_eq!(render(), before, "a password is in the digest");
    for (name, bytes) in files(&project.path().join(PRODUCTION)) {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("a-password-of-"), "{name}:\n{text}");
        // mosquitto's mark of a hashed password.
        assert!(!text.contains("$7$") && !text.contains("$6$"), "{name}:\n{text}");
    }
}

const VALUES: &str = "templates/environments/production.yaml";
const TEMPLATE: &str = "templates/services/mosquitto/mosquitto.conf.j2";

/// Changes the production values, and fails unless `render` says what is wrong at this mark of this file.
#[track_caller]
fn value((from, to): (&str, &str), (file, mark): (&str, &str), message: &str, hint: &str) {
    let project = copy();
    edit(&project.path().join(VALUES), from, to);
    let text = fs::read_to_string(project.path().join(file)).unwrap();
    let wanted = told(file, &text, place(&text, mark), message);
    let ran = run(project.path(), &["render"]).expect(3).says(&wanted).says(hint);
    assert_eq!(ran.stdout, "");
    assert!(!project.path().join("target").exists(), "something was written");
}

#[test]
fn a_value_that_is_not_defined_is_named_with_its_place_in_the_template() {
    let message = "`broker.client_expiration` has no value";
    let at = (TEMPLATE, "{{ |broker.client_expiration }}");
    value(
        ("    client_expiration: 7d\n", ""),
        at,
        message,
        "hint: give it in the environment: `broker.client_expiration` is text that matches ",
    );
}

#[test]
fn a_value_that_no_template_uses_is_named() {
    let unused = |name: &str| format!("unknown value, used by no template: `{name}`");
    let mistake = ("  mqtt_port: 1883\n", "  mqtt_port: 1883\n  spare: 1\n");
    value(mistake, (VALUES, "spare: |1"), &unused("spare"), "hint: known here: broker.client_expiration, ");
    let mistake = ("max_packet_size:", "max_paket_size:");
    let near = "hint: did you mean `broker.max_packet_size`?";
    value(mistake, (VALUES, "max_paket_size: |"), &unused("broker.max_paket_size"), near);
}

#[test]
fn a_control_character_in_a_value_is_named() {
    for (escape, name) in [("\\n", "U+000A"), ("\\r", "U+000D"), ("\\0", "U+0000"), ("\\e", "U+001B")] {
        let bad = format!("client_expiration: \"7d{escape}allow_anonymous true\"");
        let message = format!(
            "value `broker.client_expiration` holds the control character {name}, which could add lines to a file"
        );
        value(("client_expiration: 7d", &bad), (VALUES, "client_expiration: |"), &message, "");
    }
}

#[test]
fn a_device_value_stays_a_placeholder_and_its_declaration_is_recorded() {
    let project = copy();
    let stdout = run(project.path(), &["--format", "json", "render"]).expect(0).stdout;
    let record: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let declared: Vec<xedge_model::stack::DeviceValue> =
        serde_json::from_value(record["deviceValues"].clone()).unwrap();
    assert_eq!((declared.len(), declared[0].name.as_str()), (1, "site_id"));
    let gateway = String::from_utf8(files(&project.path().join(PRODUCTION))["gateway/gateway.toml"].clone());
    assert!(gateway.unwrap().contains("upstream = \"upstream/@{site_id}-{id}\"\n"));
}

#[test]
fn a_mistake_with_a_device_value_is_named_with_its_place() {
    let project = copy();
    let mistake = |file: &str, (from, to): (&str, &str), message: &str| {
        let path = project.path().join(file);
        let good = fs::read_to_string(&path).unwrap();
        edit(&path, from, to);
        let ran = run(project.path(), &["render"]).expect(3).says(message);
        assert_eq!(ran.stdout, "");
        fs::write(path, good).unwrap();
        ran
    };
    let (stack, gateway) = ("templates/stacks/edge/stack.yaml", "templates/services/gateway/gateway.toml.j2");
    mistake(stack, ("sample: lab-1", "sample: Lab"), "the sample `Lab` does not fit: it does not match `");
    mistake(stack, ("{0,30}\"", "{0,30\""), "the pattern `[a-z0-9][a-z0-9-]{0,30` is refused: ");
    mistake(gateway, ("device.site_id", "device.site_di"), "hint: did you mean `device.site_id`?");
    mistake(
        gateway,
        ("{{ device.site_id }}-", ""),
        "no template of this stack uses the device value `site_id`",
    );
    mistake(gateway, ("every_s = 5", "every_s = 5 # @{site}"), ":4:15: `@{site}` stands for no device value");
    let compose = "templates/stacks/edge/compose.yaml.j2";
    let name = ("container_name: gateway", "container_name: \"{{ device.site_id }}\"");
    mistake(compose, name, "a device value can only stand in the values of `environment`");
    run(project.path(), &["render"]).expect(0);
}

#[test]
fn what_the_broker_or_compose_would_not_take_is_named() {
    let project = copy();
    edit(&project.path().join(VALUES), "cpus: 0.25", "cpus: a lot");
    run(project.path(), &["render"])
        .expect(3)
        .says("templates/environments/production.yaml:")
        .says("`gateway.cpus` is `a lot`, not a number from 0.05 to 64 (processors)");
    edit(&project.path().join(VALUES), "cpus: a lot", "cpus: 0.25");
    let template = project.path().join(TEMPLATE);
    edit(&template, "max_packet_size {{", "max_packt_size {{");
    run(project.path(), &["render"])
        .expect(3)
        .says("mosquitto 2.0 has no key `max_packt_size`")
        .says("templates/services/mosquitto/mosquitto.conf.j2:21:1, with `broker.max_packet_size` of ")
        .says("hint: did you mean `max_packet_size`?");
}

#[test]
fn drift_is_shown_line_by_line() {
    let project = copy();
    run(project.path(), &["render"]).expect(0);
    let conf = project.path().join(PRODUCTION).join("mosquitto/mosquitto.conf");
    edit(&conf, "allow_anonymous false", "allow_anonymous true");
    run(project.path(), &["render", "--check"])
        .expect(3)
        .says("mosquitto/mosquitto.conf has changed\n--- a/mosquitto/mosquitto.conf\n+++ b/mosquitto/mosquitto.conf\n@@ ")
        .says("\n-allow_anonymous true\n+allow_anonymous false\n");
}

/// Git says what a unified diff is: it makes the one environment's files of the other's.
#[test]
fn a_unified_diff_turns_one_environment_into_the_other() {
    let project = copy();
    for (environment, out) in [("simulation", "from"), ("production", "to")] {
        run(project.path(), &["render", "--env", environment, "--out", out]).expect(0);
        fs::remove_file(project.path().join(out).join("rendered.json")).unwrap();
    }
    let diff = run(project.path(), &["render", "--diff", "simulation", "--unified"]).expect(0).stdout;
    fs::write(project.path().join("diff"), &diff).unwrap();
    let mut git = Command::new("git");
    git.args(["apply", "../diff"]).current_dir(project.path().join("from"));
    let patched = git.env("GIT_CEILING_DIRECTORIES", project.path()).output().expect("git starts");
    assert!(patched.status.success(), "{diff}\n{}", String::from_utf8_lossy(&patched.stderr));
    assert_eq!(files(&project.path().join("from")), files(&project.path().join("to")));
}

#[test]
fn a_class_of_devices_is_rendered_into_a_folder_of_its_own() {
    let project = copy();
    let path = project.path().join(VALUES);
    let text = fs::read_to_string(&path).unwrap();
    let classes = "classes:\n  pi-sd:\n    values: {broker: {save_every_s: 30}}\n";
    fs::write(&path, format!("{text}{classes}")).unwrap();
    let stdout = run(project.path(), &["render", "--class", "pi-sd"]).expect(0).stdout;
    assert!(stdout.starts_with("edge.production--pi-sd@sha256:"), "{stdout}");
    assert_eq!(run(project.path(), &["render", "--env", "production--pi-sd"]).expect(0).stdout, stdout);
    let conf = project.path().join("target/xedge/rendered/edge.production--pi-sd/mosquitto/mosquitto.conf");
    assert!(fs::read_to_string(conf).unwrap().contains("autosave_interval 30\n"));
    run(project.path(), &["render", "--class", "pi-ds"]).expect(3).says("hint: did you mean `pi-sd`?");
    fs::write(&path, format!("{text}{}", classes.replace("30", "3000"))).unwrap();
    // Also where it is not rendered for.
    run(project.path(), &["render"])
        .expect(3)
        .says("`broker.save_every_s` is 3000, not a whole number from 1 to 1800");
}
