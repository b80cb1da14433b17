//! What a client is told by its caller. Nothing is read from the environment or from a file here.

use std::time::Duration;

use camino::Utf8PathBuf;

/// How a request that may pass later is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// How often a request is made in all, at least once. Where nobody is there, three times are the most.
    pub tries: u32,
    /// The first pause; each further one is twice as long.
    pub base: Duration,
    /// The longest pause, also where the registry asks for more.
    pub max: Duration,
}

impl Retry {
    /// The pause after try number `done` (from 1). A registry's own wish counts where it is longer.
    pub(crate) fn pause(&self, done: u32, asked: Option<Duration>) -> Duration {
        let own = self.base.saturating_mul(1 << done.saturating_sub(1).min(16));
        own.max(asked.unwrap_or_default()).min(self.max)
    }
}

/// How long is waited. There is no limit on a whole transfer, only on standing still.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// With no byte moved in either direction.
    pub stall: Duration,
    /// For a credential helper to answer.
    pub helper: Duration,
}

/// A proxy for every host but the loopback.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its address, `http://HOST:PORT`.
    pub url: String,
    /// Hosts and domains that are reached without it.
    pub except: Vec<String>,
}

/// Everything that a client needs to know besides the target.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Docker's `config.json` and Podman's `auth.json`, the first that knows a host wins; missing ones are skipped.
    pub config_files: Vec<Utf8PathBuf>,
    /// Folders with credential helpers, looked at before the system's search path.
    pub helper_folders: Vec<Utf8PathBuf>,
    /// Files with further certificate authorities, in PEM.
    pub ca_files: Vec<Utf8PathBuf>,
    /// Goes before the proxies of the environment.
    pub proxy: Option<Proxy>,
    /// Hosts (`HOST` or `HOST:PORT`) that are talked to without TLS. The loopback always is.
    pub plain_http: Vec<String>,
    /// Sent with every request.
    pub user_agent: String,
    /// Tries and pauses.
    pub retry: Retry,
    /// Limits of waiting.
    pub timeouts: Timeouts,
    /// How many blobs move at once.
    pub parallel: usize,
}

impl Settings {
    /// Good settings for most networks: four blobs at once, six tries.
    pub fn new(user_agent: &str) -> Self {
        Self {
            config_files: Vec::new(),
            helper_folders: Vec::new(),
            ca_files: Vec::new(),
            proxy: None,
            plain_http: Vec::new(),
            user_agent: user_agent.to_owned(),
            retry: Retry { tries: 6, base: Duration::from_millis(500), max: Duration::from_secs(30) },
            timeouts: Timeouts {
                connect: Duration::from_secs(15),
                stall: Duration::from_mins(1),
                helper: Duration::from_secs(30),
            },
            parallel: 4,
        }
    }
}
