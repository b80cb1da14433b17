//! Secrets of an imported file, wherever they stand: none comes into the project in clear.

use std::fs;

use super::{Trial, everything};

/// What is written into the project holds none of these.
fn assert_hidden(trial: &Trial, secrets: &[&str]) {
    for (path, content) in everything(&trial.project()) {
        for secret in secrets {
            assert!(!String::from_utf8_lossy(&content).contains(secret), "{} in {}", secret, path.display());
        }
    }
}

/// The report of an import that works, which is on stdout.
#[track_caller]
fn assert_said(trial: &Trial, words: &str) {
    let ran = trial.import(&[]).expect(0);
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
}

#[test]
fn a_secret_in_a_command_or_label_is_not_taken() {
    let text = "services:\n  app:\n    image: a/b:1\n    command: [serve, --pw, \"${ADMIN_PASSWORD}\"]\n    \
                labels: {pw: \"${ADMIN_PASSWORD}\"}\n    environment: {B_TOKEN: abc12, R_PW: 's3\"cr3t-x'}\n  \
                redis:\n    image: c/d:1\n    command: [redis-server, 's3\"cr3t-x']\n  \
                other:\n    image: e/f:1\n    command: [--token=abc12]\n  \
                last:\n    image: g/h:1\n    command: [\"${X_TOKEN:-D3faultx}\"]\n";
    let trial = Trial::of(text);
    fs::write(trial.theirs().join(".env"), "ADMIN_PASSWORD=hunter2hunter2\n").unwrap();
    let before = everything(&trial.project());
    let ran = trial.import(&[]).expect(3).says("5 of its keys are not supported");
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(everything(&trial.project()), before);
    let keys = ["app.command", "app.labels", "redis.command", "other.command", "last.command"];
    let flags: Vec<String> = keys.iter().map(|key| format!("--without=services.{key}")).collect();
    trial.import(&flags.iter().map(String::as_str).collect::<Vec<_>>()).expect(0);
    assert_hidden(&trial, &["hunter2hunter2", "abc12", "cr3t-x", "D3faultx"]);
}

#[test]
fn a_secret_in_a_mounted_file_becomes_a_device_value_there_too() {
    let text = "services:\n  app:\n    image: a/b:1\n    environment: {DB_PASSWORD: hunter2hunter2}\n    \
                volumes: [\"./app.ini:/app.ini:ro\"]\n";
    let trial = Trial::of(text);
    fs::write(trial.theirs().join("app.ini"), "password = hunter2hunter2\n").unwrap();
    assert_said(&trial, "app.ini holds a secret");
    assert_hidden(&trial, &["hunter2hunter2"]);
    let file = trial.project().join("templates/services/stack/app.ini.j2");
    assert_eq!(fs::read_to_string(file).unwrap(), "password = {{ device.db_password }}\n");
}

#[test]
fn an_ordinary_word_that_is_a_password_stays_what_it_means_elsewhere() {
    let text = "services:\n  db:\n    image: postgres:16\n    environment: {POSTGRES_USER: postgres, \
                POSTGRES_PASSWORD: postgres, KC_DB_HOST: postgres, KC_DB_URL: \"jdbc:postgresql://db:5432/postgres\"}\n";
    let trial = Trial::of(text);
    assert_said(&trial, "is an ordinary word, and it stands here as well");
    let compose = trial.project().join("templates/stacks/stack/compose.yaml.j2");
    let compose = fs::read_to_string(compose).unwrap();
    for line in [
        "POSTGRES_USER: postgres\n",
        "KC_DB_HOST: postgres\n",
        "KC_DB_URL: \"jdbc:postgresql://db:5432/postgres\"",
        "POSTGRES_PASSWORD: \"{{ device.postgres_password }}\"",
    ] {
        assert!(compose.contains(line), "{line}: {compose}");
    }
}

#[test]
fn secrets_of_a_context_from_outside_stay_there() {
    let trial = Trial::of("services:\n  app:\n    build: .\n");
    let theirs = trial.theirs();
    fs::write(theirs.join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
    fs::write(theirs.join("main.py"), "print()\n").unwrap();
    fs::write(theirs.join(".env"), "DB_PASSWORD=hunter2hunter2\n").unwrap();
    fs::write(theirs.join("id_rsa"), "hunter2hunter2\n").unwrap();
    assert_said(&trial, "`id_rsa` of the context looks like a secret");
    assert_hidden(&trial, &["hunter2hunter2"]);
    assert!(trial.project().join("images/app/main.py").is_file());
}

#[test]
fn links_in_templates_do_not_stand_in_the_way_and_nothing_stays_beside() {
    let trial = Trial::new("home", "compose.yaml");
    let templates = trial.project().join("templates");
    std::os::unix::fs::symlink("parity.yaml", templates.join("link.j2")).unwrap();
    trial.import(&[]).expect(0);
    let left = fs::read_dir(trial.project().join("target/xedge/import")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn messages_name_variables_and_not_their_values() {
    let trial = Trial::of("services:\n  app:\n    image: a/b:1\n    mem_limit: ${MEM}\n");
    fs::write(trial.theirs().join(".env"), "MEM=supersecret-1\n").unwrap();
    let ran = trial.import(&[]).expect(3).says("`$MEM` is not a size");
    assert!(!ran.stderr.contains("supersecret"), "{}", ran.stderr);
}

#[test]
fn numbers_that_yaml_reads_in_two_ways_need_a_decision() {
    let trial =
        Trial::of("services:\n  app:\n    image: a/b:1\n    environment: {UMASK: 022, TZ: \"022\"}\n");
    let report = trial.report(&[]);
    let decisions = report["decisions"].as_array().unwrap();
    let paths: Vec<&str> = decisions.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["services.app.environment.UMASK"]);
}
