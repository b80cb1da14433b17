//! The container engine, in plain types. Only `docker` knows the client library, only `embedded` the runtime.

mod attached;
mod docker;
mod either;
#[cfg(target_os = "linux")]
pub mod embedded;
#[cfg(not(target_os = "linux"))]
#[path = "absent.rs"]
pub mod embedded;
mod files;
mod usage;

use std::collections::BTreeMap;
use std::path::PathBuf;

use camino::Utf8PathBuf;
use xedge_model::Platform;

use crate::plan::ContainerPlan;

pub(crate) use attached::Attached;
pub use docker::{BuildEnd, BuildFailure, BuildProgress, BuildRequest, Docker};
pub use either::Engine;
pub use embedded::Embedded;
pub(crate) use files::volume_tar;
pub use usage::Usage;

/// What the embedded engine needs to know of its surroundings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where images and containers are kept; nobody else's.
    pub folder: Utf8PathBuf,
    /// Our own program, which is started again for each published port.
    pub program: PathBuf,
    /// Search path for the runtime.
    pub path: String,
    /// `crun` or `runc`, where it must be just that one.
    pub runtime: Option<String>,
}

/// Kinds of engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Docker's Engine.
    Docker,
    /// Podman, behind the Docker Engine API.
    Podman,
    /// An OCI runtime in namespaces of our own.
    Embedded,
    /// None: all of it ran in virtual time.
    Virtual,
}

/// What the Engine says about itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EngineFacts {
    /// Which kind it is.
    pub kind: EngineKind,
    /// Product, for example `Docker Engine`.
    pub name: String,
    /// Version of the product.
    pub version: String,
    /// API version that was agreed on; empty where there is no API.
    pub api: String,
    /// Architecture in Go's words, for example `amd64`.
    pub architecture: String,
}

impl EngineFacts {
    /// Whether containers of this platform need emulation.
    pub fn emulates(&self, platform: Platform) -> bool {
        platform.oci_architecture() != self.architecture
    }
}

/// Labels of an object in the Engine.
pub type Labels = BTreeMap<String, String>;

/// A container to create.
#[derive(Debug)]
pub(crate) struct Creation<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Everything that the plan says.
    pub(crate) plan: &'a ContainerPlan,
    /// Network to join; `none` for a container without.
    pub(crate) network: &'a str,
    /// Networks to join beside it.
    pub(crate) further: &'a [String],
    /// Volume name by mount path.
    pub(crate) volumes: &'a BTreeMap<String, String>,
    /// How often the service port is published; one proxy of the Engine carries about 3,000 connections.
    pub(crate) published: usize,
    /// Labels.
    pub(crate) labels: &'a Labels,
}

/// State of a container.
#[expect(
    clippy::struct_excessive_bools,
    reason = "an engine tells them apart, and more than one can be true"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Image that it was made of: `sha256:…`.
    pub image: String,
    /// Whether the main process runs.
    pub running: bool,
    /// Whether the Engine waits to start it again.
    pub restarting: bool,
    /// Whether its processes are held.
    pub paused: bool,
    /// How often the Engine started it again by itself.
    pub restarts: i64,
    /// Exit code of the main process, once it ended.
    pub exit_code: i64,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
    /// What the Engine could not do, or empty.
    pub error: String,
    /// The health check as an argument list, of the image or set in its place; `None` without one.
    pub health_check: Option<Vec<String>>,
}

impl Status {
    /// Whether it runs now and has done so since it was started.
    pub fn is_up(&self) -> bool {
        self.running && !self.restarting && self.restarts == 0
    }
}

/// Kind of an object in the Engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A container.
    Container,
    /// A volume; removed after the containers that use it.
    Volume,
    /// A network; removed after the containers in it.
    Network,
}

/// An object with one of our labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Id or name.
    pub id: String,
    /// Its labels.
    pub labels: Labels,
}
