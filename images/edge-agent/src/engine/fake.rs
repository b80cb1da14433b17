//! An Engine that is a folder of files, for tests: it survives the death of the agent, keeps an Engine's rules (names, ports,
//! images, networks, folders that must be there, restart policies at boot) and breaks on demand. Nothing runs in it.

mod disk;
mod named;
mod record;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use xedge_model::{Digest, Hasher};
use xedge_wire::{EngineFacts, Measure};

use self::record::{Now, Record};
use super::{
    Container, ContainerSpec, Engine, ImageLoad, Login, NetworkSpec, Published, Restart, STACK_LABEL,
    VolumeSpec,
};
use crate::{Error, Result};

/// An Engine in a folder.
pub struct Fake {
    folder: Utf8PathBuf,
    now: Box<dyn Fn() -> u64>,
    calls: Cell<u64>,
}

/// What goes wrong. It is kept in the folder, so that it also holds for another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Faults {
    /// How programs behave, by manifest digest, name of the container, or name of the service: the first that is there.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// The number of the call, counted from 1 in each process, at which the Engine is gone; from there on nothing answers.
    pub dies_at: Option<u64>,
    /// Whether that call is still carried out, and only its answer is lost.
    pub dies_done: bool,
    /// The number of the call from which on nothing new can be kept.
    pub full_at: Option<u64>,
    /// Whether it is like Podman: a container has its policy from the start, and keeps it.
    pub fixed_policies: bool,
    /// Address of every container; 127.0.0.1 where none is named.
    pub address: Option<String>,
}

/// How a program behaves. By default it runs, and is healthy where anybody asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own, and any may come together")]
pub struct Behaviour {
    /// Why it cannot be started.
    pub refuses: Option<String>,
    /// Milliseconds after which it ends by itself.
    pub exit_after_ms: Option<u64>,
    /// The exit code that it then has.
    pub exit_code: i64,
    /// Milliseconds for which its health check says nothing.
    pub healthy_after_ms: u64,
    /// Whether its health check fails after that.
    pub unhealthy: bool,
    /// Whether it must be killed.
    pub ignores_stop: bool,
    /// Exit code of programs that are run in it.
    pub exec_code: i64,
    /// Whether such programs never end.
    pub exec_hangs: bool,
    /// Whether it goes once it is stopped (`--rm`).
    pub auto_remove: bool,
    /// What it writes.
    pub log: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Image {
    id: String,
    manifest: Digest,
    layers: Vec<Digest>,
    #[serde(default)]
    check: Option<Vec<String>>,
}

impl Fake {
    /// The Engine in this folder, which may be new. `now` gives milliseconds that go on from one process to the next.
    pub fn open(folder: impl Into<Utf8PathBuf>, now: impl Fn() -> u64 + 'static) -> Self {
        disk::forget();
        Self { folder: folder.into(), now: Box::new(now), calls: Cell::new(0) }
    }

    /// How many calls were made through this value.
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// What goes wrong at present.
    pub fn faults(&self) -> io::Result<Faults> {
        Ok(disk::read(&self.folder.join("faults.json"))?.unwrap_or_default())
    }

    /// Lets something go wrong from now on, or nothing any more. What has happened so far stays as it was, and calls are
    /// counted anew.
    pub fn set_faults(&self, faults: &Faults) -> io::Result<()> {
        for mut record in self.records()? {
            record.settle((self.now)(), &self.behaviour(&record)?);
            self.keep(&record)?;
        }
        self.calls.set(0);
        disk::write(&self.folder.join("faults.json"), faults)
    }

    /// The machine lost its power, or its Engine died, and both are back: what ran has ended, and restart policies decide.
    pub fn boot(&self) -> io::Result<()> {
        let now = (self.now)();
        let mut records = self.records()?;
        for record in &mut records {
            record.settle(now, &self.behaviour(record)?);
            if record.since.take().is_some() {
                record.exit_code = 255;
            }
            let again = match record.restart {
                Restart::No => false,
                Restart::Always => true,
                Restart::UnlessStopped => !record.stopped,
                Restart::OnFailure => record.exit_code != 0 && !record.stopped,
            };
            record.restarts = 0;
            if record.ran && again {
                self.run(record)?;
            }
            self.keep(record)?;
        }
        Ok(())
    }

    /// Ids of the images, sorted.
    pub fn images(&self) -> io::Result<Vec<String>> {
        let all: Vec<Image> = disk::read_all(&self.folder.join("images"))?;
        Ok(all.into_iter().map(|image| image.id).collect())
    }

    /// The program of a running container ends by itself, as `docker kill` from outside would make it.
    pub fn end(&self, name: &str, exit_code: i64) -> io::Result<()> {
        let mut record = self.find(name)?.ok_or(io::ErrorKind::NotFound)?;
        (record.since, record.exit_code) = (None, exit_code);
        self.keep(&record)
    }

    /// Counts a call and does it, as far as the Engine still lives.
    fn call<T>(&self, what: &str, act: impl FnOnce() -> Result<T, Broken>) -> Result<T> {
        let failed = |reason: String| Error::Engine { what: what.to_owned(), reason };
        let number = self.calls.get() + 1;
        self.calls.set(number);
        let faults = self.faults().map_err(|error| failed(error.to_string()))?;
        let gone = || failed("nothing answers".to_owned());
        match faults.dies_at {
            Some(end) if number > end || (number == end && !faults.dies_done) => return Err(gone()),
            _ => {}
        }
        let done = act().map_err(|Broken(reason)| failed(reason))?;
        if faults.dies_at == Some(number) { Err(gone()) } else { Ok(done) }
    }

    /// An error once the disk is full.
    fn room(&self) -> Result<(), Broken> {
        match self.faults()?.full_at {
            Some(from) if self.calls.get() >= from => broken("no space left on device"),
            _ => Ok(()),
        }
    }

    fn records(&self) -> io::Result<Vec<Record>> {
        disk::read_all(&self.folder.join("containers"))
    }

    fn find(&self, id: &str) -> io::Result<Option<Record>> {
        Ok(self.records()?.into_iter().find(|record| record.id == id || record.name == id))
    }

    fn found(&self, id: &str) -> Result<Record, Broken> {
        self.find(id)?.ok_or_else(|| Broken(format!("no such container: {id}")))
    }

    fn keep(&self, record: &Record) -> io::Result<()> {
        disk::write(&self.record_file(&record.id), record)
    }

    fn record_file(&self, id: &str) -> Utf8PathBuf {
        self.folder.join("containers").join(format!("{id}.json"))
    }

    fn behaviour(&self, record: &Record) -> io::Result<Behaviour> {
        let all = self.faults()?.behaviours;
        let manifest = record.spec.manifest.as_ref().map_or("", Digest::as_str);
        let keys = [manifest, &record.name, &record.spec.service];
        Ok(keys.iter().find_map(|key| all.get(*key)).cloned().unwrap_or_default())
    }

    fn shown(&self, record: &Record) -> io::Result<Container> {
        let address = self.faults()?.address.unwrap_or_else(|| "127.0.0.1".to_owned());
        Ok(record.shown((self.now)(), &self.behaviour(record)?, &address))
    }

    /// Starts a container's program, or notes why not.
    fn run(&self, record: &mut Record) -> io::Result<()> {
        let refused = self.obstacle(record)?;
        record.error = refused.unwrap_or_default();
        if record.error.is_empty() {
            (record.since, record.ran, record.stopped) = (Some((self.now)()), true, false);
        } else {
            record.exit_code = 128;
        }
        Ok(())
    }

    fn obstacle(&self, record: &Record) -> io::Result<Option<String>> {
        if let Some(reason) = self.behaviour(record)?.refuses {
            return Ok(Some(reason));
        }
        if let Some(path) = record.paths().find(|path| !fs::exists(path).unwrap_or(false)) {
            return Ok(Some(format!("bind source path does not exist: {path}")));
        }
        for other in self.records()?.iter().filter(|other| other.id != record.id) {
            let runs = self.shown(other)?.running;
            if let Some(port) = record.in_the_way(other).filter(|_| runs) {
                let (host, name) = (port.host, &other.name);
                return Ok(Some(format!("port {host} is already allocated (by {name})")));
            }
        }
        let networks = self.networks()?;
        let missing = record.spec.networks.keys().find(|name| !networks.contains(name));
        Ok(missing.map(|name| format!("network {name} not found")))
    }

    fn image_file(&self, id: &Digest) -> Utf8PathBuf {
        self.folder.join("images").join(format!("{}.json", id.hex()))
    }

    /// A number that no container had; a number may be lost.
    fn next(&self) -> io::Result<u64> {
        let file = self.folder.join("next.json");
        let number = disk::read::<u64>(&file)?.unwrap_or(1);
        disk::write(&file, &(number + 1))?;
        Ok(number)
    }

    fn check_parts(&self, spec: &ContainerSpec) -> Result<(), Broken> {
        let images: Vec<Image> = disk::read_all(&self.folder.join("images"))?;
        if !images.iter().any(|image| image.id == spec.image) {
            return broken(format!("no such image: {}", spec.image));
        }
        let volumes = self.volumes()?;
        for mount in &spec.mounts {
            match &mount.source {
                super::Source::Volume(name) if !volumes.contains(name) => {
                    return broken(format!("no such volume: {name}"));
                }
                super::Source::Path(path) | super::Source::Secret { path, .. }
                    if !fs::exists(path).unwrap_or(false) =>
                {
                    return broken(format!("bind source path does not exist: {path}"));
                }
                _ => {}
            }
        }
        let networks = self.networks()?;
        match spec.networks.keys().find(|name| !networks.contains(name)) {
            Some(name) => broken(format!("network {name} not found")),
            None => Ok(()),
        }
    }
}

impl Engine for Fake {
    fn facts(&self) -> Result<EngineFacts> {
        self.call("ask for its version", || {
            Ok(EngineFacts {
                kind: "docker".to_owned(),
                version: "20.10.0".to_owned(),
                api: "1.41".to_owned(),
                architecture: "amd64".to_owned(),
                thin_loads: true,
                memory_limits: true,
                root: self.folder.to_string(),
            })
        })
    }

    fn chains(&self) -> Result<Vec<Vec<Digest>>> {
        self.call("list images", || {
            let images: Vec<Image> = disk::read_all(&self.folder.join("images"))?;
            Ok(images.into_iter().map(|image| image.layers).collect())
        })
    }

    fn image(&self, config: &Digest, _manifest: &Digest) -> Result<Option<String>> {
        self.call("look for an image", || {
            let image: Option<Image> = disk::read(&self.image_file(config))?;
            Ok(image.map(|image| image.id))
        })
    }

    fn load(&self, image: &ImageLoad<'_>) -> Result<String> {
        self.call("load an image", || {
            self.room()?;
            if Digest::of(image.config) != *image.config_digest {
                return broken("the config is not the one of this digest");
            }
            let layers: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id.clone()).collect();
            let images: Vec<Image> = disk::read_all(&self.folder.join("images"))?;
            for (index, layer) in image.layers.iter().enumerate() {
                if layer.here {
                    let known = images.iter().any(|known| known.layers.starts_with(&layers[..=index]));
                    if !known {
                        return broken(format!("layer {} is left out and not here", layer.digest));
                    }
                    continue;
                }
                let mut blob = (image.open)(&layer.digest).map_err(|error| Broken(error.to_string()))?;
                let mut hasher = Hasher::new();
                let length = io::copy(&mut blob.by_ref().take(layer.length + 1), &mut hasher)?;
                if length != layer.length || hasher.finish() != layer.digest {
                    return broken(format!("layer {} is damaged", layer.digest));
                }
            }
            let id = image.config_digest.to_string();
            let check = image_check(image.config);
            let known = Image { id: id.clone(), manifest: image.manifest.clone(), layers, check };
            disk::write(&self.image_file(image.config_digest), &known)?;
            Ok(id)
        })
    }

    fn remove_image(&self, id: &str) -> Result<bool> {
        self.call("remove an image", || {
            let used = self.records()?.iter().any(|record| record.image == id);
            let digest: Digest = id.parse().map_err(|_| Broken(format!("no such image: {id}")))?;
            Ok(!used && disk::remove(&self.image_file(&digest))?)
        })
    }

    fn create(&self, name: &str, spec: &ContainerSpec, labels: &BTreeMap<String, String>) -> Result<String> {
        self.call(&format!("create container {name}"), || {
            let mut all = spec.labels.clone();
            all.extend(labels.clone());
            if let Some(same) = self.records()?.into_iter().find(|record| record.name == name) {
                if same.labels == all {
                    return Ok(same.id);
                }
                return broken(format!("the name {name} is already in use by container {}", same.id));
            }
            self.room()?;
            self.check_parts(spec)?;
            let id = Digest::of(format!("{name} {}", self.next()?).as_bytes()).hex().to_owned();
            let own = spec.health.as_ref().filter(|health| !health.test.is_empty());
            let images: Vec<Image> = disk::read_all(&self.folder.join("images"))?;
            let image = images.into_iter().find(|image| image.id == spec.image);
            let check = match own {
                Some(own) => super::health_command(&own.test),
                None => image.and_then(|image| image.check),
            };
            self.keep(&Record {
                id: id.clone(),
                name: name.to_owned(),
                image: spec.image.clone(),
                spec: spec.clone(),
                labels: all,
                restart: if self.faults()?.fixed_policies { spec.restart } else { Restart::No },
                check,
                since: None,
                restarts: 0,
                exit_code: 0,
                error: String::new(),
                ran: false,
                stopped: false,
            })?;
            Ok(id)
        })
    }

    fn start(&self, id: &str) -> Result<()> {
        self.call(&format!("start container {id}"), || {
            let mut record = self.found(id)?;
            let behaviour = self.behaviour(&record)?;
            if matches!(record.now((self.now)(), &behaviour), Now::Runs { .. }) {
                return Ok(());
            }
            record.settle((self.now)(), &behaviour);
            record.restarts = 0;
            self.run(&mut record)?;
            self.keep(&record)?;
            if record.error.is_empty() { Ok(()) } else { broken(record.error) }
        })
    }

    fn stop(&self, id: &str, _grace: Duration) -> Result<()> {
        self.call(&format!("stop container {id}"), || {
            let mut record = self.found(id)?;
            let behaviour = self.behaviour(&record)?;
            record.settle((self.now)(), &behaviour);
            if record.since.take().is_some() {
                record.exit_code = if behaviour.ignores_stop { 137 } else { 0 };
                record.stopped = true;
                self.keep(&record)?;
            }
            if behaviour.auto_remove {
                disk::remove(&self.record_file(&record.id))?;
            }
            Ok(())
        })
    }

    fn rename(&self, id: &str, name: &str) -> Result<()> {
        self.call(&format!("rename container {id} to {name}"), || {
            let mut record = self.found(id)?;
            match self.find(name)? {
                Some(other) if other.id != record.id => {
                    broken(format!("the name {name} is already in use by container {}", other.id))
                }
                _ => {
                    name.clone_into(&mut record.name);
                    Ok(self.keep(&record)?)
                }
            }
        })
    }

    fn set_restart(&self, id: &str, restart: Restart) -> Result<()> {
        self.call(&format!("set the restart policy of container {id}"), || {
            let mut record = self.found(id)?;
            record.settle((self.now)(), &self.behaviour(&record)?);
            if !self.faults()?.fixed_policies {
                record.restart = restart;
            }
            Ok(self.keep(&record)?)
        })
    }

    fn remove(&self, id: &str) -> Result<()> {
        self.call(&format!("remove container {id}"), || {
            if let Some(record) = self.find(id)? {
                disk::remove(&self.record_file(&record.id))?;
            }
            Ok(())
        })
    }

    fn inspect(&self, id: &str) -> Result<Option<Container>> {
        self.call(&format!("look at container {id}"), || {
            Ok(self.find(id)?.map(|record| self.shown(&record)).transpose()?)
        })
    }

    fn containers(&self, stack: Option<&str>) -> Result<Vec<Container>> {
        self.call("list containers", || {
            let ours = |record: &&Record| match (record.labels.get(STACK_LABEL), stack) {
                (Some(label), Some(stack)) => label == stack,
                (label, None) => label.is_some(),
                (None, Some(_)) => false,
            };
            let records = self.records()?;
            let shown: io::Result<Vec<Container>> =
                records.iter().filter(ours).map(|record| self.shown(record)).collect();
            let mut shown = shown?;
            shown.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(shown)
        })
    }

    fn published(&self) -> Result<Vec<Published>> {
        self.call("list containers", || {
            let mut all = Vec::new();
            for record in self.records()? {
                if !self.shown(&record)?.running {
                    continue;
                }
                let (container, labels) = (record.name.clone(), record.labels.clone());
                all.extend(record.spec.ports.into_iter().map(|port| Published {
                    port,
                    container: container.clone(),
                    labels: labels.clone(),
                }));
            }
            Ok(all)
        })
    }

    fn ensure_network(&self, network: &NetworkSpec, labels: &BTreeMap<String, String>) -> Result<()> {
        self.ensure("network", &network.name, network, labels)
    }

    fn remove_network(&self, name: &str, stack: &str) -> Result<bool> {
        self.call(&format!("remove network {name}"), || {
            let used = self.records()?.iter().any(|record| record.spec.networks.contains_key(name));
            Ok(!used
                && self.is_of("network", name, stack)?
                && disk::remove(&self.named_file("network", name))?)
        })
    }

    fn ensure_volume(&self, volume: &VolumeSpec, labels: &BTreeMap<String, String>) -> Result<()> {
        self.ensure("volume", &volume.name, volume, labels)
    }

    fn stack_volumes(&self, stack: &str) -> Result<Vec<VolumeSpec>> {
        self.call("list volumes", || Ok(self.volumes_of(stack)?))
    }

    fn purge_volume(&self, name: &str, stack: &str) -> Result<bool> {
        self.call(&format!("remove volume {name}"), || {
            if !self.named_file("volume", name).exists() {
                return Ok(true);
            }
            if !self.is_of("volume", name, stack)? {
                return Ok(false);
            }
            if let Some(user) = self.records()?.iter().find(|record| record.uses_volume(name)) {
                return broken(format!("volume is in use by container {}", user.name));
            }
            if disk::remove(&self.named_file("volume", name))? {
                fs::remove_dir_all(self.volume_data(name))?;
            }
            Ok(true)
        })
    }

    fn exec(&self, id: &str, command: &[String], timeout: Duration) -> Result<i64> {
        self.call(&format!("run {} in container {id}", command.join(" ")), || {
            let record = self.found(id)?;
            if !self.shown(&record)?.running {
                return broken(format!("container {} is not running", record.name));
            }
            let behaviour = self.behaviour(&record)?;
            if behaviour.exec_hangs {
                return broken(format!("it did not end within {} s", timeout.as_secs_f64()));
            }
            Ok(behaviour.exec_code)
        })
    }

    fn logs(&self, id: &str, lines: u32, _follow: bool, to: &mut dyn Write) -> Result<()> {
        self.call(&format!("read the log of container {id}"), || {
            let record = self.found(id)?;
            let log = self.behaviour(&record)?.log;
            let all: Vec<&str> = log.lines().collect();
            let from = all.len().saturating_sub(usize::try_from(lines).unwrap_or(usize::MAX));
            for line in &all[from..] {
                writeln!(to, "{line}")?;
            }
            Ok(())
        })
    }

    fn usage(&self, id: &str) -> Result<Measure> {
        self.call(&format!("measure container {id}"), || {
            let running = self.shown(&self.found(id)?)?.running;
            Ok(if running { Measure { cpus: 0.01, memory: 1 << 20, disk: 0 } } else { Measure::default() })
        })
    }

    fn pull(&self, reference: &str, _login: Option<&Login>) -> Result<String> {
        self.call(&format!("fetch {reference}"), || broken("it reaches no registry"))
    }

    fn copy_out(&self, id: &str, path: &str, _to: &mut dyn Write) -> Result<()> {
        self.call(&format!("copy {path} out of container {id}"), || broken("its containers hold no files"))
    }
}

/// The health check of an image's config.
fn image_check(config: &[u8]) -> Option<Vec<String>> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    let test = config.pointer("/config/Healthcheck/Test")?;
    super::health_command(&serde_json::from_value::<Vec<String>>(test.clone()).ok()?)
}

/// Why the Engine does not do it.
struct Broken(String);

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

fn broken<T>(reason: impl Into<String>) -> Result<T, Broken> {
    Err(Broken(reason.into()))
}

#[cfg(test)]
mod tests;
