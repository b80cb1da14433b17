//! In-toto Statement v1 with the test-result v0.1 predicate: the evidence of a gate run. Says what was claimed, not
//! whether it is true: that is the signature's part.
//!
//! The canonical form is JSON without white space, fields in the order of the types here, maps sorted by key, absent
//! options left out. Bytes in any other form are refused, which also closes duplicate keys and numbers written twice.

mod predicate;

pub use predicate::{
    Engine, EngineKind, FORMAT, Honesty, KeyStatus, PlatformRun, ResourceDescriptor, RunRecord, Runs,
    Simulated, TestResult, Verdict,
};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use xedge_model::Digest;

use crate::Error;

/// `_type` of in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of test-result v0.1.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// A test result about digests.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What was tested; at least one, each name and digest pair once.
    pub subject: Vec<Subject>,
    /// What came out.
    pub predicate: TestResult,
}

/// A thing that was tested.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name, for people; what counts is the digest.
    pub name: String,
    /// Its digest.
    pub digest: DigestSet,
}

/// An in-toto `DigestSet` with SHA-256 alone, written as bare hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSet {
    #[serde(with = "bare_hex")]
    sha256: Digest,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: TestResult,
}

impl Subject {
    /// A subject by name and digest.
    pub fn new(name: &str, digest: Digest) -> Self {
        Self { name: name.to_owned(), digest: digest.into() }
    }
}

impl DigestSet {
    /// The SHA-256 digest.
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }
}

impl From<Digest> for DigestSet {
    fn from(sha256: Digest) -> Self {
        Self { sha256 }
    }
}

impl Statement {
    /// Reads a statement that is in its canonical form and does not contradict itself; `origin` names it in errors.
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
        let statement = Self { subject: wire.subject, predicate: wire.predicate };
        if statement.to_bytes(origin)? != bytes {
            return Err(Error::NotCanonical { origin: origin.to_owned() });
        }
        Ok(statement)
    }

    /// The canonical bytes; refuses a statement that contradicts itself. `origin` names it in errors.
    pub fn to_bytes(&self, origin: &str) -> Result<Vec<u8>, Error> {
        self.check().map_err(|problem| Error::Inconsistent { origin: origin.to_owned(), problem })?;
        let wire = Wire {
            kind: STATEMENT_TYPE.to_owned(),
            subject: self.subject.clone(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: self.predicate.clone(),
        };
        serde_json::to_vec(&wire).map_err(|source| Error::NotAStatement { origin: origin.to_owned(), source })
    }

    /// Whether `digest` is one of the subjects.
    pub fn covers(&self, digest: &Digest) -> bool {
        self.subject.iter().any(|s| s.digest.sha256() == digest)
    }

    fn check(&self) -> Result<(), String> {
        if self.subject.is_empty() {
            return Err("it has no subject".to_owned());
        }
        if self.subject.iter().collect::<BTreeSet<_>>().len() != self.subject.len() {
            return Err("a subject is named twice".to_owned());
        }
        self.predicate.check()?;
        self.check_subjects_are_what_ran()
    }

    /// The statement is about what was run and the configuration that it was run with, and about nothing else. A run in
    /// virtual time is about its scenario.
    fn check_subjects_are_what_ran(&self) -> Result<(), String> {
        let record = &self.predicate.xedge;
        let ran = record.platforms.iter().filter(|p| p.simulated != Simulated::NotSimulated);
        let scenario = Some(&record.scenario_digest).filter(|_| record.proves_no_image());
        let proved: BTreeSet<&Digest> =
            ran.filter_map(|p| p.manifest.as_ref()).chain(&record.config_digest).chain(scenario).collect();
        if let Some(digest) = proved.iter().find(|digest| !self.covers(digest)) {
            return Err(format!("{digest} was part of the run but is not a subject"));
        }
        match self.subject.iter().find(|subject| !proved.contains(subject.digest.sha256())) {
            Some(subject) => Err(format!("{} is a subject but was no part of the run", subject.name)),
            None => Ok(()),
        }
    }
}

pub(crate) mod bare_hex {
    //! A digest without its `sha256:`, since the key of an in-toto `DigestSet` says it.

    use serde::{Deserialize as _, Deserializer, Serializer};
    use xedge_model::Digest;

    pub(crate) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(digest.hex())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        Digest::from_hex(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
