//! The files of the stack: what somebody would have written by hand in templates/ and scenarios/. Text only.

use std::fmt::Write as _;

use camino::Utf8PathBuf;

use super::service::{HEALTH, HEALTH_USER, PASSWORDS, Service};

/// How long the smoke gate watches, in seconds.
const WATCHED_S: u32 = 10;

/// The scenario of a service's smoke gate.
pub(super) fn scenario_name(service: &str) -> String {
    format!("{service}-smoke")
}

/// Every file, with its place below the stack's folder.
pub(super) fn files(service: &Service) -> Vec<(Utf8PathBuf, String)> {
    let name = &service.name;
    let mut files = vec![
        (Utf8PathBuf::from(format!("templates/stacks/{name}/stack.yaml")), stack(service)),
        (format!("templates/stacks/{name}/compose.yaml.j2").into(), literal(&compose(service))),
        ("templates/environments/production.yaml".into(), "format: 1\nvalues: {}\n".to_owned()),
        (format!("scenarios/{}.yaml", scenario_name(name)).into(), scenario(service)),
    ];
    for config in &service.configs {
        files.push((
            Utf8PathBuf::from("templates").join(template(service, &config.output)),
            literal(&config.text),
        ));
    }
    files
}

/// Text as a template that renders to just this text.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut left = text;
    while let Some(at) = ["{{", "{%", "{#"].iter().filter_map(|mark| left.find(mark)).min() {
        let (before, rest) = left.split_at(at);
        let (mark, rest) = rest.split_at(2);
        let _ = write!(out, "{before}{{{{ \"{mark}\" }}}}");
        left = rest;
    }
    out.push_str(left);
    out
}

fn template(service: &Service, output: &camino::Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("services/{}/{output}.j2", service.name))
}

fn quoted(text: &impl ToString) -> String {
    serde_json::Value::String(text.to_string()).to_string()
}

fn stack(service: &Service) -> String {
    let Service { name, owner, .. } = service;
    let mut text = format!("format: 1\nname: {name}\ncompose: stacks/{name}/compose.yaml.j2\n");
    if !service.configs.is_empty() {
        text.push_str("files:\n");
    }
    for config in &service.configs {
        let (template, output) = (quoted(&template(service, &config.output)), quoted(&config.output));
        let _ = writeln!(text, "  - {{template: {template}, output: {output}, mode: \"0644\"}}");
    }
    if !service.users.is_empty() {
        let users: Vec<String> = service.users.iter().map(quoted).collect();
        let users = users.join(", ");
        let _ = writeln!(text, "secrets:");
        let _ = writeln!(text, "  {PASSWORDS}: {{kind: mosquitto_passwd, users: [{users}], owner: {owner}}}");
        let _ =
            writeln!(text, "  {HEALTH}: {{kind: mosquitto_options, user: {HEALTH_USER}, owner: {owner}}}");
    }
    if let (Some((_, port)), false) = (service.port, service.users.is_empty()) {
        let _ = writeln!(text, "probes:\n  - {{service: {name}, mqtt: {port}, secret: {HEALTH}}}");
    }
    let _ = writeln!(text, "gate: [{}]", scenario_name(name));
    text
}

fn compose(service: &Service) -> String {
    let Service { name, image, memory, cpus, .. } = service;
    let mut text = format!(
        "services:\n  {name}:\n    image: {image}:latest\n    container_name: {name}\n    restart: unless-stopped\n"
    );
    if let Some((host, container)) = service.port {
        let _ = writeln!(text, "    ports: [\"{host}:{container}\"]");
    }
    if !service.configs.is_empty() || !service.volumes.is_empty() {
        text.push_str("    volumes:\n");
    }
    for config in &service.configs {
        let _ = writeln!(text, "      - {}", quoted(&format!("./{}:{}:ro", config.output, config.target)));
    }
    for (volume, target) in &service.volumes {
        let _ = writeln!(text, "      - {}", quoted(&format!("{volume}:{target}")));
    }
    if !service.users.is_empty() {
        let _ = writeln!(text, "    secrets: [{PASSWORDS}, {HEALTH}]");
    }
    let _ = writeln!(text, "    mem_limit: {memory}\n    cpus: {cpus}");
    if !service.is_root {
        // A user that is not root has none of them; this keeps programs with file capabilities from getting them back.
        text.push_str("    cap_drop: [ALL]\n");
    }
    text.push_str("    security_opt: [\"no-new-privileges:true\"]\n");
    text.push_str("    logging: {driver: json-file, options: {max-size: 5m, max-file: \"3\"}}\n");
    if !service.volumes.is_empty() {
        text.push_str("volumes:\n");
    }
    for volume in service.volumes.keys() {
        let _ = writeln!(text, "  {volume}:");
    }
    if !service.users.is_empty() {
        let _ = writeln!(text, "secrets:");
        for secret in [PASSWORDS, HEALTH] {
            let _ = writeln!(text, "  {secret}: {{file: ../secrets/{secret}}}");
        }
    }
    text
}

/// Without `expect`: healthy where there is a health check, every published port answers, and it still runs at the end.
fn scenario(service: &Service) -> String {
    format!(
        "format: 1\nlevel: smoke\nsimulation: {{duration_s: {WATCHED_S}, seed: 1}}\nprofile: production\nstack: {}\n",
        service.name
    )
}
