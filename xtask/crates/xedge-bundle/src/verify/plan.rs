//! The members that a list of targets asks for, in the order of the file (FORMAT.md §1). Judges names, kinds and lengths only.

use crate::manifest;
use crate::member::{self, BUNDLE, Kind};
use crate::refusal::{Code, Refusal};
use crate::stream::limit;
use crate::tuf::{Target, Targets};

/// The longest configuration file, OCI index or OCI manifest, in bytes.
pub(super) const MAX_HELD: usize = 4 << 20;
/// How many bytes all evidence may have together: it is held as what it says, which is several times as much.
const MAX_EVIDENCE: usize = 2 << 20;

/// The members after the metadata.
#[derive(Clone, Debug)]
pub struct Plan {
    targets: Targets,
    order: Vec<String>,
}

impl Plan {
    /// Refuses targets that no bundle can have.
    pub fn new(targets: Targets) -> Result<Self, Refusal> {
        for (name, target) in &targets.targets {
            check_target(name, target)?;
        }
        if !targets.targets.contains_key(BUNDLE) {
            return Err(Refusal::new(Code::MemberMissing, BUNDLE, "the signed list does not name it"));
        }
        let mut lengths = targets.targets.values().map(|target| target.length);
        if lengths.try_fold(0, u64::checked_add).is_none() {
            return Err(Refusal::new(Code::Limits, member::TARGETS, "its members are too long together"));
        }
        let evidence =
            targets.targets.iter().filter(|(name, _)| member::kind_of(name) == Some(Kind::Evidence));
        if evidence.map(|(_, target)| target.length).sum::<u64>() > MAX_EVIDENCE as u64 {
            let reason = format!("its evidence has more than {MAX_EVIDENCE} bytes together");
            return Err(Refusal::new(Code::Limits, member::TARGETS, reason));
        }
        let mut order: Vec<String> = targets.targets.keys().cloned().collect();
        order.sort_by(|a, b| member::member_order(a).cmp(&member::member_order(b)));
        Ok(Self { targets, order })
    }

    /// The members' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Whether there is such a member.
    pub fn has(&self, name: &str) -> bool {
        self.targets.targets.contains_key(name)
    }

    /// What is known of a member of this plan.
    pub fn target(&self, name: &str) -> &Target {
        &self.targets.targets[name]
    }

    /// The length of all members together.
    pub fn length(&self) -> u64 {
        self.targets.targets.values().map(|target| target.length).sum()
    }

    /// The list that it was made from.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    pub(super) fn into_targets(self) -> Targets {
        self.targets
    }
}

fn check_target(name: &str, target: &Target) -> Result<(), Refusal> {
    let metadata = |reason: String| Err(Refusal::new(Code::Metadata, member::TARGETS, reason));
    let Some(kind) = member::kind_of(name).filter(|kind| *kind >= Kind::Bundle) else {
        return metadata(format!("`{}` is no name of a member", name.escape_debug()));
    };
    let digest = target.hashes.sha256();
    let named_by_hash = match kind {
        Kind::Config => name == member::config(digest),
        Kind::Blob => name == member::blob(digest),
        _ => true,
    };
    if !named_by_hash {
        return metadata(format!("{name} is not named by its own sha256"));
    }
    let word = &target.custom.kind;
    if kind.word().map_or(!is_media_type(word), |expected| word != expected) {
        return metadata(format!("{name} is of the kind `{}`", word.escape_debug()));
    }
    if target.custom.pieces.len() as u64 != Target::piece_count(target.length) {
        return metadata(format!("{name} does not have the pieces that its length asks for"));
    }
    match kind {
        Kind::Bundle => limit(name, target.length, manifest::MAX_BYTES),
        Kind::Evidence => limit(name, target.length, MAX_EVIDENCE),
        Kind::Config => limit(name, target.length, MAX_HELD),
        _ => Ok(()),
    }
}

/// `type/subtype` (RFC 6838 §4.2), which no word for another kind is.
fn is_media_type(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let part = |part: &str| (1..=127).contains(&part.len()) && part.bytes().all(inner);
    text.split_once('/').is_some_and(|(kind, subtype)| part(kind) && part(subtype))
}
