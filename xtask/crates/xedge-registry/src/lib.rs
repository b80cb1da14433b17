//! Registries: a client that pushes and reads by digest, and the small registry in the data folder. No YAML, no clock
//! but the monotonic one, no random source, no environment variables.

mod artifact;
mod auth;
mod client;
mod credentials;
mod download;
pub mod error;
mod feed;
mod http;
mod login;
mod plan;
mod push;
mod read;
mod reference;
mod referrers;
pub mod server;
mod settings;
mod source;
mod target;
mod upload;

#[cfg(test)]
mod tests;

pub use artifact::{PushArtifact, PushedArtifact, Referrer};
pub use client::Client;
pub use error::{Answer, Error, Result};
pub use login::{Login, config_with_login, save_login};
pub use plan::{Blob, BlobStep, Manifest, ManifestStep, Plan, PushImage, TagStep};
pub use push::Pushed;
pub use read::Fetched;
pub use reference::{OCI_INDEX, OCI_MANIFEST};
pub use referrers::Descriptor;
pub use settings::{Proxy, Retry, Settings, Timeouts};
pub use source::{BlobSource, Event, MemoryBlobs, Progress, Silent};
pub use target::{Repository, Tag, TagKind, Target};
