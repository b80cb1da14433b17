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
//! use xtask::stage::{Gated, Release};
//!
//! fn ship(
//!     layout: &xedge_oci::Layout,
//!     evidence: &Envelope,
//!     gate_key: VerifyingKey,
//! ) -> xtask::Result<Release> {
//!     let verified = evidence.verify(&[gate_key])?;
//!     Ok(Release::new(Gated::from_evidence(layout, None, &verified)?))
//! }
//! ```

use std::collections::BTreeMap;

use xedge_bundle::VerifiedPayload;
use xedge_bundle::statement::{PlatformRun, Simulated, Statement, Verdict};
use xedge_model::{Digest, ImageName, Platform};
use xedge_oci::Layout;

use crate::error::{Error, Result};

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
    /// Accepts evidence whose signature was verified, if it says PASSED and is about exactly what is in the layout and
    /// about exactly this configuration.
    pub fn from_evidence(
        layout: &Layout,
        config: Option<&Digest>,
        evidence: &VerifiedPayload,
    ) -> Result<Self> {
        let statement = evidence.statement()?;
        let refuse = |reason: String| Error::Evidence { file: evidence.origin().to_owned(), reason };
        if statement.predicate.result != Verdict::Passed {
            return Err(refuse("the gate did not pass".to_owned()).into());
        }
        let proved = statement.predicate.xedge.config_digest.as_ref();
        if proved != config {
            let name =
                |digest: Option<&Digest>| digest.map_or("no configuration".to_owned(), Digest::to_string);
            return Err(refuse(format!("it is about {}, not {}", name(proved), name(config))).into());
        }
        Ok(Self { manifests: proved_manifests(layout, &statement, refuse)?, config: config.cloned() })
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
