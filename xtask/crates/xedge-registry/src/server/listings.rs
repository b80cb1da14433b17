//! Lists: the tags of a repository and the referrers of a manifest. They only read.

use hyper::Method;
use hyper::header::LINK;
use serde_json::{Value, json};
use xedge_model::Digest;

use super::handle::{Asked, blocking, unsupported};
use super::name::Name;
use super::refusal::{Code, Refusal};
use super::reply::{self, FILTERS, Reply};
use super::store::Record;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A page of tags, with the way to the next one.
pub(super) async fn tags(asked: &Asked, name: Name) -> Reply {
    only_get(asked)?;
    let most = match asked.query.get("n").map(str::parse::<usize>) {
        None => usize::MAX,
        Some(Ok(most)) => most,
        Some(Err(_)) => return Err(Refusal::new(Code::PageInvalid, "`n` is not a number")),
    };
    let asked_for = name.clone();
    let tags = blocking(&asked.store, move |store| {
        if store.has_repository(&name) {
            Ok(store.tags(&name)?)
        } else {
            Err(Refusal::new(Code::NameUnknown, "nothing was pushed under this name"))
        }
    });
    let (tags, name, last) = (tags.await?, asked_for, asked.query.get("last").unwrap_or_default());
    let rest: Vec<&str> = tags.iter().map(super::name::Tag::as_str).filter(|tag| *tag > last).collect();
    let page = &rest[..most.min(rest.len())];
    let answer = reply::json(&json!({ "name": name.as_str(), "tags": page }), "application/json");
    Ok(match page.last() {
        Some(last) if page.len() < rest.len() => {
            let next = format!("</v2/{name}/tags/list?n={most}&last={last}>; rel=\"next\"");
            reply::set(answer, LINK, &next)
        }
        _ => answer,
    })
}

/// An index of the manifests that refer to this one; it need not be here itself.
pub(super) async fn referrers(asked: &Asked, name: Name, subject: Digest) -> Reply {
    only_get(asked)?;
    let found = blocking(&asked.store, move |store| Ok(store.referrers(&name, &subject)?)).await?;
    let wanted = asked.query.get("artifactType");
    let matching =
        found.iter().filter(|(_, record)| wanted.is_none() || record.artifact_type.as_deref() == wanted);
    let manifests: Vec<Value> = matching.map(|(digest, record)| descriptor(digest, record)).collect();
    let answer =
        reply::json(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }), INDEX);
    Ok(if wanted.is_some() { reply::set(answer, FILTERS, "artifactType") } else { answer })
}

fn descriptor(digest: &Digest, record: &Record) -> Value {
    let mut descriptor = json!({ "mediaType": record.media_type, "digest": digest, "size": record.size });
    if let Some(artifact_type) = &record.artifact_type {
        descriptor["artifactType"] = json!(artifact_type);
    }
    if !record.annotations.is_empty() {
        descriptor["annotations"] = json!(record.annotations);
    }
    descriptor
}

fn only_get(asked: &Asked) -> Result<(), Refusal> {
    if matches!(asked.method, Method::GET | Method::HEAD) { Ok(()) } else { Err(unsupported()) }
}
