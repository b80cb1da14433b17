//! The one place that reads the process's environment, clock and random source; everything else is handed values.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::Utf8PathBuf;

use crate::error::{Error, Result};

/// What the process was started with.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    folder: Option<Utf8PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            folder: std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok()),
        }
    }

    /// One with these variables alone.
    #[cfg(test)]
    pub(crate) fn for_tests<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { variables: owned.collect(), folder: Some("/".into()) }
    }

    /// A variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The folder the command was started in.
    pub fn folder(&self) -> Result<&Utf8PathBuf> {
        Ok(self.folder.as_ref().ok_or(Error::NoFolder)?)
    }

    /// Keys, secrets and run locks: `XEDGE_HOME`, else the platform's folder for user data; `None` where nothing names one.
    pub fn data_folder(&self) -> Result<Option<Utf8PathBuf>> {
        if let Some(home) = self.var("XEDGE_HOME") {
            return Ok(Some(self.folder()?.join(home)));
        }
        // The XDG base directory specification has relative paths ignored.
        let data = self.var("XDG_DATA_HOME").map(Utf8PathBuf::from).filter(|data| data.is_absolute());
        let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
        let data = data.or_else(|| self.var("HOME").map(|home| Utf8PathBuf::from(home).join(below)));
        Ok(data.map(|data| data.join("xedge")))
    }

    /// Seconds since 1970.
    pub fn now_unix(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// Fills `bytes` from the system's random source.
    pub fn random(&self, bytes: &mut [u8]) -> Result<()> {
        Ok(getrandom::fill(bytes).map_err(|error| Error::NoRandom(error.to_string()))?)
    }

    /// Whether this is a CI job, which gets no bars and no questions.
    pub fn is_ci(&self) -> bool {
        self.var("CI").is_some_and(|ci| ci != "false" && ci != "0")
    }

    /// The name of this machine, to tell its runs from those of others at a shared Engine.
    pub fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
}
