//! Where images go: targets as the user writes them, repositories and tags. It must do no input or output.

use std::fmt;
use std::str::FromStr;

use xedge_model::{Digest, ImageName};

use crate::error::{Error, Result};
use crate::reference;

/// A registry, or a place in one, as the user names it: `HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    path: Option<String>,
}

impl Target {
    /// The host with its port, as written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository of this image below the target.
    pub fn repository(&self, name: &ImageName) -> Result<Repository> {
        let path = match &self.path {
            Some(path) => format!("{path}/{name}"),
            None => name.to_string(),
        };
        Repository::new(&self.host, &path)
    }

    /// The host that answers for it; credentials are kept under its name.
    pub(crate) fn api_host(&self) -> Result<String> {
        Repository::new(&self.host, "x").map(|repository| repository.host)
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |problem: &str| Error::Target { text: text.to_owned(), problem: problem.to_owned() };
        if text.contains("://") {
            return Err(wrong("it is written without `http://` or `https://`"));
        }
        if text.contains('@') {
            return Err(wrong("it may have no user, password or digest"));
        }
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let (host, path) = match trimmed.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (trimmed, None),
        };
        if path.is_some_and(|path| path.contains(':')) {
            return Err(wrong("it may have no tag: versions are given apart from it"));
        }
        let named = host.contains(['.', ':']) || host == "localhost";
        if !named {
            return Err(wrong("the host needs a dot or a port, so that it is not taken for a folder"));
        }
        // Any image's name shows whether host and path are well-formed.
        Repository::new(host, path.unwrap_or("x"))
            .map_err(|_| wrong("the host or the path has characters that are not allowed"))?;
        Ok(Self { host: host.to_owned(), path: path.map(str::to_owned) })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.path.iter().try_for_each(|path| write!(f, "/{path}"))
    }
}

/// One repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    host: String,
    path: String,
}

impl Repository {
    fn new(host: &str, path: &str) -> Result<Self> {
        let wrong = |problem: String| Error::Target { text: format!("{host}/{path}"), problem };
        // The reference grammar knows no IPv6 address; the rest of the rules is the same.
        let (known, literal) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, port)) => {
                address.parse::<std::net::Ipv6Addr>().map_err(|e| wrong(e.to_string()))?;
                (format!("localhost{port}"), true)
            }
            None => (host.to_owned(), false),
        };
        let (resolved, path) = reference::split(&known, path).map_err(wrong)?;
        Ok(Self { host: if literal { host.to_owned() } else { resolved }, path })
    }

    /// The host with its port that answers for it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name inside the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How the manifest with this digest is pulled.
    pub fn by_digest(&self, digest: &Digest) -> String {
        format!("{self}@{digest}")
    }

    /// Another repository of the same host, as the source of a mount.
    pub(crate) fn sibling(&self, path: &str) -> Self {
        Self { host: self.host.clone(), path: path.to_owned() }
    }

    /// The manifest that a tag or a digest names, for messages.
    pub(crate) fn at(&self, reference: &str) -> String {
        let mark = if reference.contains(':') { '@' } else { ':' };
        format!("{self}{mark}{reference}")
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// Whether a tag may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// Written once: it never names another image later.
    Version,
    /// Names the newest of its kind.
    Moving,
}

/// A tag to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    name: String,
    kind: TagKind,
}

impl Tag {
    /// A tag of this name and kind.
    pub fn new(name: &str, kind: TagKind) -> Result<Self> {
        if !reference::is_tag(name) {
            return Err(Error::Tag { text: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), kind })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may be moved.
    pub fn kind(&self) -> TagKind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::{Tag, TagKind, Target};

    #[test]
    fn targets_and_their_repositories() {
        let check = |text: &str, host: &str, path: &str| {
            let target: Target = text.parse().unwrap();
            let repository = target.repository(&"a/b".parse().unwrap()).unwrap();
            assert_eq!((repository.host(), repository.path()), (host, path), "{text}");
        };
        check("localhost:5000", "localhost:5000", "a/b");
        check("localhost", "localhost", "a/b");
        check("registry.example/team/site/", "registry.example", "team/site/a/b");
        check("127.0.0.1:80/x", "127.0.0.1:80", "x/a/b");
        check("[::1]:5000/x", "[::1]:5000", "x/a/b");
    }

    #[test]
    fn what_is_no_target() {
        for text in
            ["", "team", "team/site", "https://h.example", "h.example/x:1", "me:pw@h.example", "h.example//x"]
                .into_iter()
                .chain(["h.example/Upper", "[::g]:1/x", "h.example:port/x", "-h.example"])
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn tags() {
        assert!(Tag::new("1.2.3-rc_1", TagKind::Version).is_ok());
        for text in ["", "a b", "-x", "a/b", "a:b", &"x".repeat(129)] {
            assert!(Tag::new(text, TagKind::Moving).is_err(), "{text}");
        }
    }
}
