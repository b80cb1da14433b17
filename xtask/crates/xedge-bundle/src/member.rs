//! Names of members and their order (FORMAT.md §1). Knows nothing of what is in them.

use xedge_model::{Digest, ImageName, Platform};

/// The longest name of a member: what a ustar header can hold.
pub const MAX_NAME: usize = 100;
/// The name of the timestamp.
pub const TIMESTAMP: &str = "timestamp.json";
/// The name of the snapshot.
pub const SNAPSHOT: &str = "snapshot.json";
/// The name of the targets.
pub const TARGETS: &str = "targets.json";
/// The name of the description of the release.
pub const BUNDLE: &str = "bundle.json";

/// What a member is, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A TUF root and its version.
    Root(u64),
    /// The timestamp.
    Timestamp,
    /// The snapshot.
    Snapshot,
    /// The targets.
    Targets,
    /// `bundle.json`.
    Bundle,
    /// Gate evidence.
    Evidence,
    /// A lock file.
    Lock,
    /// An SBOM.
    Sbom,
    /// A rendered configuration file.
    Config,
    /// An OCI blob.
    Blob,
}

impl Kind {
    /// The word for it in `custom.kind` of `targets.json`; a blob has its media type there, metadata has no entry.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Kind::Bundle => Some("bundle"),
            Kind::Evidence => Some("evidence"),
            Kind::Lock => Some("lock"),
            Kind::Sbom => Some("sbom"),
            Kind::Config => Some("config"),
            Kind::Root(_) | Kind::Timestamp | Kind::Snapshot | Kind::Targets | Kind::Blob => None,
        }
    }
}

/// What a member of this name is; `None` for a name that no member has.
pub fn kind_of(name: &str) -> Option<Kind> {
    if !is_name(name) {
        return None;
    }
    let between = |start, end| name.strip_prefix(start).and_then(|rest: &str| rest.strip_suffix(end));
    let some = |middle: Option<&str>| middle.is_some_and(|middle| !middle.is_empty());
    let hex = |prefix| name.strip_prefix(prefix).is_some_and(|hex| Digest::from_hex(hex).is_ok());
    match name {
        TIMESTAMP => Some(Kind::Timestamp),
        SNAPSHOT => Some(Kind::Snapshot),
        TARGETS => Some(Kind::Targets),
        BUNDLE => Some(Kind::Bundle),
        _ if some(between("evidence.", ".dsse.json")) => Some(Kind::Evidence),
        _ if some(between("lock.", ".json")) => Some(Kind::Lock),
        _ if some(between("sbom.", ".spdx.json")) => Some(Kind::Sbom),
        _ if hex("config.") => Some(Kind::Config),
        _ if hex("blob.") => Some(Kind::Blob),
        _ => root_version(name).map(Kind::Root),
    }
}

fn root_version(name: &str) -> Option<u64> {
    let version: u64 = name.strip_suffix(".root.json")?.parse().ok()?;
    (version > 0 && root(version) == name).then_some(version)
}

/// What members are sorted by; `None` for a name that no member has.
pub fn member_order(name: &str) -> Option<(Kind, &str)> {
    kind_of(name).map(|kind| (kind, name))
}

/// Whether a member can have this name: `[A-Za-z0-9][A-Za-z0-9._-]{0,99}`.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(fits)
}

/// The name of a root.
pub fn root(version: u64) -> String {
    format!("{version}.root.json")
}

/// The name of a scenario's evidence.
pub fn evidence(scenario: &str) -> String {
    format!("evidence.{scenario}.dsse.json")
}

/// The name of an image's lock file.
pub fn lock(image: &ImageName) -> String {
    format!("lock.{}.json", dotted(image))
}

/// The name of the SBOM of an image for a platform.
pub fn sbom(image: &ImageName, platform: Platform) -> String {
    format!("sbom.{}.{}.spdx.json", dotted(image), platform.file_stem())
}

/// The name of a rendered configuration file of this content.
pub fn config(digest: &Digest) -> String {
    format!("config.{}", digest.hex())
}

/// The name of an OCI blob.
pub fn blob(digest: &Digest) -> String {
    format!("blob.{}", digest.hex())
}

fn dotted(image: &ImageName) -> String {
    image.as_str().replace('/', ".")
}
