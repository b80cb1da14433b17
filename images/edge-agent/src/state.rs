//! What a device remembers of each stack: what runs, what ran before, and the operation under way. Types only; they are
//! kept by one writer that writes beside, fsyncs and renames, and anything unreadable is an error, never "nothing there".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xedge_model::Digest;

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
}

/// A release on the device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
    /// Digest of the manifest; `None` for a container that was started by hand.
    pub manifest: Option<Digest>,
    /// Digest of everything that it was made of: the same digest is the same container.
    pub spec: Option<Digest>,
    /// Its restart policy while it runs.
    pub restart: crate::engine::Restart,
}

/// `journal.json`: an operation, written before each of its steps. Whoever finds one brings the stack to `from` or to `to`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
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
    /// What the trust store learns when `to` is committed; `None` where nothing new is accepted (a rollback).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<crate::trust::Acceptance>,
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
