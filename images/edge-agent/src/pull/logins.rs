//! Users of registries, as `docker login` and `podman login` leave them. Runs no credential helper and shows no password.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8PathBuf;
use serde::Deserialize;

use crate::engine::Login;
use crate::{Error, Result};

/// What Docker's own file calls Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The users, by host.
#[derive(Clone, Default)]
pub struct Logins(BTreeMap<String, Login>);

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
}

impl Logins {
    /// Reads those files that are there; of a host that several name, the first one counts.
    pub fn read(files: &[Utf8PathBuf]) -> Result<Self> {
        let mut all = BTreeMap::new();
        for path in files {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(Error::Read { path: path.clone(), source }),
            };
            let unusable = |reason: &str| Error::Given { what: path.to_string(), reason: reason.to_owned() };
            // What a parser says could quote a password.
            let config: Config =
                serde_json::from_slice(&bytes).map_err(|_| unusable("it is no list of logins"))?;
            for (host, Auth { auth }) in config.auths {
                if auth.is_empty() {
                    continue;
                }
                let login =
                    login(&auth).ok_or_else(|| unusable("a login in it is not base64 of USER:PASSWORD"))?;
                all.entry(plain(&host)).or_insert(login);
            }
        }
        Ok(Self(all))
    }

    /// The user at a registry.
    pub fn of(&self, host: &str) -> Option<&Login> {
        self.0.get(host)
    }
}

fn login(auth: &str) -> Option<Login> {
    let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker's own files may end in a zero byte.
    let password = password.trim_end_matches('\0').to_owned();
    Some(Login { user: user.to_owned(), password })
}

/// A host without the scheme and path that old files write.
fn plain(host: &str) -> String {
    if host == DOCKER_HUB {
        return "docker.io".to_owned();
    }
    let host = host.trim_start_matches("https://").trim_start_matches("http://");
    host.split('/').next().unwrap_or(host).to_owned()
}
