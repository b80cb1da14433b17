//! A base's way of running with what a definition sets on top, as a Dockerfile's instructions do it.

use std::collections::BTreeSet;

use xedge_model::image::RunConfig;

use crate::config::{Execution, ImageConfig, NameSet};

/// The merged part of the config. What the definition leaves out stays the base's; variables, labels, ports and volumes
/// come on top of the base's. A new entrypoint takes the base's arguments away, which were made for another program.
pub fn merged(base: &ImageConfig, run: &RunConfig) -> Execution {
    let old = base.config.clone().unwrap_or_default();
    let new = Execution::from(run);
    let cmd = match (&new.entrypoint, new.cmd) {
        (_, Some(cmd)) => Some(cmd),
        (Some(_), None) => None,
        (None, None) => old.cmd,
    };
    Execution {
        user: new.user.or(old.user),
        exposed_ports: union(old.exposed_ports, new.exposed_ports),
        env: env(old.env, new.env),
        cmd,
        entrypoint: new.entrypoint.or(old.entrypoint),
        healthcheck: new.healthcheck.or(old.healthcheck),
        volumes: union(old.volumes, new.volumes),
        working_dir: new.working_dir.or(old.working_dir),
        labels: match (old.labels, new.labels) {
            (Some(old), Some(new)) => Some(old.into_iter().chain(new).collect()),
            (old, new) => new.or(old),
        },
        stop_signal: new.stop_signal.or(old.stop_signal),
        ..old
    }
}

fn union(old: Option<NameSet>, new: Option<NameSet>) -> Option<NameSet> {
    match (old, new) {
        (Some(old), Some(new)) => {
            let all: BTreeSet<String> = old.0.into_iter().chain(new.0).collect();
            Some(NameSet(all))
        }
        (old, new) => new.or(old),
    }
}

/// A variable keeps its place in the base's order; new ones follow.
fn env(old: Option<Vec<String>>, new: Option<Vec<String>>) -> Option<Vec<String>> {
    let Some(new) = new else { return old };
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let mut all = old.unwrap_or_default();
    for line in new {
        match all.iter_mut().find(|known| name(known) == name(&line)) {
            Some(known) => *known = line,
            None => all.push(line),
        }
    }
    Some(all)
}
