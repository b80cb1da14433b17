//! Compose files with mistakes in them: class 3, the place, what to do, and nothing written.

use std::fs;

use super::{Trial, everything};
use crate::support::place;

/// A file that is fine, to put mistakes into.
const GOOD: &str = "\
services:
  web:
    image: nginx:1.25
    ports: [\"8080:80\"]
    environment: {LEVEL: info}
    volumes: [\"data:/data\"]
    networks: [front]
  db:
    image: postgres:16
networks: {front: }
volumes: {data: }
";

/// The import of GOOD with `from` replaced; the message stands at `|` in `to`, and nothing is written.
#[track_caller]
fn refused(from: &str, to: &str, message: &str) -> super::Ran {
    let text = GOOD.replacen(from, &to.replace('|', ""), 1);
    assert_ne!(text, GOOD, "`{from}` is not in it");
    let trial = Trial::of(&text);
    let before = everything(&trial.project());
    let ran = trial.import(&[]).expect(3);
    let (line, column) = place(&text, to);
    let ran = ran.says(&format!("compose.yaml:{line}:{column}: {message}")).says("hint: ");
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert_eq!(everything(&trial.project()), before);
    ran
}

#[test]
fn unknown_keys_have_a_place_and_a_near_name() {
    refused("ports:", "|prots:", "unknown key `prots`").says("did you mean `ports`?");
    // Nothing stands behind it, and still it is no key.
    refused("ports: [\"8080:80\"]", "|prots:", "unknown key `prots`");
    refused("networks: {front: }", "|network: {front: }", "unknown key `network`")
        .says("did you mean `networks`?");
    refused("front: }", "front: {|intern: true}}", "unknown key `intern`").says("did you mean `internal`?");
    let check = "image: postgres:16\n    healthcheck: {|intervall: 5s}";
    refused("image: postgres:16", check, "unknown key `intervall`").says("did you mean `interval`?");
}

#[test]
fn names_that_are_not_declared_have_a_place_and_a_near_name() {
    refused("[front]", "[|frnt]", "unknown network `frnt`").says("did you mean `front`?");
    refused("[\"data:/data\"]", "[|\"date:/data\"]", "unknown volume `date`").says("did you mean `data`?");
    let on = "image: postgres:16\n    depends_on: [|wbe]";
    refused("image: postgres:16", on, "unknown service `wbe`").says("did you mean `web`?");
    refused("  db:", "  |WEB:", "`WEB` and `web` differ in upper and lower case only");
}

#[test]
fn services_must_not_wait_for_each_other() {
    let text = GOOD.replace("image: postgres:16", "image: postgres:16\n    depends_on: [web]").replace(
        "image: nginx:1.25",
        "image: nginx:1.25\n    depends_on: {db: {condition: service_healthy}}",
    );
    let trial = Trial::of(&text);
    let before = everything(&trial.project());
    trial
        .import(&[])
        .expect(3)
        .says("compose.yaml:11:17: services depend on each other in a circle: db, web");
    assert_eq!(everything(&trial.project()), before);
}

#[test]
fn values_that_cannot_be_have_a_place() {
    let refuse = |from: &str, to: &str, message: &str| {
        let text = GOOD.replacen(from, &to.replace('|', ""), 1);
        let trial = Trial::of(&text);
        let (line, column) = place(&text, to);
        trial.import(&[]).expect(3).says(&format!("compose.yaml:{line}:{column}: {message}"));
    };
    for port in ["70000:80", "0:80", "8080:80/sctp", "8000-8010:80", "x:80"] {
        refuse("[\"8080:80\"]", &format!("[|\"{port}\"]"), &format!("`{port}` is not a port mapping"));
    }
    refuse("image: postgres:16", "image: |Postgres:16", "`Postgres:16` is not an image");
    for key in ["networks", "depends_on", "healthcheck", "logging", "deploy", "labels", "environment"] {
        refuse("image: postgres:16", &format!("image: p\n    {key}: |web"), "expected a");
    }
    refuse("networks: {front: }", "networks: |[back]", "expected a map");
    let twice = "image: p\n    mem_limit: 1g\n    deploy: {resources: {limits: {|memory: 2g}}}";
    refuse("image: postgres:16", twice, "`mem_limit` and its long form say the same twice");
    refuse("image: postgres:16", "image: p\n    cap_add: |ALL", "expected a list");
    refuse("image: postgres:16", "image: p\n    labels: {a: |{b: c}}", "expected text");
    refuse("image: postgres:16", "image: p\n    mem_limit: |12q", "`12q` is not a size");
    refuse("image: postgres:16", "image: p\n    mem_limit: |1m", "`1m` is less than the 6m");
    refuse("image: postgres:16", "image: p\n    stop_grace_period: |10", "`10` is not a length of time");
    refuse("image: postgres:16", "image: p\n    restart: |sometimes", "`sometimes` is not a restart policy");
    refuse("image: postgres:16", "image: p\n    devices: [|ttyUSB0]", "`ttyUSB0` is not a device");
    refuse("  db:\n    image: postgres:16", "  db: |{}", "the service `db` has neither `image` nor `build`");
    refuse("image: postgres:16", "image: |\"p:${TAG\"", "`${` has no `}`");
    refuse(
        "image: postgres:16",
        "image: |\"p:${TAG:?which}\"",
        "the variable `TAG` is not set, and the file demands it: which",
    );
}

#[test]
fn files_that_are_not_there_have_a_place() {
    let db = "image: postgres:16";
    refused(db, "image: postgres:16\n    env_file: |db.env", "the file `db.env` is not there");
    refused(
        db,
        "image: p\n    volumes: [|\"./db.conf:/db.conf:ro\"]",
        "the bind mount's source `./db.conf` is not there",
    );
    refused(db, "image: p\n    build: |./db", "there is no `Dockerfile` in the build's context `./db`");
    let trial = Trial::of(GOOD);
    fs::write(trial.theirs().join(".env"), "A=1\nB: hunter2\n").unwrap();
    let ran = trial.import(&[]).expect(3).says(".env:2:1: expected NAME=value");
    assert!(!ran.stderr.contains("hunter2"), "a line of such a file may be a secret");
    trial.import(&["--env-file", "none.env"]).expect(3).says("none.env");
}

#[test]
fn what_unfolds_without_end_is_refused() {
    let mut text = "x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        text = format!("{text}x-{n}: &a{n} [{items}]\n");
    }
    let trial = Trial::of(&format!("{text}{GOOD}"));
    trial.import(&[]).expect(3).says("compose.yaml:");
    Trial::of("services: &a\n  web: *a\n").import(&[]).expect(3).says("compose.yaml:");
    Trial::of(&GOOD.replace("LEVEL: info", "LEVEL: a, LEVEL: b"))
        .import(&[])
        .expect(3)
        .says("duplicate key `LEVEL`");
    Trial::of("").import(&[]).expect(3);
    Trial::of("- a\n").import(&[]).expect(3).says("`services` is missing or empty");
}

#[test]
fn what_is_not_supported_is_listed_and_must_be_left_out_by_name() {
    let more = "image: postgres:16\n    privileged: true\n    pid: host\n    deploy: {replicas: 2}";
    let trial =
        Trial::of(&GOOD.replace("image: postgres:16", more).replace("front: }", "front: {ipam: {}}}"));
    let before = everything(&trial.project());
    let ran = trial.import(&[]).expect(3).says("4 of its keys are not supported; nothing was written");
    let ran = ran.says("--without networks.front.ipam --without services.db.deploy.replicas");
    let unsupported = ran.stdout.split("Not supported").nth(1).unwrap();
    for line in [
        "services.db.privileged (../theirs/compose.yaml:10): a privileged container is root",
        "services.db.pid (../theirs/compose.yaml:11): sharing processes",
        "services.db.deploy.replicas (../theirs/compose.yaml:12): only a swarm",
    ] {
        assert!(unsupported.contains(line), "{unsupported}");
    }
    assert_eq!(everything(&trial.project()), before);
    trial
        .import(&["--without", "services.db.privilege"])
        .expect(3)
        .says("did you mean `services.db.privileged`?");
    let without: Vec<&str> =
        ["services.db.privileged", "services.db.pid", "services.db.deploy", "networks.front.ipam"]
            .into_iter()
            .flat_map(|key| ["--without", key])
            .collect();
    let ran = trial.import(&without).expect(0);
    assert!(
        ran.stdout.contains("services.db.pid (../theirs/compose.yaml:11): left out, as `--without` asked")
    );
}

#[test]
fn files_that_look_like_keys_are_not_taken_along() {
    let more = "image: postgres:16\n    volumes: [\"./tls:/tls:ro\"]";
    let trial = Trial::of(&GOOD.replace("image: postgres:16", more));
    fs::create_dir(trial.theirs().join("tls")).unwrap();
    fs::write(trial.theirs().join("tls/server.pem"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let before = everything(&trial.project());
    let ran = trial.import(&[]).expect(3);
    assert!(ran.stdout.contains("`tls/server.pem` looks like a secret"), "{}", ran.stdout);
    assert_eq!(everything(&trial.project()), before);
    fs::write(trial.theirs().join("tls/server.pem"), [0, 159, 146, 150]).unwrap();
    trial.import(&[]).expect(3).says("is no text").says("put it into an image");
}

#[test]
fn host_paths_and_the_engines_socket_need_a_decision() {
    let more = "image: postgres:16\n    volumes: [\"/var/run/docker.sock:/var/run/docker.sock\", \"/dev:/dev\", \"/cache\"]";
    let trial = Trial::of(&GOOD.replace("image: postgres:16", more));
    let report = trial.report(&[]);
    let said = report["decisions"].to_string();
    for part in
        ["whoever has it is root on the device", "`/dev` is a path of the machine", "a volume without a name"]
    {
        assert!(said.contains(part), "{said}");
    }
    let written = fs::read_to_string(trial.project().join("templates/stacks/stack/compose.yaml.j2")).unwrap();
    assert!(
        written.contains(
            "- \"/var/run/docker.sock:/var/run/docker.sock\"\n      - \"/dev:/dev\"\n      - /cache"
        ),
        "{written}"
    );
}
