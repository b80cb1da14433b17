//! TUF as `tough` sees it, which is named nowhere else: what a role's metadata must look like, which bytes are signed, and whether
//! signatures of a root's keys are there. Signs nothing, and looks at no clock.

use serde::de::DeserializeOwned;
use tough::schema::{Role, Root, Signed, Snapshot, Targets, Timestamp};

/// A metadata file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Root,
    Targets,
    Snapshot,
    Timestamp,
}

/// A root that is signed by its own threshold.
pub(crate) struct TrustedRoot(Signed<Root>);

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Root, Kind::Targets, Kind::Snapshot, Kind::Timestamp];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Root => "root",
            Kind::Targets => "targets",
            Kind::Snapshot => "snapshot",
            Kind::Timestamp => "timestamp",
        }
    }

    /// The bytes that other TUF clients sign and check for this value of `signed`.
    pub(crate) fn canonical_form(self, signed: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Kind::Root => form::<Root>(signed),
            Kind::Targets => form::<Targets>(signed),
            Kind::Snapshot => form::<Snapshot>(signed),
            Kind::Timestamp => form::<Timestamp>(signed),
        }
    }
}

impl TrustedRoot {
    /// Reads a root and checks that its own threshold has signed it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let root: Signed<Root> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        root.signed.verify_role(&root).map_err(|e| e.to_string())?;
        Ok(Self(root))
    }

    /// Checks that the threshold of this root has signed a metadata file.
    pub(crate) fn verify(&self, kind: Kind, bytes: &[u8]) -> Result<(), String> {
        match kind {
            Kind::Root => self.verify_as::<Root>(bytes),
            Kind::Targets => self.verify_as::<Targets>(bytes),
            Kind::Snapshot => self.verify_as::<Snapshot>(bytes),
            Kind::Timestamp => self.verify_as::<Timestamp>(bytes),
        }
    }

    fn verify_as<T: Role + DeserializeOwned>(&self, bytes: &[u8]) -> Result<(), String> {
        let file: Signed<T> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        self.0.signed.verify_role(&file).map_err(|e| e.to_string())
    }
}

fn form<T: Role + DeserializeOwned>(signed: &[u8]) -> Result<Vec<u8>, String> {
    let role: T = serde_json::from_slice(signed).map_err(|e| e.to_string())?;
    role.canonical_form().map_err(|e| e.to_string())
}
