//! What must fit together within one Compose file: names that are used are declared, and declared names are used.

use std::collections::{BTreeMap, BTreeSet};

use super::{Compose, MountSource, Service};
use crate::ImageName;
use crate::stack::{NAME_RULE, is_name};
use crate::yaml::{Source, Spanned, YamlError};

pub(super) fn check(source: &Source, compose: &Compose) -> Result<(), YamlError> {
    if compose.services.is_empty() {
        return Err(source.error("`services` is empty"));
    }
    check_names(source, compose)?;
    for service in compose.services.values() {
        check_service(source, compose, &service.value)?;
    }
    check_used(source, compose)?;
    if start_order(compose).is_none() {
        return Err(source.error("services depend on each other in a circle"));
    }
    Ok(())
}

fn check_names(source: &Source, compose: &Compose) -> Result<(), YamlError> {
    names(source, "service", &compose.services)?;
    names(source, "network", &compose.networks)?;
    names(source, "volume", &compose.volumes)?;
    names(source, "secret", &compose.secrets)
}

fn names<T>(source: &Source, what: &str, all: &BTreeMap<String, Spanned<T>>) -> Result<(), YamlError> {
    match all.iter().find(|(name, _)| !is_name(name)) {
        Some((name, at)) => Err(source.error_at(at, format!("`{name}` is no name of a {what}: {NAME_RULE}"))),
        None => Ok(()),
    }
}

fn check_service(source: &Source, compose: &Compose, service: &Service) -> Result<(), YamlError> {
    if let Err(error) = ImageName::from_reference(&service.image.value) {
        return Err(source.error_at(&service.image, error.to_string()));
    }
    let known = keys(&compose.networks);
    for network in service.networks.0.iter().filter(|network| &*network.value.name != "default") {
        declared(source, network, "network", &network.value.name, &known)?;
    }
    let known = keys(&compose.secrets);
    for secret in &service.secrets {
        declared(source, secret, "secret", &secret.value, &known)?;
    }
    let known = keys(&compose.services);
    for (name, condition) in &service.depends_on.0 {
        declared(source, condition, "service", name, &known)?;
    }
    check_mode(source, service)?;
    check_mounts(source, compose, service)
}

/// The Engine takes one or the other, and published ports mean nothing outside of a network.
fn check_mode(source: &Source, service: &Service) -> Result<(), YamlError> {
    let Some(mode) = service.network_mode else { return Ok(()) };
    if let Some(network) = service.networks.0.first() {
        return Err(
            source.error_at(network, format!("`network_mode: {mode}` and `networks` exclude each other"))
        );
    }
    if !service.ports.0.is_empty() {
        let message = format!("`network_mode: {mode}` publishes no `ports`");
        return Err(source.error_at(&service.image, message));
    }
    Ok(())
}

fn check_mounts(source: &Source, compose: &Compose, service: &Service) -> Result<(), YamlError> {
    let known = keys(&compose.volumes);
    let mut targets = BTreeSet::new();
    for mount in &service.volumes {
        if let MountSource::Volume(name) = &mount.value.source {
            declared(source, mount, "volume", name, &known)?;
        }
        if !targets.insert(&mount.value.target) {
            let message = format!("two mounts have the target `{}`", mount.value.target);
            return Err(source.error_at(mount, message));
        }
    }
    Ok(())
}

fn declared<T>(
    source: &Source,
    at: &Spanned<T>,
    what: &str,
    name: &str,
    known: &[&str],
) -> Result<(), YamlError> {
    if known.contains(&name) { Ok(()) } else { Err(source.unknown_name(at, what, name, known)) }
}

fn keys<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

/// Compose would leave out what no service uses, so that it only looks as if it were there.
fn check_used(source: &Source, compose: &Compose) -> Result<(), YamlError> {
    let services = || compose.services.values().map(|service| &service.value);
    let networks: BTreeSet<&str> =
        services().flat_map(|s| s.networks.0.iter().map(|n| &*n.value.name)).collect();
    let secrets: BTreeSet<&str> = services().flat_map(|s| s.secrets.iter().map(|n| &*n.value)).collect();
    let volumes: BTreeSet<&str> = services().flat_map(|s| s.named_volumes().map(|(name, ..)| name)).collect();
    unused(source, "network", &compose.networks, &networks)?;
    unused(source, "volume", &compose.volumes, &volumes)?;
    unused(source, "secret", &compose.secrets, &secrets)
}

fn unused<T>(
    source: &Source,
    what: &str,
    all: &BTreeMap<String, Spanned<T>>,
    used: &BTreeSet<&str>,
) -> Result<(), YamlError> {
    match all.iter().find(|(name, _)| !used.contains(name.as_str()) && *name != "default") {
        Some((name, at)) => Err(source.error_at(at, format!("no service uses the {what} `{name}`"))),
        None => Ok(()),
    }
}

/// Names so that each comes after those it depends on, or `None` where that cannot be.
pub(super) fn start_order(compose: &Compose) -> Option<Vec<&str>> {
    let mut ordered: Vec<&str> = Vec::new();
    while ordered.len() < compose.services.len() {
        let ready =
            |service: &Service| service.depends_on.0.keys().all(|name| ordered.contains(&name.as_str()));
        let mut waiting = compose.services.iter().filter(|(name, _)| !ordered.contains(&name.as_str()));
        let (next, _) = waiting.find(|(_, service)| ready(&service.value))?;
        ordered.push(next);
    }
    Some(ordered)
}
