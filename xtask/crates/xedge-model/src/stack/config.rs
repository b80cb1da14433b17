//! What a configuration consists of, and the one digest over it.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{DeviceValue, SecretReference};
use crate::Digest;
use crate::image::Mode;

/// One configuration file, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigFile {
    /// Path below the configuration's folder.
    pub path: Utf8PathBuf,
    /// Permission bits, in octal.
    pub mode: Mode,
    /// Digest of the bytes; placeholders stand in them as they are.
    pub digest: Digest,
}

/// The digest of a configuration: of the stack's name, of every file's path, mode and bytes, of the references to secrets,
/// and of what the values of a device may be. The order counts: files by path, the rest by name.
pub fn config_digest(
    stack: &str,
    files: &[ConfigFile],
    secrets: &[SecretReference],
    device_values: &[DeviceValue],
) -> Digest {
    let files = files.iter().map(|file| (file.path.as_path(), file.mode, &file.digest)).collect();
    let canonical = Canonical { stack, files, secrets, device_values };
    Digest::of(&serde_json::to_vec(&canonical).expect("the canonical form has string keys only"))
}

/// Fields in the order of the struct, no spaces: the same value always gives the same bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Canonical<'a> {
    stack: &'a str,
    files: Vec<(&'a Utf8Path, Mode, &'a Digest)>,
    secrets: &'a [SecretReference],
    #[serde(skip_serializing_if = "<[DeviceValue]>::is_empty")]
    device_values: &'a [DeviceValue],
}

#[cfg(test)]
mod tests;
