//! Evidence in a bundle (FORMAT.md §5): who signed it, what it says, and what it is about. Runs no test.

use std::collections::BTreeSet;

use xedge_model::{Digest, ImageName, Platform};

use crate::manifest::{EvidenceEntry, Manifest};
use crate::refusal::{Code, Refusal};
use crate::statement::{Simulated, Verdict};
use crate::tuf::Root;
use crate::{Envelope, Error, Statement, VerifyingKey, member};

/// Evidence that holds.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The scenario.
    pub scenario: String,
    /// What was said.
    pub statement: Statement,
    /// The ids of the gate keys that signed it.
    pub signers: Vec<Digest>,
}

/// An image, a platform, and the manifest that the gate simulated of it there.
type Proved = (ImageName, Platform, Digest);

/// Judges one piece of evidence after the other, and the sum of them after the last.
pub(super) struct Judge {
    gate: Vec<VerifyingKey>,
    images: Vec<VerifyingKey>,
    proved: BTreeSet<Proved>,
    evidence: Vec<Evidence>,
}

impl Judge {
    pub(super) fn new(root: &Root) -> Self {
        let (gate, images) = (root.gate_keys(), root.image_keys());
        Self { gate, images, proved: BTreeSet::new(), evidence: Vec::new() }
    }

    pub(super) fn into_evidence(self) -> Vec<Evidence> {
        self.evidence
    }

    /// Whether a run of this configuration simulated exactly this manifest of the image on the platform.
    pub(super) fn proves(&self, image: &ImageName, platform: Platform, digest: &Digest) -> bool {
        self.proved.contains(&(image.clone(), platform, digest.clone()))
    }

    pub(super) fn judge(&mut self, name: &str, bytes: &[u8], manifest: &Manifest) -> Result<(), Refusal> {
        let of = |entry: &&EvidenceEntry| member::evidence(&entry.scenario) == name;
        let Some(entry) = manifest.gate.evidence.iter().find(of) else {
            return Err(Refusal::new(Code::Contradiction, name, "`bundle.json` does not name it"));
        };
        let evidence = self.open(name, bytes, &entry.scenario)?;
        check_statement(name, &evidence.statement, entry, manifest)?;
        self.proved.extend(proved(name, &evidence.statement, manifest)?);
        self.evidence.push(evidence);
        if self.evidence.len() == manifest.gate.evidence.len() {
            self.check_all_proved(manifest)?;
        }
        Ok(())
    }

    fn open(&self, name: &str, bytes: &[u8], scenario: &str) -> Result<Evidence, Refusal> {
        let envelope = Envelope::parse(name, bytes).map_err(|error| refusal(name, &error))?;
        let payload = envelope.verify(&self.gate).map_err(|error| {
            if envelope.verify(&self.images).is_ok() {
                let reason = "a key that signs images signed it, and none of the gate keys did";
                return Refusal::new(Code::EvidenceSignature, name, reason);
            }
            refusal(name, &error)
        })?;
        let statement = payload.statement().map_err(|error| refusal(name, &error))?;
        let signers = payload.signers().iter().map(|key| key.key_id().clone()).collect();
        Ok(Evidence { scenario: scenario.to_owned(), statement, signers })
    }

    fn check_all_proved(&self, manifest: &Manifest) -> Result<(), Refusal> {
        for service in &manifest.services {
            let unproved = service
                .manifests
                .iter()
                .find(|(platform, digest)| !self.proves(&service.image, **platform, digest));
            if let Some((platform, digest)) = unproved {
                let name = &service.name;
                let reason =
                    format!("no evidence names {digest}, the image of {name} for {platform}, as simulated");
                return Err(Refusal::new(Code::EvidenceMissing, member::BUNDLE, reason));
            }
        }
        Ok(())
    }
}

fn check_statement(
    name: &str,
    statement: &Statement,
    entry: &EvidenceEntry,
    manifest: &Manifest,
) -> Result<(), Refusal> {
    let refuse = |code, reason: String| Err(Refusal::new(code, name, reason));
    let result = &statement.predicate;
    let record = &result.xedge;
    if record.key_status != manifest.key_status {
        let (found, bundle) = (record.key_status.as_str(), manifest.key_status.as_str());
        return refuse(Code::DevelopmentKeys, format!("it is of {found} keys, the bundle of {bundle} keys"));
    }
    let passed = result.failed_tests.is_empty() && !result.passed_tests.is_empty();
    if result.result != Verdict::Passed || !passed {
        return refuse(Code::EvidenceFailed, format!("the gate's verdict is {:?}", result.result));
    }
    if record.scenario != entry.scenario || record.scenario_digest != entry.scenario_digest {
        let reason = format!("it is about the scenario {} of {}", record.scenario, record.scenario_digest);
        return refuse(Code::EvidenceNotAboutThis, reason);
    }
    match &record.config_digest {
        Some(found) if *found != manifest.config.digest => {
            let reason = format!("it is about the configuration {found}, not {}", manifest.config.digest);
            refuse(Code::EvidenceNotAboutThis, reason)
        }
        _ => Ok(()),
    }
}

/// What a statement about this configuration proves of the bundle's images; refuses another manifest than a service's. A
/// platform that no service has is proved as well: an index may name it.
fn proved(name: &str, statement: &Statement, manifest: &Manifest) -> Result<Vec<Proved>, Refusal> {
    let record = &statement.predicate.xedge;
    if record.config_digest.is_none() {
        return Ok(Vec::new());
    }
    let mut proved = Vec::new();
    for run in record.platforms.iter().filter(|run| run.simulated != Simulated::NotSimulated) {
        let Some(found) = &run.manifest else { continue };
        let services = || manifest.services.iter().filter(|service| service.image == run.image);
        let mut expected = services().filter_map(|service| service.manifests.get(&run.platform));
        if let Some(expected) = expected.find(|expected| *expected != found) {
            let reason = format!("it is about {found} for {} {}, not {expected}", run.image, run.platform);
            return Err(Refusal::new(Code::EvidenceNotAboutThis, name, reason));
        }
        if services().next().is_some() {
            proved.push((run.image.clone(), run.platform, found.clone()));
        }
    }
    Ok(proved)
}

fn refusal(name: &str, error: &Error) -> Refusal {
    let code = match error {
        Error::TooLarge { .. } => Code::Limits,
        Error::NotAnEnvelope { .. }
        | Error::NotBase64 { .. }
        | Error::NotAStatement { .. }
        | Error::NotCanonical { .. } => Code::NotCanonical,
        Error::PayloadType { .. } | Error::NoValidSignature { .. } | Error::NotAKey { .. } => {
            Code::EvidenceSignature
        }
        Error::Inconsistent { .. } => Code::EvidenceFailed,
    };
    Refusal::new(code, name, error.to_string())
}
