//! Containers without a daemon: images unpacked into the data folder, an OCI runtime (crun or runc), namespaces and
//! loopback ports of our own. Everything lies below one folder, so that what a killed run left is found by its labels.
//!
//! Differences to Docker: there is no seccomp filter, no way out of a run's network, and names are found through
//! `/etc/hosts`.

mod bridge;
mod cgroup;
mod container;
mod control;
mod exec;
mod forward;
mod make;
mod net;
mod objects;
mod root;
mod runtime;
mod spec;
mod store;
mod tree;
mod unpack;
mod user;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use xedge_model::{Digest, Platform};

use self::container::Container;
use self::net::Networks;
use self::objects::Objects;
use self::runtime::Runtime;
use self::store::Store;
use super::{Attached, Creation, EngineFacts, EngineKind, Kind, Labels, Object, Settings, Status};
use crate::Error;

pub use forward::{COMMAND as FORWARD, forward};

/// An engine of our own; cheap to clone.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    runtime: Runtime,
    facts: EngineFacts,
    store: Store,
    objects: Objects,
    /// Held while objects are made or removed, so that one half made is not half removed.
    structure: Mutex<()>,
    networks: Networks,
    containers: Mutex<BTreeMap<String, Arc<Container>>>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("folder", &self.inner.settings.folder).finish_non_exhaustive()
    }
}

/// A mutex's value, also after a panic elsewhere: clearing up must go on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Embedded {
    /// Looks for a runtime. It is an error where there is none, and for everybody but root.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Rootless);
        }
        let runtime = Runtime::find(&settings.path, settings.runtime.as_deref()).ok_or(Error::NoRuntime)?;
        let architecture = Platform::of_machine(std::env::consts::ARCH);
        let facts = EngineFacts {
            kind: EngineKind::Embedded,
            name: "embedded engine".to_owned(),
            version: runtime.version(),
            api: String::new(),
            architecture: architecture.map_or(std::env::consts::ARCH, Platform::oci_architecture).to_owned(),
        };
        let store = Store::new(settings.folder.join("images"));
        let objects = Objects::new(settings.folder.clone());
        let (networks, containers) = (Networks::default(), Mutex::default());
        let inner = Inner {
            settings,
            runtime,
            facts,
            store,
            objects,
            structure: Mutex::default(),
            networks,
            containers,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(super) fn host(&self) -> &str {
        self.inner.settings.folder.as_str()
    }

    pub(super) fn facts(&self) -> &EngineFacts {
        &self.inner.facts
    }

    /// Blocking work on a thread that may block. It is carried out also if nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|error| runtime_error("finish the engine's work", error))
    }

    pub(super) async fn has_image(&self, image: &str) -> Result<bool, Error> {
        let Ok(id) = image.parse::<Digest>() else { return Ok(false) };
        self.blocking(move |inner| inner.store.has(&id)).await
    }

    pub(super) async fn image_platform(&self, image: &str) -> Result<String, Error> {
        let action = format!("inspect image {image}");
        let id: Digest = image.parse().map_err(|error| runtime_error(&action, error))?;
        let config = self.blocking(move |inner| inner.store.config(&id)).await?;
        let config = config.map_err(|error| runtime_error(&action, error))?;
        Ok(format!("{}/{}", config.os, config.architecture))
    }

    pub(super) async fn load_image_with(
        &self,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        self.blocking(move |inner| load(&inner.store, fill)).await?
    }

    pub(super) async fn remove_untagged(&self, image: &str) -> Result<bool, Error> {
        let Ok(id) = image.parse::<Digest>() else { return Ok(false) };
        self.blocking(move |inner| inner.remove_image(&id)).await?
    }

    /// Images that are unpacked here, and what a load or a removal that was killed left is removed.
    pub async fn images(&self) -> Result<Vec<Digest>, Error> {
        let failed = |error| runtime_error("list the embedded engine's images", error);
        self.blocking(|inner| inner.store.sweep().and_then(|()| inner.store.ids())).await?.map_err(failed)
    }

    pub(super) async fn create_network(&self, name: &str, labels: &Labels) -> Result<(), Error> {
        let (name, labels) = (name.to_owned(), labels.clone());
        self.blocking(move |inner| inner.create_network(&name, &labels)).await?
    }

    pub(super) async fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), Error> {
        let (name, labels) = (name.to_owned(), labels.clone());
        self.blocking(move |inner| inner.create_volume(&name, &labels)).await?
    }

    pub(super) async fn create(&self, creation: &Creation<'_>) -> Result<(), Error> {
        let order = make::Order::of(creation);
        self.blocking(move |inner| inner.create(&order)).await?
    }

    pub(super) async fn upload(&self, container: &str, path: &str, tar: Vec<u8>) -> Result<(), Error> {
        let (container, path) = (container.to_owned(), path.to_owned());
        self.blocking(move |inner| inner.upload(&container, &path, &tar)).await?
    }

    pub(super) async fn start(&self, container: &str) -> Result<(), Error> {
        let (found, action) = (self.inner.container(container)?, format!("start container {container}"));
        self.blocking(move |_| {
            found.start().map_err(|error| runtime_error(&action, error))?;
            found.watch_memory();
            Ok(())
        })
        .await?
    }

    pub(super) async fn stop(&self, container: &str, grace: Duration) -> Result<(), Error> {
        let (found, action) = (self.inner.container(container)?, format!("stop container {container}"));
        self.blocking(move |_| found.stop(grace)).await?.map_err(|error| runtime_error(&action, error))
    }

    pub(super) fn inspect(&self, container: &str) -> Result<Status, Error> {
        Ok(self.inner.container(container)?.status())
    }

    pub(super) fn ports(&self, container: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        Ok(self.inner.container(container)?.addresses(port))
    }

    pub(super) async fn logs(&self, container: &str, tail: Option<usize>) -> Result<Vec<u8>, Error> {
        let path = self.inner.container(container)?.folder.join("log");
        let bytes = tokio::fs::read(path).await;
        let bytes = bytes.map_err(|error| runtime_error(&format!("read the log of {container}"), error))?;
        Ok(match tail {
            Some(lines) => last(&bytes, lines).to_vec(),
            None => bytes,
        })
    }

    pub(super) async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Option<i64>, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            runtime_error(&format!("run a command in {container}"), error.to_string())
        };
        let found = self.inner.container(container)?;
        if !found.is_running() {
            return Err(failed(&"the container is not running"));
        }
        let command = command.to_vec();
        let ran = self.blocking(move |_| exec::exec(&found, &command, limit)).await?;
        ran.map_err(|error| failed(&error))
    }

    pub(super) async fn exec_attached(&self, container: &str, command: &[String]) -> Result<Attached, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            runtime_error(&format!("start a command in {container}"), error.to_string())
        };
        let found = self.inner.container(container)?;
        if !found.is_running() {
            return Err(failed(&"the container is not running"));
        }
        let command = command.to_vec();
        let started = self.blocking(move |_| exec::start(&found, &command)).await?;
        started.and_then(exec::attach).map_err(|error| failed(&error))
    }

    pub(super) async fn labelled(&self, label: &str) -> Result<Vec<Object>, Error> {
        let label = label.to_owned();
        let failed = |error| runtime_error("list what simulations left", error);
        self.blocking(move |inner| inner.objects.labelled(&label)).await?.map_err(failed)
    }

    pub(super) async fn remove(&self, kind: Kind, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.blocking(move |inner| inner.remove(kind, &id)).await?
    }
}

/// The last lines of a log.
fn last(log: &[u8], lines: usize) -> &[u8] {
    let ends = log.iter().enumerate().rev().filter(|(at, byte)| **byte == b'\n' && at + 1 < log.len());
    let start = ends.map(|(at, _)| at + 1).nth(lines.saturating_sub(1)).unwrap_or(0);
    if lines == 0 { &[] } else { &log[start..] }
}

fn runtime_error(action: &str, detail: impl std::fmt::Display) -> Error {
    Error::Embedded { action: action.to_owned(), message: detail.to_string() }
}

/// Unpacks while `fill` writes. When both fail, the writer's reason counts, unless it only heard that nobody reads.
fn load(store: &Store, fill: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send) -> Result<(), Error> {
    let (reader, writer) = io::pipe().map_err(|error| runtime_error("load an image archive", error))?;
    let (loaded, written) = std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut sink = io::BufWriter::with_capacity(256 * 1024, writer);
            fill(&mut sink).and_then(|()| sink.flush())
        });
        let mut reader = io::BufReader::with_capacity(256 * 1024, reader);
        let loaded = store.load(&mut reader).and_then(|()| reader.read_to_end(&mut Vec::new()).map(drop));
        drop(reader);
        (loaded, writing.join().unwrap_or_else(|_| Err(io::Error::other("the archive's writer panicked"))))
    });
    match (loaded, written) {
        (Err(error), Err(broken)) if broken.kind() == io::ErrorKind::BrokenPipe => {
            Err(runtime_error("unpack an image", error))
        }
        (_, Err(error)) => Err(Error::Archive(error)),
        (Err(error), Ok(())) => Err(runtime_error("unpack an image", error)),
        (Ok(()), Ok(())) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
