//! Reading blobs, whole or by range. A blob is only there for the repositories that it was pushed to.

use std::fs::File;

use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use hyper::{Method, StatusCode};
use xedge_model::Digest;

use super::handle::{Asked, blocking, unsupported};
use super::name::Name;
use super::refusal::{Code, Refusal};
use super::reply::{self, Answer, Reply};

/// Answers for one blob.
pub(super) async fn handle(asked: &Asked, name: Name, digest: Digest) -> Reply {
    match asked.method {
        Method::HEAD => head(asked, name, digest).await,
        Method::GET => get(asked, name, digest).await,
        Method::DELETE => delete(asked, name, digest).await,
        _ => Err(unsupported()),
    }
}

async fn head(asked: &Asked, name: Name, digest: Digest) -> Reply {
    let (file, size) = open(asked, name, &digest).await?;
    Ok(described(reply::part(StatusCode::OK, file, 0, size).await?, &digest))
}

async fn get(asked: &Asked, name: Name, digest: Digest) -> Reply {
    let (file, size) = open(asked, name, &digest).await?;
    let wanted = asked.headers.get(RANGE).and_then(|value| value.to_str().ok());
    let answer = match wanted.map_or(Wanted::Whole, |range| wanted_of(range, size)) {
        Wanted::Whole => reply::part(StatusCode::OK, file, 0, size).await?,
        Wanted::Part(start, end) => {
            let part = reply::part(StatusCode::PARTIAL_CONTENT, file, start, end - start + 1).await?;
            reply::set(part, CONTENT_RANGE, &format!("bytes {start}-{end}/{size}"))
        }
        Wanted::Nothing => {
            let refusal = Refusal::new(Code::RangeInvalid, format!("the blob has {size} bytes"));
            return Err(refusal.with(CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    Ok(described(answer, &digest))
}

async fn delete(asked: &Asked, name: Name, digest: Digest) -> Reply {
    let deleted = blocking(&asked.store, move |store| Ok(store.unlink_blob(&name, &digest)?));
    if deleted.await? { Ok(reply::empty(StatusCode::ACCEPTED)) } else { Err(unknown()) }
}

async fn open(asked: &Asked, name: Name, digest: &Digest) -> Result<(File, u64), Refusal> {
    let digest = digest.clone();
    let opened = blocking(&asked.store, move |store| Ok(store.open_blob(&name, &digest)?)).await?;
    opened.ok_or_else(unknown)
}

fn unknown() -> Refusal {
    Refusal::new(Code::BlobUnknown, "the repository has no such blob")
}

fn described(answer: Answer, digest: &Digest) -> Answer {
    let answer = reply::set(reply::digest(answer, digest), ACCEPT_RANGES, "bytes");
    reply::set(answer, CONTENT_TYPE, "application/octet-stream")
}

/// What a `Range` header asks for, with both ends included.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(u64, u64),
    Nothing,
}

/// Several ranges at once, other units and what is no range are answered with the whole, as HTTP allows.
pub(super) fn wanted_of(range: &str, size: u64) -> Wanted {
    let parts = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let bounds = match parts {
        Some(("", last)) => {
            last.parse().ok().map(|last: u64| (size.saturating_sub(last), u64::MAX, last > 0))
        }
        Some((start, "")) => start.parse().ok().map(|start| (start, u64::MAX, true)),
        Some((start, end)) => start.parse().ok().zip(end.parse().ok()).map(|(start, end)| (start, end, true)),
        None => None,
    };
    match bounds {
        Some((start, end, true)) if start < size && start <= end => Wanted::Part(start, end.min(size - 1)),
        Some((start, end, _)) if start >= size || start <= end => Wanted::Nothing,
        _ => Wanted::Whole,
    }
}
