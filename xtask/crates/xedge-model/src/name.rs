//! Image names without host, tag or digest (distribution-spec, §pulling manifests: `<name>`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A repository name such as `xedgesim/mosquitto`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

/// Text that is not a repository name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an image name: expected lower-case parts such as `xedgesim/mosquitto`")]
pub struct NotAName(String);

impl ImageName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one file name: `/` becomes `_`, which stays unambiguous because a part cannot start or end with it.
    pub fn file_stem(&self) -> String {
        self.0.replace('/', "_")
    }

    /// Splits `name[:tag][@digest]` as a scenario or Compose file writes it; the tag is only for people.
    pub fn from_reference(reference: &str) -> Result<(Self, Option<String>), NotAName> {
        let reference = reference.split_once('@').map_or(reference, |(name, _)| name);
        let (name, tag) = match reference.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (reference, None),
        };
        Ok((name.parse()?, tag))
    }
}

fn is_part(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    edge(part.chars().next()) && edge(part.chars().last()) && part.chars().all(inner)
}

impl FromStr for ImageName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        if text.len() <= 255 && text.split('/').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAName(text.to_owned()))
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ImageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::ImageName;

    #[test]
    fn references_lose_tag_and_digest() {
        let check = |text: &str, name: &str, tag: Option<&str>| {
            let (found, found_tag) = ImageName::from_reference(text).unwrap();
            assert_eq!((found.as_str(), found_tag.as_deref()), (name, tag));
        };
        check("xedgesim/mosquitto:latest", "xedgesim/mosquitto", Some("latest"));
        check("xedgesim/mosquitto", "xedgesim/mosquitto", None);
        check("a/b:1@sha256:00", "a/b", Some("1"));
        assert!(ImageName::from_reference("Upper/case").is_err());
        assert!(ImageName::from_reference("a//b").is_err());
    }
}
