//! Where a test pushes to, and looking at what is there afterwards.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::runtime::Runtime;
use xedge_model::Digest;
use xedge_registry::{Client, Error, Repository, Settings, Target};

use super::stack::{IMAGE, Tiny};

/// More than any blob here has.
const LIMIT: u64 = 64 << 20;

/// A registry as the command line names it.
pub enum Place {
    /// The one in the data folder.
    Embedded,
    /// Another one, and the certificate of its CA.
    Named(String, Option<PathBuf>),
}

impl Place {
    /// The flags that name it.
    pub fn flags(&self) -> Vec<String> {
        let Self::Named(target, ca) = self else { return Vec::new() };
        let mut flags = vec!["--registry".to_owned(), target.clone()];
        if let Some(ca) = ca {
            flags.extend(["--ca".to_owned(), ca.display().to_string()]);
        }
        flags
    }

    /// The image's repository, as it is printed.
    pub fn repository(&self) -> String {
        match self {
            Self::Embedded => format!("embedded/{IMAGE}"),
            Self::Named(target, _) => format!("{target}/{IMAGE}"),
        }
    }
}

/// Looks at the image's repository of one place.
pub struct Look {
    runtime: Runtime,
    client: Client,
    repository: Repository,
    _serving: Option<Serving>,
}

impl Look {
    /// With the logins of the test's data folder.
    pub fn at(tiny: &Tiny, place: &Place) -> Self {
        let mut settings = Settings::new("xedge-tests");
        settings.config_files = vec![login_file(tiny)];
        let (target, serving) = match place {
            Place::Embedded => {
                let serving = Serving::start(tiny);
                (serving.address.clone(), Some(serving))
            }
            Place::Named(target, ca) => {
                settings.ca_files = ca.iter().map(|ca| Utf8PathBuf::from(ca.to_str().unwrap())).collect();
                (target.clone(), None)
            }
        };
        let target: Target = target.parse().unwrap();
        let repository = target.repository(&IMAGE.parse().unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, client: Client::new(settings).unwrap(), repository, _serving: serving }
    }

    /// All tags, in order.
    #[track_caller]
    pub fn tags(&self) -> Vec<String> {
        let mut tags = self.runtime.block_on(self.client.tags(&self.repository)).unwrap();
        tags.sort();
        tags
    }

    /// The bytes of a manifest, by tag or digest.
    #[track_caller]
    pub fn manifest(&self, reference: &str) -> Option<Vec<u8>> {
        match self.runtime.block_on(self.client.manifest(&self.repository, reference)) {
            Ok(fetched) => Some(fetched.bytes),
            Err(Error::NotFound { .. }) => None,
            Err(error) => panic!("{reference}: {error}"),
        }
    }

    /// The bytes of a blob; the client sees to it that they have the digest.
    #[track_caller]
    pub fn blob(&self, digest: &Digest) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.runtime.block_on(self.client.blob(&self.repository, digest, LIMIT, &mut bytes)).unwrap();
        bytes
    }

    /// Reads everything that any tag leads to. What an index of referrers lists counts, too.
    #[track_caller]
    pub fn everything_is_readable(&self) {
        for tag in self.tags() {
            self.is_readable(&tag);
        }
    }

    #[track_caller]
    fn is_readable(&self, reference: &str) {
        let bytes = self.manifest(reference).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let list = |name: &str| manifest[name].as_array().cloned().unwrap_or_default();
        for child in list("manifests") {
            self.is_readable(child["digest"].as_str().unwrap());
        }
        for blob in list("layers").iter().chain(manifest.get("config")) {
            self.blob(&blob["digest"].as_str().unwrap().parse().unwrap());
        }
    }
}

/// Where `registry login` keeps what it was told.
pub fn login_file(tiny: &Tiny) -> Utf8PathBuf {
    tiny.bench().home().join("registry/config.json")
}

/// `registry serve`, until it is stopped or dropped.
pub struct Serving {
    child: Child,
    /// `HOST:PORT`.
    pub address: String,
}

impl Serving {
    /// On a free port.
    #[track_caller]
    pub fn start(tiny: &Tiny) -> Self {
        let mut command = tiny.command(&["registry", "serve", "--port", "0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let serving = Self { child, address };
        assert!(serving.address.starts_with("127.0.0.1:"), "{}", serving.address);
        serving
    }

    /// As Ctrl-C does; gives the exit code and what was said.
    pub fn interrupt(mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Only has an effect where it was not interrupted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
