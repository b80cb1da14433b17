//! Logging in: checking credentials against a registry and keeping them as Docker does. It must not print them, and
//! must not lose what else is in the file.

use std::io;

use camino::Utf8Path;
use serde_json::{Map, Value};
use xedge_model::atomic::{self, WriteError};

use crate::auth::{self, Challenge, Scope, Why};
use crate::client::{Client, answer_of, refusal};
use crate::credentials;
use crate::error::{Error, Result};
use crate::http::{Method, Request};
use crate::target::Target;

/// What a check of credentials showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The registry takes them.
    Accepted,
    /// The registry asks nobody for credentials, so that they prove nothing.
    NotAskedFor,
}

impl Client {
    /// Checks credentials against the registry of `target`.
    pub async fn login(&self, target: &Target, user: &str, password: &str) -> Result<Login> {
        let host = target.api_host()?;
        let scope = Scope::none(&host);
        let address = self.http.address(&host, "/v2/")?;
        let step = format!("log in to {}", target.host());
        let reply = self.http.send(Request::new(Method::GET, address.clone())).await?;
        let challenge = match reply.status() {
            200 => return Ok(Login::NotAskedFor),
            401 => Challenge::of(&reply),
            _ => return Err(refusal(reply, &step).await),
        };
        let Some(challenge) = challenge else { return Err(refusal(reply, &step).await) };
        let header = auth::try_out(&self.http, &scope, &challenge, user, password).await?;
        let reply =
            self.http.send(Request::new(Method::GET, address).header("authorization", header.0)).await?;
        match reply.status() {
            200 => Ok(Login::Accepted),
            401 | 403 => Err(auth::denied(&scope, Why::WrongPassword, answer_of(reply).await)),
            _ => Err(refusal(reply, &step).await),
        }
    }
}

/// A Docker-style `config.json` with the credentials for `host` in it. Everything else stays, known or not.
pub fn config_with_login(
    path: &Utf8Path,
    existing: Option<&[u8]>,
    host: &str,
    user: &str,
    password: &str,
) -> Result<Vec<u8>> {
    let wrong = |problem: &str| Error::ConfigFile { path: path.to_owned(), problem: problem.to_owned() };
    if user.contains(':') {
        return Err(wrong("a user name has no `:`"));
    }
    let existing = existing.filter(|bytes| !bytes.trim_ascii().is_empty());
    let mut config: Map<String, Value> = match existing {
        // The parser's own text may quote the file, and the file holds secrets.
        Some(bytes) => serde_json::from_slice(bytes).map_err(|_| wrong("it is not a JSON object"))?,
        None => Map::new(),
    };
    let auths = config.entry("auths").or_insert_with(|| Value::Object(Map::new()));
    let auths = auths.as_object_mut().ok_or_else(|| wrong("`auths` is not a JSON object"))?;
    let entry = Map::from_iter([("auth".to_owned(), Value::String(credentials::encode(user, password)))]);
    auths.insert(host.to_owned(), Value::Object(entry));
    let mut text = serde_json::to_vec_pretty(&config).expect("a JSON value can be written as JSON");
    text.push(b'\n');
    Ok(text)
}

/// Writes credentials into a Docker-style `config.json` that only its owner can read.
pub fn save_login(path: &Utf8Path, target: &Target, user: &str, password: &str) -> Result<()> {
    let existing = match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::ConfigFile { path: path.to_owned(), problem: error.to_string() }),
    };
    let host = target.api_host()?;
    let config = config_with_login(path, existing.as_deref(), &host, user, password)?;
    atomic::write(path, &config, 0o600).map_err(|source: WriteError| Error::ConfigWrite(source))
}
