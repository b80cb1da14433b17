//! What the release asks of the device: platform, board, versions, data, values, secrets.

use xedge_bundle::manifest::at_least;
use xedge_bundle::{Code, Manifest};
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
        let own = here
            .map_or_else(|| format!("linux/{}", engine.architecture.escape_debug()), |own| own.to_string());
        let reason = format!("the Engine runs {own}, and the release is for {}", list.join(", "));
        found.push(Obstacle::new(
            Code::Platform,
            reason,
            "add it to `platforms` in the image.yaml of every image, and release again: `cargo xtask release`",
        ));
    }
    found.extend(board(look, manifest));
    if older(look.agent, &wanted.agent) {
        let reason = format!("the agent is {}, and the release needs {}", look.agent, wanted.agent);
        found.push(Obstacle::new(
            Code::AgentOld,
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
            Code::EngineOld,
            reason,
            "renew it: `sudo apt-get install --only-upgrade docker.io`, or docker-ce",
        ));
    }
    found
}

/// Whether the release can read the data that is there.
pub(super) fn data(look: &Look<'_>, manifest: &Manifest) -> Option<Obstacle> {
    let floor = look.trust.data_floor(&manifest.stack);
    let version = manifest.data.version;
    (version < floor).then(|| {
        let reason = format!(
            "the data of the stack {} can be read from data version {floor} on, and the release has {version}",
            manifest.stack
        );
        let fix = format!("install a release with data version {floor} or later: `cargo xtask deploy --bundle FILE`");
        Obstacle::new(Code::DataFloor, reason, fix)
    })
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
            Code::DeviceValues,
            reason,
            format!("give them: `cargo xtask deploy --set {name}=VALUE`"),
        ));
    }
    let missing = secrets::missing(stack, &manifest.config.secrets)?;
    if !missing.is_empty() {
        let reason = format!("secrets are missing: {}", missing.join(", "));
        found.push(Obstacle::new(
            Code::SecretMissing,
            reason,
            "send them from the host: `cargo xtask deploy`",
        ));
    }
    Ok(found)
}

/// Whether a version of numbers and dots is lower than the one that is needed. What is no such version is: it says nothing.
fn older(found: &str, needed: &str) -> bool {
    at_least(found, needed) != Some(true)
}

/// A board counts by any of its names; one that its owner named has that name alone.
fn board(look: &Look<'_>, manifest: &Manifest) -> Option<Obstacle> {
    let wanted = &manifest.compatibility.boards;
    let names = match &look.device.settings.board {
        Some(name) => vec![name.clone()],
        None => look.machine.board().names,
    };
    if wanted.is_empty() || names.iter().any(|name| wanted.contains(name)) {
        return None;
    }
    let here = match names.first() {
        Some(name) => format!("the board is {name}"),
        None => "nothing says what board this is".to_owned(),
    };
    let reason = format!("{here}, and the release is for {}", wanted.join(", "));
    let fix =
        "take the release for this board, or say what it is: `xedge-agent enroll --root FILE --board NAME`";
    Some(Obstacle::new(Code::Board, reason, fix))
}
