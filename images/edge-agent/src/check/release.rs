//! What the release asks of the device: platform, board, versions, data, values, secrets.

use xedge_bundle::Manifest;
use xedge_model::stack::check_values;
use xedge_wire::EngineFacts;

use super::{Look, Obstacle, platform};
use crate::home::StackHome;
use crate::{Result, secrets, values};

/// Where the release can run.
pub(super) fn compatibility(look: &Look<'_>, manifest: &Manifest, engine: &EngineFacts) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let wanted = &manifest.compatibility;
    let here = platform(&engine.architecture);
    if !here.is_some_and(|here| wanted.platforms.contains(&here)) {
        let list: Vec<&str> = wanted.platforms.iter().map(|platform| platform.as_str()).collect();
        let reason = format!(
            "the Engine runs linux/{}, and the release is for {}",
            engine.architecture.escape_debug(),
            list.join(", ")
        );
        found.push(Obstacle::new(
            "platform",
            reason,
            "build it for this platform too: `cargo xtask release --platform`",
        ));
    }
    if older(look.agent, &wanted.agent) {
        let reason = format!("the agent is {}, and the release needs {}", look.agent, wanted.agent);
        found.push(Obstacle::new(
            "agent-old",
            reason,
            "renew it from the host: `cargo xtask deploy`, or `xedge-agent upgrade FILE`",
        ));
    }
    if older(&engine.api, &wanted.engine_api) {
        let reason = format!(
            "the Engine ({} {}) has API {}, and the release needs {}",
            engine.kind, engine.version, engine.api, wanted.engine_api
        );
        found.push(Obstacle::new(
            "engine-old",
            reason,
            "renew it: `sudo apt-get install --only-upgrade docker.io`, or docker-ce",
        ));
    }
    found
}

/// Whether the release can read the data that is there.
pub(super) fn data(look: &Look<'_>, manifest: &Manifest) -> Option<Obstacle> {
    let _ = (look, manifest);
    None
}

/// Values and secrets that only this device can have.
pub(super) fn given(stack: &StackHome, manifest: &Manifest) -> Result<Vec<Obstacle>> {
    let mut found = Vec::new();
    let declared = &manifest.config.device_values;
    let mut known = values::load(stack)?;
    // A value that an earlier release asked for stays, for the way back.
    known.retain(|name, _| declared.iter().any(|value| value.name == *name));
    if let Err(error) = check_values(declared, &known) {
        let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
        let missing: Vec<&str> = declared
            .iter()
            .map(|value| value.name.as_str())
            .filter(|name| !known.contains_key(*name))
            .collect();
        let reason = if missing.is_empty() {
            format!("{error}{why}")
        } else {
            format!("values of this device are missing: {}", missing.join(", "))
        };
        let name = missing.first().copied().unwrap_or("NAME");
        found.push(Obstacle::new(
            "device-values",
            reason,
            format!("give them: `cargo xtask deploy --set {name}=VALUE`"),
        ));
    }
    let missing = secrets::missing(stack, &manifest.config.secrets)?;
    if !missing.is_empty() {
        let reason = format!("secrets are missing: {}", missing.join(", "));
        found.push(Obstacle::new("secret-missing", reason, "send them from the host: `cargo xtask deploy`"));
    }
    Ok(found)
}

/// Whether a version of numbers and dots is lower than the one that is needed. What is no such version is: it says nothing.
fn older(found: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        let plain = text.split(['-', '+']).next()?;
        plain.split('.').map(|part| part.parse().ok()).collect()
    };
    match (numbers(found), numbers(needed)) {
        (Some(found), Some(needed)) => found < needed,
        _ => true,
    }
}
