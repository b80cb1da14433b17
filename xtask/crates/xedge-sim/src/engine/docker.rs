//! The Docker Engine over its API. The only module that names bollard; it decides nothing about runs.

mod body;
mod bridge;
mod build;
mod control;
mod pipe;
mod streams;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Refusal;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{
    self, ExecConfig, NetworkConnectRequest, NetworkCreateRequest, PortBinding, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};

use self::body::{body, endpoint};
pub use build::{BuildEnd, BuildFailure, BuildProgress, BuildRequest};

use super::{Attached, Creation, EngineFacts, EngineKind, Kind, Labels, Object, Status};
use crate::Error;

/// Seconds that the Engine has for an answer.
const TIMEOUT_S: u64 = 120;
/// The same for loading an image, which it answers only at the end.
const LOAD_TIMEOUT: Duration = Duration::from_mins(30);

/// How Podman introduces itself.
const PODMAN: &str = "Podman Engine";
/// How long Podman may take to note down how a container ended.
const NOTING: Duration = Duration::from_secs(10);

/// A connection to a Docker Engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Docker {
    client: bollard::Docker,
    host: String,
    facts: EngineFacts,
}

impl Docker {
    /// Connects to `host`: a socket's path, or `unix://…`, `tcp://…`, `http://…` as in `DOCKER_HOST`.
    pub async fn connect(host: &str) -> Result<Self, Error> {
        let no_engine = |error: &Refusal| Error::NoEngine { host: host.to_owned(), detail: detail(error) };
        let version = bollard::API_DEFAULT_VERSION;
        let client = if host.starts_with("tcp://") || host.starts_with("http://") {
            bollard::Docker::connect_with_http(host, TIMEOUT_S, version)
        } else {
            bollard::Docker::connect_with_unix(host, TIMEOUT_S, version)
        };
        let client = client.map_err(|e| no_engine(&e))?;
        // Without this the client speaks its own newest version, whatever the Engine knows.
        let client = client.negotiate_version().await.map_err(|e| no_engine(&e))?;
        let version = client.version().await.map_err(|e| no_engine(&e))?;
        let podman = version.components.iter().flatten().any(|component| component.name == PODMAN);
        let facts = EngineFacts {
            kind: if podman { EngineKind::Podman } else { EngineKind::Docker },
            // Podman puts the machine's name there.
            name: if podman {
                PODMAN.to_owned()
            } else {
                version.platform.map_or_else(String::new, |p| p.name)
            },
            version: version.version.unwrap_or_default(),
            api: client.client_version().to_string(),
            architecture: version.arch.unwrap_or_default(),
        };
        let name = if facts.name.is_empty() { "Docker Engine".to_owned() } else { facts.name };
        Ok(Self { client, host: host.to_owned(), facts: EngineFacts { name, ..facts } })
    }

    /// Where it answers, as it was given to [`Docker::connect`].
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What the Engine says about itself.
    pub fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    /// Whether the Engine has this image (`sha256:…` or a name).
    pub async fn has_image(&self, image: &str) -> Result<bool, Error> {
        match self.client.inspect_image(image).await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == 404 => Ok(false),
            Err(error) => Err(self.failed(&format!("look for image {image}"), error)),
        }
    }

    /// Platform of an image as the Engine read it from the image's config: `linux/amd64`.
    pub async fn image_platform(&self, image: &str) -> Result<String, Error> {
        let found = self.client.inspect_image(image).await;
        let found = found.map_err(|e| self.failed(&format!("inspect image {image}"), e))?;
        Ok(format!("{}/{}", found.os.unwrap_or_default(), found.architecture.unwrap_or_default()))
    }

    /// Loads the images of an archive as `docker save` writes it, while it streams in.
    pub async fn load_image<S>(&self, archive: S) -> Result<(), Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let options = query::ImportImageOptionsBuilder::default().quiet(true).build();
        let client = self.client.clone().with_timeout(LOAD_TIMEOUT);
        let answers = client.import_image(options, bollard::body_try_stream(archive), None);
        answers.try_for_each(|_| async { Ok(()) }).await.map_err(|e| self.failed("load an image archive", e))
    }

    /// Like [`Docker::load_image`], for an archive that is written by blocking code.
    pub async fn load_image_with(
        &self,
        fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        let (stream, writer) = pipe::written(fill);
        let loaded = self.load_image(stream).await;
        let written = writer.await.map_err(io::Error::other).and_then(|result| result);
        match (loaded, written) {
            // When the Engine hangs up first, its answer says more than the broken pipe.
            (Err(error), Err(e)) if e.kind() == io::ErrorKind::BrokenPipe => Err(error),
            (_, Err(error)) => Err(Error::Archive(error)),
            (loaded, Ok(())) => loaded,
        }
    }

    /// Removes an image that has no tag and no container; returns whether it was there and went.
    pub async fn remove_untagged(&self, image: &str) -> Result<bool, Error> {
        let found = match self.client.inspect_image(image).await {
            Ok(found) => found,
            Err(error) if status(&error) == 404 => return Ok(false),
            Err(error) => return Err(self.failed(&format!("look for image {image}"), error)),
        };
        if found.repo_tags.is_some_and(|tags| !tags.is_empty()) {
            return Ok(false);
        }
        let options = query::RemoveImageOptionsBuilder::default().build();
        match self.client.remove_image(image, Some(options), None).await {
            Ok(_) => Ok(true),
            // 409: a container still uses it.
            Err(error) if matches!(status(&error), 404 | 409) => Ok(false),
            Err(error) => Err(self.failed(&format!("remove image {image}"), error)),
        }
    }

    pub(crate) async fn create_network(&self, name: &str, labels: &Labels) -> Result<(), Error> {
        let labels = Some(labels.clone().into_iter().collect());
        let request =
            NetworkCreateRequest { name: name.to_owned(), labels, ..NetworkCreateRequest::default() };
        let made = self.client.create_network(request).await;
        made.map(drop).map_err(|e| self.failed(&format!("create network {name}"), e))
    }

    pub(crate) async fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), Error> {
        let labels = Some(labels.clone().into_iter().collect());
        let request =
            VolumeCreateRequest { name: Some(name.to_owned()), labels, ..VolumeCreateRequest::default() };
        let made = self.client.create_volume(request).await;
        made.map(drop).map_err(|e| self.failed(&format!("create volume {name}"), e))
    }

    pub(crate) async fn create(&self, creation: &Creation<'_>) -> Result<(), Error> {
        let options = query::CreateContainerOptionsBuilder::default().name(creation.name).build();
        match self.client.create_container(Some(options), body(creation)).await {
            Ok(_) => self.join_further(creation).await,
            Err(error) if status(&error) == 404 && error.to_string().contains("image") => {
                Err(Error::MissingImage {
                    node: creation.plan.node_id.clone(),
                    image: creation.plan.image_ref.clone(),
                })
            }
            Err(error) => Err(self.failed(&format!("create container {}", creation.name), error)),
        }
    }

    /// An Engine before API 1.44 takes one network when it makes a container, and the others afterwards.
    async fn join_further(&self, creation: &Creation<'_>) -> Result<(), Error> {
        for network in creation.further {
            let request = NetworkConnectRequest {
                container: creation.name.to_owned(),
                endpoint_config: Some(endpoint(creation.plan)),
            };
            let joined = self.client.connect_network(network, request).await;
            joined.map_err(|e| self.failed(&format!("join {} to network {network}", creation.name), e))?;
        }
        Ok(())
    }

    pub(crate) async fn upload(&self, container: &str, path: &str, tar: Vec<u8>) -> Result<(), Error> {
        let options = query::UploadToContainerOptionsBuilder::default().path(path).build();
        let body = bollard::body_full(tar.into());
        let sent = self.client.upload_to_container(container, Some(options), body).await;
        sent.map_err(|e| self.failed(&format!("put files into {path} of {container}"), e))
    }

    /// Starts a container.
    pub async fn start(&self, container: &str) -> Result<(), Error> {
        let started = self.client.start_container(container, None).await;
        started.map_err(|e| self.failed(&format!("start container {container}"), e))
    }

    /// Stops a container with SIGTERM, and with SIGKILL after `grace`.
    pub async fn stop(&self, container: &str, grace: Duration) -> Result<(), Error> {
        let options = query::StopContainerOptionsBuilder::default().t(seconds(grace)).build();
        let client = self.client.clone().with_timeout(grace + Duration::from_secs(TIMEOUT_S));
        let stopped = client.stop_container(container, Some(options)).await;
        stopped.map_err(|e| self.failed(&format!("stop container {container}"), e))
    }

    /// State of a container.
    pub async fn inspect(&self, container: &str) -> Result<Status, Error> {
        let found = self.inspected(container).await?;
        let state = found.state.unwrap_or_default();
        let test = found.config.and_then(|c| c.healthcheck).and_then(|h| h.test);
        Ok(Status {
            image: found.image.unwrap_or_default(),
            running: state.running.unwrap_or(false),
            paused: state.paused.unwrap_or(false),
            restarting: state.restarting.unwrap_or(false),
            restarts: found.restart_count.unwrap_or(0),
            exit_code: state.exit_code.unwrap_or(0),
            oom_killed: state.oom_killed.unwrap_or(false),
            error: state.error.unwrap_or_default(),
            health_check: test.and_then(|t| command(&t)),
        })
    }

    /// Where on this machine a published port of a running container is reached now.
    pub async fn ports(&self, container: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let settings = self.inspected(container).await?.network_settings.unwrap_or_default();
        let bindings = settings.ports.and_then(|mut ports| ports.remove(&format!("{port}/tcp"))).flatten();
        let address = |b: PortBinding| format!("{}:{}", b.host_ip?, b.host_port?).parse().ok();
        let mut addresses: Vec<SocketAddr> = bindings.into_iter().flatten().filter_map(address).collect();
        addresses.sort();
        Ok(addresses)
    }

    async fn inspected(&self, container: &str) -> Result<models::ContainerInspectResponse, Error> {
        let found = once_noted(|| self.client.inspect_container(container, None)).await;
        found.map_err(|e| self.failed(&format!("inspect container {container}"), e))
    }

    /// What a container wrote to stdout and stderr; `tail` limits it to the last lines.
    pub async fn logs(&self, container: &str, tail: Option<usize>) -> Result<Vec<u8>, Error> {
        let tail = tail.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail).build();
        let lines =
            self.client.logs(container, Some(options)).try_fold(Vec::new(), |mut all, line| async move {
                all.extend_from_slice(line.as_ref());
                Ok(all)
            });
        lines.await.map_err(|e| self.failed(&format!("read the log of {container}"), e))
    }

    /// Runs a command in a container and says its exit code; `None` if it does not end within `limit`.
    pub async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Option<i64>, Error> {
        let failed = |e| self.failed(&format!("run a command in {container}"), e);
        let config = ExecConfig {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let id = self.client.create_exec(container, config).await.map_err(failed)?.id;
        // Attached, since Podman may never note the end of a short command that nobody listens to.
        let started = self.client.start_exec(&id, None::<StartExecOptions>).await.map_err(failed)?;
        let mut listening = Box::pin(async move {
            if let StartExecResults::Attached { mut output, .. } = started {
                while let Ok(Some(_)) = output.try_next().await {}
            }
            // What is left in the background may hold the output open, and the other way round: the loop below decides.
            std::future::pending::<()>().await;
        });
        let end = tokio::time::Instant::now() + limit;
        loop {
            let found = self.client.inspect_exec(&id).await.map_err(failed)?;
            if let (Some(false), Some(code)) = (found.running, found.exit_code) {
                return Ok(Some(code));
            }
            if tokio::time::Instant::now() >= end {
                return Ok(None);
            }
            let pause = Duration::from_millis(50);
            tokio::time::timeout(pause, &mut listening).await.ok();
        }
    }

    /// Starts a command in a container, with its streams.
    pub(crate) async fn exec_attached(&self, container: &str, command: &[String]) -> Result<Attached, Error> {
        let failed = |e| self.failed(&format!("start a command in {container}"), e);
        let config = ExecConfig {
            cmd: Some(command.to_vec()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let id = self.client.create_exec(container, config).await.map_err(failed)?.id;
        match self.client.start_exec(&id, None::<StartExecOptions>).await.map_err(failed)? {
            StartExecResults::Attached { output, input } => {
                let (output, errors) = streams::apart(output);
                Ok(Attached { input: Box::new(input), output, errors })
            }
            StartExecResults::Detached => Err(Error::EngineRefused {
                action: format!("start a command in {container}"),
                status: 0,
                message: "the Engine gave no streams".to_owned(),
            }),
        }
    }

    /// All objects that have this label (`name` or `name=value`), containers first.
    pub async fn labelled(&self, label: &str) -> Result<Vec<Object>, Error> {
        let failed = |e| self.failed("list what simulations left", e);
        let filters = HashMap::from([("label", vec![label])]);
        let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let list = || self.client.list_containers(Some(options.clone()));
        let containers = once_noted(list).await.map_err(failed)?;
        let options = query::ListVolumesOptionsBuilder::default().filters(&filters).build();
        let volumes = self.client.list_volumes(Some(options)).await.map_err(failed)?;
        let options = query::ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = self.client.list_networks(Some(options)).await.map_err(failed)?;
        let containers =
            containers.into_iter().map(|c| (Kind::Container, c.id.unwrap_or_default(), c.labels));
        let volumes = volumes.volumes.into_iter().flatten().map(|v| (Kind::Volume, v.name, Some(v.labels)));
        let networks = networks.into_iter().map(|n| (Kind::Network, n.id.unwrap_or_default(), n.labels));
        let mut objects: Vec<Object> = containers
            .chain(volumes)
            .chain(networks)
            .map(|(kind, id, labels)| Object { kind, id, labels: labels.into_iter().flatten().collect() })
            .collect();
        objects.sort();
        Ok(objects)
    }

    /// Removes an object with force; one that is gone, or being removed by somebody else, is fine.
    pub async fn remove(&self, kind: Kind, id: &str) -> Result<(), Error> {
        match kind {
            Kind::Container => {
                let options = query::RemoveContainerOptionsBuilder::default().v(true).force(true).build();
                let removed = self.client.remove_container(id, Some(options)).await;
                self.gone(removed, || format!("remove container {id}"))
            }
            Kind::Volume => {
                let options = query::RemoveVolumeOptionsBuilder::default().build();
                let removed = self.client.remove_volume(id, Some(options)).await;
                self.gone(removed, || format!("remove volume {id}"))
            }
            Kind::Network => {
                let removed = self.client.remove_network(id).await;
                self.gone(removed, || format!("remove network {id}"))
            }
        }
    }

    fn gone(&self, removed: Result<(), Refusal>, action: impl Fn() -> String) -> Result<(), Error> {
        match removed {
            Err(error) if !matches!(status(&error), 404 | 409) => Err(self.failed(&action(), error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, action: &str, error: Refusal) -> Error {
        let action = action.to_owned();
        match error {
            Refusal::DockerResponseServerError { status_code, message } => {
                Error::EngineRefused { action, status: status_code, message: message.trim().to_owned() }
            }
            Refusal::DockerStreamError { error } => {
                Error::EngineRefused { action, status: 0, message: error }
            }
            other => Error::EngineLost { host: self.host.clone(), action, detail: detail(&other) },
        }
    }
}

/// Between two states of a container, as between its end and its exit code (`stopped`), Podman gives it one that Docker's
/// API does not have, and the client library refuses the whole answer. In the same moment it may fail on files of a process that
/// has just gone. Asked again, until it is a state of both.
async fn once_noted<T, F: Future<Output = Result<T, Refusal>>>(ask: impl Fn() -> F) -> Result<T, Refusal> {
    let end = tokio::time::Instant::now() + NOTING;
    loop {
        match Box::pin(ask()).await {
            Err(error) if is_in_between(&error) && tokio::time::Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

fn is_in_between(error: &Refusal) -> bool {
    match error {
        Refusal::JsonDataError { message, .. } => message.contains("unknown variant"),
        Refusal::DockerResponseServerError { status_code: 500, message } => {
            message.contains("/proc/") && message.contains("no such process")
        }
        _ => false,
    }
}

fn status(error: &Refusal) -> u16 {
    match error {
        Refusal::DockerResponseServerError { status_code, .. } => *status_code,
        _ => 0,
    }
}

/// The last cause says most: the ones before it are the client library's layers.
fn detail(error: &Refusal) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

/// The argument list of an image's health check (`CMD …` or `CMD-SHELL …`).
pub(super) fn command(test: &[String]) -> Option<Vec<String>> {
    match test.split_first() {
        Some((kind, rest)) if kind == "CMD" => Some(rest.to_vec()),
        Some((kind, rest)) if kind == "CMD-SHELL" => {
            Some([&["/bin/sh".to_owned(), "-c".to_owned()], rest].concat())
        }
        _ => None,
    }
}
