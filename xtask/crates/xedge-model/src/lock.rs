//! `images/<name>/image.lock.json`: exactly which bytes go into an image, for each platform.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Platform};

/// The format version that this tool reads and writes.
pub const FORMAT: u32 = 1;

/// One image's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageLock {
    /// Format version of the file.
    pub format: u32,
    /// Digest of what was asked for (suite, packages, omissions, platforms): another request needs another lock.
    pub request: Digest,
    /// What was found, by platform.
    pub platforms: BTreeMap<Platform, PlatformLock>,
}

/// What goes into one platform's image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformLock {
    /// Debian packages, ordered by name.
    pub packages: Vec<LockedPackage>,
    /// First line of `rustc -vV` of the compiler that made the payloads, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rustc: Option<String>,
    /// The base image's manifest of this platform, if there is a base image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<LockedBase>,
}

/// An existing image that another one stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBase {
    /// Where it came from: the reference without tag and digest.
    pub repository: String,
    /// Digest of what the reference named: an index, or the manifest itself.
    pub index: Digest,
    /// Digest of this platform's manifest.
    pub manifest: Digest,
    /// Size of that manifest in bytes.
    pub size: u64,
}

/// One Debian package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Binary package name.
    pub name: String,
    /// Binary package version.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Source package name.
    pub source: String,
    /// Source package version; must be the same on every platform.
    pub source_version: String,
    /// Which pocket it came from, for example `bookworm-security`.
    pub pocket: String,
    /// Path below the mirror, `pool/…`.
    pub filename: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the .deb file.
    pub sha256: Digest,
}

impl ImageLock {
    /// The canonical text of the file: two spaces, ordered keys, a final line break.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a lock has string keys only");
        text.push('\n');
        text
    }
}
