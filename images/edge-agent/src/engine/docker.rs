//! Docker's Engine and Podman, over the Engine's API. The only module that names bollard; it decides nothing about releases.
//!
//! Differences that the rest of the agent does not see: Podman changes no restart policy of a container that is there, so it
//! gets its own at once; it runs no health check where systemd is not, so the check is run here; both it and an Engine that
//! keeps images by their manifest take no thin images.

mod answer;
mod body;
mod load;
mod look;
mod measure;
mod processes;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bollard::Docker as Client;
use bollard::auth::DockerCredentials;
use bollard::errors::Error as Refusal;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{
    self, ContainerUpdateBody, ExecConfig, NetworkConnectRequest, NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use futures_util::{StreamExt, TryStreamExt};
use tokio::runtime::{Builder, Runtime};
use xedge_model::Digest;
use xedge_wire::{EngineFacts, Health, Measure};

use self::answer::{detail, gone, once_noted, present, status};
use self::body::{bound, lasting};
use super::{
    ATTEMPTS_LABEL, Container, ContainerSpec, Engine, ImageLoad, Login, NetworkSpec, Published, Restart,
    STACK_LABEL, VolumeSpec, check_owner, is_of,
};
use crate::{Error, Result};

/// Seconds that the Engine has for an answer.
const TIMEOUT_S: u64 = 120;
/// The same for an image, which it answers only at the end.
const IMAGE_TIMEOUT: Duration = Duration::from_hours(1);
/// How Podman introduces itself.
const PODMAN: &str = "Podman Engine";
/// How an Engine says that containerd keeps its images.
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1";
/// What a container's own health check gets where the Engine does not run it.
const CHECK: Duration = Duration::from_secs(10);

/// A connection to an Engine.
pub struct Docker {
    runtime: Runtime,
    client: Client,
    socket: String,
    facts: EngineFacts,
}

impl Docker {
    /// Connects to `socket`: its path, or `unix://` and its path.
    pub fn connect(socket: &str) -> Result<Self> {
        let failed = |reason: String| Error::Engine { what: format!("reach an Engine at {socket}"), reason };
        // One thread beside the caller's, so that connections and uploads go on while the caller reads files.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let (client, facts) = runtime
            .block_on(async {
                let version = bollard::API_DEFAULT_VERSION;
                let client = Client::connect_with_unix(socket, TIMEOUT_S, version)?;
                // Without this the client speaks its own newest version, whatever the Engine knows.
                let client = client.negotiate_version().await?;
                let facts = facts(&client).await?;
                Ok((client, facts))
            })
            .map_err(|error: Refusal| failed(detail(&error)))?;
        Ok(Self { runtime, client, socket: socket.to_owned(), facts })
    }

    fn is_podman(&self) -> bool {
        self.facts.kind == "podman"
    }

    /// Waits for an answer, and names what was asked where it is an error.
    fn ask<T>(&self, what: &str, answer: impl Future<Output = Result<T, Refusal>>) -> Result<T> {
        self.runtime.block_on(answer).map_err(|error| self.failed(what, &error))
    }

    fn failed(&self, what: &str, error: &Refusal) -> Error {
        let reason = match error {
            Refusal::DockerResponseServerError { message, .. } => message.trim().to_owned(),
            Refusal::DockerStreamError { error } => error.trim().to_owned(),
            other => format!("{} ({})", detail(other), self.socket),
        };
        Error::Engine { what: what.to_owned(), reason }
    }

    async fn found(&self, id: &str) -> Result<Option<models::ContainerInspectResponse>, Refusal> {
        present(once_noted(|| self.client.inspect_container(id, None)).await)
    }

    async fn found_image(&self, reference: &str) -> Result<Option<models::ImageInspect>, Refusal> {
        present(self.client.inspect_image(reference).await)
    }

    /// A container, with its health check asked here where the Engine does not.
    async fn look(&self, id: &str) -> Result<Option<Container>, Refusal> {
        let Some(found) = self.found(id).await? else { return Ok(None) };
        let check = found.config.as_ref().and_then(|config| config.healthcheck.clone()).unwrap_or_default();
        let mut container = look::container(found);
        if let (true, true, Some(command)) = (self.is_podman(), container.running, &container.health_check) {
            let limit = check.timeout.and_then(|ns| u64::try_from(ns).ok()).filter(|ns| *ns > 0);
            let limit = limit.map_or(CHECK, Duration::from_nanos).min(CHECK);
            let passed = matches!(self.run(&container.id, command, limit).await, Ok(Some(0)));
            container.health = match (passed, container.health) {
                (true, _) => Health::Healthy,
                // Whoever asks decides how long it may say so; the Engine's own count stands still.
                (false, Health::Unhealthy) => Health::Unhealthy,
                (false, _) => Health::Starting,
            };
        }
        Ok(Some(container))
    }

    /// Runs a program in a container; `None` where it does not end in time.
    async fn run(&self, id: &str, command: &[String], limit: Duration) -> Result<Option<i64>, Refusal> {
        let config = ExecConfig {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = self.client.create_exec(id, config).await?.id;
        // Attached, since Podman may never note the end of a short command that nobody listens to.
        let started = self.client.start_exec(&exec, None::<StartExecOptions>).await?;
        let mut listening = Box::pin(async move {
            if let StartExecResults::Attached { mut output, .. } = started {
                while let Ok(Some(_)) = output.try_next().await {}
            }
            // What is left in the background may hold the output open: the loop below decides.
            std::future::pending::<()>().await;
        });
        let end = tokio::time::Instant::now() + limit;
        loop {
            let found = self.client.inspect_exec(&exec).await?;
            if let (Some(false), Some(code)) = (found.running, found.exit_code) {
                return Ok(Some(code));
            }
            if tokio::time::Instant::now() >= end {
                return Ok(None);
            }
            tokio::time::timeout(Duration::from_millis(25), &mut listening).await.ok();
        }
    }

    /// Before API 1.44 the Engine takes one network with a container and the others afterwards, which may have been cut short.
    async fn join(&self, id: &str, spec: &ContainerSpec) -> Result<(), Refusal> {
        let found = self.found(id).await?.and_then(|found| found.network_settings).unwrap_or_default();
        let joined = found.networks.unwrap_or_default();
        for (network, names) in spec.networks.iter().filter(|(name, _)| !joined.contains_key(*name)) {
            let endpoint_config = Some(body::endpoint(names));
            let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config };
            self.client.connect_network(network, request).await?;
        }
        Ok(())
    }

    fn is_loaded(&self, config: &Digest, manifest: &Digest) -> Result<Option<String>> {
        self.ask("look for an image", async {
            for digest in [config, manifest] {
                if let Some(found) = self.found_image(digest.as_str()).await? {
                    return Ok(Some(look::image_id(&found.id.unwrap_or_default())));
                }
            }
            Ok(None)
        })
    }
}

async fn facts(client: &Client) -> Result<EngineFacts, Refusal> {
    let version = client.version().await?;
    let info = client.info().await?;
    let podman = version.components.iter().flatten().any(|component| component.name == PODMAN);
    let by_manifest = info.driver_status.iter().flatten().flatten().any(|value| value == SNAPSHOTTER);
    Ok(EngineFacts {
        kind: if podman { "podman" } else { "docker" }.to_owned(),
        version: version.version.unwrap_or_default(),
        api: client.client_version().to_string(),
        architecture: version.arch.unwrap_or_default(),
        thin_loads: !podman && !by_manifest,
        memory_limits: info.memory_limit.unwrap_or(false),
        root: info.docker_root_dir.unwrap_or_default(),
    })
}

impl Engine for Docker {
    fn facts(&self) -> Result<EngineFacts> {
        self.ask("ask the Engine for its version", facts(&self.client))
    }

    fn chains(&self) -> Result<Vec<Vec<Digest>>> {
        if !self.facts.thin_loads {
            return Ok(Vec::new());
        }
        self.ask("list images", async {
            let images = self.client.list_images(None::<query::ListImagesOptions>).await?;
            let mut chains = Vec::new();
            for image in images {
                // One may be removed in between.
                let Some(found) = self.found_image(&image.id).await? else { continue };
                let layers = found.root_fs.and_then(|root| root.layers).unwrap_or_default();
                let chain: Option<Vec<Digest>> = layers.iter().map(|layer| layer.parse().ok()).collect();
                chains.extend(chain.filter(|chain| !chain.is_empty()));
            }
            chains.sort();
            chains.dedup();
            Ok(chains)
        })
    }

    fn image(&self, config: &Digest, manifest: &Digest) -> Result<Option<String>> {
        self.is_loaded(config, manifest)
    }

    fn load(&self, image: &ImageLoad<'_>) -> Result<String> {
        let what = format!("load an image of manifest {}", image.manifest);
        let (pipe, stream) = load::pipe();
        let client = self.client.clone().with_timeout(IMAGE_TIMEOUT);
        let upload = self.runtime.spawn(async move {
            let options = query::ImportImageOptionsBuilder::default().quiet(true).build();
            let mut answers = Box::pin(client.import_image(options, bollard::body_try_stream(stream), None));
            while let Some(answer) = answers.next().await {
                if let Some(error) = answer?.error_detail {
                    return Err(Refusal::DockerStreamError { error: error.message.unwrap_or_default() });
                }
            }
            Ok(())
        });
        let written = load::write(image, !self.facts.thin_loads, &pipe);
        drop(pipe);
        let loaded = self.runtime.block_on(upload);
        let engine = |reason: String| Error::Engine { what: what.clone(), reason };
        let loaded = loaded.map_err(|error| engine(error.to_string()))?;
        match (written, loaded) {
            (load::Written::Failed(error), _) => return Err(error),
            (_, Err(error)) => return Err(self.failed(&what, &error)),
            (load::Written::HungUp, Ok(())) => return Err(engine("the Engine hung up".to_owned())),
            (load::Written::Whole, Ok(())) => {}
        }
        let id = self.is_loaded(image.config_digest, image.manifest)?;
        id.ok_or_else(|| engine("the Engine took it and does not have it".to_owned()))
    }

    fn remove_image(&self, id: &str) -> Result<bool> {
        self.ask(&format!("remove image {id}"), async {
            let Some(found) = self.found_image(id).await? else { return Ok(false) };
            if found.repo_tags.is_some_and(|tags| !tags.is_empty()) {
                return Ok(false);
            }
            let options = query::RemoveImageOptionsBuilder::default().build();
            match self.client.remove_image(id, Some(options), None).await {
                Ok(_) => Ok(true),
                // 409: a container still uses it.
                Err(error) if matches!(status(&error), 404 | 409) => Ok(false),
                // Podman's word for it.
                Err(error) if error.to_string().contains("in use") => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn create(&self, name: &str, spec: &ContainerSpec, labels: &BTreeMap<String, String>) -> Result<String> {
        let what = format!("create container {name}");
        let mut all = spec.labels.clone();
        all.extend(labels.clone());
        if spec.restart_attempts > 0 {
            all.insert(ATTEMPTS_LABEL.to_owned(), spec.restart_attempts.to_string());
        }
        if let Some(found) = self.ask(&what, self.look(name))? {
            // The image's labels are among them.
            if all.iter().all(|(label, value)| found.labels.get(label) == Some(value)) {
                self.ask(&what, self.join(&found.id, spec))?;
                return Ok(found.id);
            }
            let reason = format!("the name is that of container {} already", short(&found.id));
            return Err(Error::Engine { what, reason });
        }
        let restart = if self.is_podman() { lasting(spec.restart) } else { Restart::No };
        self.ask(&what, async {
            let options = query::CreateContainerOptionsBuilder::default().name(name).build();
            let body = body::body(spec, &all, restart);
            let id = self.client.create_container(Some(options), body).await?.id;
            self.join(&id, spec).await?;
            Ok(id)
        })
    }

    fn start(&self, id: &str) -> Result<()> {
        self.ask(&format!("start container {}", short(id)), self.client.start_container(id, None))
    }

    fn stop(&self, id: &str, grace: Duration) -> Result<()> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = query::StopContainerOptionsBuilder::default().t(seconds).build();
        let client = self.client.clone().with_timeout(grace + Duration::from_secs(TIMEOUT_S));
        self.ask(&format!("stop container {}", short(id)), client.stop_container(id, Some(options)))
    }

    fn rename(&self, id: &str, name: &str) -> Result<()> {
        self.ask(&format!("rename container {} to {name}", short(id)), async {
            // The Engine calls it an error where it has that name.
            if self
                .found(id)
                .await?
                .is_some_and(|found| found.name.is_some_and(|is| is.trim_start_matches('/') == name))
            {
                return Ok(());
            }
            let options = query::RenameContainerOptionsBuilder::default().name(name).build();
            self.client.rename_container(id, options).await
        })
    }

    fn set_restart(&self, id: &str, restart: Restart) -> Result<()> {
        if self.is_podman() {
            return Ok(());
        }
        self.ask(&format!("set the restart policy of container {}", short(id)), async {
            let labels = self.found(id).await?.and_then(|found| found.config?.labels).unwrap_or_default();
            let attempts = labels.get(ATTEMPTS_LABEL).and_then(|count| count.parse().ok()).unwrap_or(0);
            let restart_policy = Some(body::policy(restart, attempts));
            let update = ContainerUpdateBody { restart_policy, ..ContainerUpdateBody::default() };
            self.client.update_container(id, update).await
        })
    }

    fn remove(&self, id: &str) -> Result<()> {
        self.ask(&format!("remove container {}", short(id)), async {
            // Its volumes stay, with and without a name: what is in them is somebody's.
            let options = query::RemoveContainerOptionsBuilder::default().v(false).force(true).build();
            gone(self.client.remove_container(id, Some(options)).await).map(drop)
        })
    }

    fn discard(&self, id: &str) -> Result<()> {
        self.ask(&format!("remove container {}", short(id)), async {
            let options = query::RemoveContainerOptionsBuilder::default().v(true).force(true).build();
            gone(self.client.remove_container(id, Some(options)).await).map(drop)
        })
    }

    fn inspect(&self, id: &str) -> Result<Option<Container>> {
        self.ask(&format!("look at container {}", short(id)), self.look(id))
    }

    fn containers(&self, stack: Option<&str>) -> Result<Vec<Container>> {
        let label = stack.map_or_else(|| STACK_LABEL.to_owned(), |stack| format!("{STACK_LABEL}={stack}"));
        self.ask("list containers", async {
            let filters = HashMap::from([("label", vec![label])]);
            let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            let listed = once_noted(|| self.client.list_containers(Some(options.clone()))).await?;
            let mut containers = Vec::new();
            for id in listed.into_iter().filter_map(|container| container.id) {
                containers.extend(self.look(&id).await?);
            }
            containers.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(containers)
        })
    }

    fn published(&self) -> Result<Vec<Published>> {
        let options = query::ListContainersOptionsBuilder::default().build();
        let listed =
            self.ask("list containers", once_noted(|| self.client.list_containers(Some(options.clone()))))?;
        Ok(look::published(listed))
    }

    fn ensure_network(&self, network: &NetworkSpec, labels: &BTreeMap<String, String>) -> Result<()> {
        let what = format!("create network {}", network.name);
        let found =
            self.ask(&what, async { present(self.client.inspect_network(&network.name, None).await) })?;
        if let Some(found) = found.filter(|found| found.name.as_deref() == Some(&network.name)) {
            return check_owner(
                "network",
                &network.name,
                &look::sorted(found.labels.unwrap_or_default()),
                labels,
            );
        }
        let request = NetworkCreateRequest {
            name: network.name.clone(),
            driver: network.driver.clone(),
            internal: Some(network.internal),
            labels: Some(labels.clone().into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        self.ask(&what, self.client.create_network(request)).map(drop)
    }

    fn remove_network(&self, name: &str, stack: &str) -> Result<bool> {
        self.ask(&format!("remove network {name}"), async {
            let found = present(self.client.inspect_network(name, None).await)?;
            let labels = found.and_then(|found| found.labels).unwrap_or_default();
            if !is_of(&look::sorted(labels), stack) {
                return Ok(false);
            }
            // A container that does not run may be in it too, and could not be started any more.
            let filters = HashMap::from([("network", vec![name])]);
            let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            if !once_noted(|| self.client.list_containers(Some(options.clone()))).await?.is_empty() {
                return Ok(false);
            }
            match self.client.remove_network(name).await {
                Ok(()) => Ok(true),
                Err(error) if matches!(status(&error), 403 | 404 | 409) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn ensure_volume(&self, volume: &VolumeSpec, labels: &BTreeMap<String, String>) -> Result<()> {
        let what = format!("create volume {}", volume.name);
        if let Some(found) =
            self.ask(&what, async { present(self.client.inspect_volume(&volume.name).await) })?
        {
            return check_owner("volume", &volume.name, &look::sorted(found.labels), labels);
        }
        let driver_opts = volume.folder.as_ref().map(|folder| bound(folder));
        if let Some(folder) = &volume.folder {
            fs::create_dir_all(folder).map_err(|error| Error::Engine {
                what: what.clone(),
                reason: format!("{folder}: {error}"),
            })?;
        }
        let request = VolumeCreateRequest {
            name: Some(volume.name.clone()),
            driver: Some("local".to_owned()),
            driver_opts,
            labels: Some(labels.clone().into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        self.ask(&what, self.client.create_volume(request)).map(drop)
    }

    fn stack_volumes(&self, stack: &str) -> Result<Vec<VolumeSpec>> {
        let filters = HashMap::from([("label", vec![format!("{STACK_LABEL}={stack}")])]);
        let options = query::ListVolumesOptionsBuilder::default().filters(&filters).build();
        let listed = self.ask("list volumes", self.client.list_volumes(Some(options)))?;
        let volume = |found: models::Volume| {
            let folder = found.options.get("device").cloned();
            VolumeSpec { name: found.name, folder }
        };
        let mut volumes: Vec<VolumeSpec> = listed.volumes.into_iter().flatten().map(volume).collect();
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    fn purge_volume(&self, name: &str, stack: &str) -> Result<bool> {
        let what = format!("remove volume {name}");
        let found = self.ask(&what, async { present(self.client.inspect_volume(name).await) })?;
        let Some(found) = found else { return Ok(true) };
        if !is_of(&look::sorted(found.labels), stack) {
            return Ok(false);
        }
        let options = query::RemoveVolumeOptionsBuilder::default().build();
        self.ask(&what, async { gone(self.client.remove_volume(name, Some(options)).await) })?;
        // The Engine leaves a folder of the device as it is; this one was made for this volume.
        if let Some(folder) = found.options.get("device").filter(|folder| Path::new(folder).is_dir()) {
            fs::remove_dir_all(folder)
                .map_err(|error| Error::Engine { what, reason: format!("{folder}: {error}") })?;
        }
        Ok(true)
    }

    fn exec(&self, id: &str, command: &[String], timeout: Duration) -> Result<i64> {
        let what = format!("run `{}` in container {}", command.join(" "), short(id));
        let code = self.ask(&what, self.run(id, command, timeout))?;
        let late = || format!("it did not end within {} s", timeout.as_secs_f64());
        code.ok_or_else(|| Error::Engine { what, reason: late() })
    }

    fn logs(&self, id: &str, lines: u32, follow: bool, to: &mut dyn Write) -> Result<()> {
        let builder = query::LogsOptionsBuilder::default().stdout(true).stderr(true).follow(follow);
        let options = builder.tail(&lines.to_string()).build();
        self.ask(&format!("read the log of container {}", short(id)), async {
            let mut log = Box::pin(self.client.logs(id, Some(options)));
            while let Some(part) = log.next().await {
                let part = part?;
                if to.write_all(part.as_ref()).and_then(|()| to.flush()).is_err() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn usage(&self, id: &str) -> Result<Measure> {
        self.ask(&format!("measure container {}", short(id)), measure::measure(&self.client, id))
    }

    fn pull(&self, reference: &str, login: Option<&Login>) -> Result<String> {
        let what = format!("fetch {reference}");
        let login = login.map(|login| DockerCredentials {
            username: Some(login.user.clone()),
            password: Some(login.password.clone()),
            ..DockerCredentials::default()
        });
        let client = self.client.clone().with_timeout(IMAGE_TIMEOUT);
        let found = self.ask(&what, async {
            let options = query::CreateImageOptionsBuilder::default().from_image(reference).build();
            let mut answers = Box::pin(client.create_image(Some(options), None, login));
            while let Some(answer) = answers.next().await {
                if let Some(error) = answer?.error_detail {
                    return Err(Refusal::DockerStreamError { error: error.message.unwrap_or_default() });
                }
            }
            self.found_image(reference).await
        })?;
        let id = found.and_then(|found| found.id).map(|id| look::image_id(&id));
        id.ok_or_else(|| Error::Engine {
            what,
            reason: "the Engine fetched it and does not have it".to_owned(),
        })
    }

    fn forget(&self, reference: &str) -> Result<()> {
        self.ask(&format!("remove image {reference}"), async {
            let options = query::RemoveImageOptionsBuilder::default().build();
            match self.client.remove_image(reference, Some(options), None).await {
                Ok(_) => Ok(()),
                // 409: a container that somebody else made still uses it.
                Err(error) if matches!(status(&error), 404 | 409) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn copy_out(&self, id: &str, path: &str, to: &mut dyn Write) -> Result<()> {
        let what = format!("copy {path} out of container {}", short(id));
        let options = query::DownloadFromContainerOptionsBuilder::default().path(path).build();
        let written = self.ask(&what, async {
            let mut parts = Box::pin(self.client.download_from_container(id, Some(options)));
            while let Some(part) = parts.next().await {
                if let Err(error) = to.write_all(&part?) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?;
        written.map_err(|error| Error::Engine { what, reason: error.to_string() })
    }
}

/// An id as people know it; names stay as they are.
fn short(id: &str) -> &str {
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) { &id[..12] } else { id }
}

/// A number as the API takes it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
