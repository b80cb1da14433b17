//! Names of repositories, tags and references. Only text that passes here becomes part of a path, and nothing that
//! passes can leave its folder.

use std::fmt;

use xedge_model::Digest;

use super::refusal::{Code, Refusal};

const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// The name of a repository: lower-case components with `/` between them. No component starts with `_` or `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

/// A tag. It is one component and does not start with `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

/// What names a manifest in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl Name {
    /// From the whole text, as in a query.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        Self::of(text.split('/'))
    }

    /// From components, none of which may have a `/` of its own.
    pub(super) fn of<'a>(components: impl Iterator<Item = &'a str>) -> Result<Self, Refusal> {
        let components: Vec<&str> = components.collect();
        let name = components.join("/");
        let valid = components.iter().all(|component| is_component(component));
        if valid && !name.is_empty() && name.len() <= LONGEST_NAME {
            Ok(Self(name))
        } else {
            Err(Refusal::new(Code::NameInvalid, "not a valid name of a repository"))
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs of `a-z0-9`, with `.`, `_`, `__` or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_between =
        |between: &str| matches!(between, "" | "." | "_" | "__") || between.chars().all(|c| c == '-');
    text.starts_with(is_word) && text.ends_with(is_word) && text.split(is_word).all(is_between)
}

impl Tag {
    /// A tag of the specification: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_inner = |c: char| is_word(c) || c == '.' || c == '-';
        if text.starts_with(is_word) && text.chars().all(is_inner) && text.len() <= LONGEST_TAG {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refusal::new(Code::TagInvalid, "not a valid tag"))
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reference {
    /// A digest has a `:`, a tag cannot have one.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.contains(':') { digest(text).map(Self::Digest) } else { Tag::parse(text).map(Self::Tag) }
    }
}

/// A digest in a path or a query.
pub(super) fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|_| Refusal::new(Code::DigestInvalid, "not a sha256 digest"))
}
