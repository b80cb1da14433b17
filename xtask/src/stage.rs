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
//! fn ship(layout: xedge_oci::Layout) -> xtask::stage::Release {
//!     xtask::stage::Release::new(layout)
//! }
//! ```
//!
//! This is the only way:
//!
//! ```
//! use xedge_bundle::{Envelope, VerifyingKey};
//! use xtask::stage::{Gate, Gated, Release};
//!
//! fn ship(
//!     layout: &xedge_oci::Layout,
//!     evidence: &Envelope,
//!     gate_key: VerifyingKey,
//!     gate: &Gate<'_>,
//! ) -> xtask::Result<Release> {
//!     let verified = evidence.verify(&[gate_key])?;
//!     Ok(Release::new(Gated::from_evidence(layout, gate, &verified)?))
//! }
//! ```

use std::collections::BTreeMap;

use xedge_bundle::VerifiedPayload;
use xedge_bundle::statement::{PlatformRun, Simulated, Statement, Verdict};
use xedge_model::{Digest, ImageName, Platform};
use xedge_oci::Layout;

use crate::error::{Error, Result};

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

/// Platform manifests, and perhaps a configuration, that passed a gate.
#[derive(Debug)]
#[must_use]
pub struct Gated {
    manifests: BTreeMap<(ImageName, Platform), Digest>,
    config: Option<Digest>,
}

/// What may leave this machine.
#[derive(Debug)]
#[must_use]
pub struct Release {
    gated: Gated,
}

impl Gated {
    /// Accepts evidence whose signature was verified, if it says PASSED for exactly this gate and is about exactly what
    /// is in the layout.
    pub fn from_evidence(layout: &Layout, gate: &Gate<'_>, evidence: &VerifiedPayload) -> Result<Self> {
        let statement = evidence.statement()?;
        let refuse = |reason: String| Error::Evidence { file: evidence.origin().to_owned(), reason };
        if let Some(reason) = mismatch(&statement, gate) {
            return Err(refuse(reason).into());
        }
        let manifests = proved_manifests(layout, &statement, refuse)?;
        if manifests.is_empty() {
            return Err(refuse("it names no image that ran".to_owned()).into());
        }
        Ok(Self { manifests, config: gate.config.cloned() })
    }

    /// The platform manifests that ran.
    pub fn manifests(&self) -> &BTreeMap<(ImageName, Platform), Digest> {
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
) -> Result<BTreeMap<(ImageName, Platform), Digest>> {
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

impl Release {
    /// A release of what passed the gate.
    pub fn new(gated: Gated) -> Self {
        Self { gated }
    }

    /// What it consists of.
    pub fn gated(&self) -> &Gated {
        &self.gated
    }
}
