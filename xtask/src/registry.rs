//! The registry of a command: the one that the user named, or the embedded one in the data folder, and how it is reached.

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use xedge_model::{Digest, ImageName};
use xedge_registry::server::{self, Running, Store};
use xedge_registry::{Client, Proxy, Repository, Settings, Target};

use crate::cli::{ReachArgs, RegistryArgs};
use crate::commands::Context;
use crate::error::Result;
use crate::reach::Reach;

/// What stands for the embedded registry in references: it has no address while nobody serves it.
const EMBEDDED: &str = "embedded";

/// A registry that can be talked to.
pub(crate) struct Registry {
    /// The client.
    pub(crate) client: Client,
    target: Target,
    embedded: Option<Running>,
}

impl Registry {
    /// The registry that the flags name; the embedded one where they name none.
    pub(crate) async fn connect(cx: &Context<'_>, flags: &RegistryArgs) -> Result<Self> {
        match &flags.registry {
            Some(named) => {
                let target: Target = named.parse()?;
                let client = client(cx, &flags.reach)?;
                Ok(Self { client, target, embedded: None })
            }
            None => Self::embedded(cx, &flags.reach).await,
        }
    }

    /// The embedded registry, served on a free port of the loopback for as long as this lives.
    pub(crate) async fn embedded(cx: &Context<'_>, reach: &ReachArgs) -> Result<Self> {
        let running = serve(cx, 0).await?;
        let target: Target = address_text(running.address()).parse()?;
        Ok(Self { client: client(cx, reach)?, target, embedded: Some(running) })
    }

    /// The repository of an image.
    pub(crate) fn repository(&self, name: &ImageName) -> Result<Repository> {
        Ok(self.target.repository(name)?)
    }

    /// Whether it is the one in the data folder, which has no address while nobody serves it.
    pub(crate) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// The registry's name for people.
    pub(crate) fn name(&self) -> String {
        if self.embedded.is_some() { EMBEDDED.to_owned() } else { self.target.to_string() }
    }

    /// The repository without tag, as people and signatures name it.
    pub(crate) fn shown(&self, name: &ImageName) -> Result<String> {
        Ok(match self.embedded {
            Some(_) => format!("{EMBEDDED}/{name}"),
            None => self.repository(name)?.to_string(),
        })
    }

    /// An image by digest, as it is printed.
    pub(crate) fn reference(&self, name: &ImageName, digest: &Digest) -> Result<String> {
        Ok(format!("{}@{digest}", self.shown(name)?))
    }
}

/// Where the embedded registry keeps what it holds.
pub(crate) fn folder(cx: &Context<'_>) -> Result<Utf8PathBuf> {
    Ok(cx.project.home()?.join("registry/content"))
}

/// Where `registry login` keeps credentials.
pub(crate) fn logins(cx: &Context<'_>) -> Result<Utf8PathBuf> {
    Ok(cx.project.home()?.join("registry/config.json"))
}

/// Serves the embedded registry on a port of the loopback.
pub(crate) async fn serve(cx: &Context<'_>, port: u16) -> Result<Running> {
    let listener = server::bind(port).await?;
    Ok(server::serve(listener, Store::open(&folder(cx)?)?)?)
}

/// `HOST:PORT` of an address on the loopback.
pub(crate) fn address_text(address: SocketAddr) -> String {
    address.to_string()
}

/// How registries are reached where no flags say it.
pub(crate) fn reach_of_environment(cx: &Context<'_>) -> ReachArgs {
    let hosts = cx.environment.var("XEDGE_PLAIN_HTTP").into_iter().flat_map(|hosts| hosts.split(','));
    ReachArgs {
        plain_http: hosts.map(str::to_owned).collect(),
        ca: cx.environment.var("XEDGE_CA").map(Utf8PathBuf::from),
    }
}

/// A client with the credentials, authorities and leave that this user has.
pub(crate) fn client(cx: &Context<'_>, reach: &ReachArgs) -> Result<Client> {
    let mut settings = Settings::new(concat!("xedge/", env!("CARGO_PKG_VERSION")));
    settings.config_files = config_files(cx)?;
    settings.plain_http.clone_from(&reach.plain_http);
    let set = Reach::of(&cx.environment)?;
    match (&reach.ca, set.ca) {
        (Some(file), _) => settings.ca_files.push(cx.environment.folder()?.join(file)),
        (None, Some(set)) => settings.ca_files.push(set.value),
        (None, None) => {}
    }
    settings.proxy = set.proxy.map(|set| Proxy { url: set.value.url, except: set.value.except });
    Ok(Client::new(settings)?)
}

/// Our own logins first, then Docker's, then those of Podman and Skopeo.
fn config_files(cx: &Context<'_>) -> Result<Vec<Utf8PathBuf>> {
    let var = |name: &str| cx.environment.var(name).map(Utf8PathBuf::from);
    let docker = var("DOCKER_CONFIG").or_else(|| var("HOME").map(|home| home.join(".docker")));
    let podman = var("REGISTRY_AUTH_FILE")
        .or_else(|| var("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")));
    let docker = docker.map(|folder| folder.join("config.json"));
    Ok(std::iter::once(logins(cx)?).chain(docker).chain(podman).collect())
}
