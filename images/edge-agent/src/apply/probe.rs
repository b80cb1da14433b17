//! Asks a service whether it is well, as its clients would: through the device's ports, with the production user. Asks once;
//! whoever asks decides how often. Nothing of a secret's value leaves this module but to the service.

mod http;
mod mqtt;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use xedge_model::stack::Probe;

use crate::engine::{Container, Engine, PortSpec};
use crate::home::StackHome;
use crate::state::Check;
use crate::{Error, Result};

/// A service that does not answer within this time does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A port forwarder takes a connection before it knows whether anybody is behind it, and closes it soon after.
const STAYS: Duration = Duration::from_millis(200);

/// Who is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The container.
    pub(super) container: &'a Container,
    /// What it publishes.
    pub(super) ports: &'a [PortSpec],
    /// Where its secrets lie.
    pub(super) home: &'a StackHome,
    /// The versions of them that its release has.
    pub(super) secrets: &'a BTreeMap<String, u64>,
}

/// Asks once. The inner error says for people what the service did not do; the outer one is the Engine's.
pub(super) fn ask(engine: &dyn Engine, asked: &Asked<'_>, check: &Check) -> Result<Result<(), String>> {
    let answer = match &check.probe {
        Probe::Tcp { port, .. } => tcp(asked, *port),
        Probe::Http { port, path, .. } => connect(asked, *port).and_then(|stream| http::get(stream, path)),
        Probe::Mqtt { port, secret, .. } => login(asked, secret.as_deref(), check.user.as_deref())
            .and_then(|login| connect(asked, *port).and_then(|stream| mqtt::connect(stream, login.as_ref()))),
        Probe::Command { command, .. } => match engine.exec(&asked.container.id, command, 2 * PATIENCE) {
            Ok(0) => Ok(()),
            Ok(code) => Err(format!("it ended with {code}")),
            // The container may have ended just now, or the program hangs: no fault of an Engine that answers otherwise.
            Err(Error::Engine { reason, .. }) if engine.inspect(&asked.container.id).is_ok() => Err(reason),
            Err(error) => return Err(error),
        },
    };
    Ok(answer.map_err(|why| format!("{}: {why}", check.probe)))
}

fn tcp(asked: &Asked<'_>, port: u16) -> Result<(), String> {
    let mut stream = connect(asked, port)?;
    stream.set_read_timeout(Some(STAYS)).map_err(|error| error.to_string())?;
    match stream.read(&mut [0]) {
        Ok(0) => Err("the connection was closed at once".to_owned()),
        Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(error.to_string())
        }
        _ => Ok(()),
    }
}

fn connect(asked: &Asked<'_>, port: u16) -> Result<TcpStream, String> {
    let mut last = format!("nothing publishes port {port}");
    for address in addresses(asked, port) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let limited =
                    stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
                return limited.map(|()| stream).map_err(|error| error.to_string());
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// Where a port of the device is answered: at the address that it is published at, or in the container where it shares the
/// host's network or publishes nothing.
fn addresses(asked: &Asked<'_>, port: u16) -> Vec<SocketAddr> {
    let published = asked.ports.iter().filter(|spec| spec.host == port && spec.protocol == "tcp");
    let mut found: Vec<IpAddr> = published.filter_map(|spec| listener(&spec.address)).collect();
    if found.is_empty() {
        found = asked.container.addresses.iter().filter_map(|address| address.parse().ok()).collect();
    }
    if found.is_empty() {
        found.push(Ipv4Addr::LOCALHOST.into());
    }
    found.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}

/// How one's own machine reaches what listens at an address.
fn listener(address: &str) -> Option<IpAddr> {
    if address.is_empty() {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    match address.trim_start_matches('[').trim_end_matches(']').parse().ok()? {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(Ipv6Addr::LOCALHOST.into()),
        other => Some(other),
    }
}

/// User and password.
struct Login {
    user: String,
    password: String,
}

/// Reads a secret: options of `mosquitto_sub`, or a password where the user is known otherwise.
fn login(asked: &Asked<'_>, secret: Option<&str>, user: Option<&str>) -> Result<Option<Login>, String> {
    let Some(name) = secret else { return Ok(None) };
    let path = asked.home.secret(name, asked.secrets.get(name).copied().unwrap_or(0));
    let text = fs::read_to_string(&path).map_err(|error| format!("failed to read {path}: {error}"))?;
    match user {
        Some(user) => {
            let password = text.strip_suffix('\n').unwrap_or(&text);
            Ok(Some(Login { user: user.to_owned(), password: password.to_owned() }))
        }
        None => {
            options(&text).map(Some).ok_or_else(|| format!("{path} has no line `-u USER` and `-P PASSWORD`"))
        }
    }
}

fn options(text: &str) -> Option<Login> {
    let value = |names: [&str; 2]| {
        let words = text.lines().filter_map(|line| line.trim_start().split_once(char::is_whitespace));
        words.filter(|(name, _)| names.contains(name)).map(|(_, value)| value.trim().to_owned()).next_back()
    };
    Some(Login { user: value(["-u", "--username"])?, password: value(["-P", "--pw"])? })
}

#[cfg(test)]
mod tests;
