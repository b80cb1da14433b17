//! What a device remembers of each stack: what runs, what ran before, and the operation under way. Types only; they are
//! kept by one writer that writes beside, fsyncs and renames, and anything unreadable is an error, never "nothing there".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xedge_model::Digest;
use xedge_model::stack::Probe;

use crate::engine::{PortSpec, Restart, VolumeSpec};

/// `state.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StackState {
    /// The release that runs.
    pub current: Option<Installed>,
    /// The release that `rollback` brings back: its containers are kept, stopped.
    pub previous: Option<Installed>,
    /// Volumes that do not have the usual place, because they were there before (`--adopt`): by name, what is mounted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub adopted_volumes: BTreeMap<String, String>,
    /// Names of the containers that were taken over, by service: to be asked for the same once more is no mistake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub adopted: BTreeMap<String, String>,
}

/// A release on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Installed {
    /// Its number; 0 for containers that were started by hand and taken over.
    pub seq: u64,
    /// Its version.
    pub version: String,
    /// Digest of its configuration.
    pub config: Option<Digest>,
    /// What its data can be read by (`bundle.json`, `data`).
    pub data_version: u64,
    /// Unix time at which it was committed.
    pub since: i64,
    /// Its containers by service.
    pub services: BTreeMap<String, Placed>,
    /// Its services, each after those that it depends on.
    #[serde(default)]
    pub order: Vec<String>,
    /// What must answer while it runs.
    #[serde(default)]
    pub checks: Checks,
    /// The Engine's names of its networks.
    #[serde(default)]
    pub networks: Vec<String>,
    /// The volumes that were made for it; adopted ones are not among them.
    #[serde(default)]
    pub volumes: Vec<VolumeSpec>,
    /// The folders that its containers mount ([`crate::home::StackHome::mount`]).
    #[serde(default)]
    pub mounts: Vec<Digest>,
    /// The members of the store that are worth keeping for it.
    #[serde(default)]
    pub members: Vec<Digest>,
    /// Which version of each of its secrets it was made with.
    #[serde(default)]
    pub secrets: BTreeMap<String, u64>,
}

/// What a release must answer before it is committed, and afterwards to the one who watches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checks {
    /// What is asked.
    pub probes: Vec<Check>,
    /// Seconds for which everything must stay well before the release is committed.
    pub settle_s: u64,
    /// Seconds in which a service must answer after its start.
    pub start_s: u64,
}

/// One question to a service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// The question.
    pub probe: Probe,
    /// The user who logs in, where the probe's secret is a password and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// The container of a service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placed {
    /// The Engine's id of the container.
    pub container: String,
    /// The name that it has while it runs.
    pub name: String,
    /// Id of the image in the Engine.
    pub image: String,
    /// Name of the image, for people.
    #[serde(default)]
    pub image_name: String,
    /// Digest of the manifest; `None` for a container that was started by hand.
    pub manifest: Option<Digest>,
    /// Digest of everything that it was made of: the same digest is the same container.
    pub spec: Option<Digest>,
    /// Its restart policy while it runs.
    pub restart: Restart,
    /// How often a policy of [`Restart::OnFailure`] may try; 0 is without end.
    #[serde(default)]
    pub attempts: u32,
    /// Bytes of memory that it is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Ports of the device that it publishes.
    #[serde(default)]
    pub ports: Vec<PortSpec>,
    /// Seconds that it is given to stop.
    #[serde(default = "ten")]
    pub stop_grace_s: u64,
    /// Whether it does its work and ends with 0, so that others can start after it.
    #[serde(default)]
    pub ends: bool,
}

fn ten() -> u64 {
    10
}

/// `journal.json`: an operation, written before each of its steps. Whoever finds one brings the stack to `from` or to `to`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
    /// What is being done.
    pub operation: Operation,
    /// How far it is.
    pub phase: Phase,
    /// What ran before; `None` where nothing did.
    pub from: Option<Installed>,
    /// What is to run. Containers that are not made yet have no id.
    pub to: Installed,
    /// The services that change over, in the order in which they do.
    pub changing: Vec<String>,
    /// What the state will be when `to` is committed.
    pub after: Box<StackState>,
    /// What nothing needs once `to` is committed.
    #[serde(default)]
    pub drop: Drop,
    /// What the device must not go below once `to` is committed; `None` where nothing new is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<Accept>,
}

/// What a committed release raises.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accept {
    /// The release's number.
    pub seq: u64,
    /// Version of the timestamp that it came with.
    pub timestamp_version: u64,
    /// The lowest data version that may still be installed.
    pub data_floor: u64,
    /// Unix time that the release is at least as new as: a floor for a clock that stands still.
    pub signed: i64,
}

/// What nothing needs once an operation is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drop {
    /// Ids of containers.
    pub containers: Vec<String>,
    /// Ids of images; one that something else uses stays.
    pub images: Vec<String>,
    /// Names of networks; one that something else is in stays.
    pub networks: Vec<String>,
    /// Volumes, with their data: only where somebody asked for it.
    pub volumes: Vec<VolumeSpec>,
}

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A release is installed.
    Install,
    /// The release before comes back.
    Rollback,
    /// Everything goes but data and secrets.
    Remove,
    /// Everything goes.
    Purge,
}

/// How far an operation is. Before `Switching` the old release runs untouched; from `Committing` on the new one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Images, folders, networks, volumes and new containers are being made.
    Preparing,
    /// Old containers are stopped and new ones started.
    Switching,
    /// The new release answered; what is left is to write it down and to tidy up.
    Committing,
    /// The old release is being brought back.
    RollingBack,
}
