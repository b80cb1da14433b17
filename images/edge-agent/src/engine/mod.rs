//! What the agent asks of a container engine, in plain types. Docker and Podman answer it, and in tests a folder of files.

mod docker;
pub mod fake;
pub mod spec;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use xedge_model::Digest;
use xedge_wire::{EngineFacts, Health, Measure};

pub use docker::Docker;
pub use fake::Fake;
pub use spec::{
    ContainerSpec, HealthSpec, LimitSpec, MountSpec, NetworkSpec, PortSpec, Restart, Source, VolumeSpec,
};

use crate::{Error, Result};

/// Label with the name of the stack, on everything that the agent makes.
pub const STACK_LABEL: &str = "xedge.release";
/// Label with the name of the service, on containers.
pub const SERVICE_LABEL: &str = "xedge.service";
/// Label with the number of the release that a container was made for.
pub const SEQ_LABEL: &str = "xedge.seq";
/// Label with the digest of what a container was made of.
pub const SPEC_LABEL: &str = "xedge.spec";

/// Label with how often `on-failure` may try: an Engine keeps that only beside the policy, which is not set at first.
pub const ATTEMPTS_LABEL: &str = "xedge.attempts";

/// A container as the Engine has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is what the Engine says of it, as it says it")]
pub struct Container {
    /// Id.
    pub id: String,
    /// Name, without a leading `/`.
    pub name: String,
    /// Id of its image.
    pub image: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whether its main process runs.
    pub running: bool,
    /// Whether the Engine waits to start it again.
    pub restarting: bool,
    /// How often the Engine started it again by itself.
    pub restarts: u64,
    /// Exit code, once it ended.
    pub exit_code: i64,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
    /// What the Engine could not do, or empty.
    pub error: String,
    /// Its restart policy.
    pub restart: Restart,
    /// Whether the Engine removes it once it ends (`--rm`).
    pub auto_remove: bool,
    /// What its health check says, as the Engine has it.
    pub health: Health,
    /// Its health check as an argument list, where it has one.
    pub health_check: Option<Vec<String>>,
    /// Addresses in its networks; none where it shares the host's.
    pub addresses: Vec<String>,
    /// What is mounted: source (a volume's name, or a path) by target.
    pub mounts: BTreeMap<String, String>,
}

/// A port of the device that a running container has, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The port.
    pub port: spec::PortSpec,
    /// Name of the container, without a leading `/`.
    pub container: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An image to load: what it has of layers is read as they are asked for.
pub struct ImageLoad<'a> {
    /// Digest of the manifest of this device's platform.
    pub manifest: &'a Digest,
    /// Bytes of the config.
    pub config: &'a [u8],
    /// Digest of the config: the image's id in an Engine with the classic store.
    pub config_digest: &'a Digest,
    /// The layers, lowest first: digest and length of the blob, and whether the Engine already has it.
    pub layers: &'a [LayerLoad],
    /// Opens a blob: a layer's, or the manifest's where the Engine keeps images by it.
    pub open: &'a dyn Fn(&Digest) -> Result<Box<dyn Read + Send>>,
}

/// A layer to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerLoad {
    /// Digest of the blob.
    pub digest: Digest,
    /// Length of the blob, in bytes.
    pub length: u64,
    /// Digest of its content, as the config names it.
    pub diff_id: Digest,
    /// Whether the Engine has it, and all below it; then it is left out.
    pub here: bool,
}

/// A user of a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Name.
    pub user: String,
    /// Password or token; it is shown nowhere.
    pub password: String,
}

/// A container engine. Every method may be repeated: what is already so is no error.
pub trait Engine {
    /// What it is.
    fn facts(&self) -> Result<EngineFacts>;
    /// Layers of every image, by the digest of their content, lowest first; empty where it does not load thin images.
    fn chains(&self) -> Result<Vec<Vec<Digest>>>;
    /// Id of the image with this config or manifest; `None` where it does not have it.
    fn image(&self, config: &Digest, manifest: &Digest) -> Result<Option<String>>;
    /// Loads an image under no tag, and gives its id; an error unless the Engine then has just this config or manifest.
    fn load(&self, image: &ImageLoad<'_>) -> Result<String>;
    /// Removes an image that no container uses and no tag names; gives whether it went.
    fn remove_image(&self, id: &str) -> Result<bool>;
    /// Makes a container and gives its id; it does not run yet. One of that name that has the same labels is given as it is.
    fn create(&self, name: &str, spec: &ContainerSpec, labels: &BTreeMap<String, String>) -> Result<String>;
    /// Starts it.
    fn start(&self, id: &str) -> Result<()>;
    /// Tells it to stop, and kills it after `grace`.
    fn stop(&self, id: &str, grace: Duration) -> Result<()>;
    /// Gives it another name.
    fn rename(&self, id: &str, name: &str) -> Result<()>;
    /// Sets its restart policy.
    fn set_restart(&self, id: &str, restart: Restart) -> Result<()>;
    /// Removes it, running or not; its volumes stay.
    fn remove(&self, id: &str) -> Result<()>;
    /// Removes a container that was only made to take files out of it, with the volumes that its image asked for.
    fn discard(&self, id: &str) -> Result<()> {
        self.remove(id)
    }
    /// The container with this id or name; `None` where there is none.
    fn inspect(&self, id: &str) -> Result<Option<Container>>;
    /// Every container of the agent's, of one stack or of all, running or not, sorted by name.
    fn containers(&self, stack: Option<&str>) -> Result<Vec<Container>>;
    /// Every port of the device that a running container has, whoever made it: who is in the way of a release.
    fn published(&self) -> Result<Vec<Published>> {
        Ok(Vec::new())
    }
    /// Makes a network that is not there; one of that name must have the same stack's label.
    fn ensure_network(&self, network: &NetworkSpec, labels: &BTreeMap<String, String>) -> Result<()>;
    /// Removes a network of this stack's that no container is in; gives whether it went.
    fn remove_network(&self, name: &str, stack: &str) -> Result<bool>;
    /// Makes a volume that is not there; one of that name must have the same stack's label. There is no way to remove one but [`Engine::purge_volume`].
    fn ensure_volume(&self, volume: &VolumeSpec, labels: &BTreeMap<String, String>) -> Result<()>;
    /// The volumes with this stack's label, sorted by name.
    fn stack_volumes(&self, stack: &str) -> Result<Vec<VolumeSpec>>;
    /// Removes a volume of this stack's with its data: only `uninstall --purge` and `remove --purge` may. Gives whether there is
    /// none of that name any more: one that is not the stack's stays.
    fn purge_volume(&self, name: &str, stack: &str) -> Result<bool>;
    /// Runs a program in a running container and gives its exit code; an error after `timeout`.
    fn exec(&self, id: &str, command: &[String], timeout: Duration) -> Result<i64>;
    /// Copies the last `lines` of stdout and stderr, and with `follow` what comes, until the container ends or `to` fails.
    fn logs(&self, id: &str, lines: u32, follow: bool, to: &mut dyn Write) -> Result<()>;
    /// What it uses, measured over about a second.
    fn usage(&self, id: &str) -> Result<Measure>;
    /// Fetches an image by tag or digest from its registry, as this device reaches it, and gives its id.
    fn pull(&self, reference: &str, login: Option<&Login>) -> Result<String>;
    /// Takes a tag or digest away from an image that was fetched, and the image where nothing else names or uses it.
    fn forget(&self, reference: &str) -> Result<()> {
        // An Engine that fetches nothing has nothing to forget.
        let _ = reference;
        Ok(())
    }
    /// Copies a file or folder out of a container, running or not, as a tar stream.
    fn copy_out(&self, id: &str, path: &str, to: &mut dyn Write) -> Result<()>;
}

/// Something of that name that is there must be this stack's, and have its label: whatever else it is, its data is somebody's.
fn check_owner(
    kind: &'static str,
    name: &str,
    found: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> Result<()> {
    if found.get(STACK_LABEL) == labels.get(STACK_LABEL) {
        return Ok(());
    }
    Err(Error::Foreign { kind, name: name.to_owned(), owner: found.get(STACK_LABEL).cloned() })
}

/// Whether something is this stack's.
fn is_of(found: &BTreeMap<String, String>, stack: &str) -> bool {
    found.get(STACK_LABEL).is_some_and(|owner| owner == stack)
}

/// A health check in the Engine's form (`CMD …`, `CMD-SHELL …`) as an argument list; `None` for one that is switched off.
pub fn health_command(test: &[String]) -> Option<Vec<String>> {
    match test.split_first() {
        Some((kind, rest)) if kind == "CMD" => Some(rest.to_vec()),
        Some((kind, rest)) if kind == "CMD-SHELL" => {
            Some([&["/bin/sh".to_owned(), "-c".to_owned()], rest].concat())
        }
        _ => None,
    }
}
