//! Which of the six aspects a setting belongs to, and what an environment does in each, in words.

use xedge_model::compose::{Mount, MountSource, Service};
use xedge_model::stack::Aspect;

use crate::conf::{Conf, Facts, Listener};
use crate::rendered::{COMPOSE_FILE, Rendered};

/// The aspect that a setting belongs to, or `None` where it needs a name of its own.
pub(super) fn aspect(place: &str) -> Option<Aspect> {
    let (file, setting) = place.split_once(' ')?;
    match file {
        COMPOSE_FILE => compose_aspect(setting),
        "stack.yaml" if setting.starts_with("secrets.") => Some(Aspect::Authentication),
        conf if conf == "mosquitto.conf" || conf.ends_with("/mosquitto.conf") => conf_aspect(setting),
        _ => None,
    }
}

fn compose_aspect(setting: &str) -> Option<Aspect> {
    let parts: Vec<&str> = setting.split('.').collect();
    match parts[..] {
        ["secrets", ..] | ["services", _, "secrets"] => Some(Aspect::Authentication),
        ["services", _, "logging", ..] => Some(Aspect::Logging),
        ["services", _, "restart"] => Some(Aspect::RestartPolicy),
        ["volumes", ..] | ["services", _, "volumes" | "tmpfs" | "devices"] => Some(Aspect::Volumes),
        ["networks", ..]
        | ["services", _, "networks" | "ports" | "expose" | "network_mode" | "extra_hosts", ..] => {
            Some(Aspect::Networking)
        }
        _ => None,
    }
}

fn conf_aspect(setting: &str) -> Option<Aspect> {
    let key = setting.rsplit('.').next().unwrap_or(setting);
    match key {
        "allow_anonymous" | "password_file" | "per_listener_settings" => Some(Aspect::Authentication),
        "persistence" | "persistence_file" | "persistence_location" | "persistent_client_expiration" => {
            Some(Aspect::Persistence)
        }
        "listener" | "port" | "bind_address" => Some(Aspect::Networking),
        _ if key.starts_with("autosave_") => Some(Aspect::Persistence),
        _ if key.starts_with("log_") || key == "connection_messages" => Some(Aspect::Logging),
        _ => None,
    }
}

/// What an environment does in one aspect.
pub(super) fn cell(aspect: Aspect, rendered: &Rendered) -> String {
    match aspect {
        Aspect::Authentication => confs(rendered, authentication),
        Aspect::Persistence => confs(rendered, persistence),
        Aspect::Logging => confs(rendered, logging),
        Aspect::RestartPolicy => {
            services(rendered, |service| service.restart.map(|restart| restart.to_string()))
                .unwrap_or_else(|| "none".into())
        }
        Aspect::Volumes => services(rendered, volumes).unwrap_or_else(|| "ephemeral".into()),
        Aspect::Networking => networking(rendered),
    }
}

/// The same for every broker, or each with its file's name.
fn confs(rendered: &Rendered, describe: fn(&Facts) -> String) -> String {
    let cells: Vec<(String, String)> = rendered
        .confs()
        .map(|(path, conf): (_, &Conf)| (path.to_string(), describe(&conf.facts())))
        .collect();
    together(&cells).unwrap_or_else(|| "no broker".into())
}

fn services(rendered: &Rendered, describe: fn(&Service) -> Option<String>) -> Option<String> {
    let cells: Vec<(String, String)> = rendered
        .compose()
        .services
        .iter()
        .filter_map(|(name, service)| Some((name.clone(), describe(&service.value)?)))
        .collect();
    let same = cells.len() == rendered.compose().services.len();
    if same { together(&cells) } else { apart(&cells) }
}

fn together(cells: &[(String, String)]) -> Option<String> {
    let (_, first) = cells.first()?;
    if cells.iter().all(|(_, cell)| cell == first) { Some(first.clone()) } else { apart(cells) }
}

fn apart(cells: &[(String, String)]) -> Option<String> {
    let cells: Vec<String> = cells.iter().map(|(name, cell)| format!("{name}: {cell}")).collect();
    (!cells.is_empty()).then(|| cells.join("; "))
}

fn authentication(facts: &Facts) -> String {
    let describe = |listener: &Listener| match (&listener.password_file, listener.anonymous) {
        (None, true) => "anonymous".to_owned(),
        (Some(file), true) => format!("anonymous allowed beside password file {file}"),
        (Some(file), false) => format!("required, password file {file}"),
        (None, false) => "required, but no password file".to_owned(),
    };
    let cells: Vec<(String, String)> =
        facts.listeners.iter().map(|listener| (listener.port.to_string(), describe(listener))).collect();
    together(&cells).unwrap_or_default()
}

fn persistence(facts: &Facts) -> String {
    let Some(saving) = &facts.saving else { return "off".into() };
    let place = saving.location.as_deref().unwrap_or("the working folder");
    let when = match (saving.interval, saving.on_changes) {
        (0, _) => "only at the end".to_owned(),
        (1, true) => "after every change".to_owned(),
        (count, true) => format!("after {count} changes"),
        (seconds, false) => format!("every {seconds} s"),
    };
    format!("on, {place}, saved {when}")
}

fn logging(facts: &Facts) -> String {
    let types = match &facts.log_types[..] {
        [all] if all == "all" => "all types".to_owned(),
        some => some.join(", "),
    };
    format!("{}; {types}", facts.log_dests.join(", "))
}

fn volumes(service: &Service) -> Option<String> {
    let describe = |mount: &Mount| {
        let kind = match &mount.source {
            MountSource::Bind(source) => format!("./{source}"),
            MountSource::Volume(name) => name.clone(),
            MountSource::Anonymous => "a volume without a name".to_owned(),
            MountSource::Host { path, .. } => format!("the host's {path}"),
            MountSource::Tmpfs { .. } => "memory".to_owned(),
        };
        format!("{kind} at {}{}", mount.target, if mount.read_only { " (read-only)" } else { "" })
    };
    let mounts: Vec<String> = service.volumes.iter().map(|mount| describe(&mount.value)).collect();
    (!mounts.is_empty()).then(|| mounts.join(", "))
}

fn networking(rendered: &Rendered) -> String {
    let ports = services(rendered, |service| {
        let ports: Vec<String> = service.ports.0.iter().map(ToString::to_string).collect();
        (!ports.is_empty()).then(|| format!("port mapping {}", ports.join(", ")))
    });
    ports.unwrap_or_else(|| "container network only, no port on the host".into())
}
