//! Types that move to xedge-model; deleted once they are there.
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use xedge_model::Digest;
use xedge_model::image::Mode;
use xedge_model::stack::SecretReference;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Path.
    pub path: Utf8PathBuf,
    /// Mode.
    pub mode: Mode,
    /// Digest.
    pub digest: Digest,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceValue {
    /// Name.
    pub name: String,
    /// Pattern.
    pub pattern: String,
    /// Sample.
    pub sample: String,
    /// Most characters.
    pub max_length: u32,
}

/// The digest.
pub fn config_digest(
    stack: &str,
    files: &[ConfigFile],
    secrets: &[SecretReference],
    device_values: &[DeviceValue],
) -> Digest {
    Digest::of(&serde_json::to_vec(&(stack, files, secrets, device_values)).expect("strings"))
}
