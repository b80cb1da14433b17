//! A metadata file: its one form, its signatures, its fields (FORMAT.md §3). Does not decide whose keys count.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Key, Metadata, RoleKeys, SPEC_VERSION};
use crate::canonical::{self, Parts};
use crate::refusal::{Code, Refusal};
use crate::statement::KeyStatus;

/// A file in its canonical form. Nothing in it is trusted before [`Document::check`].
#[derive(Debug)]
pub struct Document<'a> {
    member: &'a str,
    bytes: &'a [u8],
    parts: Parts,
    signatures: Vec<Signature>,
}

/// A signature of a metadata file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Whose it is.
    pub keyid: String,
    /// 128 hexadecimal digits.
    pub sig: String,
}

/// Those who must have signed.
#[derive(Clone, Copy, Debug)]
pub struct Signers<'a> {
    /// Every key of the root that says so.
    pub keys: &'a BTreeMap<String, Key>,
    /// Who of them has the role.
    pub role: &'a RoleKeys,
}

/// What is done with signatures by keys that have no say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// They are an error.
    Refused,
    /// They may be by keys of a root that the reader does not have.
    Ignored,
}

impl<'a> Document<'a> {
    /// Reads the file's outer form; `member` is its name.
    pub fn parse<T: Metadata>(member: &'a str, bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > T::MAX_BYTES {
            let reason = format!("{} bytes are more than the {} that it may have", bytes.len(), T::MAX_BYTES);
            return Err(Refusal::new(Code::Limits, member, reason));
        }
        let parts = canonical::parts(bytes)
            .map_err(|error| Refusal::new(Code::NotCanonical, member, error.to_string()))?;
        let signatures: Vec<Signature> = serde_json::from_slice(&bytes[parts.signatures.clone()])
            .map_err(|error| Refusal::new(Code::Metadata, member, format!("signatures: {error}")))?;
        if !signatures.is_sorted_by(|a, b| a.keyid < b.keyid) {
            let reason = "its signatures are not sorted by key, or one key has two";
            return Err(Refusal::new(Code::Signature, member, reason));
        }
        Ok(Self { member, bytes, parts, signatures })
    }

    /// The bytes that are signed.
    pub fn signed(&self) -> &'a [u8] {
        &self.bytes[self.parts.signed.clone()]
    }

    /// Checks that every signature is valid and by one of `signers`, and that each of these reaches its threshold.
    pub fn check(&self, signers: &[Signers<'_>], foreign: Foreign) -> Result<(), Refusal> {
        let mut valid = BTreeSet::new();
        for signature in &self.signatures {
            let key = signers.iter().find_map(|signers| signers.key(&signature.keyid));
            match key {
                Some(key) if key.is_valid(self.signed(), &signature.sig) => {
                    valid.insert(signature.keyid.as_str());
                }
                Some(_) => return Err(self.refuse(&signature.keyid, "is not valid")),
                None if foreign == Foreign::Ignored => {}
                None => return Err(self.refuse(&signature.keyid, "is by a key that has no say here")),
            }
        }
        for Signers { role, .. } in signers {
            let count = role.keyids.iter().filter(|id| valid.contains(id.as_str())).count();
            if count < role.threshold {
                let reason =
                    format!("{count} of the keys of its role have signed it, {} must have", role.threshold);
                return Err(Refusal::new(Code::Signature, self.member, reason));
            }
        }
        Ok(())
    }

    /// The fields of `signed`, whoever signed them.
    pub fn read<T: Metadata>(&self) -> Result<T, Refusal> {
        let refuse = |code, reason: String| Refusal::new(code, self.member, reason);
        let role: T = serde_json::from_slice(self.signed()).map_err(|error| self.unreadable(&error))?;
        let common = role.common();
        if common.kind != T::TYPE {
            return Err(refuse(Code::Metadata, format!("its type is `{}`, not `{}`", common.kind, T::TYPE)));
        }
        if common.spec_version != SPEC_VERSION {
            let found = common.spec_version;
            let reason = format!("it follows TUF {found}, this program reads {SPEC_VERSION}");
            return Err(refuse(Code::FormatNewer, reason));
        }
        if common.version == 0 {
            return Err(refuse(Code::Metadata, "its version is 0".to_owned()));
        }
        Ok(role)
    }

    /// A later TUF may have other fields, so it is recognised before they are complained about.
    fn unreadable(&self, error: &serde_json::Error) -> Refusal {
        #[derive(Deserialize)]
        struct Version {
            spec_version: String,
        }
        match serde_json::from_slice::<Version>(self.signed()) {
            Ok(Version { spec_version: found }) if found != SPEC_VERSION => {
                let reason = format!("it follows TUF {found}, this program reads {SPEC_VERSION}");
                Refusal::new(Code::FormatNewer, self.member, reason)
            }
            _ => Refusal::new(Code::Metadata, self.member, error.to_string()),
        }
    }

    fn refuse(&self, key: &str, problem: &str) -> Refusal {
        let short: String = key.chars().take(12).collect();
        Refusal::new(Code::Signature, self.member, format!("the signature by key {short} {problem}"))
    }
}

impl<'a> Signers<'a> {
    fn key(&self, id: &str) -> Option<&'a Key> {
        self.role.keyids.iter().find(|known| *known == id).and_then(|id| self.keys.get(id))
    }
}

/// Refuses metadata whose time is over.
pub(crate) fn check_time<T: Metadata>(member: &str, role: &T, now_unix: i64) -> Result<(), Refusal> {
    let expires = role.common().expires;
    if now_unix < expires {
        return Ok(());
    }
    let (expires, now) = (crate::time::format(expires), crate::time::format(now_unix));
    Err(Refusal::new(Code::Expired, member, format!("it expired at {expires}, and it is {now}")))
}

/// Refuses metadata whose keys are of another kind than the root's.
pub(crate) fn check_status<T: Metadata>(member: &str, role: &T, root: KeyStatus) -> Result<(), Refusal> {
    let found = role.common().status;
    if found == root {
        return Ok(());
    }
    let reason = format!("it is of {} keys, the root of {} keys", found.as_str(), root.as_str());
    Err(Refusal::new(Code::DevelopmentKeys, member, reason))
}
