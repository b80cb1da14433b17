//! The commands that save what a stack's volumes hold, and bring it back. Text only.
//!
//! They need nothing on the device but its Engine: `docker cp` reads and writes volumes whatever tools an image has.

use std::collections::BTreeSet;

use xedge_model::compose::{Compose, Service};

use super::flags::{quoted, seconds};
use super::{container, named};

/// Lines for a shell on the device, in the folder of the stack's release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Saves each volume into a file beside the stack.
    pub save: Vec<String>,
    /// Puts what was saved into new volumes; what they held is gone.
    pub restore: Vec<String>,
}

/// A named volume, and the container through which it is reached.
struct Reached {
    volume: String,
    container: String,
    target: String,
}

/// The commands for a stack whose Compose file is `STACK/compose.yaml`; none where it keeps nothing.
pub fn backup(stack: &str, compose: &Compose) -> Backup {
    let reached = reached(stack, compose);
    if reached.is_empty() {
        return Backup::default();
    }
    let docker_compose = format!("docker compose --project-name {stack} --file {stack}/compose.yaml");
    let users = |reached: &[Reached]| -> Vec<String> {
        let names: BTreeSet<&String> = reached.iter().map(|one| &one.container).collect();
        names.into_iter().map(|name| quoted(name)).collect()
    };
    let names = users(&reached).join(" ");
    let file = |one: &Reached| quoted(&format!("{}.tar", one.volume));
    let from = |one: &Reached| quoted(&format!("{}:{}/.", one.container, one.target));
    let to = |one: &Reached| quoted(&format!("{}:{}", one.container, one.target));
    let mut save = vec![format!("docker stop --time {} {names}", grace(compose))];
    save.extend(reached.iter().map(|one| format!("docker cp {} - > {}", from(one), file(one))));
    save.push(format!("docker start {names}"));
    let volumes: Vec<String> = reached.iter().map(|one| quoted(&one.volume)).collect();
    let mut restore = vec![
        format!("{docker_compose} down"),
        format!("docker volume rm {}", volumes.join(" ")),
        format!("{docker_compose} up --no-start"),
    ];
    restore.extend(reached.iter().map(|one| format!("docker cp - {} < {}", to(one), file(one))));
    restore.push(format!("{docker_compose} up --detach"));
    Backup { save, restore }
}

/// Each named volume once, by the first service that can write to it, else the first that mounts it.
fn reached(stack: &str, compose: &Compose) -> Vec<Reached> {
    let mounts = |volume: &str, writable: bool| {
        compose.start_order().into_iter().find_map(|(name, service)| {
            let target = target(service, volume, writable)?;
            Some(Reached { volume: named(stack, volume), container: container(stack, name, service), target })
        })
    };
    let volumes = compose.volumes.keys();
    volumes.filter_map(|volume| mounts(volume, true).or_else(|| mounts(volume, false))).collect()
}

fn target(service: &Service, volume: &str, writable: bool) -> Option<String> {
    let mut mounts = service.named_volumes();
    mounts
        .find(|(name, _, read_only)| *name == volume && !(writable && *read_only))
        .map(|(_, target, _)| target.as_str().to_owned())
}

/// The longest time that a service asks for; the Engine's own is 10 seconds.
fn grace(compose: &Compose) -> u64 {
    let asked = compose.services.values().filter_map(|service| service.value.stop_grace());
    asked.map(seconds).max().unwrap_or(10).max(10)
}
