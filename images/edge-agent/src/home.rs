//! Where everything lies on a device. Paths only.

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::Digest;

/// The folder of the agent's state.
pub const DEFAULT: &str = "/var/lib/xedge";

/// The agent's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(Utf8PathBuf);

impl Home {
    /// The agent's folder is this one.
    pub fn new(folder: impl Into<Utf8PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder itself.
    pub fn root(&self) -> &Utf8Path {
        &self.0
    }

    /// Held by whoever changes something.
    pub fn lock(&self) -> Utf8PathBuf {
        self.0.join("lock")
    }

    /// What is trusted, and what was already accepted.
    pub fn trust(&self) -> Utf8PathBuf {
        self.0.join("trust.json")
    }

    /// Who the device is, and its settings.
    pub fn device(&self) -> Utf8PathBuf {
        self.0.join("device.json")
    }

    /// Members of bundles, by digest.
    pub fn store(&self) -> Utf8PathBuf {
        self.0.join("store")
    }

    /// A member that is there whole.
    pub fn member(&self, digest: &Digest) -> Utf8PathBuf {
        self.store().join(format!("sha256-{}", digest.hex()))
    }

    /// A member of which the first part is there.
    pub fn partial(&self, digest: &Digest) -> Utf8PathBuf {
        self.store().join(format!("sha256-{}.part", digest.hex()))
    }

    /// The programs: `current`, and the one before it.
    pub fn programs(&self) -> Utf8PathBuf {
        self.0.join("agent")
    }

    /// All stacks.
    pub fn stacks(&self) -> Utf8PathBuf {
        self.0.join("stacks")
    }

    /// One stack.
    pub fn stack(&self, name: &str) -> StackHome {
        StackHome(self.stacks().join(name))
    }
}

/// The folder of one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackHome(Utf8PathBuf);

impl StackHome {
    /// The folder itself.
    pub fn root(&self) -> &Utf8Path {
        &self.0
    }

    /// What runs, and what ran before ([`crate::state::StackState`]).
    pub fn state(&self) -> Utf8PathBuf {
        self.0.join("state.json")
    }

    /// The operation that is under way ([`crate::state::Journal`]); absent when there is none.
    pub fn journal(&self) -> Utf8PathBuf {
        self.0.join("journal.json")
    }

    /// The head of the bundle that is being received: its bytes to the end of `bundle.json`.
    pub fn incoming(&self) -> Utf8PathBuf {
        self.0.join("incoming.head")
    }

    /// The head of the bundle of a release that is kept.
    pub fn head(&self, seq: u64) -> Utf8PathBuf {
        self.0.join("releases").join(format!("{seq}.head"))
    }

    /// A folder that containers mount, by the digest of what is in it ([`crate::state`]).
    pub fn mount(&self, digest: &Digest) -> Utf8PathBuf {
        self.0.join("mounts").join(digest.hex())
    }

    /// Secrets, one file for each version.
    pub fn secrets(&self) -> Utf8PathBuf {
        self.0.join("secrets")
    }

    /// A version of a secret. What was given stays as it is: a container that mounts an older one can still be started.
    pub fn secret(&self, name: &str, version: u64) -> Utf8PathBuf {
        // No name has a dot.
        self.secrets().join(format!("{name}.{version}"))
    }

    /// How often each secret was given, and to whom: nothing about values.
    pub fn secret_versions(&self) -> Utf8PathBuf {
        self.0.join("secrets.json")
    }

    /// Values that only this device has.
    pub fn values(&self) -> Utf8PathBuf {
        self.0.join("values.json")
    }
}
