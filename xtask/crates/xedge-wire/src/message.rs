//! The messages of a session: what the host asks, and what the device answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xedge_model::{Class, Failure};

use crate::report::{Applied, DeviceFacts, Inventory};

/// What the host asks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ToDevice {
    /// First message. Answer: [`ToHost::Hello`].
    Hello {
        /// [`crate::WIRE`].
        wire: u32,
        /// Version of the host's xedge.
        version: String,
    },
    /// What the device already has. Answer: [`ToHost::Inventory`].
    Inventory,
    /// A bundle from its first byte to the end of `bundle.json`, padding included; the bytes follow.
    /// Answer: [`ToHost::Wants`], or [`ToHost::Failed`] with the code of the refusal.
    Head {
        /// How many bytes follow.
        bytes: u64,
    },
    /// Bytes of a member that the device wants; they follow, in one piece to the member's end. No answer.
    Member(Member),
    /// Asks what is still wanted of the bundle of the last head, which the device knows better once it has seen
    /// manifests and configs. Answer: [`ToHost::Wants`].
    Want,
    /// The value of a secret; the bytes follow. Never shown, never logged. No answer but [`ToHost::Failed`].
    Secret {
        /// The stack.
        stack: String,
        /// Name of the secret.
        name: String,
        /// Number of the user who owns the file.
        owner: u32,
        /// How many bytes follow.
        bytes: u64,
    },
    /// Values that only this device has, of a stack; they replace those of the same name. No answer but [`ToHost::Failed`].
    Values {
        /// The stack.
        stack: String,
        /// Value by name.
        values: BTreeMap<String, String>,
    },
    /// Installs the bundle of the last head. Answer: [`ToHost::Event`]s, then [`ToHost::Applied`] or [`ToHost::Failed`].
    Apply {
        /// Name of a container, started by hand, that the release takes over.
        adopt: Option<String>,
        /// Verify and check everything, change nothing.
        check_only: bool,
    },
}

/// A part of a member that comes next, up to the member's end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// Name of the member, as in the bundle.
    pub name: String,
    /// Where in the member the bytes begin.
    pub offset: u64,
    /// How many bytes follow.
    pub bytes: u64,
}

/// A member that the device lacks, wholly or in part.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Want {
    /// Name of the member, as in the bundle.
    pub name: String,
    /// The first byte that is missing: what comes before it is there and was checked.
    pub from: u64,
    /// The member's length.
    pub length: u64,
}

/// What the device answers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ToHost {
    /// Who is there.
    Hello {
        /// [`crate::WIRE`].
        wire: u32,
        /// Version of the agent.
        agent: String,
        /// The device.
        device: Box<DeviceFacts>,
    },
    /// What the device has.
    Inventory(Inventory),
    /// What the device lacks of the bundle.
    Wants {
        /// The members, in the order of the bundle; none when nothing is missing.
        members: Vec<Want>,
        /// Secrets that the stack declares and the device does not have.
        secrets: Vec<String>,
        /// Values that the stack declares and the device does not have.
        values: Vec<String>,
    },
    /// Something happened on the way.
    Event(Event),
    /// The release runs, or would.
    Applied(Applied),
    /// The last request failed. The connection stays usable, unless the device hangs up.
    Failed(Problem),
}

/// A step of an installation, for people and logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// Signatures, digests and evidence are being checked.
    Verifying,
    /// The device itself is being checked.
    Checking,
    /// An image goes into the Engine.
    Loading {
        /// Name of the image.
        image: String,
        /// Bytes that go in.
        bytes: u64,
    },
    /// A service is not touched.
    Keeping {
        /// The service.
        service: String,
    },
    /// A service changes over.
    Switching {
        /// The service.
        service: String,
    },
    /// A service is asked whether it is well.
    Waiting {
        /// The service.
        service: String,
        /// What is being asked.
        probe: String,
    },
    /// A service answered.
    Healthy {
        /// The service.
        service: String,
        /// Milliseconds since the old container was told to stop, or since the start where there was none.
        after_ms: u64,
    },
    /// Everything answers; it must stay so for a while.
    Settling {
        /// Seconds left.
        seconds: u64,
    },
    /// The release is installed.
    Committed,
    /// It failed, and what ran before comes back.
    RollingBack {
        /// Why.
        reason: String,
    },
    /// What ran before runs again.
    RolledBack,
}

/// Why something failed: what a person sees, and what a script decides by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The exit code ([`Class`]).
    pub class: u8,
    /// Stable code of a refusal, for `xedge-agent why CODE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The message, and its causes after it.
    pub messages: Vec<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// The problem that an error is.
    pub fn of(error: &dyn Failure, code: Option<&str>) -> Self {
        let mut messages = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(source) = cause {
            messages.push(source.to_string());
            cause = source.source();
        }
        let code = code.map(str::to_owned);
        Self { class: error.class().exit_code(), code, messages, hint: error.hint() }
    }

    /// Whose fault it is; a number that no class has is a bug.
    pub fn class(&self) -> Class {
        let all = [
            Class::Environment,
            Class::Failed,
            Class::Input,
            Class::Invalid,
            Class::Flaky,
            Class::Integrity,
            Class::Interrupted,
        ];
        all.into_iter().find(|class| class.exit_code() == self.class).unwrap_or(Class::Bug)
    }
}
