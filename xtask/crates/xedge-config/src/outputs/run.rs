//! A script of `docker run` lines. Every word of it is quoted for a POSIX shell.

use std::fmt::Write as _;

use xedge_model::compose::{Compose, Condition, Service};

use super::flags::{self, quoted, seconds};
use super::{Output, OutputFile, all_networks, container, named, networks};

const NAME: &str = "run.sh";

pub(super) fn output(stack: &str, compose: &Compose) -> Output {
    let mut text = format!(
        "#!/bin/sh\n\
         # Stack {stack}, made by xedge: networks and volumes are made where they are not there, then each container is started.\n\
         # Containers that are there already are not touched: `docker rm --force NAME` first.\n\
         set -eu\n\
         cd \"$(dirname \"$0\")\"\n\
         here=$(pwd -P)\n\n"
    );
    for (name, driver, internal) in all_networks(compose) {
        let name = quoted(&named(stack, &name));
        let driver = driver.map_or_else(String::new, |driver| format!(" --driver {}", quoted(&driver)));
        let internal = if internal { " --internal" } else { "" };
        let _ = writeln!(
            text,
            "docker network inspect {name} >/dev/null 2>&1 || docker network create{driver}{internal} {name}"
        );
    }
    for name in compose.volumes.keys() {
        let _ = writeln!(text, "docker volume create {}", quoted(&named(stack, name)));
    }
    let mut notes = Vec::new();
    for (name, service) in compose.start_order() {
        text.push('\n');
        waits(&mut text, stack, compose, service);
        text.push_str(&lines(stack, compose, name, service));
    }
    if compose.services.values().any(|service| !service.value.depends_on.0.is_empty()) {
        notes.push(
            "run.sh starts services in order; after a reboot the Engine starts them in any order".into(),
        );
    }
    Output { files: vec![OutputFile { name: NAME.into(), text, mode: 0o755 }], notes }
}

/// Waits for what Compose would wait for; a started container needs none.
fn waits(text: &mut String, stack: &str, compose: &Compose, service: &Service) {
    for (on, condition) in &service.depends_on.0 {
        let Some(other) = compose.service(on) else { continue };
        let other = quoted(&container(stack, on, other));
        let _ = match condition.value {
            Condition::Started => Ok(()),
            Condition::Healthy => writeln!(
                text,
                "until [ \"$(docker inspect --format '{{{{.State.Health.Status}}}}' {other})\" = healthy ]; do sleep 1; done"
            ),
            Condition::Completed => writeln!(text, "[ \"$(docker wait {other})\" = 0 ]"),
        };
    }
}

/// The line that starts a container, and those that join it to further networks.
fn lines(stack: &str, compose: &Compose, name: &str, service: &Service) -> String {
    let container = container(stack, name, service);
    let mut words = vec![format!("--name={}", quoted(&container))];
    let all = networks(name, service);
    if let Some(mode) = service.network_mode {
        words.push(format!("--network={mode}"));
    }
    if let Some((network, aliases)) = all.first() {
        words.push(format!("--network={}", quoted(&named(stack, network))));
        words.extend(aliases.iter().map(|alias| format!("--network-alias={}", quoted(alias))));
    }
    words.push(format!("--restart={}", service.restart_policy()));
    words.extend(service.init.unwrap_or(false).then(|| "--init".to_owned()));
    words.extend(service.ports.0.iter().map(|port| format!("--publish={port}")));
    words.extend(mounts(stack, compose, service));
    words.extend(
        service
            .environment
            .0
            .iter()
            .map(|(name, value)| format!("--env={}", quoted(&format!("{name}={value}")))),
    );
    words.extend(
        service
            .labels
            .0
            .iter()
            .map(|(name, value)| format!("--label={}", quoted(&format!("{name}={value}")))),
    );
    words.extend(service.read_only.unwrap_or(false).then(|| "--read-only".to_owned()));
    words.extend(service.cap_drop.iter().map(|name| format!("--cap-drop={}", quoted(name))));
    words.extend(service.cap_add.iter().map(|name| format!("--cap-add={}", quoted(name))));
    words.extend(service.devices.iter().map(|device| format!("--device={}", quoted(&device.to_string()))));
    words.extend(flags::no_new_privileges(service).then(|| "--security-opt=no-new-privileges".to_owned()));
    words.extend(flags::shared(service).into_iter().map(|(flag, value)| match &*value {
        "" => flag.to_owned(),
        value => format!("{flag}={}", quoted(value)),
    }));
    words.extend(log(service));
    words.push(quoted(&service.image.value));
    words.extend(flags::arguments(service).iter().map(|word| quoted(word)));
    let mut text = format!("docker run --detach \\\n    {}\n", words.join(" \\\n    "));
    for (network, aliases) in all.iter().skip(1) {
        let aliases: Vec<String> = aliases.iter().map(|alias| format!("--alias={}", quoted(alias))).collect();
        let (network, container) = (quoted(&named(stack, network)), quoted(&container));
        let _ = writeln!(text, "docker network connect {} {network} {container}", aliases.join(" "));
    }
    if let Some(grace) = service.stop_grace() {
        let _ = writeln!(text, "# To stop it: docker stop --time {} {}", seconds(grace), quoted(&container));
    }
    text
}

/// Paths beside the script, volumes and files of secrets.
fn mounts(stack: &str, compose: &Compose, service: &Service) -> Vec<String> {
    let ro = |read_only: bool| if read_only { ":ro" } else { "" };
    let here = |path: &str, rest: String| format!("--volume=\"$here\"/{}", quoted(&format!("{path}{rest}")));
    let mut words: Vec<String> = Vec::new();
    words.extend(
        service.binds().map(|(path, to, read_only)| here(path.as_str(), format!(":{to}{}", ro(read_only)))),
    );
    words.extend(service.named_volumes().map(|(volume, to, read_only)| {
        format!("--volume={}", quoted(&format!("{}:{to}{}", named(stack, volume), ro(read_only))))
    }));
    words.extend(service.host_mounts().map(|(path, to, read_only)| {
        format!("--volume={}", quoted(&format!("{path}:{to}{}", ro(read_only))))
    }));
    words.extend(flags::anonymous(service).map(|to| format!("--volume={}", quoted(&to))));
    for (name, target) in service.secret_targets() {
        let Some(secret) = compose.secrets.get(name) else { continue };
        let file = &*secret.value.file;
        words.push(if file.starts_with('/') {
            format!("--volume={}", quoted(&format!("{file}:{target}:ro")))
        } else {
            here(file, format!(":{target}:ro"))
        });
    }
    words
}

fn log(service: &Service) -> Vec<String> {
    let Some(logging) = &service.logging else { return Vec::new() };
    let driver = logging.driver.iter().map(|driver| format!("--log-driver={}", quoted(driver)));
    let options = logging
        .options
        .0
        .iter()
        .map(|(name, value)| format!("--log-opt={}", quoted(&format!("{name}={value}"))));
    driver.chain(options).collect()
}
