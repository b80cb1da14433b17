//! Why a bundle is refused: stable codes, and what each means (FORMAT.md §9). Decides nothing.

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
        production keys only; a device that knows development keys is enrolled for production by `cargo xtask deploy --reenroll`.";
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
    /// For other boards.
    Board = "board": "The release is for boards that this device is not one of. Hardware that a release was not made for \
        may start it and then damage something. Take the release for this board; or, if it does fit, add the board's name, \
        which `xedge-agent doctor` shows, to `boards` in stack.yaml and release again.";
    /// For other processors.
    Platform = "platform": "The release has no images for this device's processor and system, so its containers could \
        not start. Add the platform to `platforms` in the image.yaml of every image of the stack, and release again.";
    /// It cannot read the data that is there.
    DataFloor = "data-floor": "A release that ran on this device wrote data that this one cannot read. Going back would \
        lose or damage the data. Install a release whose `data.version` is at least the floor that is named; to go \
        back in spite of it, move the data away first: `xedge-agent remove STACK --purge` deletes it for good.";
    /// The agent is too old.
    AgentOld = "agent-old": "The release needs a newer xedge-agent than the device has, and an older one would \
        overlook something. Run `cargo xtask deploy` from the machine with the newer xedge, which brings its agent along, or \
        `xedge-agent upgrade FILE` on the device.";
    /// The Engine is too old.
    EngineOld = "engine-old": "The Engine on the device has a lower API version than the release needs. Containers could be \
        made without limits that they rely on. Update Docker or Podman on the device; on Debian and Raspberry Pi OS that \
        is `sudo apt-get update && sudo apt-get install --only-upgrade docker.io`, or docker-ce if that is installed.";
    /// A value of the device is missing or does not fit.
    DeviceValues = "device-values": "The stack declares values that only the device knows, and one is missing, unknown or \
        does not match its pattern. The gate ran with a sample, and a value of another shape was never tried. Set it: \
        `cargo xtask deploy --set NAME=VALUE`.";
    /// A secret is not there.
    SecretMissing = "secret-missing": "The stack reads a secret that is not on the device, so a container could not start or \
        nobody could log in. Nothing was changed. `cargo xtask deploy` sends the secrets that are missing; `cargo xtask secrets \
        list` shows those that there are.";
    /// A port is taken.
    PortTaken = "port-taken": "Something on the device already listens on a port that the release publishes. Stop what is \
        named; if it is a container that was started by hand and that the release replaces, take it over with its data: \
        `cargo xtask deploy --adopt NAME`.";
    /// Limits on memory have no effect.
    MemoryLimits = "memory-limits": "The kernel does not enforce limits on memory, so one service could bring the whole device \
        down. Raspberry Pi OS ships like that. Append `cgroup_enable=memory cgroup_memory=1` to the one line of \
        /boot/firmware/cmdline.txt (before bookworm: /boot/cmdline.txt), and restart the device.";
    /// The disk is too full.
    NoSpace = "no-space": "The disk has too little room for what the release brings; a disk that fills up half-way would \
        stop what runs. Nothing was changed. `xedge-agent gc` deletes what no release needs, and `docker system df` shows \
        what else there is.";
    /// The device has too little memory.
    NoMemory = "no-memory": "The services may together use more memory than the device has, and the kernel would stop one of \
        them at a moment of its own choosing. Lower their limits in the stack or in the device's settings, or remove another \
        stack: `xedge-agent status` shows what runs.";
    /// The clock cannot be right.
    Clock = "clock": "The device's clock says a time decades after its agent was made, so it is wrong, and everything would seem \
        expired. (A clock that is behind, as on a board without a battery, does no harm: no time before the agent was made or \
        the last release was signed is believed.) Let it get the time: `sudo timedatectl set-ntp true`, or set it: \
        `sudo date -s 'YYYY-MM-DD HH:MM'`.";
    /// The disk for volumes is not there.
    VolumeRoot = "volume-root": "The folder that this device keeps its volumes in is not the one that it was enrolled with: the \
        external disk is not plugged in or not mounted, and data would go to the disk below it. Mount the disk, with `nofail` \
        in /etc/fstab so that it also is after a restart; for another folder, `xedge-agent enroll --root FILE --volume-root DIR`.";
    /// There is no Engine.
    NoEngine = "no-engine": "No Engine answers on the device, so nothing can run. Install one, `sudo apt-get install docker.io`, \
        or start it, `sudo systemctl start docker`; Podman needs its socket: `sudo systemctl enable --now podman.socket`.";
    /// Somebody else is changing the device.
    Busy = "busy": "Another xedge-agent is changing the device: an installation, a rollback, or `watch` finishing what was cut \
        short. Nothing was changed. `xedge-agent status` shows what is at work; try again when it is done.";
}

impl Code {
    /// Whose fault it is. What is wrong with a bundle is never retried away; what is wrong with a device can be put right there.
    pub fn class(self) -> Class {
        match self {
            Self::DeviceValues | Self::SecretMissing => Class::Input,
            Self::PortTaken
            | Self::MemoryLimits
            | Self::NoSpace
            | Self::NoMemory
            | Self::Clock
            | Self::VolumeRoot
            | Self::NoEngine
            | Self::Busy => Class::Environment,
            _ => Class::Integrity,
        }
    }
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
        self.code.class()
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
