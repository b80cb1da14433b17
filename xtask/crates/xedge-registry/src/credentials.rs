//! Credentials as Docker and Podman keep them: `auths`, `credHelpers` and `credsStore`. A secret must never reach an
//! argument, an environment variable, a message or a debug print.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::settings::Settings;

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl Secret {
    /// Whether this is the header with a token, which proves that the password was right.
    pub(crate) fn is_token(&self) -> bool {
        self.0.starts_with("Bearer ")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What proves who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A user and a password or access token.
    Password { user: String, password: Secret },
    /// An identity token, which only a token server takes.
    Identity(Secret),
}

impl Credentials {
    fn password(user: &str, password: &str) -> Self {
        Self::Password { user: user.to_owned(), password: Secret(password.to_owned()) }
    }

    /// The value of an `Authorization` header.
    pub(crate) fn basic(&self) -> Option<Secret> {
        match self {
            Self::Password { user, password } => Some(Secret(format!("Basic {}", encode(user, &password.0)))),
            Self::Identity(_) => None,
        }
    }
}

/// User and password as Docker keeps them in `auth`.
pub(crate) fn encode(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ConfigFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The credentials for a repository, from the first file that has some: a helper for just this host, then `auths`
/// (the longest path wins), then the common store.
pub(crate) async fn find(settings: &Settings, host: &str, path: &str) -> Result<Option<Credentials>> {
    for file in &settings.config_files {
        let Some(config) = read(file)? else { continue };
        if let Some(helper) = config.cred_helpers.get(host) {
            return ask(settings, helper, host).await;
        }
        if let Some((_, entry)) = best_entry(&config, host, path)
            && let Some(found) = of_entry(file, host, entry)?
        {
            return Ok(Some(found));
        }
        if let Some(helper) = config.creds_store.as_deref().filter(|store| !store.is_empty()) {
            let server = best_entry(&config, host, path).map_or(host, |(key, _)| key);
            if let Some(found) = ask(settings, helper, server).await? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn read(path: &Utf8Path) -> Result<Option<ConfigFile>> {
    let wrong = |problem: String| Error::ConfigFile { path: path.to_owned(), problem };
    match std::fs::read(path) {
        // The parser's own text may quote the file, and the file holds secrets.
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            wrong(format!("not the JSON that is expected, line {} column {}", e.line(), e.column()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// A key of `auths` without the scheme and the version path that Docker writes for some hosts.
fn plain_key(key: &str) -> &str {
    let key = key.strip_prefix("https://").or(key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    match key.strip_suffix("/v1").or(key.strip_suffix("/v2")).unwrap_or(key) {
        // What Podman calls Docker's registry; its API is at another host.
        "docker.io" => "index.docker.io",
        key => key,
    }
}

fn best_entry<'a>(config: &'a ConfigFile, host: &str, path: &str) -> Option<(&'a str, &'a Entry)> {
    let whole = format!("{host}/{path}");
    let covers = |key: &str| whole.strip_prefix(plain_key(key)).is_some_and(|rest| rest.starts_with('/'));
    let entries = config.auths.iter().filter(|(key, _)| covers(key));
    entries.max_by_key(|(key, _)| plain_key(key).len()).map(|(key, entry)| (key.as_str(), entry))
}

fn of_entry(file: &Utf8Path, host: &str, entry: &Entry) -> Result<Option<Credentials>> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(token) = filled(&entry.identitytoken) {
        return Ok(Some(Credentials::Identity(Secret(token))));
    }
    if let Some(auth) = filled(&entry.auth) {
        let decoded = STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (user, password) = pair.ok_or_else(|| Error::ConfigFile {
            path: file.to_owned(),
            problem: format!("`auth` of `{host}` is not the base64 of USER:PASSWORD"),
        })?;
        // Docker once padded with zero bytes.
        return Ok(Some(Credentials::password(user, password.trim_end_matches('\0'))));
    }
    Ok(match (filled(&entry.username), filled(&entry.password)) {
        (Some(user), Some(password)) => Some(Credentials::password(&user, &password)),
        _ => None,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

async fn ask(settings: &Settings, helper: &str, host: &str) -> Result<Option<Credentials>> {
    let program = format!("docker-credential-{helper}");
    let failed = |problem: &str| Error::Helper {
        helper: program.clone(),
        host: host.to_owned(),
        problem: problem.to_owned(),
    };
    if helper.contains('/') {
        return Err(failed("its name is a path"));
    }
    let limit = settings.timeouts.helper;
    let answered = timeout(limit, run(&located(&settings.helper_folders, &program), host)).await;
    let Ok(output) = answered else {
        let (helper, host) = (program, host.to_owned());
        return Err(Error::HelperTimeout { helper, host, seconds: limit.as_secs() });
    };
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        // The one text that every helper prints where it has nothing.
        let said = String::from_utf8_lossy(&output.stdout);
        let unknown = said.contains("credentials not found");
        return if unknown { Ok(None) } else { Err(failed(&format!("it ended with {}", output.status))) };
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its answer is not the JSON that is expected"))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credentials::Identity(Secret(answer.secret)),
        user => Credentials::password(user, &answer.secret),
    }))
}

fn located(folders: &[Utf8PathBuf], program: &str) -> Utf8PathBuf {
    let here = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    here.unwrap_or_else(|| program.into())
}

async fn run(program: &Utf8Path, host: &str) -> io::Result<Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().expect("stdin was asked for as a pipe");
    // A helper that does not read its input may have ended already; its status tells.
    let _ = stdin.write_all(format!("{host}\n").as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await
}

#[cfg(test)]
mod tests {
    use super::plain_key;

    #[test]
    fn keys_of_every_tool_name_the_host_that_is_asked() {
        for (key, host) in [
            ("https://index.docker.io/v1/", "index.docker.io"),
            ("docker.io", "index.docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("https://h.example/v2/", "h.example"),
            ("h.example/team", "h.example/team"),
        ] {
            assert_eq!(plain_key(key), host, "{key}");
        }
    }
}
