//! The predicate: in-toto's test-result v0.1 fields, and what this tool records beside them. No reading of files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xedge_model::scenario::Level;
use xedge_model::{Digest, ImageName, Platform};

use super::DigestSet;

/// Version of the `xedge` part of the predicate.
pub const FORMAT: u32 = 1;

/// The predicate (in-toto attestation, spec/predicates/test-result.md).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestResult {
    /// Verdict over all tests.
    pub result: Verdict,
    /// What configured the tests: scenario files, rendered configuration, lock files.
    pub configuration: Vec<ResourceDescriptor>,
    /// Link to the run, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Names of the tests that passed.
    pub passed_tests: Vec<String>,
    /// Names of the tests that passed with a warning.
    pub warned_tests: Vec<String>,
    /// Names of the tests that failed.
    pub failed_tests: Vec<String>,
    /// What this tool records; an extension field of the predicate.
    pub xedge: RunRecord,
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Every test passed.
    Passed,
    /// None failed, and at least one has a warning.
    Warned,
    /// At least one failed.
    Failed,
}

/// A resource by name and digest (in-toto attestation, `spec/v1/resource_descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceDescriptor {
    /// Its name, for example a path in the repository.
    pub name: String,
    /// Where it can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its digest.
    pub digest: DigestSet,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// How the run was made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunRecord {
    /// Version of this part; 1.
    pub format: u32,
    /// Version of the tool that ran it.
    pub tool_version: String,
    /// The scenario's name.
    pub scenario: String,
    /// Digest of the scenario file's bytes.
    pub scenario_digest: Digest,
    /// What a pass shows; absent means all that the scenario claims.
    #[serde(default, skip_serializing_if = "Level::is_usual")]
    pub level: Level,
    /// Seed of every random draw.
    pub seed: u64,
    /// Length of the publishing phase in milliseconds (a whole number, so that it has one way to be written).
    pub duration_ms: u64,
    /// What ran the containers.
    pub engine: Engine,
    /// Which levels of honesty the run reached.
    pub honesty: BTreeSet<Honesty>,
    /// Every platform manifest of every image in the run.
    pub platforms: Vec<PlatformRun>,
    /// Digest of the rendered production files that were mounted; absent if none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<Digest>,
    /// Digest over everything that happened in a run in virtual time; two runs had the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Digest>,
    /// How many runs passed of all that were made; absent means the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// What kind of key signs this. A signer refuses to sign a status that is not its own.
    pub key_status: KeyStatus,
}

/// Several runs of one scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// Those that passed.
    pub passed: u32,
    /// All of them.
    pub total: u32,
}

/// What ran the containers. There is no fake among them: a run on a fake cannot be written down as evidence.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Which engine.
    pub kind: EngineKind,
    /// Its version as it names it.
    pub version: String,
}

/// Kinds of engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Docker's Engine.
    Docker,
    /// Podman, behind the Docker Engine API.
    Podman,
    /// An OCI runtime in namespaces of our own.
    Embedded,
    /// None: models and scripts in virtual time. No image is proved by such a run.
    Virtual,
}

/// Levels of honesty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Honesty {
    /// Measured outcomes.
    L1,
    /// The same stimulus: planned against actual lag.
    L2,
    /// The identical trace.
    L3,
}

/// One platform manifest, and whether it ran.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformRun {
    /// The image.
    pub image: ImageName,
    /// The platform.
    pub platform: Platform,
    /// Digest of that platform's manifest; absent only where it was not simulated, and so perhaps not even built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// Whether and how it ran.
    pub simulated: Simulated,
    /// Why it was emulated or not simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether and how a platform ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Simulated {
    /// On a processor of that kind.
    #[serde(rename = "native")]
    Native,
    /// On an emulated processor: its times say little.
    #[serde(rename = "emulated")]
    Emulated,
    /// Not at all; a reason is required.
    #[serde(rename = "not simulated")]
    NotSimulated,
}

/// What a signing key is for. Devices enrolled for production refuse development keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// Made by itself on a machine of a developer or of CI.
    Development,
    /// Made on purpose, and kept.
    Production,
}

impl KeyStatus {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyStatus::Development => "development",
            KeyStatus::Production => "production",
        }
    }
}

impl RunRecord {
    /// Whether it was a run without any image or configuration.
    pub(super) fn proves_no_image(&self) -> bool {
        self.engine.kind == EngineKind::Virtual
    }

    /// The highest level of honesty is that of a named trace, and an engine is named unless nothing needed one.
    fn check_trace(&self) -> Result<(), String> {
        if self.trace.is_some() != self.honesty.contains(&Honesty::L3) {
            return Err("L3 and the digest of a trace go together".to_owned());
        }
        if !self.proves_no_image() {
            return Ok(());
        }
        if self.trace.is_none() {
            return Err("it ran in virtual time, and no trace is named".to_owned());
        }
        if !self.platforms.is_empty() || self.config_digest.is_some() {
            return Err("it ran in virtual time, and names what only an engine can run".to_owned());
        }
        Ok(())
    }
}

impl TestResult {
    pub(super) fn check(&self) -> Result<(), String> {
        let record = &self.xedge;
        if record.format != FORMAT {
            return Err(format!("it has format {}, this xedge reads format {FORMAT}", record.format));
        }
        self.check_tests()?;
        record.check_trace()?;
        let unexplained = |p: &&PlatformRun| p.simulated == Simulated::NotSimulated && p.reason.is_none();
        if let Some(p) = record.platforms.iter().find(unexplained) {
            return Err(format!("{} for {} was not simulated, and no reason is given", p.image, p.platform));
        }
        let unnamed = |p: &&PlatformRun| p.simulated != Simulated::NotSimulated && p.manifest.is_none();
        if let Some(p) = record.platforms.iter().find(unnamed) {
            return Err(format!("{} for {} ran, and its manifest is not named", p.image, p.platform));
        }
        let mut seen = BTreeSet::new();
        match record.platforms.iter().find(|p| !seen.insert((&p.image, p.platform))) {
            Some(p) => Err(format!("{} for {} is recorded twice", p.image, p.platform)),
            None => Ok(()),
        }
    }

    fn check_tests(&self) -> Result<(), String> {
        let expected = match (self.failed_tests.is_empty(), self.warned_tests.is_empty()) {
            (false, _) => Verdict::Failed,
            (true, false) => Verdict::Warned,
            (true, true) => Verdict::Passed,
        };
        if self.result != expected {
            return Err(format!("its result is {:?}, but its tests say {expected:?}", self.result));
        }
        let mut seen = BTreeSet::new();
        let mut all = self.passed_tests.iter().chain(&self.warned_tests).chain(&self.failed_tests);
        if let Some(twice) = all.find(|name| !seen.insert(*name)) {
            return Err(format!("the test `{twice}` is listed twice"));
        }
        if self.result != Verdict::Failed && self.passed_tests.is_empty() && self.warned_tests.is_empty() {
            return Err("it passed without a single test".to_owned());
        }
        Ok(())
    }
}
