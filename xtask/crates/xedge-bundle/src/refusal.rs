//! Why a bundle is refused: stable codes, and what each means (FORMAT.md §7). Decides nothing.

use std::fmt;
use std::io;
use std::str::FromStr;

use xedge_model::{Class, Failure};

/// Why a bundle is not taken. Trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to accept the bundle: {member}: {reason} [{code}]")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// The member that is to blame, or `end of file`.
    pub member: String,
    /// What is wrong with it, for people.
    pub reason: String,
}

/// Why a bundle could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It was read, and is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be read, or what was read could not be passed on: nothing is said about the bundle.
    #[error("failed to read `{member}` of the bundle")]
    Io {
        /// The member that was being read.
        member: String,
        /// What went wrong.
        source: io::Error,
    },
}

/// A word that is no code of a refusal.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the code of a refusal")]
pub struct UnknownCode(String);

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal: $text:literal;)+) => {
        /// The stable codes of refusals.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[doc = $doc])+ $variant,)+ }

        impl Code {
            /// Every code, in the order in which a reader comes to them.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// The code's text; it never changes its meaning.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// What it means, what it stops, and what to do.
            pub fn explain(self) -> &'static str {
                match self { $(Code::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// A header is not the one header of its name and size.
    TarHeader = "tar-header": "A header in the file differs from the only one that a member of that name and \
        size can have. Hidden names, sizes and times in tar headers are a way to make two programs read \
        different things from one file. Copy the bundle again; if that does not help, make it anew.";
    /// Bytes between members are not zero.
    Padding = "padding": "The bytes that fill up a member to a whole block must be zero, and one is not. Nothing \
        can be hidden between members this way. Copy the bundle again; if that does not help, make it anew.";
    /// The file ends too early.
    Truncated = "truncated": "The file ends before the bundle does: a copy was interrupted, or a medium is full. \
        Copy the bundle again and compare the sizes.";
    /// Something follows the end.
    TrailingBytes = "trailing-bytes": "Something follows the end of the bundle. Every byte of a bundle is signed or \
        fixed by what is signed, so what was added is foreign. Copy the bundle again, alone.";
    /// A member is not there.
    MemberMissing = "member-missing": "A member that the signed list names is not in its place. Somebody took it \
        out or moved it, or the bundle was put together by another program. Take the bundle as it was made.";
    /// A member stands where it must not.
    MemberOrder = "member-order": "A member stands where it must not, or is there twice. A bundle has one order, so \
        that it can be checked while it arrives and no later copy can replace an earlier one. Take the bundle as it \
        was made.";
    /// A member is not on the list.
    MemberUnknown = "member-unknown": "The file has a member that the signed list does not name. Nothing unsigned \
        may travel with a release. Take the bundle as it was made.";
    /// Something is larger than it may be.
    Limits = "limits": "A part of the bundle is larger than a reader takes, which keeps a hostile file from \
        filling a device's memory. If the release really is that large, it needs to be split; otherwise refuse the \
        file and find out where it came from.";
    /// Metadata or a description is not in its one form.
    NotCanonical = "not-canonical": "A file is not written in the only form that it can have, byte for byte. Text \
        that two programs may read in two ways is how a signature is made to cover something else. Make the bundle \
        anew with this tool.";
    /// Metadata has fields that it must not have, or lacks some.
    Metadata = "metadata": "The metadata is well-formed, but a field is missing, unknown or has a value that it \
        cannot have. The bundle was not made by this tool, or by a faulty one. Make it anew.";
    /// Made for a newer reader.
    FormatNewer = "format-newer": "The bundle has a format that came after this program. It may be sound, but this \
        program cannot tell. Update xedge, or the agent on the device, to at least the version that is named.";
    /// The file's roots have nothing to do with the trusted one.
    RootUnknown = "root-unknown": "The bundle's root is not the one that is trusted here. It was made with other keys: \
        another project's, a developer's, or an attacker's. Use a bundle made with the keys that the device was \
        enrolled with, or enrol the device again.";
    /// The roots do not lead from the trusted one to the last.
    RootChain = "root-chain": "The bundle's roots do not lead from the trusted one to the last: one is missing, or \
        is not signed by those who held the keys before it. Keys change only with the consent of the old ones. \
        Make the bundle with every root since the oldest device's.";
    /// A signature is bad, foreign, surplus or missing.
    Signature = "signature": "Metadata does not have the valid signatures that its role needs, or has one too \
        many. Either its text was changed after it was signed, or it was signed with keys that do not have this \
        role. Sign it again with the keys of its role.";
    /// Production and development keys are mixed.
    DevelopmentKeys = "development-keys": "Development and production keys are mixed. Development keys are made \
        on any machine without care, so nothing of theirs may reach a production device. Make the release with \
        production keys only.";
    /// Its time is over.
    Expired = "expired": "The metadata's time is over. Expiry keeps an attacker from feeding a device old releases \
        with known holes for ever. If the release is still good, run `cargo xtask release`, which stamps it anew, and \
        check the device's clock.";
    /// Older than what is installed.
    Rollback = "rollback": "The release is older than what the device already had. Going back to a release with \
        known holes is an attack; to go back on purpose, make a new release with a higher `seq` and the old \
        content.";
    /// For another stack.
    OtherStack = "other-stack": "The bundle is of another stack than the device runs. A release of one product must \
        not replace another's, even under the same keys. Take the bundle of the right stack.";
    /// Bytes are not those that were signed.
    Digest = "digest": "A member's bytes are not those that were signed: the file is damaged, was changed, or was put \
        together from two bundles. Copy the bundle again; if that does not help, the original is damaged.";
    /// bundle.json contradicts itself or the metadata.
    Contradiction = "contradiction": "What `bundle.json` says contradicts itself or the signed list of members. No \
        program of ours makes such a bundle. Make it anew, and report it if that does not help.";
    /// The configuration's digest is not that of the configuration.
    ConfigDigest = "config-digest": "The digest of the configuration is not the one that follows from its files, \
        secrets and device values. The evidence speaks about that digest, so another configuration would pass for \
        tested. Make the bundle anew from the rendered files.";
    /// A scenario or a manifest has no evidence.
    EvidenceMissing = "evidence-missing": "Something in the bundle has not been through the gate: a scenario has no \
        evidence, or no run simulated one of the images on one of the platforms. Run `cargo xtask sim` for it, and \
        make the bundle anew.";
    /// Evidence is not signed by a gate key.
    EvidenceSignature = "evidence-signature": "Evidence is not validly signed by a gate key of the root. A key that \
        signs images cannot vouch for a test, and a changed result has no valid signature. Run the gate again with \
        the gate key.";
    /// Evidence says that the gate did not pass.
    EvidenceFailed = "evidence-failed": "The evidence is genuine and says that the gate did not pass. What failed its \
        tests is not released. Look at the gate's report, mend the cause and run it again.";
    /// Evidence is about something else.
    EvidenceNotAboutThis = "evidence-not-about-this": "The evidence is genuine, but about another scenario, another \
        configuration or other images. A pass of one thing says nothing about another. Run the gate on exactly \
        what is to be released.";
    /// The blobs are not what the images consist of.
    Closure = "closure": "The bundle's blobs are not exactly what its images consist of: one is missing, one belongs to \
        nothing, or one is not what its image says. A device could not start the stack, or would store foreign \
        data. Make the bundle anew from a complete layout.";
}

impl Refusal {
    /// A refusal of this member for this reason.
    pub fn new(code: Code, member: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { code, member: member.into(), reason: reason.into() }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let found = Self::ALL.iter().find(|code| code.as_str() == text);
        found.copied().ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl Failure for Refusal {
    fn class(&self) -> Class {
        Class::Integrity
    }

    fn hint(&self) -> Option<String> {
        Some(format!("`cargo xtask bundle why {}` says what that means and what to do", self.code))
    }
}

impl Failure for ReadError {
    fn class(&self) -> Class {
        match self {
            ReadError::Refused(refusal) => refusal.class(),
            ReadError::Io { .. } => Class::Environment,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ReadError::Refused(refusal) => refusal.hint(),
            ReadError::Io { .. } => Some("the bundle itself was not judged: try again".to_owned()),
        }
    }
}

impl Failure for UnknownCode {
    fn class(&self) -> Class {
        Class::Input
    }

    fn hint(&self) -> Option<String> {
        let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        Some(format!("the codes are {}", known.join(", ")))
    }
}
