//! Answers and the headers that the specification wants on them. It decides nothing about the store.

use std::fs::File;
use std::io::{self, SeekFrom};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use xedge_model::Digest;

use super::refusal::Refusal;

/// What goes back to the client.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;
/// An answer, or why there is none.
pub(super) type Reply = Result<Answer, Refusal>;

/// The digest of what the answer is about.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The manifest that the pushed one refers to.
pub(super) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Which filters a list of referrers went through.
pub(super) const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
/// The id of an upload, which older clients ask for.
pub(super) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// How much of a blob is held in memory.
const PIECE: usize = 64 << 10;

/// An answer with bytes.
pub(super) fn bytes(status: StatusCode, content: impl Into<Bytes>) -> Answer {
    let content = content.into();
    let length = content.len() as u64;
    let body = Full::new(content).map_err(|never| match never {}).boxed_unsync();
    let answer = Response::new(body);
    sized(answer, status, length)
}

/// An answer with nothing in it.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = bytes(status, Bytes::new());
    if status == StatusCode::NO_CONTENT {
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    answer
}

/// An answer in JSON.
pub(super) fn json(value: &impl Serialize, media_type: &str) -> Answer {
    let content = serde_json::to_vec(value).expect("answers have only text keys");
    set(bytes(StatusCode::OK, content), CONTENT_TYPE, media_type)
}

/// A part of a file, read piece by piece while it is sent.
pub(super) async fn part(status: StatusCode, file: File, start: u64, length: u64) -> Reply {
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(start)).await?;
    let stream = futures_util::stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        piece.truncate(read);
        Ok(Some((Frame::data(Bytes::from(piece)), (file, left - read as u64))))
    });
    Ok(sized(Response::new(StreamBody::new(stream).boxed_unsync()), status, length))
}

/// The envelope of the specification.
pub(super) fn refuse(refusal: &Refusal) -> Answer {
    let message = refusal.to_string();
    let ((code, status), headers) = match refusal {
        Refusal::Told { code, headers, .. } => (code.wire(), headers.as_slice()),
        Refusal::Store(_) => (("UNKNOWN", StatusCode::INTERNAL_SERVER_ERROR), [].as_slice()),
    };
    let envelope = serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
    let mut answer = json(&envelope, "application/json");
    *answer.status_mut() = status;
    headers.iter().fold(answer, |answer, (name, value)| set(answer, name.clone(), value))
}

/// Sets a header; the values are names, digests, numbers and media types that came in as headers or were checked.
pub(super) fn set(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// Sets the digest of the content.
pub(super) fn digest(answer: Answer, digest: &Digest) -> Answer {
    set(answer, CONTENT_DIGEST, digest.as_str())
}

fn sized(mut answer: Answer, status: StatusCode, length: u64) -> Answer {
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    set(answer, API_VERSION, "registry/2.0")
}
