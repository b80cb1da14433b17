//! Making and removing images' containers, volumes and networks. Every step before a container's start is here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::Digest;

use super::container::{Container, State, has_overlays};
use super::net::{Guest, Joined};
use super::objects::Record;
use super::root::{Root, path_of, plain};
use super::spec::{self, Bind, Parts};
use super::store::ImageConfig;
use super::unpack::{Content, unpack};
use super::{Inner, cgroup, locked, runtime_error, tree, user};
use crate::Error;
use crate::engine::docker::command;
use crate::engine::{Creation, Kind, Labels};
use crate::plan::{ContainerPlan, VolumePlan};

/// Init processes that container tools bring, linked statically.
const INITS: [&str; 4] = [
    "/usr/bin/docker-init",
    "/usr/libexec/docker/docker-init",
    "/usr/bin/tini-static",
    "/usr/libexec/podman/catatonit",
];

/// A container to make; owned, since it is made on another thread.
pub(super) struct Order {
    name: String,
    plan: ContainerPlan,
    networks: Vec<String>,
    volumes: BTreeMap<String, String>,
    published: usize,
    labels: Labels,
}

impl Order {
    pub(super) fn of(creation: &Creation<'_>) -> Self {
        let first = creation.network.to_owned();
        let networks = std::iter::once(&first).chain(creation.further);
        Self {
            name: creation.name.to_owned(),
            plan: creation.plan.clone(),
            networks: networks.filter(|_| !creation.plan.extras.offline).cloned().collect(),
            volumes: creation.volumes.clone(),
            published: creation.published,
            labels: creation.labels.clone(),
        }
    }
}

impl Inner {
    pub(super) fn container(&self, name: &str) -> Result<Arc<Container>, Error> {
        let found = locked(&self.containers).get(name).cloned();
        found.ok_or_else(|| {
            runtime_error(&format!("find container {name}"), "this process has none of that name")
        })
    }

    pub(super) fn create_network(&self, name: &str, labels: &Labels) -> Result<(), Error> {
        let _alone = locked(&self.structure);
        let make = || {
            self.objects.make(Kind::Network, name, &Record { labels: labels.clone(), image: None })?;
            self.networks.add(name)
        };
        make().map_err(|error: io::Error| runtime_error(&format!("create network {name}"), error))
    }

    pub(super) fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), Error> {
        let _alone = locked(&self.structure);
        let make = || {
            let folder =
                self.objects.make(Kind::Volume, name, &Record { labels: labels.clone(), image: None })?;
            make_folder(&folder.join("data"))
        };
        make().map_err(|error: io::Error| runtime_error(&format!("create volume {name}"), error))
    }

    fn volume(&self, name: &str) -> Utf8PathBuf {
        self.objects.path(Kind::Volume, name).join("data")
    }

    pub(super) fn create(&self, order: &Order) -> Result<(), Error> {
        let _alone = locked(&self.structure);
        let plan = &order.plan;
        let id = plan.image_ref.parse::<Digest>().ok().filter(|id| self.store.has(id));
        let Some(id) = id else {
            let (node, image) = (plan.node_id.clone(), plan.image_ref.clone());
            return Err(Error::MissingImage { node, image });
        };
        let action = format!("create container {}", order.name);
        let record = Record { labels: order.labels.clone(), image: Some(id.clone()) };
        let folder = self.objects.make(Kind::Container, &order.name, &record);
        let folder = folder.map_err(|error| runtime_error(&action, error))?;
        match self.assemble(order, &id, &folder) {
            Ok(container) => {
                locked(&self.containers).insert(order.name.clone(), Arc::new(container));
                Ok(())
            }
            Err(message) => {
                drop(self.discard(&order.name));
                Err(runtime_error(&action, message))
            }
        }
    }

    fn assemble(&self, order: &Order, id: &Digest, folder: &Utf8Path) -> Result<Container, String> {
        let plan = &order.plan;
        let said = |error: io::Error| error.to_string();
        let limits = [plan.memory_bytes, plan.nano_cpus, plan.pids_limit, plan.extras.memory_reservation];
        if !self.runtime.cgroups && limits.iter().any(Option::is_some) {
            return Err("no control groups can be made here, so its limits would not hold".to_owned());
        }
        let image = self.store.config(id).map_err(said)?;
        let lower = self.store.rootfs(id);
        let root = Root::open(lower.as_std_path()).map_err(said)?;
        let wanted = plan.extras.user.as_deref().or(image.config.user.as_deref()).unwrap_or_default();
        let user = user::resolve(&root, wanted, &plan.extras.group_add)?;
        let overlaid = own_root(&lower, folder).map_err(said)?;
        let guest = Guest {
            container: &order.name,
            node: &plan.node_id,
            extras: &plan.extras,
            networks: &order.networks,
            hosts: &folder.join("hosts"),
        };
        let joined = self.networks.join(&guest).map_err(said)?;
        let mut binds = self.volumes(order, &image, &root, folder).map_err(said)?;
        binds.extend(names(plan, folder).map_err(said)?);
        let init = init(plan)?;
        binds.extend(init.map(|source| Bind {
            source: source.to_owned(),
            target: spec::INIT.to_owned(),
            read_only: true,
        }));
        let group = self.runtime.cgroups.then(|| cgroup::path(&order.name));
        let (rootfs, namespace) = (folder.join("rootfs"), joined.namespace.path());
        let parts = Parts {
            image: &image.config,
            plan,
            user: &user,
            rootfs: rootfs.as_str(),
            network: &namespace,
            binds: &binds,
            cgroup: group.as_deref(),
            init,
        };
        let config = spec::config(&parts)?.to_string();
        fs::write(folder.join("config.json"), config).map_err(said)?;
        fs::write(folder.join("log"), "").map_err(said)?;
        let (process, workdir) = (spec::process(&parts, &[]), spec::workdir(&parts));
        let lower = overlaid.then_some(lower);
        Ok(self.container_of(order, id, folder, &image, Rest { joined, process, workdir, lower }))
    }

    fn container_of(
        &self,
        order: &Order,
        id: &Digest,
        folder: &Utf8Path,
        image: &ImageConfig,
        rest: Rest,
    ) -> Container {
        let plan = &order.plan;
        let test = image.config.healthcheck.as_ref().and_then(|check| check.test.as_deref());
        let health_check = match &plan.extras.health_check {
            Some(own) => Some(own.clone()).filter(|own| !own.is_empty()),
            None => test.and_then(command),
        };
        let signal = plan.extras.stop_signal.clone().or_else(|| image.config.stop_signal.clone());
        let service = std::iter::repeat_n(plan.service_port, order.published);
        Container {
            name: order.name.clone(),
            folder: folder.to_owned(),
            image: id.clone(),
            runtime: self.runtime.clone(),
            program: self.settings.program.clone(),
            joined: rest.joined,
            lower: rest.lower,
            workdir: rest.workdir,
            ports: service.chain(plan.extras.published_tcp.iter().copied()).collect(),
            restart: plan.restart,
            stop_signal: signal.unwrap_or_else(|| "TERM".to_owned()),
            limits_memory: self.runtime.cgroups && plan.memory_bytes.is_some(),
            health_check,
            process: rest.process,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        }
    }

    /// The plan's volumes, and one for every place that the image declares as a volume: such a place can be written also
    /// where the root cannot.
    fn volumes(
        &self,
        order: &Order,
        image: &ImageConfig,
        root: &Root,
        folder: &Utf8Path,
    ) -> io::Result<Vec<Bind>> {
        let plan = &order.plan;
        let mut binds = Vec::new();
        for volume in &plan.volumes {
            let name = order.volumes.get(&volume.mount_path);
            let name =
                name.ok_or_else(|| io::Error::other(format!("{} has no volume", volume.mount_path)))?;
            let data = self.volume(name);
            if !volume.empty {
                take_over(root, &volume.mount_path, &data)?;
            }
            binds.push(bind(&data, volume));
        }
        let known: BTreeSet<&str> = plan
            .volumes
            .iter()
            .map(|volume| volume.mount_path.as_str())
            .chain(plan.tmpfs.keys().map(String::as_str))
            .map(|path| path.trim_end_matches('/'))
            .collect();
        let declared = image.config.volumes.iter().flat_map(|volumes| volumes.keys());
        for (number, path) in declared.filter(|path| !known.contains(path.trim_end_matches('/'))).enumerate()
        {
            let data = folder.join(format!("volume-{number}"));
            make_folder(&data)?;
            take_over(root, path, &data)?;
            let (source, target) = (data.into_string(), path.clone());
            binds.push(Bind { source, target, read_only: false });
        }
        Ok(binds)
    }

    /// Unpacks files into a volume of a container, with their owners and modes.
    pub(super) fn upload(&self, container: &str, path: &str, tar: &[u8]) -> Result<(), Error> {
        let action = format!("put files into {path} of {container}");
        let folder = self.objects.path(Kind::Container, container);
        let config = fs::read(folder.join("config.json")).map_err(|error| runtime_error(&action, error))?;
        let config: serde_json::Value =
            serde_json::from_slice(&config).map_err(|error| runtime_error(&action, error))?;
        let mounts = config["mounts"].as_array().into_iter().flatten();
        let mut source = mounts.filter(|mount| mount["type"] == "bind" && mount["destination"] == path);
        let Some(data) = source.find_map(|mount| mount["source"].as_str()) else {
            return Err(runtime_error(&action, "there is no volume"));
        };
        let unpacked = Root::open(Path::new(data)).and_then(|root| unpack(tar, &root, Content::Files));
        unpacked.map_err(|error| runtime_error(&action, error))
    }

    /// Removes an image that no container is made of.
    pub(super) fn remove_image(&self, id: &Digest) -> Result<bool, Error> {
        let _alone = locked(&self.structure);
        let remove = || {
            let used = self
                .objects
                .all(Kind::Container)?
                .iter()
                .any(|(_, record)| record.image.as_ref() == Some(id));
            if used || !self.store.has(id) {
                return Ok(false);
            }
            self.store.remove(id).map(|()| true)
        };
        remove().map_err(|error: io::Error| runtime_error(&format!("remove image {id}"), error))
    }

    pub(super) fn remove(&self, kind: Kind, id: &str) -> Result<(), Error> {
        let _alone = locked(&self.structure);
        let removed = match kind {
            Kind::Container => return self.discard(id),
            Kind::Network => {
                self.networks.remove(id);
                self.objects.remove(kind, id)
            }
            Kind::Volume => self.objects.remove(kind, id),
        };
        removed.map_err(|error| runtime_error(&format!("remove {id}"), error))
    }

    /// Ends and removes a container, also one that another process made and left.
    fn discard(&self, name: &str) -> Result<(), Error> {
        let failed = |error: &dyn std::fmt::Display| {
            runtime_error(&format!("remove container {name}"), error.to_string())
        };
        let folder = self.objects.path(Kind::Container, name);
        let container = locked(&self.containers).remove(name);
        if let Some(container) = &container {
            container.destroy().map_err(|error| failed(&error))?;
        }
        self.networks.leave(name).map_err(|error| failed(&error))?;
        if folder.join("runtime").join(name).exists() {
            cgroup::thaw(name);
            // What it cannot end is ended with its control group.
            drop(self.runtime.ask(&folder, &["delete", "--force", name]));
        }
        cgroup::remove(name).map_err(|error| failed(&error))?;
        self.objects.remove(Kind::Container, name).map_err(|error| failed(&error))
    }
}

/// What a container has that is neither in its order nor in its image.
struct Rest {
    joined: Joined,
    process: serde_json::Value,
    workdir: String,
    lower: Option<Utf8PathBuf>,
}

fn bind(data: &Utf8Path, volume: &VolumePlan) -> Bind {
    Bind { source: data.to_string(), target: volume.mount_path.clone(), read_only: volume.read_only }
}

/// Makes the folders for a container's own files over the image's, or a copy of those where there are no overlays.
/// Returns whether it is the former.
fn own_root(lower: &Utf8Path, folder: &Utf8Path) -> io::Result<bool> {
    for name in ["rootfs", "upper", "work"] {
        make_folder(&folder.join(name))?;
    }
    // The root of an overlay has the owner and mode of the upper folder.
    let found = fs::metadata(lower)?;
    let upper = folder.join("upper");
    chown(&upper, Some(found.uid()), Some(found.gid()))?;
    fs::set_permissions(&upper, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    if has_overlays(lower.as_std_path(), folder.as_std_path()) {
        return Ok(true);
    }
    tree::copy(lower.as_std_path(), folder.join("rootfs").as_std_path())?;
    Ok(false)
}

/// A folder that everybody may enter, whatever this process's umask is.
fn make_folder(path: &Utf8Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// A fresh volume takes over content, owner and mode of the image's folder.
fn take_over(root: &Root, path: &str, data: &Utf8Path) -> io::Result<()> {
    if data.read_dir_utf8()?.next().is_some() {
        return Ok(());
    }
    let inside = plain(Path::new(path)).ok_or(io::ErrorKind::InvalidInput)?;
    match root.folder(&inside) {
        Ok(found) => tree::copy(&fs::read_link(path_of(&found))?, data.as_std_path()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The files that say who is who, a container's own.
fn names(plan: &ContainerPlan, folder: &Utf8Path) -> io::Result<Vec<Bind>> {
    fs::write(folder.join("hostname"), format!("{}\n", spec::hostname(plan)))?;
    fs::write(folder.join("resolv.conf"), "# There is no name server here: names are in /etc/hosts.\n")?;
    let bind = |name: &str| {
        let file = folder.join(name);
        // Programs of every user read them.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
        Ok(Bind { source: file.into_string(), target: format!("/etc/{name}"), read_only: plan.read_only })
    };
    ["hosts", "hostname", "resolv.conf"].into_iter().map(bind).collect()
}

fn init(plan: &ContainerPlan) -> Result<Option<&'static str>, String> {
    if !plan.extras.init {
        return Ok(None);
    }
    let found = INITS.into_iter().find(|path| Path::new(path).is_file());
    found.map(Some).ok_or_else(|| {
        format!("`init: true` needs one of {}: `apt-get install tini` brings it", INITS.join(", "))
    })
}
