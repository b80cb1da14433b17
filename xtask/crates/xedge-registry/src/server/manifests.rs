//! Manifests: read by tag or digest, pushed only when everything that they name is here, kept byte for byte.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use xedge_model::Digest;

use super::handle::{Asked, blocking, unsupported};
use super::name::{Name, Reference, Tag};
use super::refusal::{Code, Refusal};
use super::reply::{self, Reply, SUBJECT};
use super::store::{Record, Store};

/// The specification asks for four mebibytes at least.
const LARGEST: usize = 8 << 20;

/// Answers for one manifest or tag.
pub(super) async fn handle(asked: &Asked, name: Name, reference: &str, body: &mut Incoming) -> Reply {
    let reference = Reference::parse(reference);
    match asked.method {
        Method::GET | Method::HEAD => get(asked, name, readable(reference)?).await,
        Method::PUT => put(asked, name, reference?, body).await,
        Method::DELETE => delete(asked, name, readable(reference)?).await,
        _ => Err(unsupported()),
    }
}

/// Something that cannot be a tag was never pushed, so it is simply not there.
fn readable(reference: Result<Reference, Refusal>) -> Result<Reference, Refusal> {
    reference.map_err(|refusal| match refusal {
        Refusal::Told { code: Code::TagInvalid, .. } => unknown(),
        other => other,
    })
}

async fn get(asked: &Asked, name: Name, reference: Reference) -> Reply {
    let found = blocking(&asked.store, move |store| {
        let digest = match reference {
            Reference::Digest(digest) => digest,
            Reference::Tag(tag) => store.tag(&name, &tag)?.ok_or_else(unknown)?,
        };
        let record = store.record(&name, &digest)?.ok_or_else(unknown)?;
        Ok((store.manifest_bytes(&digest)?, record, digest))
    });
    let (bytes, record, digest) = found.await?;
    let answer = reply::digest(reply::bytes(StatusCode::OK, bytes), &digest);
    Ok(reply::set(answer, CONTENT_TYPE, &record.media_type))
}

async fn put(asked: &Asked, name: Name, reference: Reference, body: &mut Incoming) -> Reply {
    let bytes = read(body).await?;
    let digest = Digest::of(&bytes);
    let tag = match reference {
        Reference::Tag(tag) => Some(tag),
        Reference::Digest(wanted) if wanted == digest => None,
        Reference::Digest(_) => {
            return Err(Refusal::new(Code::DigestInvalid, format!("the manifest has the digest {digest}")));
        }
    };
    let content_type = asked.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let document = Document::parse(&bytes)?;
    let record = document.record(bytes.len() as u64, content_type)?;
    let subject = record.subject.clone();
    let location = format!("/v2/{name}/manifests/{digest}");
    blocking(&asked.store, move |store| keep(store, &name, &bytes, &document, &record, tag.as_ref())).await?;
    let answer = reply::digest(reply::empty(StatusCode::CREATED), &digest);
    let answer = reply::set(answer, LOCATION, &location);
    Ok(match subject {
        Some(subject) => reply::set(answer, SUBJECT, subject.as_str()),
        None => answer,
    })
}

fn keep(
    store: &Store,
    name: &Name,
    bytes: &[u8],
    document: &Document,
    record: &Record,
    tag: Option<&Tag>,
) -> Result<(), Refusal> {
    document.check(store, name)?;
    Ok(store.put_manifest(name, bytes, record, tag)?)
}

async fn delete(asked: &Asked, name: Name, reference: Reference) -> Reply {
    let deleted = blocking(&asked.store, move |store| {
        Ok(match reference {
            Reference::Tag(tag) => store.delete_tag(&name, &tag)?,
            Reference::Digest(digest) => store.delete_manifest(&name, &digest)?,
        })
    });
    if deleted.await? { Ok(reply::empty(StatusCode::ACCEPTED)) } else { Err(unknown()) }
}

async fn read(body: &mut Incoming) -> Result<Bytes, Refusal> {
    let read = Limited::new(body, LARGEST).collect().await;
    read.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() {
            Refusal::new(Code::ManifestTooLarge, format!("a manifest has at most {LARGEST} bytes"))
        } else {
            Refusal::new(Code::ManifestInvalid, "the body broke off")
        }
    })
}

fn unknown() -> Refusal {
    Refusal::new(Code::ManifestUnknown, "the repository has no such manifest")
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::ManifestInvalid, message)
}

/// What the registry reads of a manifest or an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: Digest,
    size: u64,
    urls: Option<Vec<String>>,
}

impl Document {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let document: Self =
            serde_json::from_slice(bytes).map_err(|e| invalid(format!("not a manifest: {e}")))?;
        if document.schema_version != 2 {
            return Err(invalid("the schema version is not 2"));
        }
        if document.manifests.is_some() && (document.config.is_some() || document.layers.is_some()) {
            return Err(invalid("it is a manifest and an index at once"));
        }
        Ok(document)
    }

    /// The content type must be the one that the document gives itself: clients act on either.
    fn record(&self, size: u64, content_type: Option<&str>) -> Result<Record, Refusal> {
        let own = self.media_type.as_deref().filter(|own| !own.is_empty());
        let essence = content_type.map(|full| full.split(';').next().unwrap_or(full).trim());
        let media_type = match (essence, own) {
            (Some(sent), Some(own)) if sent != own => {
                return Err(invalid("the content type and the media type of the manifest differ"));
            }
            (Some(media_type), _) | (None, Some(media_type)) => media_type.to_owned(),
            (None, None) => return Err(invalid("the manifest has no media type")),
        };
        let declared = self.artifact_type.clone().filter(|declared| !declared.is_empty());
        let config = self.config.as_ref().and_then(|config| config.media_type.clone());
        Ok(Record {
            media_type,
            size,
            artifact_type: declared.or(config),
            annotations: self.annotations.clone().unwrap_or_default(),
            subject: self.subject.as_ref().map(|subject| subject.digest.clone()),
        })
    }

    /// Whether everything that it names is in the repository and as long as it says; the subject need not be.
    fn check(&self, store: &Store, name: &Name) -> Result<(), Refusal> {
        let layers =
            self.layers.iter().flatten().filter(|layer| layer.urls.iter().flatten().next().is_none());
        for blob in self.config.iter().chain(layers) {
            same_size(blob, store.blob_size(name, &blob.digest)?)?;
        }
        for child in self.manifests.iter().flatten() {
            same_size(child, store.record(name, &child.digest)?.map(|record| record.size))?;
        }
        Ok(())
    }
}

fn same_size(descriptor: &Descriptor, found: Option<u64>) -> Result<(), Refusal> {
    let digest = &descriptor.digest;
    match found {
        Some(size) if size == descriptor.size => Ok(()),
        Some(size) => Err(invalid(format!("{digest} has {size} bytes, not {}", descriptor.size))),
        None => Err(Refusal::new(Code::ManifestBlobUnknown, format!("the repository has no {digest}"))),
    }
}
