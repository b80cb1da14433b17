//! What the fake Engine writes down of a container, and what has become of it by now. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xedge_wire::Health;

use super::Behaviour;
use crate::engine::{Container, ContainerSpec, PortSpec, Restart, Source};

/// Milliseconds that an Engine waits before it starts a container again.
const PAUSE_MS: u64 = 100;

/// A container.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) spec: ContainerSpec,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) restart: Restart,
    /// The health check that holds: its own, or the image's.
    pub(super) check: Option<Vec<String>>,
    /// When it was started, while it runs or waits to be started again.
    pub(super) since: Option<u64>,
    /// Restarts before `since`.
    pub(super) restarts: u64,
    pub(super) exit_code: i64,
    pub(super) error: String,
    /// Whether it ever ran: an Engine starts only such containers at boot.
    pub(super) ran: bool,
    /// Whether somebody stopped it.
    pub(super) stopped: bool,
}

/// What a container does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// It does not run.
    Still,
    /// It runs since then.
    Runs { since: u64, restarts: u64 },
    /// It ended and is about to be started again, at that moment.
    Waits { until: u64, restarts: u64 },
    /// It ended by itself, for good.
    Ended { restarts: u64 },
}

impl Record {
    /// What it does at `now`, given how its program behaves.
    pub(super) fn now(&self, now: u64, behaviour: &Behaviour) -> Now {
        let Some(since) = self.since else { return Now::Still };
        let Some(lasts) = behaviour.exit_after_ms.filter(|lasts| now >= since + lasts) else {
            return Now::Runs { since, restarts: self.restarts };
        };
        let again = match self.restart {
            Restart::No => false,
            Restart::Always | Restart::UnlessStopped => true,
            Restart::OnFailure => behaviour.exit_code != 0,
        };
        if !again {
            return Now::Ended { restarts: self.restarts };
        }
        let cycle = lasts + PAUSE_MS;
        let rounds = (now - since) / cycle;
        let most = u64::from(self.spec.restart_attempts);
        if self.restart == Restart::OnFailure && most > 0 && self.restarts + rounds >= most {
            return Now::Ended { restarts: most };
        }
        let (start, restarts) = (since + rounds * cycle, self.restarts + rounds);
        if now < start + lasts {
            Now::Runs { since: start, restarts }
        } else {
            Now::Waits { until: start + cycle, restarts: restarts + 1 }
        }
    }

    /// Writes down what has become of it, so that a change from here on does not change what was.
    pub(super) fn settle(&mut self, now: u64, behaviour: &Behaviour) {
        match self.now(now, behaviour) {
            Now::Still => {}
            Now::Runs { since, restarts } => (self.since, self.restarts) = (Some(since), restarts),
            Now::Waits { until, restarts } => (self.since, self.restarts) = (Some(until), restarts),
            Now::Ended { restarts } => {
                (self.since, self.restarts) = (None, restarts);
                self.exit_code = behaviour.exit_code;
            }
        }
    }

    /// As the Engine shows it.
    pub(super) fn shown(&self, now: u64, behaviour: &Behaviour, address: &str) -> Container {
        let state = self.now(now, behaviour);
        let (running, restarts) = match state {
            Now::Still => (None, self.restarts),
            Now::Runs { since, restarts } => (Some(since), restarts),
            Now::Waits { restarts, .. } | Now::Ended { restarts } => (None, restarts),
        };
        let ended = !matches!(state, Now::Still | Now::Runs { .. });
        let networked = running.is_some() && self.spec.network_mode.is_none();
        Container {
            id: self.id.clone(),
            name: self.name.clone(),
            image: self.image.clone(),
            labels: self.labels.clone(),
            running: running.is_some(),
            restarting: matches!(state, Now::Waits { .. }),
            restarts,
            exit_code: if ended { behaviour.exit_code } else { self.exit_code },
            oom_killed: false,
            error: self.error.clone(),
            restart: self.restart,
            auto_remove: behaviour.auto_remove,
            health: running.map_or(Health::None, |since| self.health(now - since.min(now), behaviour)),
            health_check: self.check.clone(),
            addresses: if networked { vec![address.to_owned()] } else { Vec::new() },
            mounts: self.mounts(),
        }
    }

    fn health(&self, age: u64, behaviour: &Behaviour) -> Health {
        match (&self.check, behaviour.unhealthy) {
            (None, _) => Health::None,
            (Some(_), _) if age < behaviour.healthy_after_ms => Health::Starting,
            (Some(_), true) => Health::Unhealthy,
            (Some(_), false) => Health::Healthy,
        }
    }

    fn mounts(&self) -> BTreeMap<String, String> {
        let named = |mount: &crate::engine::MountSpec| {
            let source = match &mount.source {
                Source::Volume(name) => name.clone(),
                Source::Path(path) | Source::Secret { path, .. } => path.clone(),
            };
            (mount.target.clone(), source)
        };
        self.spec.mounts.iter().map(named).collect()
    }

    /// Paths of the device that it mounts.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.spec.mounts.iter().filter_map(|mount| match &mount.source {
            Source::Path(path) | Source::Secret { path, .. } => Some(path.as_str()),
            Source::Volume(_) => None,
        })
    }

    /// Whether it mounts this volume.
    pub(super) fn uses_volume(&self, name: &str) -> bool {
        self.spec.mounts.iter().any(|mount| matches!(&mount.source, Source::Volume(used) if used == name))
    }

    /// The port that both publish, as far as they do.
    pub(super) fn in_the_way(&self, other: &Self) -> Option<&PortSpec> {
        self.spec.ports.iter().find(|port| other.spec.ports.iter().any(|taken| overlap(port, taken)))
    }
}

fn overlap(a: &PortSpec, b: &PortSpec) -> bool {
    let everywhere = |port: &PortSpec| matches!(port.address.as_str(), "" | "0.0.0.0" | "::");
    a.host != 0
        && a.host == b.host
        && a.protocol == b.protocol
        && (a.address == b.address || everywhere(a) || everywhere(b))
}
