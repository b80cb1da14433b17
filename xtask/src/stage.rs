//! The stages of a release as types: what was not gated cannot become a release, and the compiler says so.
//!
//! A [`Gated`] comes from signed evidence only:
//!
//! ```compile_fail
//! // Its fields are private and there is no constructor without evidence.
//! let gated = xtask::stage::Gated { manifests: Default::default(), config: None };
//! ```
//!
//! A file cannot become one by being read:
//!
//! ```compile_fail
//! let gated: xtask::stage::Gated = serde_json::from_str("{}").unwrap();
//! ```
//!
//! And a layout, however well built, is no release:
//!
//! ```compile_fail
//! fn ship(layout: xedge_oci::Layout, demand: xtask::stage::Demand) -> xtask::Result<xtask::stage::Release> {
//!     xtask::stage::Release::new(demand, layout)
//! }
//! ```
//!
//! This is the only way:
//!
//! ```
//! use xedge_bundle::{Envelope, VerifyingKey};
//! use xtask::stage::{Demand, Gate, Gated, Release};
//!
//! fn ship(
//!     layout: &xedge_oci::Layout,
//!     evidence: &Envelope,
//!     gate_keys: &[VerifyingKey],
//!     gate: &Gate<'_>,
//!     demand: Demand,
//! ) -> xtask::Result<Release> {
//!     Release::new(demand, vec![Gated::from_evidence(layout, gate, evidence, gate_keys)?])
//! }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use xedge_bundle::statement::{PlatformRun, Simulated, Statement, Verdict};
use xedge_bundle::{Envelope, VerifyingKey};
use xedge_model::scenario::Level;
use xedge_model::{Digest, ImageName, Platform};
use xedge_oci::Layout;

use crate::error::{Error, Result};

/// A platform of an image.
pub type ImagePlatform = (ImageName, Platform);

/// What evidence must be about: this text of this scenario, and this configuration or none.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Name of the scenario.
    pub scenario: &'a str,
    /// Digest of the scenario file's bytes.
    pub scenario_digest: &'a Digest,
    /// Digest of the rendered configuration that must have been mounted.
    pub config: Option<&'a Digest>,
}

/// Platform manifests, and perhaps a configuration, that passed one scenario.
#[derive(Debug)]
#[must_use]
pub struct Gated {
    scenario: String,
    scenario_digest: Digest,
    level: Level,
    envelope: Vec<u8>,
    manifests: BTreeMap<ImagePlatform, Digest>,
    not_simulated: BTreeMap<ImagePlatform, String>,
    config: Option<Digest>,
}

/// What a stack's gate policy asks for before anything of it may leave this machine.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The scenarios that must have passed.
    pub scenarios: BTreeSet<String>,
    /// The environment that the configuration was rendered for.
    pub environment: String,
    /// Digest of the rendered configuration.
    pub config: Digest,
    /// The manifest of every service's image on every platform.
    pub manifests: BTreeMap<ImagePlatform, Digest>,
}

/// What may leave this machine: everything that was demanded passed.
#[derive(Debug)]
#[must_use]
pub struct Release {
    demand: Demand,
    gated: Vec<Gated>,
}

impl Gated {
    /// Accepts evidence that one of `gate_keys` has signed, if it says PASSED for exactly this gate and is about exactly
    /// what is in the layout.
    pub fn from_evidence(
        layout: &Layout,
        gate: &Gate<'_>,
        evidence: &Envelope,
        gate_keys: &[VerifyingKey],
    ) -> Result<Self> {
        let verified = evidence.verify(gate_keys)?;
        let statement = verified.statement()?;
        let refuse = |reason: String| Error::Evidence { file: verified.origin().to_owned(), reason };
        if let Some(reason) = mismatch(&statement, gate) {
            return Err(refuse(reason).into());
        }
        let manifests = proved_manifests(layout, &statement, refuse)?;
        if manifests.is_empty() {
            return Err(refuse("it names no image that ran".to_owned()).into());
        }
        Ok(Self {
            scenario: gate.scenario.to_owned(),
            scenario_digest: gate.scenario_digest.clone(),
            level: statement.predicate.xedge.level,
            envelope: evidence.to_json(),
            manifests,
            not_simulated: not_simulated(&statement),
            config: gate.config.cloned(),
        })
    }

    /// The scenario's name.
    pub fn scenario(&self) -> &str {
        &self.scenario
    }

    /// Digest of the scenario file's bytes.
    pub fn scenario_digest(&self) -> &Digest {
        &self.scenario_digest
    }

    /// What the pass shows.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The signed envelope's bytes.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// The platform manifests that ran.
    pub fn manifests(&self) -> &BTreeMap<ImagePlatform, Digest> {
        &self.manifests
    }

    /// The digest of the rendered configuration that was mounted.
    pub fn config(&self) -> Option<&Digest> {
        self.config.as_ref()
    }
}

/// Why a statement is not about this gate.
fn mismatch(statement: &Statement, gate: &Gate<'_>) -> Option<String> {
    let record = &statement.predicate.xedge;
    if statement.predicate.result != Verdict::Passed {
        return Some("the gate did not pass".to_owned());
    }
    if record.scenario != gate.scenario {
        return Some(format!("it is about the scenario {}, not {}", record.scenario, gate.scenario));
    }
    if record.scenario_digest != *gate.scenario_digest {
        return Some(format!("the scenario {} has changed since", gate.scenario));
    }
    if record.config_digest.as_ref() != gate.config {
        let name = |digest: Option<&Digest>| digest.map_or("no configuration".to_owned(), Digest::to_string);
        return Some(format!(
            "it is about {}, not {}",
            name(record.config_digest.as_ref()),
            name(gate.config)
        ));
    }
    None
}

fn proved_manifests(
    layout: &Layout,
    statement: &Statement,
    refuse: impl Fn(String) -> Error,
) -> Result<BTreeMap<ImagePlatform, Digest>> {
    let mut manifests = BTreeMap::new();
    for PlatformRun { image, platform, manifest, simulated, .. } in &statement.predicate.xedge.platforms {
        if *simulated == Simulated::NotSimulated {
            continue;
        }
        let Some(manifest) = manifest else { continue };
        let entry = layout.image(image)?;
        let built = &entry.platform(*platform)?.manifest().digest;
        if built != manifest {
            return Err(
                refuse(format!("it is about {image} {platform} {manifest}, the layout has {built}")).into()
            );
        }
        manifests.insert((image.clone(), *platform), manifest.clone());
    }
    Ok(manifests)
}

/// The platforms that the run left out, and why.
fn not_simulated(statement: &Statement) -> BTreeMap<ImagePlatform, String> {
    let left_out = |run: &&PlatformRun| run.simulated == Simulated::NotSimulated;
    let entry = |run: &PlatformRun| {
        let reason = run.reason.clone().unwrap_or_else(|| "no reason is given".to_owned());
        ((run.image.clone(), run.platform), reason)
    };
    statement.predicate.xedge.platforms.iter().filter(left_out).map(entry).collect()
}

impl Demand {
    /// What these runs leave open: missing scenarios, and platforms that did not run with this configuration.
    pub fn gaps(&self, gated: &[Gated]) -> Vec<String> {
        let has = |scenario: &&String| gated.iter().any(|run| run.scenario == **scenario);
        let scenarios = self.scenarios.iter().filter(|scenario| !has(scenario));
        let mut gaps: Vec<String> =
            scenarios.map(|scenario| format!("no evidence of the scenario {scenario}")).collect();
        let is_other = |run: &&Gated| run.config.as_ref().is_some_and(|config| *config != self.config);
        gaps.extend(gated.iter().filter(is_other).map(|run| {
            format!("the scenario {} runs another configuration than this stack's", run.scenario)
        }));
        let with_config: Vec<&Gated> =
            gated.iter().filter(|run| run.config.as_ref() == Some(&self.config)).collect();
        for (image, manifest) in &self.manifests {
            if with_config.iter().all(|run| run.manifests.get(image) != Some(manifest)) {
                let reason = with_config.iter().find_map(|run| run.not_simulated.get(image));
                let reason = reason.map_or("no run with this configuration had it", String::as_str);
                gaps.push(format!("{} {} {manifest} was not simulated: {reason}", image.0, image.1));
            }
        }
        gaps
    }
}

impl Release {
    /// A release, if these runs leave nothing of the demand open.
    pub fn new(demand: Demand, gated: Vec<Gated>) -> Result<Self> {
        let gaps = demand.gaps(&gated);
        if !gaps.is_empty() {
            let scenarios = demand.scenarios.into_iter().collect();
            return Err(Error::Ungated { gaps, scenarios, environment: demand.environment }.into());
        }
        Ok(Self { demand, gated })
    }

    /// Digest of the rendered configuration.
    pub fn config(&self) -> &Digest {
        &self.demand.config
    }

    /// The manifest of every image on every platform.
    pub fn manifests(&self) -> &BTreeMap<ImagePlatform, Digest> {
        &self.demand.manifests
    }

    /// The runs that prove it, ordered by scenario.
    pub fn gated(&self) -> &[Gated] {
        &self.gated
    }
}
