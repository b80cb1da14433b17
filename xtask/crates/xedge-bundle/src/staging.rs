//! In-toto Statement v1 about a release on a spare device: what its services used there. It is no evidence of a gate, and is
//! refused where that is asked for: its predicate is another one.
//!
//! The canonical form is as in [`crate::statement`]: JSON without white space, fields in the order of the types here, and whole
//! numbers only, so that a value has one way to be written.

use serde::{Deserialize, Serialize};
use xedge_model::{Digest, ImageName};

use crate::Error;
use crate::statement::{KeyStatus, STATEMENT_TYPE, Subject};

/// `predicateType` of measurements on a device.
pub const PREDICATE_TYPE: &str = "urn:xedge:staging:v1";
/// The format version that this tool reads and writes.
pub const FORMAT: u32 = 1;

/// Measurements about digests: `bundle.json`, the configuration, and the manifests that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staging {
    /// What was measured; at least one.
    pub subject: Vec<Subject>,
    /// What came out.
    pub predicate: Measured,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Measured {
    /// Format version.
    pub format: u32,
    /// Version of xedge.
    pub tool_version: String,
    /// Status of the key that signs it.
    pub key_status: KeyStatus,
    /// The stack.
    pub stack: String,
    /// The release's number.
    pub seq: u64,
    /// Its version.
    pub version: String,
    /// The device.
    pub device: StagingDevice,
    /// Unix time of the host's clock when the measurement ended.
    pub measured_at: i64,
    /// Seconds over which it went.
    pub seconds: u32,
    /// Each service of the stack, sorted by name.
    pub services: Vec<MeasuredService>,
}

/// The device that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StagingDevice {
    /// Its id.
    pub id: String,
    /// Its class; empty where it has none.
    pub class: String,
    /// The board as the firmware names it.
    pub board: String,
    /// Go's word for the architecture.
    pub architecture: String,
    /// Kernel release.
    pub kernel: String,
    /// The Engine and its version.
    pub engine: String,
    /// Version of the agent.
    pub agent: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes free where releases are kept, after the release was installed.
    pub free_disk: u64,
}

/// A service that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeasuredService {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: ImageName,
    /// The manifest that ran.
    pub manifest: Digest,
    /// Thousandths of a processor, the mean.
    pub millicpus: u64,
    /// Bytes of memory, the most that was seen.
    pub memory: u64,
    /// Bytes that the container wrote beside its volumes.
    pub disk: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Measured,
}

impl Staging {
    /// Reads measurements in their canonical form; `origin` names them in errors.
    pub fn parse(origin: &str, bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |source| Error::NotAStatement { origin: origin.to_owned(), source };
        let wire: Wire = serde_json::from_slice(bytes).map_err(refuse)?;
        for (field, found, expected) in
            [("_type", &wire.kind, STATEMENT_TYPE), ("predicateType", &wire.predicate_type, PREDICATE_TYPE)]
        {
            if found != expected {
                let problem = format!("`{field}` is `{found}`, expected `{expected}`");
                return Err(Error::Inconsistent { origin: origin.to_owned(), problem });
            }
        }
        let staging = Self { subject: wire.subject, predicate: wire.predicate };
        if staging.to_bytes(origin)? != bytes {
            return Err(Error::NotCanonical { origin: origin.to_owned() });
        }
        Ok(staging)
    }

    /// The canonical bytes; measurements of nothing are refused.
    pub fn to_bytes(&self, origin: &str) -> Result<Vec<u8>, Error> {
        let covers = |digest: &Digest| self.subject.iter().any(|subject| subject.digest.sha256() == digest);
        let problem = if self.predicate.format != FORMAT {
            Some(format!("it has format {}, this xedge reads format {FORMAT}", self.predicate.format))
        } else if self.predicate.services.is_empty() || self.subject.is_empty() {
            Some("it is about nothing".to_owned())
        } else {
            let unnamed = self.predicate.services.iter().find(|service| !covers(&service.manifest));
            unnamed.map(|service| format!("the manifest of {} is not a subject", service.name))
        };
        if let Some(problem) = problem {
            return Err(Error::Inconsistent { origin: origin.to_owned(), problem });
        }
        let wire = Wire {
            kind: STATEMENT_TYPE.to_owned(),
            subject: self.subject.clone(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: self.predicate.clone(),
        };
        serde_json::to_vec(&wire).map_err(|source| Error::NotAStatement { origin: origin.to_owned(), source })
    }
}
