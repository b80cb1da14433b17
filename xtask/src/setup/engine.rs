//! Whether a container engine answers: plain HTTP over its socket, `GET /version` first. Starts nothing and needs no docker CLI.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::Surroundings;
use super::machine::Engine;

/// How long one answer may take. A healthy Engine needs milliseconds, one under load a second or two.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of an answer, in bytes: it is about a kilobyte.
const LONGEST_ANSWER: u64 = 256 * 1024;

/// The sockets where an Engine may answer, best first; with a `DOCKER_HOST` that names a socket, only that.
pub fn engine_sockets(around: &Surroundings) -> Vec<Utf8PathBuf> {
    if let Some(host) = &around.docker_host {
        return host.strip_prefix("unix://").map(Utf8PathBuf::from).into_iter().collect();
    }
    let home = around.home.as_deref();
    let runtime = around.runtime_dir.as_deref();
    let below = |folder: Option<&Utf8Path>, name: &str| folder.map(|folder| folder.join(name));
    [
        Some(around.file("/var/run/docker.sock")),
        below(runtime, "docker.sock"),
        below(home, ".docker/run/docker.sock"),
        below(home, ".docker/desktop/docker.sock"),
        below(home, ".colima/default/docker.sock"),
        Some(around.file("/run/podman/podman.sock")),
        below(runtime, "podman/podman.sock"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The state of the engine.
pub(super) fn look(around: &Surroundings) -> Engine {
    match around.docker_host.as_deref() {
        Some(host) if !host.starts_with("unix://") => look_over_network(host),
        Some(host) => look_at_sockets(around).unwrap_or_else(|| Engine::Elsewhere { at: host.to_owned() }),
        None => look_at_sockets(around).unwrap_or_else(|| look_on_disk(around)),
    }
}

fn look_at_sockets(around: &Surroundings) -> Option<Engine> {
    let mut denied = None;
    for socket in engine_sockets(around) {
        match version_of(at_socket(&socket, "/version")) {
            Ok(version) => return Some(Engine::Up { at: socket.into_string(), version }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                denied.get_or_insert(Engine::Denied { at: socket.into_string() });
            }
            Err(_) => {}
        }
    }
    denied
}

/// Plain TCP can be asked; behind ssh and TLS the docker client's own set-up is needed, which is not repeated here.
fn look_over_network(host: &str) -> Engine {
    let at = host.to_owned();
    let Some(address) = plain_address(host) else { return Engine::Unseen { at } };
    match version_of(at_address(address, "/version")) {
        Ok(version) => Engine::Up { at, version },
        Err(_) => Engine::Elsewhere { at },
    }
}

fn plain_address(host: &str) -> Option<&str> {
    let address = host.strip_prefix("tcp://").or_else(|| host.strip_prefix("http://"))?;
    Some(address.trim_end_matches('/')).filter(|address| !address.ends_with(":2376"))
}

fn look_on_disk(around: &Surroundings) -> Engine {
    let daemon = around.which("dockerd").is_some() || around.file("/usr/sbin/dockerd").exists();
    let desktop = around.os == "macos" && around.file("/Applications/Docker.app").exists();
    if daemon || desktop { Engine::Down } else { Engine::Absent }
}

/// What the Engine at `host` answers to a question; `None` for an Engine that cannot be asked, and for an error.
pub(super) fn ask(host: &str, path: &str) -> Option<String> {
    let answer = match plain_address(host) {
        Some(address) => at_address(address, path),
        None => at_socket(Utf8Path::new(host.strip_prefix("unix://").unwrap_or(host)), path),
    };
    body_of(&answer.ok()?).map(str::to_owned)
}

fn version_of(answer: io::Result<Vec<u8>>) -> io::Result<String> {
    version_in(&answer?).ok_or_else(|| io::ErrorKind::InvalidData.into())
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

/// The version in a complete HTTP answer; `None` for anything that an Engine would not say.
pub(super) fn version_in(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "Version")]
        version: String,
        // Both Docker and Podman send it; a web server that happens to answer does not.
        #[serde(rename = "ApiVersion")]
        _api: String,
    }
    let answer: Version = serde_json::from_str(body_of(answer)?).ok()?;
    Some(answer.version)
}
