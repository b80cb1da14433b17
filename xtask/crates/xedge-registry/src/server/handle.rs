//! From a request to its answer: who may ask, which handler answers, and the envelope of a refusal. It holds no
//! state.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{EXPECT, HOST};
use hyper::{HeaderMap, Method, Request};

use super::refusal::{Code, Refusal};
use super::reply::{self, Answer, Reply};
use super::route::{Query, Route};
use super::store::Store;
use super::{blobs, listings, manifests, uploads};

/// How much of a refused body is read, so that the client gets to read the refusal.
const DRAINED: usize = 16 << 20;

/// A request without its body.
pub(super) struct Asked {
    pub(super) store: Store,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
}

/// Answers one request. A client that goes away does not cut it off in the middle of a write.
pub(super) async fn request(store: Store, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let answered = tokio::spawn(answer(store, request)).await;
    Ok(answered.unwrap_or_else(|_| reply::refuse(&Refusal::Store(io::Error::other("a request panicked")))))
}

async fn answer(store: Store, request: Request<Incoming>) -> Answer {
    let (parts, mut body) = request.into_parts();
    let query = Query::of(&parts.uri);
    let asked = Asked { store, method: parts.method, headers: parts.headers, query };
    let route = from_here(&asked.headers).and_then(|()| Route::of(&parts.uri));
    let result = match route {
        Ok(route) => dispatch(&asked, route, &mut body).await,
        Err(refusal) => Err(refusal),
    };
    match result {
        Ok(answer) => answer,
        Err(refusal) => {
            if !asked.headers.contains_key(EXPECT) {
                drain(&mut body).await;
            }
            reply::refuse(&refusal)
        }
    }
}

async fn dispatch(asked: &Asked, route: Route, body: &mut Incoming) -> Reply {
    match route {
        Route::Ping => ping(asked),
        Route::Manifest(name, reference) => manifests::handle(asked, name, &reference, body).await,
        Route::Blob(name, digest) => blobs::handle(asked, name, digest).await,
        Route::Uploads(name) => uploads::start(asked, name, body).await,
        Route::Upload(name, id) => uploads::handle(asked, &name, &id, body).await,
        Route::Tags(name) => listings::tags(asked, name).await,
        Route::Referrers(name, digest) => listings::referrers(asked, name, digest).await,
    }
}

fn ping(asked: &Asked) -> Reply {
    match asked.method {
        Method::GET | Method::HEAD => Ok(reply::json(&serde_json::json!({}), "application/json")),
        _ => Err(unsupported()),
    }
}

/// The refusal of a method that means nothing here.
pub(super) fn unsupported() -> Refusal {
    Refusal::new(Code::Unsupported, "the method is not supported here")
}

/// A page in a browser must not reach the registry by a name of its own that leads to this host.
fn from_here(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(host) = headers.get(HOST) else { return Ok(()) };
    let host = host.to_str().unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()) {
        Ok(())
    } else {
        Err(Refusal::new(Code::Denied, "the registry answers to `localhost` and loopback addresses only"))
    }
}

async fn drain(body: &mut Incoming) {
    let mut left = DRAINED;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, bytes::Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// Runs what touches the disk where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    done.unwrap_or_else(|e| Err(Refusal::Store(io::Error::other(e))))
}
