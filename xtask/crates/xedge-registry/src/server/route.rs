//! From the path and query of a request to what it is about. It decides nothing and touches no file.

use hyper::Uri;
use xedge_model::Digest;

use super::name::{Name, digest};
use super::refusal::{Code, Refusal};

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The root of the interface.
    Ping,
    /// A manifest; the reference is judged by the method.
    Manifest(Name, String),
    /// A blob.
    Blob(Name, Digest),
    /// Where uploads start.
    Uploads(Name),
    /// One upload. The id is looked up, it never becomes a path.
    Upload(Name, String),
    /// The tags of a repository.
    Tags(Name),
    /// What refers to a manifest.
    Referrers(Name, Digest),
}

impl Route {
    /// Reads the path from its end: a name may well have a component `manifests` or `blobs`.
    pub(super) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let unknown = || Refusal::new(Code::NotFound, "no such page");
        let path = uri.path().strip_prefix("/v2/").or_else(|| (uri.path() == "/v2").then_some(""));
        let path = path.ok_or_else(unknown)?;
        if path.is_empty() {
            return Ok(Self::Ping);
        }
        let segments: Option<Vec<String>> = path.split('/').map(decode).collect();
        let segments = segments.ok_or_else(|| Refusal::new(Code::NameInvalid, "not a valid path"))?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        Ok(match segments.as_slice() {
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
                Self::Uploads(join(name)?)
            }
            [name @ .., "blobs", "uploads", id] => Self::Upload(join(name)?, (*id).to_owned()),
            [name @ .., "manifests", reference] => Self::Manifest(join(name)?, (*reference).to_owned()),
            [name @ .., "blobs", blob] => Self::Blob(join(name)?, digest(blob)?),
            [name @ .., "referrers", subject] => Self::Referrers(join(name)?, digest(subject)?),
            [name @ .., "tags", "list"] => Self::Tags(join(name)?),
            _ => return Err(unknown()),
        })
    }
}

fn join(components: &[&str]) -> Result<Name, Refusal> {
    Name::of(components.iter().copied())
}

/// The query of a request.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// `+` stays as it is: media types have it, and nothing here has a space.
    pub(super) fn of(uri: &Uri) -> Self {
        let parts = uri.query().unwrap_or_default().split('&');
        let pairs = parts.filter_map(|part| part.split_once('='));
        Self(pairs.map(|(name, value)| (text(name), text(value))).collect())
    }

    /// The first value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Broken encoding stays as it is: nothing that is asked for may have a `%`, so it is refused where it is used.
fn text(encoded: &str) -> String {
    decode(encoded).unwrap_or_else(|| encoded.to_owned())
}

/// Undoes percent encoding; nothing if that is broken or gives no text.
fn decode(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        if !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
