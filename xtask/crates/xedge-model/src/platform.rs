//! The platforms that images are made for, with the name that each neighbour (OCI, Debian, Rust) gives them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An operating system and architecture, as in an OCI index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// x86 edge servers.
    LinuxAmd64,
    /// 32-bit Raspberry Pi OS and its like, from the Raspberry Pi 2 on.
    LinuxArmV7,
    /// 64-bit Raspberry Pi OS and its like.
    LinuxArm64,
}

/// A platform that xedge does not build for.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a platform that is built for: expected linux/amd64, linux/arm64 or linux/arm/v7")]
pub struct UnknownPlatform(String);

impl Platform {
    /// All platforms, in the order of an index, which is also that of their names.
    pub const ALL: [Platform; 3] = [Platform::LinuxAmd64, Platform::LinuxArmV7, Platform::LinuxArm64];

    /// Those that a machine is set up for, and that a new image has, unless somebody asks for more.
    pub const USUAL: [Platform; 2] = [Platform::LinuxAmd64, Platform::LinuxArm64];

    /// The platform of containers that run natively on a machine with this `std::env::consts::ARCH`: none on 32-bit ARM, of which
    /// it does not tell the version.
    pub fn of_machine(arch: &str) -> Option<Self> {
        match arch {
            "x86_64" => Some(Platform::LinuxAmd64),
            "aarch64" => Some(Platform::LinuxArm64),
            _ => None,
        }
    }

    /// `linux/amd64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Platform::LinuxAmd64 => "linux/amd64",
            Platform::LinuxArm64 => "linux/arm64",
            Platform::LinuxArmV7 => "linux/arm/v7",
        }
    }

    /// The architecture in an OCI config and index (Go's `GOARCH`).
    pub fn oci_architecture(self) -> &'static str {
        match self {
            Platform::LinuxAmd64 => "amd64",
            Platform::LinuxArm64 => "arm64",
            Platform::LinuxArmV7 => "arm",
        }
    }

    /// The variant in an OCI config and index, where the field's tools write one.
    pub fn oci_variant(self) -> Option<&'static str> {
        match self {
            Platform::LinuxAmd64 => None,
            Platform::LinuxArm64 => Some("v8"),
            Platform::LinuxArmV7 => Some("v7"),
        }
    }

    /// Debian's architecture name.
    pub fn debian(self) -> &'static str {
        match self {
            Platform::LinuxAmd64 => "amd64",
            Platform::LinuxArm64 => "arm64",
            Platform::LinuxArmV7 => "armhf",
        }
    }

    /// The Rust target of payloads; linked statically, so that the device's libc does not matter.
    pub fn rust_target(self) -> &'static str {
        match self {
            Platform::LinuxAmd64 => "x86_64-unknown-linux-gnu",
            Platform::LinuxArm64 => "aarch64-unknown-linux-gnu",
            Platform::LinuxArmV7 => "armv7-unknown-linux-gnueabihf",
        }
    }

    /// The name as part of a file name: `linux-amd64`.
    pub fn file_stem(self) -> &'static str {
        match self {
            Platform::LinuxAmd64 => "linux-amd64",
            Platform::LinuxArm64 => "linux-arm64",
            Platform::LinuxArmV7 => "linux-arm-v7",
        }
    }
}

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(text: &str) -> Result<Self, UnknownPlatform> {
        Self::ALL.into_iter().find(|p| p.as_str() == text).ok_or_else(|| UnknownPlatform(text.to_owned()))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Platform;

    #[test]
    fn documents_sorted_by_name_and_by_platform_are_the_same() {
        let mut names = Platform::ALL.map(Platform::as_str);
        names.sort_unstable();
        assert_eq!(names, Platform::ALL.map(Platform::as_str));
        assert!(Platform::ALL.is_sorted());
        assert!(names.iter().all(|name| name.parse::<Platform>().is_ok_and(|found| found.as_str() == *name)));
    }
}
