//! Which container engine this user means: `DOCKER_HOST`, else the docker client's current context, else the usual
//! sockets. Reads files, and connects to nothing.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use xedge_model::Digest;

use super::{Error, Surroundings};

/// The port on which Docker's client and Engine speak TLS, by convention.
const TLS_PORT: &str = ":2376";

/// Where an Engine is looked for, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Only there: somebody named it, so one that does not answer is an error.
    Named(Place),
    /// At the first of the usual sockets where one answers.
    Usual(Vec<Place>),
}

/// A place where an Engine may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A socket's path, or an address: `unix://…`, `tcp://…`.
    pub host: String,
    /// Who named it, for people.
    pub from: String,
}

impl Place {
    fn new(host: impl Into<String>, from: impl Into<String>) -> Self {
        Self { host: host.into(), from: from.into() }
    }

    /// The socket's path, where it is one.
    pub fn socket(&self) -> Option<&Utf8Path> {
        let path = self.host.strip_prefix("unix://").unwrap_or(&self.host);
        path.starts_with('/').then(|| Utf8Path::new(path))
    }

    /// `HOST:PORT`, where it is an address.
    pub fn address(&self) -> Option<&str> {
        let address = self.host.strip_prefix("tcp://").or_else(|| self.host.strip_prefix("http://"))?;
        Some(address.trim_end_matches('/'))
    }
}

/// Where to look, in the docker client's own order of precedence.
///
/// # Errors
///
/// When what is named cannot be read, or is reached in a way that xedge does not speak.
pub fn choose(around: &Surroundings) -> Result<Choice, Error> {
    if let Some(host) = &around.docker_host {
        let place = Place::new(host, "DOCKER_HOST");
        return speakable(place, around.docker_tls).map(Choice::Named);
    }
    match context_name(around)? {
        Some((name, from)) => context(around, &name, &from).map(Choice::Named),
        None => Ok(Choice::Usual(usual(around))),
    }
}

/// The sockets where Engines usually answer, best first.
fn usual(around: &Surroundings) -> Vec<Place> {
    let home = around.home.as_deref();
    let runtime = around.runtime_dir.as_deref();
    let below = |folder: Option<&Utf8Path>, name: &str| folder.map(|folder| folder.join(name));
    let mut places = vec![
        (Some(around.file("/var/run/docker.sock")), "the usual socket of Docker"),
        (below(home, ".docker/run/docker.sock"), "the usual socket of Docker Desktop"),
        (below(home, ".docker/desktop/docker.sock"), "the usual socket of Docker Desktop"),
    ];
    places.extend(colima(around).into_iter().map(|socket| (Some(socket), "the usual socket of Colima")));
    places.extend([
        (below(runtime, "docker.sock"), "the usual socket of rootless Docker"),
        (below(runtime, "podman/podman.sock"), "the usual socket of rootless Podman"),
        (Some(around.file("/run/podman/podman.sock")), "the usual socket of Podman"),
    ]);
    places.into_iter().filter_map(|(socket, from)| Some(Place::new(socket?, from))).collect()
}

/// A socket for each of Colima's profiles, `default` first.
fn colima(around: &Surroundings) -> Vec<Utf8PathBuf> {
    let Some(folder) = around.home.as_deref().map(|home| home.join(".colima")) else { return Vec::new() };
    let Ok(entries) = folder.read_dir_utf8() else { return Vec::new() };
    let sockets = entries.flatten().map(|entry| entry.path().join("docker.sock"));
    let mut sockets: Vec<Utf8PathBuf> = sockets.filter(|socket| socket.exists()).collect();
    let default = folder.join("default/docker.sock");
    sockets.sort_by_key(|socket| (*socket != default, socket.clone()));
    sockets
}

/// The context in force and who named it; `None` for the client's own default.
fn context_name(around: &Surroundings) -> Result<Option<(String, String)>, Error> {
    let named = match &around.docker_context {
        Some(name) => Some((name.clone(), "DOCKER_CONTEXT".to_owned())),
        None => configured_context(around)?,
    };
    // `default` stands for what holds without contexts.
    Ok(named.filter(|(name, _)| !name.is_empty() && name != "default"))
}

/// The context that the docker client's own file names, and that file.
fn configured_context(around: &Surroundings) -> Result<Option<(String, String)>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        current_context: Option<String>,
    }
    let Some(file) = config_folder(around).map(|folder| folder.join("config.json")) else { return Ok(None) };
    let Some(text) = read(&file)? else { return Ok(None) };
    let config: Config = serde_json::from_str(&text).map_err(|e| unusable(&file, &e))?;
    Ok(config.current_context.map(|name| (name, file.into_string())))
}

/// The Engine of a context, from its file in the docker client's folder.
fn context(around: &Surroundings, name: &str, named_by: &str) -> Result<Place, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Meta {
        endpoints: Endpoints,
    }
    #[derive(Deserialize)]
    struct Endpoints {
        docker: Option<Endpoint>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Endpoint {
        #[serde(default)]
        host: String,
    }
    let missing = || Error::NoContext { name: name.to_owned(), named_by: named_by.to_owned() };
    let contexts = config_folder(around).ok_or_else(missing)?.join("contexts");
    // The client names a context's folders by the digest of its name.
    let digest = Digest::of(name.as_bytes());
    let id = digest.hex();
    let file = contexts.join("meta").join(id).join("meta.json");
    let text = read(&file)?.ok_or_else(missing)?;
    let meta: Meta = serde_json::from_str(&text).map_err(|e| unusable(&file, &e))?;
    let host = meta.endpoints.docker.map(|endpoint| endpoint.host).filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| unusable(&file, &"it names no endpoint for docker"))?;
    let tls = contexts.join("tls").join(id).join("docker").is_dir();
    speakable(Place::new(host, format!("the docker context `{name}`")), tls)
}

fn config_folder(around: &Surroundings) -> Option<Utf8PathBuf> {
    around.docker_config.clone().or_else(|| around.home.as_ref().map(|home| home.join(".docker")))
}

/// The text of a file; `None` where there is none.
fn read(file: &Utf8Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(file, &error)),
    }
}

fn unusable(file: &Utf8Path, problem: &dyn std::fmt::Display) -> Error {
    Error::DockerFile { file: file.to_owned(), problem: problem.to_string() }
}

/// A socket or plain HTTP; behind ssh and TLS the docker client's own machinery would be needed.
fn speakable(place: Place, tls: bool) -> Result<Place, Error> {
    let problem = match place.address() {
        Some(address) if tls || address.ends_with(TLS_PORT) => "it speaks TLS",
        Some(_) => return Ok(place),
        None if place.socket().is_some() => return Ok(place),
        None if place.host.starts_with("ssh://") => "it is reached over ssh",
        None if place.host.starts_with("https://") => "it speaks TLS",
        None => "it begins with none of `unix://`, `tcp://` and `http://`",
    };
    let Place { host, from } = place;
    Err(Error::EngineUnspoken { host, from, problem })
}
