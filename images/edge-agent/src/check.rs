//! Whether the device can take a release: every obstacle at once, each with its code and the command that removes it. Looks
//! only; nothing on the device changes.

mod machine;
mod ports;
mod release;

pub(crate) use machine::{clock, disk_of, no_limits, volume_root};
pub(crate) use ports::kept_for_nobody;

use std::collections::BTreeMap;

use xedge_bundle::{Code, Manifest};
use xedge_model::{Class, Platform};

use crate::engine::spec::PortSpec;
use crate::facts::Machine;
use crate::{Clock, Device, Engine, Error, Home, Result, TrustStore};

/// One reason why the device cannot take the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The stable code.
    pub code: Code,
    /// What is in the way.
    pub reason: String,
    /// What to do, with the command to type.
    pub fix: String,
}

/// What a release needs of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// What each service needs, by name, limits as they are on this device.
    pub services: BTreeMap<String, ServiceNeeds>,
    /// Bytes of layers, compressed, that have yet to go into the Engine.
    pub layers: u64,
    /// Bytes of members that have yet to go into the store.
    pub store: u64,
    /// Name of a container, started by hand, that the release takes over.
    pub adopt: Option<String>,
}

/// What a service needs of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceNeeds {
    /// Bytes of memory that it is limited to.
    pub memory: Option<u64>,
    /// Ports of the device that it publishes.
    pub ports: Vec<PortSpec>,
}

/// Who looks, and at what.
pub struct Look<'a> {
    /// The agent's folder.
    pub home: &'a Home,
    /// The machine.
    pub machine: &'a Machine,
    /// Its Engine.
    pub engine: &'a dyn Engine,
    /// Its clock.
    pub clock: &'a dyn Clock,
    /// Who the device is.
    pub device: &'a Device,
    /// What it trusts.
    pub trust: &'a TrustStore,
    /// Version of this agent.
    pub agent: &'a str,
}

/// Looks for everything that keeps this device from running this release.
pub fn check(look: &Look<'_>, manifest: &Manifest, needs: &Needs) -> Result<()> {
    let obstacles = obstacles(look, manifest, needs)?;
    if obstacles.is_empty() { Ok(()) } else { Err(Error::Unfit(obstacles)) }
}

/// The obstacles themselves, in a fixed order.
pub fn obstacles(look: &Look<'_>, manifest: &Manifest, needs: &Needs) -> Result<Vec<Obstacle>> {
    let stack = look.home.stack(&manifest.stack);
    let facts = look.engine.facts()?;
    let mut found = release::compatibility(look, manifest, &facts);
    found.extend(release::data(look, manifest));
    found.extend(clock(look.clock));
    found.extend(machine::memory(look, &manifest.stack, &facts, needs)?);
    found.extend(machine::disk(look.home, &facts, needs)?);
    found.extend(volume_root(look.device));
    found.extend(ports::taken(look, manifest, needs)?);
    found.extend(release::given(&stack, manifest)?);
    Ok(found)
}

/// What shows without a plan, which needs values and secrets itself.
pub fn before_plan(look: &Look<'_>, manifest: &Manifest) -> Result<()> {
    check(look, manifest, &Needs::default())
}

/// Obstacles that show before anything was sent: those that need `bundle.json` alone.
pub fn early(look: &Look<'_>, manifest: &Manifest) -> Result<()> {
    let facts = look.engine.facts()?;
    let mut found = release::compatibility(look, manifest, &facts);
    found.extend(release::data(look, manifest));
    if found.is_empty() { Ok(()) } else { Err(Error::Unfit(found)) }
}

/// Whether what has yet to come has room, before its first byte comes.
pub fn room(home: &Home, engine: &dyn Engine, needs: &Needs) -> Result<()> {
    if needs.store == 0 && needs.layers == 0 {
        return Ok(());
    }
    let found = machine::disk(home, &engine.facts()?, needs)?;
    if found.is_empty() { Ok(()) } else { Err(Error::Unfit(found)) }
}

/// The platform of images that run natively in this Engine, where it is one that is built for.
pub fn platform(engine_architecture: &str) -> Option<Platform> {
    Platform::ALL.into_iter().find(|platform| platform.oci_architecture() == engine_architecture)
}

impl Obstacle {
    fn new(code: Code, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), fix: fix.into() }
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        self.code.class()
    }
}

/// The obstacle that decides the exit code.
pub(crate) fn worst(obstacles: &[Obstacle]) -> Option<&Obstacle> {
    let class = Class::worst(obstacles.iter().map(Obstacle::class))?;
    obstacles.iter().find(|obstacle| obstacle.class() == class)
}

/// All of them, for a message.
pub(crate) fn in_words(obstacles: &[Obstacle]) -> String {
    let line =
        |obstacle: &Obstacle| format!("\n  - {} [{}]: {}", obstacle.reason, obstacle.code, obstacle.fix);
    match obstacles {
        [one] => format!(": {} [{}]", one.reason, one.code),
        many => many.iter().map(line).collect::<Vec<_>>().concat(),
    }
}

#[cfg(test)]
mod tests;
