//! `bundle.json` (FORMAT.md §4): what a release is. Types and their one form; what they must agree with is judged in
//! [`check`](Manifest::check) and by the verifier.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xedge_model::stack::{ConfigFile, DeviceValue, SecretReference};
pub use xedge_model::stack::{Data, Probe};
use xedge_model::{Digest, ImageName, Platform};

use crate::member;
use crate::refusal::{Code, Refusal};
use crate::statement::KeyStatus;

/// The format that is written and read.
pub const FORMAT: u32 = 1;
/// The longest `bundle.json` that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// `bundle.json`. The order of the fields is the order in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The stack's name.
    pub stack: String,
    /// Counter of this stack's releases: what rollback protection compares.
    pub seq: u64,
    /// For people, and the tag in a registry.
    pub version: String,
    /// What kind of keys signed it.
    pub key_status: KeyStatus,
    /// Version of the xedge that made it.
    pub tool: String,
    /// Revision of the source repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Where it can run.
    pub compatibility: Compatibility,
    /// What it writes, and who can read that.
    pub data: Data,
    /// The services, sorted by name.
    pub services: Vec<Service>,
    /// The rendered configuration.
    pub config: Config,
    /// What it has been through.
    pub gate: Gate,
    /// The lock files, sorted by image.
    pub locks: Vec<Lock>,
    /// The SBOMs, sorted by image and platform.
    pub sboms: Vec<Sbom>,
    /// What must answer after a start, sorted ([`Probe::order`]). Not covered by the digest of the configuration.
    pub probes: Vec<Probe>,
    /// How long everything must stay well after it answered, in seconds.
    pub settle_s: u32,
    /// How long a service may take to answer after its start, in seconds.
    pub start_s: u32,
}

/// Where a release can run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compatibility {
    /// The platforms that every service has, sorted.
    pub platforms: Vec<Platform>,
    /// The boards that it is for ([`xedge_model::stack::board_name`]), sorted; any where there is none.
    pub boards: Vec<String>,
    /// Lowest version of xedge-agent, `MAJOR.MINOR.PATCH`.
    pub agent: String,
    /// Lowest version of the Engine API, `MAJOR.MINOR`.
    pub engine_api: String,
}

/// One service and its image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The service's name.
    pub name: String,
    /// Its image.
    pub image: ImageName,
    /// Digest of the image's index.
    pub index: Digest,
    /// Digests of the image's manifests.
    pub manifests: BTreeMap<Platform, Digest>,
}

/// The rendered configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Digest of stack, files, references to secrets and device values.
    pub digest: Digest,
    /// The environment that it was rendered for.
    pub environment: String,
    /// The files, sorted by path.
    pub files: Vec<ConfigFile>,
    /// The references to secrets, sorted by name.
    pub secrets: Vec<SecretReference>,
    /// The values that only a device knows, sorted by name.
    pub device_values: Vec<DeviceValue>,
}

/// What a release has been through.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The scenarios that must have passed, sorted.
    pub scenarios: Vec<String>,
    /// Whether runs on an emulated processor count.
    pub emulated: Emulated,
    /// The evidence, sorted by scenario: one for each.
    pub evidence: Vec<EvidenceEntry>,
}

/// Whether runs on an emulated processor count. They do, in this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Emulated {
    /// They count.
    Accepted,
}

/// Evidence of one scenario.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceEntry {
    /// The scenario.
    pub scenario: String,
    /// Digest of the scenario file's bytes.
    pub scenario_digest: Digest,
    /// Digest of the envelope's bytes.
    pub digest: Digest,
}

/// The lock file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The image.
    pub image: ImageName,
    /// Digest of its lock file.
    pub digest: Digest,
}

/// The SBOM of an image for a platform.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sbom {
    /// The image.
    pub image: ImageName,
    /// The platform.
    pub platform: Platform,
    /// Digest of the SBOM.
    pub digest: Digest,
}

impl Manifest {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("all keys are strings")
    }

    /// Reads bytes that are in the one form, of a format that is known, and free of contradictions.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let refuse = |code, reason: String| Err(Refusal::new(code, member::BUNDLE, reason));
        if bytes.len() > MAX_BYTES {
            let reason = format!("{} bytes are more than the {MAX_BYTES} that it may have", bytes.len());
            return refuse(Code::Limits, reason);
        }
        check_format(bytes)?;
        let manifest: Self = match serde_json::from_slice(bytes) {
            Ok(manifest) => manifest,
            Err(error) if error.is_data() => return refuse(Code::Metadata, error.to_string()),
            Err(error) => return refuse(Code::NotCanonical, error.to_string()),
        };
        if manifest.to_bytes() != bytes {
            return refuse(Code::NotCanonical, "its bytes differ from its canonical form".to_owned());
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// The members that the release has beside `bundle.json` and blobs, with their digests.
    pub fn members(&self) -> BTreeMap<String, Digest> {
        let evidence = self.gate.evidence.iter().map(|e| (member::evidence(&e.scenario), &e.digest));
        let locks = self.locks.iter().map(|lock| (member::lock(&lock.image), &lock.digest));
        let sboms = self.sboms.iter().map(|sbom| (member::sbom(&sbom.image, sbom.platform), &sbom.digest));
        let config = self.config.files.iter().map(|file| (member::config(&file.digest), &file.digest));
        let all = evidence.chain(locks).chain(sboms).chain(config);
        all.map(|(name, digest)| (name, digest.clone())).collect()
    }

    /// Refuses a release that cannot read the data that is on a device; `floor` is the highest that the device has accepted.
    pub fn check_data_floor(&self, floor: u64) -> Result<(), Refusal> {
        if self.data.version >= floor {
            return Ok(());
        }
        let version = self.data.version;
        let reason = format!("it reads data of version {version}, and what is there needs at least {floor}");
        Err(Refusal::new(Code::DataFloor, member::BUNDLE, reason))
    }

    /// Digests of the images' indexes.
    pub fn indexes(&self) -> BTreeSet<&Digest> {
        self.services.iter().map(|service| &service.index).collect()
    }
}

/// Whether a version is at least another one: numbers with points between them, compared one by one. What follows them in
/// the first, as in `1.2.3-rc1`, does not count. `None` where one of them is no version.
pub fn at_least(found: &str, needed: &str) -> Option<bool> {
    let numbers = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        text[..end].split('.').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>()
    };
    let (mut found, mut needed) = (numbers(found)?, numbers(needed)?);
    let length = found.len().max(needed.len());
    found.resize(length, 0);
    needed.resize(length, 0);
    Some(found >= needed)
}

/// A later format may have other fields, so it is recognised before they are complained about.
fn check_format(bytes: &[u8]) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Made {
        format: u64,
        #[serde(default)]
        tool: Option<String>,
    }
    match serde_json::from_slice::<Made>(bytes) {
        Ok(Made { format, tool }) if format > u64::from(FORMAT) => {
            let by = tool.filter(|tool| tool.len() <= 64).map_or("a newer xedge".to_owned(), |tool| {
                format!("xedge {}, so at least that is needed", tool.escape_debug())
            });
            let reason = format!("it has format {format}, this program reads {FORMAT}; it was made by {by}");
            Err(Refusal::new(Code::FormatNewer, member::BUNDLE, reason))
        }
        _ => Ok(()),
    }
}
