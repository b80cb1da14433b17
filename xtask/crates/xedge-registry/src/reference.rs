//! What is taken from `oci_distribution`: references, media types and the error envelope. It must do no network.
//!
//! Its `Client` is not used: it pushes every layer each time and holds them whole in memory, never retries, cannot
//! resume, asks no token for a mount's source, takes an opened session for an error, and reads any refusal as "no
//! referrers", which would fail open where evidence is looked for.

use oci_distribution::Reference;
use oci_distribution::errors::{OciEnvelope, OciErrorCode};
use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
};

/// The media type of an OCI image index.
pub const OCI_INDEX: &str = OCI_IMAGE_INDEX_MEDIA_TYPE;
/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = OCI_IMAGE_MEDIA_TYPE;

/// Every kind of manifest that is read, for `Accept`.
pub(crate) fn accepted() -> String {
    [OCI_INDEX, OCI_MANIFEST, IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE].join(", ")
}

/// The host that answers for `host`, and the path of `host/path` in it.
pub(crate) fn split(host: &str, path: &str) -> Result<(String, String), String> {
    let reference: Reference = format!("{host}/{path}").parse().map_err(|e| format!("{e}"))?;
    Ok((reference.resolve_registry().to_owned(), reference.repository().to_owned()))
}

/// Whether the text is a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    let reference = format!("localhost/x:{text}").parse::<Reference>();
    reference.is_ok_and(|r| r.tag() == Some(text) && r.digest().is_none())
}

/// The first error of a registry's error envelope, as code and message; `None` where the body is none.
pub(crate) fn envelope(body: &[u8]) -> Option<(String, String)> {
    let envelope: OciEnvelope = serde_json::from_slice(body).ok()?;
    let first = envelope.errors.into_iter().next()?;
    let code = match serde_json::to_value(&first.code) {
        Ok(serde_json::Value::String(code)) => code,
        _ => String::new(),
    };
    Some((code, first.message))
}

/// Whether this code of a 404 says that the thing is not there (and not that it may not be seen). A 404 without a code
/// says so too: the answer to a HEAD has no body, and a list that a registry does not offer is nobody's to name.
pub(crate) fn says_absent(code: Option<&str>) -> bool {
    let Some(code) = code else { return true };
    let parsed = serde_json::from_value(serde_json::Value::String(code.to_owned()));
    matches!(
        parsed,
        Ok(OciErrorCode::ManifestUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::BlobUnknown
            | OciErrorCode::ManifestBlobUnknown
            | OciErrorCode::NotFound)
    )
}

/// Whether this code says that the registry does not know the repository. No code does not say so: it may be a proxy
/// that answers. Harbor's `NOT_FOUND` is its own word for it.
pub(crate) fn says_name_unknown(code: Option<&str>) -> bool {
    let Some(code) = code else { return false };
    let parsed = serde_json::from_value(serde_json::Value::String(code.to_owned()));
    code == "NOT_FOUND" || matches!(parsed, Ok(OciErrorCode::NameUnknown))
}

/// Whether this code says that the credentials do not suffice.
pub(crate) fn says_denied(code: &str) -> bool {
    let parsed = serde_json::from_value(serde_json::Value::String(code.to_owned()));
    matches!(parsed, Ok(OciErrorCode::Denied | OciErrorCode::Unauthorized))
}
