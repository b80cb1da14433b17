//! Tests of rendering.

use std::fs;

use xedge_model::{Class, Failure};

use super::{Copy, production, simulation, templates};
use crate::{Rendered, environments, render, stacks};

fn text(rendered: &Rendered, path: &str) -> String {
    let file = rendered.files().iter().find(|file| file.path() == path).unwrap();
    String::from_utf8(file.bytes().to_vec()).unwrap()
}

/// The lines that say something.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

const PRODUCTION_CONF: &[&str] = &[
    "listener 1883 0.0.0.0",
    "max_connections 200",
    "allow_anonymous false",
    "password_file /run/secrets/mosquitto-passwd",
    "persistence true",
    "persistence_location /mosquitto/data/",
    "autosave_interval 5",
    "persistent_client_expiration 7d",
    "max_queued_messages 1000",
    "max_queued_bytes 524288",
    "max_packet_size 262144",
    "memory_limit 134217728",
    "log_dest file /mosquitto/log/mosquitto.log",
    "log_type error",
    "log_type warning",
    "log_type notice",
    "log_timestamp_format %Y-%m-%dT%H:%M:%S",
];

const PRODUCTION_COMPOSE: &str = r#"# Stack edge for production, made by `cargo xtask render`: change templates/ instead of this file.
services:
  gateway:
    image: "xedgesim/gateway:latest"
    container_name: gateway
    restart: unless-stopped
    volumes:
      - "./gateway:/etc/gateway:ro"
    networks:
      - edge
    depends_on:
      mosquitto:
        condition: service_started
    environment:
      MQTT_BROKER: "mosquitto:1883"
    secrets:
      - gateway-password
    mem_limit: "64m"
    cpus: 0.25
    pids_limit: 32
    read_only: true
    cap_drop:
      - ALL
    security_opt:
      - "no-new-privileges:true"
    logging:
      driver: json-file
      options:
        max-file: "3"
        max-size: "5m"
  mosquitto:
    image: "xedgesim/mosquitto:latest"
    container_name: mosquitto
    restart: unless-stopped
    ports:
      - "1883:1883/tcp"
    volumes:
      - "./mosquitto:/mosquitto/config:ro"
      - "mosquitto-data:/mosquitto/data"
      - "mosquitto-log:/mosquitto/log"
    networks:
      - edge
    secrets:
      - mosquitto-passwd
      - mosquitto_sub
    mem_limit: "160m"
    cpus: 0.5
    pids_limit: 32
    read_only: true
    cap_drop:
      - ALL
    security_opt:
      - "no-new-privileges:true"
    stop_grace_period: "30s"
    logging:
      driver: json-file
      options:
        max-file: "3"
        max-size: "5m"
networks:
  edge:
    driver: bridge
volumes:
  mosquitto-data: {}
  mosquitto-log: {}
secrets:
  gateway-password:
    file: "../secrets/gateway-password"
  mosquitto-passwd:
    file: "../secrets/mosquitto-passwd"
  mosquitto_sub:
    file: "../secrets/mosquitto_sub"
"#;

#[test]
fn production_files_are_these() {
    let rendered = production();
    let paths: Vec<_> = rendered.files().iter().map(|file| (file.path().as_str(), file.mode())).collect();
    assert_eq!(
        paths,
        [("compose.yaml", 0o644), ("gateway/gateway.toml", 0o644), ("mosquitto/mosquitto.conf", 0o644)]
    );
    assert_eq!(lines(&text(&rendered, "mosquitto/mosquitto.conf")), PRODUCTION_CONF);
    assert_eq!(text(&rendered, "compose.yaml"), PRODUCTION_COMPOSE);
    assert_eq!(
        text(&rendered, "gateway/gateway.toml"),
        "id = \"gateway\"\nsubscribe = \"sensors/+\"\nupstream = \"upstream/@{site_id}-{id}\"\nevery_s = 5\noutlier_sigma = 4.0\n\n\
         [mqtt]\nusername = \"gateway\"\npassword_file = \"/run/secrets/gateway-password\"\n"
    );
    let secrets: Vec<_> = rendered.secrets().iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(secrets, ["gateway-password", "mosquitto-passwd", "mosquitto_sub"]);
}

#[test]
fn simulation_is_the_seeds_development_configuration() {
    let rendered = simulation();
    assert_eq!(
        text(&rendered, "mosquitto/mosquitto.conf"),
        "listener 1883 0.0.0.0\nallow_anonymous true\npersistence false\nlog_dest stdout\nlog_type all\n"
    );
    assert_eq!(rendered.secrets(), []);
    for (_, service) in rendered.compose().start_order() {
        assert!(service.restart.is_none() && service.volumes.is_empty() && service.ports.0.is_empty());
        assert!(service.secrets.is_empty());
    }
}

#[test]
fn the_production_broker_is_closed_and_keeps_what_it_has() {
    let rendered = production();
    let (_, conf) = rendered.confs().next().unwrap();
    let facts = conf.facts();
    assert!(!facts.anonymous());
    let saving = facts.saving.unwrap();
    let broker = rendered.compose().service("mosquitto").unwrap();
    let mounted = |path: &str| broker.named_volumes().any(|(_, target, _)| path.starts_with(target.as_str()));
    assert!(mounted(&saving.location.unwrap()), "data lies on a volume");
    assert!(saving.interval > 0 && saving.interval <= 5 && !saving.on_changes);
    let log = facts.log_dests[0].strip_prefix("file ").unwrap();
    assert!(mounted(log), "the log lies on a volume");
    let passwords = facts.listeners[0].password_file.clone().unwrap();
    assert!(broker.secret_targets().any(|(_, target)| target == passwords), "the password file is a secret");
}

#[test]
fn the_digest_depends_on_content_and_not_on_folders() {
    let copy = Copy::new();
    assert_eq!(copy.render("production").unwrap().digest(), production().digest());
    assert_eq!(production().digest(), production().digest());
    assert_ne!(simulation().digest(), production().digest());
    let changed = |file: &str, from: &str, to: &str| {
        let rendered = Copy::new().change(file, from, to).render("production").unwrap();
        assert_ne!(rendered.digest(), production().digest(), "{file}: {from} -> {to}");
    };
    changed("stacks/edge/stack.yaml", "users: [gateway, health, sensor]", "users: [gateway, health]");
    changed("stacks/edge/stack.yaml", "user: gateway, owner: 10001", "user: gateway, owner: 10002");
    changed("stacks/edge/stack.yaml", "mode: \"0644\"", "mode: \"0444\"");
    changed("stacks/edge/stack.yaml", "output: gateway/gateway.toml", "output: gateway/gate.toml");
    changed("environments/production.yaml", "memory: 64m", "memory: 65m");
    changed("services/mosquitto/mosquitto.conf.j2", "log_type notice\n", "log_type notice\n\n");
}

#[test]
fn what_does_not_reach_a_file_does_not_reach_the_digest() {
    let copy = Copy::new()
        .change("stacks/edge/stack.yaml", "# A broker", "# Some broker")
        .change("stacks/edge/stack.yaml", "gate: [production_parity]", "gate: [production_parity, other]")
        .change("stacks/edge/compose.yaml.j2", "    networks: [edge]\n", "    networks:\n      - edge\n");
    assert_eq!(copy.render("production").unwrap().digest(), production().digest());
}

#[test]
fn a_value_cannot_add_a_line() {
    let file = "environments/production.yaml";
    let bad = "client_expiration: \"7d\\nallow_anonymous true\"";
    let (error, _) = Copy::untyped().change(file, "client_expiration: 7d", bad).refused();
    assert!(error.contains("value `broker.client_expiration` holds the control character U+000A"), "{error}");
    assert!(error.starts_with("failed to read T/environments/production.yaml:"), "{error}");
    // Without a line break it stays on its line, where the parser sees it.
    let bad = "client_expiration: \"7d allow_anonymous true\"";
    let (error, _) = Copy::untyped().change(file, "client_expiration: 7d", bad).refused();
    assert!(error.contains("`persistent_client_expiration` needs a number"), "{error}");
    // A value that is YAML cannot add a key to the Compose file either.
    let bad = "memory: \"64m, privileged: true\"";
    let (error, _) = Copy::untyped().change(file, "memory: 64m", bad).refused();
    assert!(error.starts_with("failed to use what stacks/edge/compose.yaml.j2 renders to ("), "{error}");
}

#[test]
fn an_undefined_value_is_an_error_with_place_and_near_name() {
    let file = "services/mosquitto/mosquitto.conf.j2";
    let (error, hint) = Copy::untyped().change(file, "broker.memory_limit", "broker.memory_limits").refused();
    // The environment's own value is no longer used, which is noticed first.
    assert!(error.contains("unknown value, used by no template: `broker.memory_limit`"), "{error}");
    assert_eq!(hint, "did you mean `broker.memory_limits`?");
    let added = "log_type notice {{ broker.memory_limits }}";
    let (error, hint) = Copy::untyped().change(file, "log_type notice", added).refused();
    let start = format!("failed to render T/{file}:");
    assert!(error.starts_with(&start), "{error}");
    assert!(error.contains("`broker.memory_limits` has no value\n") && error.contains(added), "{error}");
    assert!(error.ends_with("                   ^"), "the column: {error}");
    assert_eq!(hint, "did you mean `broker.memory_limit`?");
}

#[test]
fn a_template_with_a_mistake_is_an_error_with_its_place() {
    let file = "services/gateway/gateway.toml.j2";
    let refused = |to: &str, part: &str| {
        let (error, _) = Copy::new().change(file, "every_s = 5", to).refused();
        assert!(error.contains(part), "{error}");
    };
    refused("{% if %}", &format!("failed to render T/{file}:4:"));
    refused("every_s = {{ broker }}", "a map cannot be written into a file");
    refused("every_s = {{ mqtt_port | nofilter }}", "unknown filter");
    refused("{% include \"/etc/passwd\" %}", &format!("failed to render T/{file}:4:"));
    refused(
        "every_s = ",
        "failed to read services/gateway/gateway.toml.j2 (rendered for production):4:11, as it was rendered: ",
    );
    refused("id = \"twice\"", "as it was rendered: ");
}

#[test]
fn an_environment_value_that_no_template_uses_is_an_error() {
    let file = "environments/production.yaml";
    let (error, hint) =
        Copy::new().change(file, "  mqtt_port: 1883", "  mqtt_port: 1883\n  mqtt_prt: 1").refused();
    assert!(
        error.contains("production.yaml:6:13: unknown value, used by no template: `mqtt_prt`"),
        "{error}"
    );
    assert_eq!(hint, "did you mean `mqtt_port`?");
    // Another stack's templates count too.
    let copy = Copy::new().change(file, "  mqtt_port: 1883", "  mqtt_port: 1883\n  other: 1");
    fs::create_dir_all(copy.root().join("services/other")).unwrap();
    fs::write(copy.root().join("services/other/x.j2"), "{% if false %}{{ other }}{% endif %}").unwrap();
    assert_eq!(copy.render("production").unwrap().digest(), production().digest());
}

#[test]
fn what_rendering_gives_is_checked() {
    let compose = "stacks/edge/compose.yaml.j2";
    let refused = |file: &str, from: &str, to: &str, part: &str| {
        let (error, hint) = Copy::new().change(file, from, to).refused();
        assert!(error.contains(part), "{error}");
        hint
    };
    let hint = refused(compose, "pids_limit", "pid_limit", "unknown key `pid_limit`");
    assert_eq!(hint, "did you mean `pids_limit`?");
    refused(compose, "./mosquitto:/", "./mosquito:/", "the bind mount `./mosquito` holds no file");
    refused(compose, "config:ro", "config", "must be `:ro`");
    refused(compose, "xedgesim/mosquitto:latest", "$IMAGE", "`$` is refused");
    let hint = refused(
        "stacks/edge/stack.yaml",
        "  gateway-password:",
        "  gateway-passwd:",
        "not in stack.yaml: `gateway-password`",
    );
    assert_eq!(hint, "did you mean `gateway-passwd`?");
    let conf = "services/mosquitto/mosquitto.conf.j2";
    let hint = refused(
        conf,
        "allow_anonymous false",
        "allow_anonymos false",
        "mosquitto 2.0 has no key `allow_anonymos`",
    );
    assert_eq!(hint, "did you mean `allow_anonymous`?");
    refused(conf, "log_type notice\n", "log_type notice\nallow_anonymous true\n", "already given on line 5");
}

#[test]
fn names_are_found_and_paths_are_not_names() {
    assert_eq!(stacks(&templates()).unwrap(), ["edge"]);
    assert_eq!(environments(&templates()).unwrap(), ["production", "simulation"]);
    let refused = |stack: &str, environment: &str| {
        let error = render(&templates(), stack, environment).unwrap_err();
        assert_eq!(error.class(), Class::Input);
        (error.to_string(), error.hint().unwrap())
    };
    assert_eq!(
        refused("egde", "production"),
        ("failed to find the stack `egde`".into(), "did you mean `edge`?".into())
    );
    assert_eq!(refused("edge", "production ").0, "failed to find the environment `production `");
    for path in ["../stacks/edge", "/etc", "", ".", "edge/"] {
        assert!(refused(path, "production").0.starts_with("failed to find the stack"));
        assert!(refused("edge", path).0.starts_with("failed to find the environment"));
    }
    let (error, hint) =
        Copy::new().change("stacks/edge/stack.yaml", "gateway.toml.j2", "gatway.toml.j2").refused();
    assert_eq!(error, "failed to find the template `services/gateway/gatway.toml.j2`");
    assert_eq!(hint, "did you mean `services/gateway/gateway.toml.j2`?");
}
