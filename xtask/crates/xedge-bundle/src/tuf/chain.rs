//! From the trusted root to the one in force (TUF 1.0 §5.3; FORMAT.md §3). Trusts no root because a file has it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::document::{check_status, check_time};
use super::{Document, Foreign, MAX_ROOTS, RoleKeys, Root, Signers};
use crate::refusal::{Code, Refusal};
use crate::{VerifyingKey, member};

/// The name of the trusted root in refusals.
const TRUSTED: &str = "trusted root";

/// The roots seen so far.
pub(crate) struct Chain {
    trusted: Link,
    last: Option<Link>,
    count: usize,
}

/// A root with its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) root: Root,
    pub(crate) bytes: Vec<u8>,
}

impl Chain {
    /// A chain that hangs on these bytes of a root.
    pub(crate) fn new(trusted: &[u8]) -> Result<Self, Refusal> {
        let root: Root = Document::parse::<Root>(TRUSTED, trusted)?.read()?;
        check_root(TRUSTED, &root)?;
        Ok(Self { trusted: Link { root, bytes: trusted.to_vec() }, last: None, count: 0 })
    }

    /// Adds the file's next root.
    pub(crate) fn push(&mut self, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > MAX_ROOTS {
            let reason = format!("a bundle has at most {MAX_ROOTS} roots");
            return Err(Refusal::new(Code::Limits, name, reason));
        }
        let document = Document::parse::<Root>(name, bytes)?;
        let root: Root = document.read()?;
        if member::root(root.version) != name {
            let reason = format!("its version is {}", root.version);
            return Err(Refusal::new(Code::RootChain, name, reason));
        }
        // Of all that may be wrong with foreign roots, this is what a person can act upon.
        if root.version >= self.trusted.root.version {
            check_status(name, &root, self.trusted.root.xedge.status)?;
        }
        if root.version == self.trusted.root.version && bytes != self.trusted.bytes {
            let reason = "it is not the root of that version that is trusted here";
            return Err(Refusal::new(Code::RootUnknown, name, reason));
        }
        let before = self.before(name, root.version)?;
        check_root(name, &root)?;
        check_signatures(&document, &root, before)?;
        self.last = Some(Link { root, bytes: bytes.to_vec() });
        Ok(())
    }

    /// The root in force: the last of the file, or the trusted one if that is newer.
    pub(crate) fn finish(self, now_unix: i64) -> Result<Link, Refusal> {
        let link = match self.last {
            Some(last) if last.root.version >= self.trusted.root.version => last,
            _ => self.trusted,
        };
        check_time(&member::root(link.root.version), &link.root, now_unix)?;
        Ok(link)
    }

    /// The root that must have consented to this version, if the reader has it.
    fn before(&self, name: &str, version: u64) -> Result<Option<&Root>, Refusal> {
        let trusted = &self.trusted.root;
        match &self.last {
            Some(last) if version.checked_sub(1) == Some(last.root.version) => Ok(Some(&last.root)),
            Some(last) => {
                let reason = format!("it follows version {}", last.root.version);
                Err(Refusal::new(Code::RootChain, name, reason))
            }
            None if version.checked_sub(1) == Some(trusted.version) => Ok(Some(trusted)),
            None if version <= trusted.version => Ok(None),
            None => {
                let reason =
                    format!("the trusted root is version {}, and those between are missing", trusted.version);
                Err(Refusal::new(Code::RootChain, name, reason))
            }
        }
    }
}

/// The first root of a file may bear signatures by a root that the reader does not have; it is then the trusted
/// one, or older, and nothing depends on those signatures.
fn check_signatures(document: &Document<'_>, root: &Root, before: Option<&Root>) -> Result<(), Refusal> {
    let own = Signers { keys: &root.keys, role: &root.roles.root };
    match before {
        Some(before) => {
            let old = Signers { keys: &before.keys, role: &before.roles.root };
            document.check(&[own, old], Foreign::Refused)
        }
        None => document.check(&[own], Foreign::Ignored),
    }
}

/// Refuses a root that contradicts itself.
fn check_root(name: &str, root: &Root) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Refusal::new(Code::Metadata, name, reason));
    if root.consistent_snapshot {
        return refuse("`consistent_snapshot` must be false".to_owned());
    }
    if let Some((id, _)) = root.keys.iter().find(|(id, key)| key.id() != **id || !key.is_sound()) {
        return refuse(format!("key {id} is not what its id says, or no sound Ed25519 key"));
    }
    let roles = &root.roles;
    for (role, keys) in [
        ("root", &roles.root),
        ("targets", &roles.targets),
        ("snapshot", &roles.snapshot),
        ("timestamp", &roles.timestamp),
    ] {
        if !is_sound(keys, root) {
            return refuse(format!(
                "the role `{role}` names no, unknown or doubled keys, or more than it has"
            ));
        }
    }
    let [gate, images] = [&root.xedge.gate, &root.xedge.image_sign];
    for list in [gate, images] {
        if list.is_empty() || !list.is_sorted_by(|a, b| a < b) || !list.iter().all(|key| p256(key).is_some())
        {
            return refuse(
                "the keys of `gate` and `image-sign` must be P-256, sorted, at least one each".into(),
            );
        }
    }
    if gate.iter().any(|key| images.contains(key)) {
        return refuse("a key signs images and evidence".to_owned());
    }
    Ok(())
}

fn is_sound(role: &RoleKeys, root: &Root) -> bool {
    let unique: BTreeSet<&String> = role.keyids.iter().collect();
    unique.len() == role.keyids.len()
        && unique.iter().all(|id| root.keys.contains_key(*id))
        && (1..=unique.len()).contains(&role.threshold)
}

impl Root {
    /// Reads a root that somebody decided to trust from now on: it must be sound, and signed by its own threshold.
    pub fn trusted(bytes: &[u8]) -> Result<Self, Refusal> {
        let document = Document::parse::<Root>(TRUSTED, bytes)?;
        let root: Root = document.read()?;
        check_root(TRUSTED, &root)?;
        check_signatures(&document, &root, None)?;
        Ok(root)
    }

    /// The keys that sign evidence.
    pub fn gate_keys(&self) -> Vec<VerifyingKey> {
        self.xedge.gate.iter().filter_map(|key| p256(key)).collect()
    }

    /// The keys that sign images.
    pub fn image_keys(&self) -> Vec<VerifyingKey> {
        self.xedge.image_sign.iter().filter_map(|key| p256(key)).collect()
    }
}

fn p256(text: &str) -> Option<VerifyingKey> {
    let key = VerifyingKey::from_der(&STANDARD.decode(text).ok()?)?;
    (STANDARD.encode(key.to_der()) == text).then_some(key)
}
