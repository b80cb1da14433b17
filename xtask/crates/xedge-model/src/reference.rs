//! References of existing images, `[HOST/]PATH[:TAG][@DIGEST]`, in the short forms that Docker made usual. Looks nothing up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, ImageName};

/// The registry of references that name none.
const DOCKER_HUB: &str = "docker.io";
/// Its folder of images whose name has one part.
const LIBRARY: &str = "library";
/// What images taken from an archive or an Engine are kept under, in the registry of the data folder.
const IMPORTED: &str = "imported/";
/// What stands for that registry's host in what xedge prints.
const EMBEDDED: &str = "embedded/";
/// What Docker takes where a reference has neither tag nor digest.
const LATEST: &str = "latest";
const LONGEST_TAG: usize = 128;

/// An image in a registry, or an imported one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Host and path as they were written.
    name: String,
    host: Option<String>,
    path: ImageName,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Text that is not a reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an image reference: {why}")]
pub struct NotAReference {
    text: String,
    why: &'static str,
}

impl Reference {
    /// Host and path as they were written, for people: `eclipse-mosquitto`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry's host, with its port.
    pub fn host(&self) -> &str {
        self.host.as_deref().unwrap_or(DOCKER_HUB)
    }

    /// The repository in that registry.
    pub fn path(&self) -> ImageName {
        let is_official = self.host() == DOCKER_HUB && !self.path.as_str().contains('/');
        if is_official {
            format!("{LIBRARY}/{}", self.path).parse().expect("a name below a folder is a name")
        } else {
            self.path.clone()
        }
    }

    /// Whether it is one that was imported: it is in the data folder and in no other registry.
    pub fn is_imported(&self) -> bool {
        self.name.starts_with(IMPORTED)
    }

    /// The repository in the registry of the data folder, of an image that is there.
    pub fn embedded(&self) -> Option<ImageName> {
        let name =
            if self.is_imported() { Some(self.name.as_str()) } else { self.name.strip_prefix(EMBEDDED) };
        name.and_then(|name| name.parse().ok())
    }

    /// The tag, where one is written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one is written: then nothing else counts.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag that it follows: none where a digest stands alone.
    pub fn followed(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag),
            (None, None) => Some(LATEST),
            (None, Some(_)) => None,
        }
    }

    /// The same with this digest.
    #[must_use]
    pub fn at(&self, digest: &Digest) -> Self {
        Self { digest: Some(digest.clone()), ..self.clone() }
    }

    /// The reference without its digest, for people.
    pub fn without_digest(&self) -> String {
        self.tag.as_ref().map_or_else(|| self.name.clone(), |tag| format!("{}:{tag}", self.name))
    }
}

/// Whether the first part of a name is a host: it has a dot or a port, as Docker tells them from folders.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_inner = |c: char| is_word(c) || c == '.' || c == '-';
    text.starts_with(is_word) && text.chars().all(is_inner) && text.len() <= LONGEST_TAG
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        let wrong = |why| NotAReference { text: text.to_owned(), why };
        if text.contains("://") {
            return Err(wrong("it is written without `docker://` or `https://`"));
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => {
                let wrong_digest =
                    |_| wrong("behind `@` belongs `sha256:` and 64 lower-case hexadecimal digits");
                (named, Some(digest.parse().map_err(wrong_digest)?))
            }
            None => (text, None),
        };
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (named, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("a tag has letters, digits, `_`, `.` and `-`, at most 128"));
        }
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (Some(first.to_owned()), rest),
            _ => (None, name),
        };
        let path =
            path.parse().map_err(|_| wrong("its name has lower-case parts such as `library/nginx`"))?;
        Ok(Self { name: name.to_owned(), host, path, tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_digest())?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;
    use crate::Digest;

    #[test]
    fn hosts_paths_and_tags() {
        let check = |text: &str, host: &str, path: &str, tag: Option<&str>, followed: Option<&str>| {
            let found: Reference = text.parse().unwrap();
            assert_eq!((found.host(), found.path().as_str(), found.tag()), (host, path, tag), "{text}");
            assert_eq!(found.followed(), followed, "{text}");
            assert_eq!(found.to_string(), text);
        };
        let digest = Digest::of(b"x");
        check("eclipse-mosquitto", "docker.io", "library/eclipse-mosquitto", None, Some("latest"));
        check("eclipse-mosquitto:2", "docker.io", "library/eclipse-mosquitto", Some("2"), Some("2"));
        check("grafana/grafana:11.1.0", "docker.io", "grafana/grafana", Some("11.1.0"), Some("11.1.0"));
        check("ghcr.io/a/b/c", "ghcr.io", "a/b/c", None, Some("latest"));
        check("localhost/x:1", "localhost", "x", Some("1"), Some("1"));
        check("127.0.0.1:5000/x/y", "127.0.0.1:5000", "x/y", None, Some("latest"));
        check("[::1]:5000/x:1", "[::1]:5000", "x", Some("1"), Some("1"));
        check(&format!("h.example:80/x:1@{digest}"), "h.example:80", "x", Some("1"), Some("1"));
        check(&format!("h.example/x@{digest}"), "h.example", "x", None, None);
    }

    #[test]
    fn imported_images_are_in_no_registry() {
        let digest = Digest::of(b"x");
        let imported: Reference = format!("imported/plc@{digest}").parse().unwrap();
        assert!(imported.is_imported() && imported.digest() == Some(&digest));
        let embedded = |text: &str| text.parse::<Reference>().unwrap().embedded();
        assert_eq!(embedded("imported/plc:1"), Some("imported/plc".parse().unwrap()));
        assert_eq!(embedded("embedded/x/y:1"), Some("x/y".parse().unwrap()));
        assert!(!"docker.io/imported/plc".parse::<Reference>().unwrap().is_imported());
        assert_eq!(embedded("docker.io/embedded/x"), None);
    }

    #[test]
    fn a_digest_takes_the_place_of_another() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let reference: Reference = format!("h.example/x:1@{old}").parse().unwrap();
        assert_eq!(reference.at(&new).to_string(), format!("h.example/x:1@{new}"));
        assert_eq!(reference.without_digest(), "h.example/x:1");
    }

    #[test]
    fn what_is_no_reference() {
        for (text, why) in [
            ("", "lower-case parts"),
            ("Upper/case", "lower-case parts"),
            ("a//b", "lower-case parts"),
            ("h.example/", "lower-case parts"),
            ("a b", "lower-case parts"),
            ("a:", "a tag has"),
            ("a:-1", "a tag has"),
            ("a:1@sha256:00", "64 lower-case"),
            ("a@sha512:00", "64 lower-case"),
            ("docker://a", "without `docker://`"),
        ] {
            let said = text.parse::<Reference>().unwrap_err().to_string();
            assert!(said.contains(why) && said.contains(&format!("`{text}`")), "{said}");
        }
    }
}
