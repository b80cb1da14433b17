//! Units for Podman's generator: only keys that Podman 4.4 has, everything else through `PodmanArgs`.
//!
//! Early generators switch an init process, `/tmp`, rights and a read-only root on by themselves, so that each is said.

use std::fmt::Write as _;

use camino::Utf8Path;
use xedge_model::compose::{Compose, Condition, Restart, Service};

use super::flags::{self, seconds};
use super::{Output, OutputFile, all_networks, container, networks, resolved};

const MODE: u32 = 0o644;

pub(super) fn output(stack: &str, compose: &Compose, folder: &Utf8Path) -> Output {
    let mut files = Vec::new();
    for (name, driver, internal) in all_networks(compose) {
        let mut text = heading(&format!("Network {name} of the stack {stack}"));
        text.push_str("[Network]\n");
        key(&mut text, "Driver", driver.as_deref());
        key(&mut text, "Internal", internal.then_some("true"));
        files.push(OutputFile { name: format!("{}.network", unit(stack, &name)), text, mode: MODE });
    }
    for name in compose.volumes.keys() {
        let text = heading(&format!("Volume {name} of the stack {stack}")) + "[Volume]\n";
        files.push(OutputFile { name: format!("{}.volume", unit(stack, name)), text, mode: MODE });
    }
    let mut notes = vec![
        "Podman calls volumes and networks of units `systemd-UNIT`: data of Compose's volumes is not in them"
            .to_owned(),
        "logs go to the journal, which has limits of its own: `SystemMaxUse` in journald.conf".to_owned(),
    ];
    for (name, service) in compose.start_order() {
        let text = container_unit(stack, compose, name, service, folder, &mut notes);
        files.push(OutputFile { name: format!("{}.container", unit(stack, name)), text, mode: MODE });
    }
    Output { files, notes }
}

fn heading(what: &str) -> String {
    format!(
        "# Made by xedge. Lies in /etc/containers/systemd; `systemctl daemon-reload` reads it.\n[Unit]\nDescription={}\n\n",
        escaped(what)
    )
}

/// The name of a unit without its ending.
fn unit(stack: &str, name: &str) -> String {
    format!("{stack}-{name}")
}

fn container_unit(
    stack: &str,
    compose: &Compose,
    name: &str,
    service: &Service,
    folder: &Utf8Path,
    notes: &mut Vec<String>,
) -> String {
    let mut text = heading(&format!("Service {name} of the stack {stack}"));
    // The empty line that ends the heading ends the section.
    text.pop();
    for (on, condition) in &service.depends_on.0 {
        let on_unit = format!("{}.service", unit(stack, on));
        key(&mut text, "Requires", Some(&on_unit));
        key(&mut text, "After", Some(&on_unit));
        if condition.value != Condition::Started {
            notes.push(format!(
                "`{name}` waits for the start of `{on}` only: systemd knows no `{}`",
                condition.value.name()
            ));
        }
    }
    text.push_str("\n[Container]\n");
    key(&mut text, "Image", Some(&image(&service.image.value)));
    key(&mut text, "ContainerName", Some(&container(stack, name, service)));
    rights(&mut text, service);
    places(&mut text, stack, compose, name, service, folder);
    for (name, value) in &service.environment.0 {
        key(&mut text, "Environment", Some(&word(&format!("{name}={value}"))));
    }
    for (name, value) in &service.labels.0 {
        key(&mut text, "Label", Some(&word(&format!("{name}={value}"))));
    }
    for (flag, value) in flags::shared(service) {
        let argument = if value.is_empty() { flag.to_owned() } else { format!("{flag}={value}") };
        key(&mut text, "PodmanArgs", Some(&word(&argument)));
    }
    let arguments: Vec<String> = flags::arguments(service).iter().map(|argument| word(argument)).collect();
    key(&mut text, "Exec", (!arguments.is_empty()).then(|| arguments.join(" ")).as_deref());
    end(&mut text, service);
    text
}

/// What its processes may do.
fn rights(text: &mut String, service: &Service) {
    let flag = |flag: bool| Some(if flag { "true" } else { "false" });
    key(text, "RunInit", flag(service.init.unwrap_or(false)));
    key(text, "NoNewPrivileges", flag(flags::no_new_privileges(service)));
    key(text, "ReadOnly", flag(service.read_only.unwrap_or(false)));
    key(text, "VolatileTmp", flag(false));
    if service.cap_drop.is_empty() {
        text.push_str("DropCapability=\n");
    }
    for name in &service.cap_drop {
        key(text, "DropCapability", Some(name));
    }
    for name in &service.cap_add {
        key(text, "AddCapability", Some(name));
    }
}

/// Networks, ports, mounts and devices.
fn places(
    text: &mut String,
    stack: &str,
    compose: &Compose,
    name: &str,
    service: &Service,
    folder: &Utf8Path,
) {
    let mode = service.network_mode.map(|mode| mode.to_string());
    key(text, "Network", mode.as_deref());
    for (network, _) in networks(name, service) {
        key(text, "Network", Some(&format!("{}.network", unit(stack, network))));
    }
    let aliases: std::collections::BTreeSet<String> =
        networks(name, service).into_iter().flat_map(|(_, aliases)| aliases).collect();
    for alias in aliases {
        key(text, "PodmanArgs", Some(&word(&format!("--network-alias={alias}"))));
    }
    for port in &service.ports.0 {
        key(text, "PublishPort", Some(&port.to_string()));
    }
    let ro = |read_only: bool| if read_only { ":ro" } else { "" };
    let mut volume =
        |from: &str, rest: String| key(text, "Volume", Some(&escaped(&format!("{from}:{rest}"))));
    for (path, to, read_only) in service.binds() {
        volume(resolved(folder, path.as_str()).as_str(), format!("{to}{}", ro(read_only)));
    }
    for (name, to, read_only) in service.named_volumes() {
        volume(&format!("{}.volume", unit(stack, name)), format!("{to}{}", ro(read_only)));
    }
    for (path, to, read_only) in service.host_mounts() {
        volume(path.as_str(), format!("{to}{}", ro(read_only)));
    }
    for (name, target) in service.secret_targets() {
        if let Some(secret) = compose.secrets.get(name) {
            volume(resolved(folder, &secret.value.file).as_str(), format!("{target}:ro"));
        }
    }
    for to in flags::anonymous(service) {
        key(text, "Volume", Some(&escaped(&to)));
    }
    for device in &service.devices {
        key(text, "AddDevice", Some(&escaped(&device.to_string())));
    }
}

/// When it runs.
fn end(text: &mut String, service: &Service) {
    let restart = match service.restart_policy() {
        Restart::No => "no",
        // systemd never restarts what was stopped by hand.
        Restart::Always | Restart::UnlessStopped => "always",
        Restart::OnFailure(_) => "on-failure",
    };
    let _ = write!(text, "\n[Service]\nRestart={restart}\n");
    if let Some(grace) = service.stop_grace() {
        // Podman's own limit ends first.
        let _ = writeln!(text, "TimeoutStopSec={}", seconds(grace) + 10);
    }
    text.push_str("\n[Install]\nWantedBy=multi-user.target default.target\n");
}

fn key(text: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = writeln!(text, "{key}={value}");
    }
}

/// The name by which Podman keeps an image: short names are Docker Hub's, as Docker takes them.
fn image(name: &str) -> String {
    let first = name.split('/').next().unwrap_or_default();
    let has_registry = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    if has_registry {
        name.to_owned()
    } else if name.contains('/') {
        format!("docker.io/{name}")
    } else {
        format!("docker.io/library/{name}")
    }
}

/// A value in which systemd fills nothing in.
fn escaped(value: &str) -> String {
    value.replace('%', "%%")
}

/// A word of a list of words, in which systemd fills nothing in.
fn word(text: &str) -> String {
    let text = escaped(text).replace('$', "$$");
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\' | ';');
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
