//! Whether a container engine answers: plain HTTP over its socket, `GET /version` first. Starts nothing and needs no docker CLI.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::Utf8Path;
use serde::Deserialize;
use xedge_model::Failure;

use super::Surroundings;
use super::discover::{Choice, Place, choose};
use super::machine::Engine;

/// How long one answer may take. A healthy Engine needs milliseconds, one under load a second or two.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of an answer, in bytes: it is about a kilobyte.
const LONGEST_ANSWER: u64 = 256 * 1024;

/// The state of the engine.
pub(super) fn look(around: &Surroundings) -> Engine {
    match choose(around) {
        Ok(Choice::Named(place)) => look_at(&place).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Engine::Denied { at: place.host },
            _ => Engine::Elsewhere { at: place.host, from: place.from },
        }),
        Ok(Choice::Usual(places)) => look_at_all(&places).unwrap_or_else(|| look_on_disk(around)),
        Err(error) => Engine::Unusable {
            problem: error.to_string(),
            fix: error.hint().into_iter().map(|hint| format!("# {hint}")).collect(),
        },
    }
}

fn look_at_all(places: &[Place]) -> Option<Engine> {
    let mut denied = None;
    for place in places {
        match look_at(place) {
            Ok(engine) => return Some(engine),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                denied.get_or_insert(Engine::Denied { at: place.host.clone() });
            }
            Err(_) => {}
        }
    }
    denied
}

fn look_at(place: &Place) -> io::Result<Engine> {
    let answer = match (place.socket(), place.address()) {
        (Some(socket), _) => at_socket(socket, "/version")?,
        (None, Some(address)) => at_address(address, "/version")?,
        (None, None) => return Err(io::ErrorKind::Unsupported.into()),
    };
    let Introduction { product, version } = introduction(&answer).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Engine::Up { at: place.host.clone(), product, version, from: place.from.clone() })
}

fn look_on_disk(around: &Surroundings) -> Engine {
    let daemon = around.which("dockerd").is_some() || around.file("/usr/sbin/dockerd").exists();
    let desktop = around.os == "macos" && around.file("/Applications/Docker.app").exists();
    if daemon || desktop {
        Engine::Down
    } else if around.which("podman").is_some() {
        Engine::PodmanIdle
    } else {
        Engine::Absent
    }
}

/// What the Engine at `host` answers to a question; `None` for an error.
pub(super) fn ask(host: &str, path: &str) -> Option<String> {
    let place = Place { host: host.to_owned(), from: String::new() };
    let answer = match place.address() {
        Some(address) => at_address(address, path),
        None => at_socket(place.socket()?, path),
    };
    body_of(&answer.ok()?).map(str::to_owned)
}

fn at_socket(socket: &Utf8Path, path: &str) -> io::Result<Vec<u8>> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    answer_over(stream, path)
}

fn at_address(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let resolved = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let stream = TcpStream::connect_timeout(&resolved, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    answer_over(stream, path)
}

/// HTTP/1.0, so that the answer is neither chunked nor kept open.
fn answer_over(mut stream: impl Read + Write, path: &str) -> io::Result<Vec<u8>> {
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The body of an answer that says yes.
fn body_of(answer: &[u8]) -> Option<&str> {
    let (head, body) = std::str::from_utf8(answer).ok()?.split_once("\r\n\r\n")?;
    let status = head.lines().next()?.split(' ').nth(1)?;
    (status == "200").then_some(body)
}

/// Who answers, and in which version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) product: String,
    pub(super) version: String,
}

/// What a complete HTTP answer says; `None` for anything that an Engine would not say.
pub(super) fn introduction(answer: &[u8]) -> Option<Introduction> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        version: String,
        // Both Docker and Podman send it; a web server that happens to answer does not.
        #[serde(rename = "ApiVersion")]
        _api: String,
        #[serde(default)]
        components: Vec<Component>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Component {
        name: String,
    }
    let answer: Answer = serde_json::from_str(body_of(answer)?).ok()?;
    let podman = answer.components.iter().any(|component| component.name.starts_with("Podman"));
    let product = if podman { "Podman" } else { "Docker" }.to_owned();
    Some(Introduction { product, version: answer.version })
}
