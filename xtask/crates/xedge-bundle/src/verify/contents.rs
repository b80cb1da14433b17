//! What the members after the metadata must be to each other (FORMAT.md §4 and §5), judged as they arrive. Their bytes
//! are already known to be those that were signed.

use std::collections::{BTreeMap, BTreeSet};

use xedge_model::Digest;
use xedge_model::stack::placeholders;

use super::closure::Closure;
use super::evidence::{Evidence, Judge};
use super::head::Head;
use super::{Floor, check_floor};
use crate::manifest::Manifest;
use crate::member::{self, Kind};
use crate::refusal::{Code, Refusal};

/// What has been seen of a bundle.
pub(super) struct Contents<'a> {
    head: &'a Head,
    floor: Option<Floor<'a>>,
    manifest: Option<Manifest>,
    evidence: Judge,
    closure: Closure,
}

impl<'a> Contents<'a> {
    pub(super) fn new(head: &'a Head, floor: Option<Floor<'a>>) -> Self {
        let evidence = Judge::new(&head.root.root);
        Self { head, floor, manifest: None, evidence, closure: Closure::default() }
    }

    /// Whether this member's bytes are needed.
    pub(super) fn holds(&self, name: &str) -> bool {
        match member::kind_of(name) {
            Some(Kind::Bundle | Kind::Evidence | Kind::Config) => true,
            Some(Kind::Blob) => Closure::holds(self.head.plan.target(name)),
            _ => false,
        }
    }

    /// Judges a member; its bytes are there if they are needed.
    pub(super) fn judge(&mut self, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        match (member::kind_of(name), &self.manifest) {
            (Some(Kind::Bundle), _) => self.manifest = Some(self.describe(bytes)?),
            (Some(Kind::Evidence), Some(manifest)) => self.evidence.judge(name, bytes, manifest)?,
            (Some(Kind::Config), Some(manifest)) => check_placeholders(name, bytes, manifest)?,
            (Some(Kind::Blob), _) => self.closure.add(name, self.head.plan.target(name), bytes)?,
            _ => {}
        }
        Ok(())
    }

    /// What can be said at the end only; `absent` are the blobs that did not pass.
    pub(super) fn finish(self, absent: &BTreeSet<Digest>) -> Result<(Manifest, Vec<Evidence>), Refusal> {
        let manifest = described(self.manifest)?;
        self.closure.check(&manifest, &self.head.plan, &self.evidence)?;
        self.closure.check_absent(absent)?;
        Ok((manifest, self.evidence.into_evidence()))
    }

    /// The description alone, where nothing else is read.
    pub(super) fn into_manifest(self) -> Result<Manifest, Refusal> {
        described(self.manifest)
    }

    fn describe(&self, bytes: &[u8]) -> Result<Manifest, Refusal> {
        let manifest = Manifest::parse(bytes)?;
        let refuse = |code, reason: String| Err(Refusal::new(code, member::BUNDLE, reason));
        check_floor(&manifest, self.head.timestamp_version, self.floor)?;
        let status = self.head.root.root.xedge.status;
        if manifest.key_status != status {
            let (found, root) = (manifest.key_status.as_str(), status.as_str());
            return refuse(Code::DevelopmentKeys, format!("it is of {found} keys, the root of {root} keys"));
        }
        let targets = self.head.plan.targets();
        if manifest.seq != targets.version {
            let reason = format!("`seq` is {}, the version of the targets {}", manifest.seq, targets.version);
            return refuse(Code::Contradiction, reason);
        }
        self.check_members(&manifest)?;
        Ok(manifest)
    }

    /// The signed list has exactly the members that the description names, with these digests.
    fn check_members(&self, manifest: &Manifest) -> Result<(), Refusal> {
        let named = manifest.members();
        let plan = &self.head.plan;
        let described = |name: &&str| member::member_order(name).is_some_and(|order| order.0 > Kind::Bundle);
        let listed: BTreeMap<&str, &Digest> = plan
            .names()
            .filter(|name| described(name) && !name.starts_with("blob."))
            .map(|name| (name, plan.target(name).hashes.sha256()))
            .collect();
        for (name, digest) in &named {
            match listed.get(name.as_str()) {
                None => return Err(not_listed(name)),
                Some(found) if *found != digest => {
                    let reason = format!("`bundle.json` names {digest}, the signed list {found}");
                    return Err(Refusal::new(Code::Contradiction, name.clone(), reason));
                }
                Some(_) => {}
            }
        }
        match listed.keys().find(|name| !named.contains_key(**name)) {
            Some(name) => {
                let reason = "the signed list has it, and `bundle.json` does not name it";
                Err(Refusal::new(Code::Contradiction, *name, reason))
            }
            None => Ok(()),
        }
    }
}

fn described(manifest: Option<Manifest>) -> Result<Manifest, Refusal> {
    manifest.ok_or_else(|| Refusal::new(Code::MemberMissing, member::BUNDLE, "it was not read"))
}

fn not_listed(name: &str) -> Refusal {
    let code = match member::kind_of(name) {
        Some(Kind::Evidence) => Code::EvidenceMissing,
        _ => Code::Contradiction,
    };
    Refusal::new(code, name, "`bundle.json` names it, and the signed list does not have it")
}

/// `@{` stands for a declared value of the device and for nothing else (FORMAT.md §6).
fn check_placeholders(name: &str, bytes: &[u8], manifest: &Manifest) -> Result<(), Refusal> {
    let declared = |name: &str| manifest.config.device_values.iter().any(|value| value.name == name);
    let strange = placeholders(bytes).into_iter().find(|found| !found.name.is_some_and(declared));
    match strange {
        Some(found) => {
            let reason =
                format!("`@{{` at byte {} stands for no declared value of a device", found.range.start);
            Err(Refusal::new(Code::Contradiction, name, reason))
        }
        None => Ok(()),
    }
}
