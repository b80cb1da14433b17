//! One engine or the other, with the same methods. It adds nothing to what they do.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use super::{Attached, Creation, Docker, Embedded, EngineFacts, Kind, Labels, Object, Status, Usage};
use crate::Error;

/// What runs containers.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a process")]
pub enum Engine {
    /// A daemon with Docker's API.
    Docker(Docker),
    /// An OCI runtime and namespaces of our own.
    Embedded(Embedded),
}

/// The same call on whichever it is.
macro_rules! either {
    ($engine:expr, $one:ident => $call:expr) => {
        match $engine {
            Engine::Docker($one) => $call,
            Engine::Embedded($one) => $call,
        }
    };
}

impl Engine {
    /// The Engine with Docker's API, for what only it can do.
    pub fn docker(&self) -> Result<&Docker, Error> {
        match self {
            Self::Docker(docker) => Ok(docker),
            Self::Embedded(_) => Err(Error::NeedsDocker),
        }
    }

    /// Where it answers.
    pub fn host(&self) -> &str {
        either!(self, engine => engine.host())
    }

    /// What it says about itself.
    pub fn facts(&self) -> &EngineFacts {
        either!(self, engine => engine.facts())
    }

    /// Whether it has this image (`sha256:…` or a name).
    pub async fn has_image(&self, image: &str) -> Result<bool, Error> {
        either!(self, engine => engine.has_image(image).await)
    }

    /// Platform of an image as read from the image's config: `linux/amd64`.
    pub async fn image_platform(&self, image: &str) -> Result<String, Error> {
        either!(self, engine => engine.image_platform(image).await)
    }

    /// Loads the images of an archive as `docker save` writes it, from blocking code.
    pub async fn load_image_with(
        &self,
        fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        either!(self, engine => engine.load_image_with(fill).await)
    }

    /// Removes an image that has no tag and no container; returns whether it was there and went.
    pub async fn remove_untagged(&self, image: &str) -> Result<bool, Error> {
        either!(self, engine => engine.remove_untagged(image).await)
    }

    pub(crate) async fn create_network(&self, name: &str, labels: &Labels) -> Result<(), Error> {
        either!(self, engine => engine.create_network(name, labels).await)
    }

    pub(crate) async fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), Error> {
        either!(self, engine => engine.create_volume(name, labels).await)
    }

    pub(crate) async fn create(&self, creation: &Creation<'_>) -> Result<(), Error> {
        either!(self, engine => engine.create(creation).await)
    }

    pub(crate) async fn upload(&self, container: &str, path: &str, tar: Vec<u8>) -> Result<(), Error> {
        either!(self, engine => engine.upload(container, path, tar).await)
    }

    /// Starts a container.
    pub async fn start(&self, container: &str) -> Result<(), Error> {
        either!(self, engine => engine.start(container).await)
    }

    /// Stops a container with its stop signal, and with SIGKILL after `grace`.
    pub async fn stop(&self, container: &str, grace: Duration) -> Result<(), Error> {
        either!(self, engine => engine.stop(container, grace).await)
    }

    /// Whether it is there at all; the embedded one always is.
    pub(crate) async fn answers(&self) -> Result<(), Error> {
        match self {
            Self::Docker(docker) => docker.answers().await,
            Self::Embedded(_) => Ok(()),
        }
    }

    /// Sends a signal (`KILL`) to a container's main process; its restart policy does not bring it back.
    pub(crate) async fn kill(&self, container: &str, signal: &str) -> Result<(), Error> {
        either!(self, engine => engine.kill(container, signal).await)
    }

    /// Holds all processes of a container.
    pub(crate) async fn pause(&self, container: &str) -> Result<(), Error> {
        either!(self, engine => engine.pause(container).await)
    }

    /// Lets a held container go on.
    pub(crate) async fn unpause(&self, container: &str) -> Result<(), Error> {
        either!(self, engine => engine.unpause(container).await)
    }

    /// What a running container uses; `None` where nobody can tell.
    pub(crate) async fn usage(&self, container: &str) -> Result<Option<Usage>, Error> {
        either!(self, engine => engine.usage(container).await)
    }

    /// The address by which the containers of a network reach this machine, or whoever listens there.
    pub(crate) async fn gateway(&self, network: &str) -> Result<IpAddr, Error> {
        match self {
            Self::Docker(docker) => docker.gateway(network).await,
            Self::Embedded(embedded) => embedded.gateway(network),
        }
    }

    /// A listener of this process at a network's gateway, which does not block.
    pub(crate) fn listen(&self, network: &str, address: SocketAddr) -> io::Result<TcpListener> {
        match self {
            Self::Docker(_) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            }
            Self::Embedded(embedded) => embedded.listen(network, address),
        }
    }

    /// The addresses of a running container in its networks.
    pub(crate) async fn addresses(&self, container: &str) -> Result<Vec<IpAddr>, Error> {
        match self {
            Self::Docker(docker) => docker.addresses(container).await,
            Self::Embedded(embedded) => Ok(embedded.addresses(container)),
        }
    }

    /// State of a container.
    pub async fn inspect(&self, container: &str) -> Result<Status, Error> {
        match self {
            Self::Docker(docker) => docker.inspect(container).await,
            Self::Embedded(embedded) => embedded.inspect(container),
        }
    }

    /// Where on this machine a published port of a running container is reached now.
    pub async fn ports(&self, container: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        match self {
            Self::Docker(docker) => docker.ports(container, port).await,
            Self::Embedded(embedded) => embedded.ports(container, port),
        }
    }

    /// What a container wrote to stdout and stderr; `tail` limits it to the last lines.
    pub async fn logs(&self, container: &str, tail: Option<usize>) -> Result<Vec<u8>, Error> {
        either!(self, engine => engine.logs(container, tail).await)
    }

    /// Runs a command in a container and says its exit code; `None` if it does not end within `limit`.
    pub async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Option<i64>, Error> {
        either!(self, engine => engine.exec(container, command, limit).await)
    }

    /// Starts a command in a container, with its streams.
    pub(crate) async fn exec_attached(&self, container: &str, command: &[String]) -> Result<Attached, Error> {
        either!(self, engine => engine.exec_attached(container, command).await)
    }

    /// All objects that have this label (`name` or `name=value`), containers first.
    pub async fn labelled(&self, label: &str) -> Result<Vec<Object>, Error> {
        either!(self, engine => engine.labelled(label).await)
    }

    /// Removes an object with force; one that is gone, or being removed by somebody else, is fine.
    pub async fn remove(&self, kind: Kind, id: &str) -> Result<(), Error> {
        either!(self, engine => engine.remove(kind, id).await)
    }
}
