//! Uploading blobs: at once, in pieces, or by a link from another repository. Nothing becomes a blob before its
//! bytes were hashed here.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use hyper::{Method, StatusCode};
use tokio::sync::OwnedMutexGuard;
use xedge_model::Digest;

use super::handle::{Asked, blocking, unsupported};
use super::name::{Name, digest};
use super::refusal::{Code, Refusal};
use super::reply::{self, Answer, Reply, UPLOAD_ID};
use super::store::Upload;

/// Begins an upload, or makes do without one.
pub(super) async fn start(asked: &Asked, name: Name, body: &mut Incoming) -> Reply {
    if asked.method != Method::POST {
        return Err(unsupported());
    }
    if let Some(answer) = mount(asked, &name).await? {
        return Ok(answer);
    }
    let wanted = asked.query.get("digest").map(digest).transpose()?;
    let begun = name.clone();
    let mut upload = blocking(&asked.store, move |store| Ok(store.begin(&begun)?)).await?;
    if let Some(wanted) = wanted {
        receive(&mut upload, body).await?;
        return commit(asked, name, upload, wanted).await;
    }
    let id = asked.store.keep(upload);
    Ok(progress(StatusCode::ACCEPTED, &name, &id, 0))
}

/// Answers for one upload. Requests for the same one wait for each other.
pub(super) async fn handle(asked: &Asked, name: &Name, id: &str, body: &mut Incoming) -> Reply {
    let slot = asked.store.upload(id).ok_or_else(unknown)?;
    let mut slot = slot.lock_owned().await;
    if !slot.as_ref().is_some_and(|upload| upload.is_of(name)) {
        return Err(unknown());
    }
    match asked.method {
        Method::GET => Ok(progress(StatusCode::NO_CONTENT, name, id, size(&slot))),
        Method::PATCH => {
            append(asked, name, id, &mut slot, body).await?;
            Ok(progress(StatusCode::ACCEPTED, name, id, size(&slot)))
        }
        Method::PUT => {
            let wanted = asked.query.get("digest").ok_or_else(no_digest).and_then(digest)?;
            append(asked, name, id, &mut slot, body).await?;
            let upload = give_up(asked, id, &mut slot).ok_or_else(unknown)?;
            commit(asked, name.clone(), upload, wanted).await
        }
        Method::DELETE => {
            drop(give_up(asked, id, &mut slot));
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        _ => Err(unsupported()),
    }
}

type Guard = OwnedMutexGuard<Option<Upload>>;

/// Links a blob of another repository; if that has none, the client goes on with an upload.
async fn mount(asked: &Asked, name: &Name) -> Result<Option<Answer>, Refusal> {
    let (Some(blob), Some(from)) = (asked.query.get("mount"), asked.query.get("from")) else {
        return Ok(None);
    };
    let (blob, from, to) = (digest(blob)?, Name::parse(from)?, name.clone());
    let linked = blob.clone();
    let mounted = blocking(&asked.store, move |store| {
        let found = store.blob_size(&from, &linked)?.is_some();
        if found {
            store.link_blob(&to, &linked)?;
        }
        Ok(found)
    });
    Ok(mounted.await?.then(|| created(name, &blob)))
}

/// Adds the body to an upload if it starts where the upload ends.
async fn append(
    asked: &Asked,
    name: &Name,
    id: &str,
    slot: &mut Guard,
    body: &mut Incoming,
) -> Result<(), Refusal> {
    let upload = slot.as_mut().ok_or_else(unknown)?;
    if let Some(range) = asked.headers.get(CONTENT_RANGE) {
        let length = asked.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let range = range.to_str().unwrap_or_default();
        in_order(range, length, upload.size()).map_err(|refusal| {
            refusal.with(LOCATION, location(name, id)).with(RANGE, range_of(upload.size()))
        })?;
    }
    let received = receive(upload, body).await;
    if matches!(received, Err(Refusal::Store(_))) {
        drop(give_up(asked, id, slot));
    }
    received
}

/// Checks `START-END` of a piece against its length and what has come before.
fn in_order(range: &str, length: Option<u64>, size: u64) -> Result<(), Refusal> {
    let ends = range.strip_prefix("bytes ").unwrap_or(range).split_once('-');
    let ends = ends.and_then(|(start, end)| Some((start.parse::<u64>().ok()?, end.parse::<u64>().ok()?)));
    let Some((start, end)) = ends else {
        return Err(Refusal::new(Code::BlobUploadInvalid, "the content range is not `START-END`"));
    };
    if start != size {
        return Err(Refusal::new(Code::UploadOutOfOrder, format!("the next byte to upload is {size}")));
    }
    let told = end.checked_sub(start).and_then(|last| last.checked_add(1));
    if told.is_none() || length.is_some_and(|length| Some(length) != told) {
        return Err(Refusal::new(Code::SizeInvalid, "the content range and the content length differ"));
    }
    Ok(())
}

/// Writes a body as it comes. What came before a client broke off stays, so that it can go on there.
async fn receive(upload: &mut Upload, body: &mut Incoming) -> Result<(), Refusal> {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            upload.flush().await?;
            return Err(Refusal::new(Code::BlobUploadInvalid, "the body broke off"));
        };
        if let Some(data) = frame.data_ref() {
            upload.append(data).await?;
        }
    }
    Ok(upload.flush().await?)
}

fn give_up(asked: &Asked, id: &str, slot: &mut Guard) -> Option<Upload> {
    asked.store.forget(id);
    slot.take()
}

async fn commit(asked: &Asked, name: Name, upload: Upload, wanted: Digest) -> Reply {
    let (file, found) = upload.finish().await?;
    if found != wanted {
        return Err(Refusal::new(
            Code::DigestInvalid,
            format!("the bytes that came have the digest {found}"),
        ));
    }
    let (to, blob) = (name.clone(), wanted.clone());
    blocking(&asked.store, move |store| Ok(store.commit_blob(&to, &blob, file)?)).await?;
    Ok(created(&name, &wanted))
}

fn created(name: &Name, digest: &Digest) -> Answer {
    let answer = reply::digest(reply::empty(StatusCode::CREATED), digest);
    reply::set(answer, LOCATION, &format!("/v2/{name}/blobs/{digest}"))
}

fn progress(status: StatusCode, name: &Name, id: &str, size: u64) -> Answer {
    let answer = reply::set(reply::empty(status), LOCATION, &location(name, id));
    reply::set(reply::set(answer, UPLOAD_ID, id), RANGE, &range_of(size))
}

fn location(name: &Name, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// The specification has no way to say that nothing has come: it looks like one byte, as with other registries.
fn range_of(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

fn size(slot: &Guard) -> u64 {
    slot.as_ref().map_or(0, Upload::size)
}

fn unknown() -> Refusal {
    Refusal::new(Code::BlobUploadUnknown, "no such upload is under way")
}

fn no_digest() -> Refusal {
    Refusal::new(Code::DigestInvalid, "an upload ends with `?digest=`")
}
