//! A registry in memory that can be told to fail. It must not share code with the client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use xedge_model::Digest;

type Answer = Response<Full<Bytes>>;
type Sent = Response<BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// What goes wrong, and how often.
pub(crate) struct Fault {
    pub(crate) method: &'static str,
    pub(crate) part: String,
    pub(crate) times: usize,
    pub(crate) what: What,
}

#[derive(Clone)]
pub(crate) enum What {
    /// This answer instead.
    Say(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The answer without this header.
    Without(&'static str),
    /// The answer with this header.
    With(&'static str, String),
    /// The connection ends after this many bytes of the request's body.
    Cut(usize),
    /// The answer, but the connection ends after this many bytes of its body.
    Short(usize),
    /// Tokens given so far are no longer taken.
    Expire,
    /// Another client sets this manifest first.
    Race(String, String, Vec<u8>),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) blobs: BTreeMap<(String, String), Vec<u8>>,
    pub(crate) manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    pub(crate) uploads: BTreeMap<usize, Vec<u8>>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) log: Vec<String>,
    /// Every `Authorization` that came.
    pub(crate) seen: Vec<String>,
    /// `Basic`'s user and password; a token server takes the same.
    pub(crate) login: Option<(&'static str, &'static str)>,
    /// Whether tokens are asked for, and how many were given.
    pub(crate) tokens: Option<usize>,
    pub(crate) oldest_token: usize,
    pub(crate) mounts: bool,
    pub(crate) referrers: bool,
    pub(crate) promises_referrers: bool,
    next: usize,
}

pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    pub(crate) host: String,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { mounts: true, ..State::default() }));
        let (shared, name) = (state.clone(), host.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, host) = (shared.clone(), name.clone());
                let service = service_fn(move |request| serve(state.clone(), host.clone(), request));
                tokio::spawn(async move {
                    // A connection that is cut on order ends with an error.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { state, host }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn fail(&self, method: &'static str, part: &str, times: usize, what: What) {
        self.state().faults.push(Fault { method, part: part.to_owned(), times, what });
    }

    pub(crate) fn say(&self, method: &'static str, part: &str, times: usize, status: u16, body: &str) {
        self.fail(method, part, times, What::Say(status, Vec::new(), body.into()));
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        self.state().log.iter().filter(|line| line.starts_with(start)).count()
    }

    pub(crate) fn writes(&self) -> usize {
        self.state().log.iter().filter(|line| !line.starts_with("GET") && !line.starts_with("HEAD")).count()
    }
}

fn reply(status: u16) -> Answer {
    Response::builder().status(status).body(Full::default()).unwrap()
}

fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().insert(name, value.parse().unwrap());
    answer
}

fn body(answer: Answer, bytes: impl Into<Bytes>) -> Answer {
    answer.map(|_| Full::new(bytes.into()))
}

fn envelope(status: u16, code: &str) -> Answer {
    body(reply(status), format!(r#"{{"errors":[{{"code":"{code}","message":"said by the fake"}}]}}"#))
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The answer as it is, or with a body that ends too early for its length.
fn sent(answer: Answer, short: Option<usize>) -> Sent {
    let (mut parts, body) = answer.into_parts();
    let Some(length) = short else {
        return Response::from_parts(parts, body.map_err(|never| match never {}).boxed());
    };
    parts.headers.insert("content-length", "999999".parse().unwrap());
    let start = Ok::<_, Failed>(Frame::data(Bytes::from(vec![b'{'; length])));
    let body = StreamBody::new(stream::iter([start, Err::<_, Failed>("cut on order".into())]));
    Response::from_parts(parts, BodyExt::boxed(body))
}

async fn serve(state: Arc<Mutex<State>>, host: String, request: Request<Incoming>) -> Result<Sent, Failed> {
    let (parts, mut incoming) = request.into_parts();
    let (method, path) = (parts.method.to_string(), parts.uri.to_string());
    let authorization = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let media_type = parts.headers.get("content-type").map(|v| v.to_str().unwrap().to_owned());
    let range = parts.headers.get("content-range").map(|v| v.to_str().unwrap().to_owned());
    let fault = {
        let mut state = state.lock().unwrap();
        state.log.push(format!("{method} {path}"));
        state.seen.extend(authorization.clone());
        if let Some(denial) = access(&mut state, &host, &path, authorization.as_deref()) {
            return Ok(sent(denial, None));
        }
        take_fault(&mut state, &method, &path)
    };
    let mut bytes = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if let Some(What::Cut(limit)) = &fault
            && bytes.len() >= *limit
        {
            bytes.truncate(*limit);
            append(&mut state.lock().unwrap(), &path, &bytes);
            return Err("cut on order".into());
        }
    }
    let mut state = state.lock().unwrap();
    match &fault {
        Some(What::Say(status, headers, text)) => {
            let answer = body(reply(*status), text.clone());
            let answer = headers.iter().fold(answer, |answer, (name, value)| with(answer, name, value));
            return Ok(sent(answer, None));
        }
        Some(What::Expire) => {
            state.oldest_token = state.tokens.unwrap_or_default() + 1;
            return Ok(sent(challenge(&state, &host), None));
        }
        Some(What::Race(repository, reference, bytes)) => {
            let manifest = ("application/vnd.oci.image.index.v1+json".to_owned(), bytes.clone());
            state.manifests.insert((repository.clone(), reference.clone()), manifest);
        }
        _ => {}
    }
    let media_type = media_type.unwrap_or_default();
    let mut answer = route(&mut state, &method, &path, &media_type, range.as_deref(), bytes);
    let short = if let Some(What::Short(length)) = fault { Some(length) } else { None };
    match fault {
        Some(What::Without(name)) => drop(answer.headers_mut().remove(name)),
        Some(What::With(name, value)) => answer = with(answer, name, &value),
        _ => {}
    }
    Ok(sent(answer, short))
}

fn take_fault(state: &mut State, method: &str, path: &str) -> Option<What> {
    let hit = |fault: &&mut Fault| fault.times > 0 && fault.method == method && path.contains(&fault.part);
    let fault = state.faults.iter_mut().find(hit)?;
    fault.times -= 1;
    Some(fault.what.clone())
}

fn challenge(state: &State, host: &str) -> Answer {
    let text = match state.tokens {
        Some(_) => format!("Bearer realm=\"http://{host}/token\",service=\"fake\",scope=\"x:y:pull,push\""),
        None => "Basic realm=\"fake\"".to_owned(),
    };
    with(envelope(401, "UNAUTHORIZED"), "www-authenticate", &text)
}

fn access(state: &mut State, host: &str, path: &str, authorization: Option<&str>) -> Option<Answer> {
    let basic =
        state.login.map(|(user, password)| format!("Basic {}", crate::credentials::encode(user, password)));
    if path.starts_with("/token") {
        if basic.is_some() && basic.as_deref() != authorization {
            return Some(envelope(401, "UNAUTHORIZED"));
        }
        let given = state.tokens.unwrap_or_default() + 1;
        state.tokens = Some(given);
        return Some(body(reply(200), format!(r#"{{"token":"t{given}","expires_in":300}}"#)));
    }
    let allowed = match state.tokens {
        Some(_) => authorization
            .and_then(|text| text.strip_prefix("Bearer t")?.parse::<usize>().ok())
            .is_some_and(|token| token >= state.oldest_token),
        None => basic.is_none() || basic.as_deref() == authorization,
    };
    (!allowed).then(|| challenge(state, host))
}

fn session(path: &str) -> Option<usize> {
    path.split("/blobs/uploads/").nth(1)?.split('?').next()?.parse().ok()
}

fn append(state: &mut State, path: &str, bytes: &[u8]) {
    if let Some(upload) = session(path).and_then(|id| state.uploads.get_mut(&id)) {
        upload.extend_from_slice(bytes);
    }
}

fn query<'a>(path: &'a str, key: &str) -> Option<String> {
    let pairs = path.split_once('?')?.1.split('&');
    let found: &'a str = pairs.filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key)?.1;
    Some(found.replace("%3A", ":").replace("%2F", "/"))
}

fn route(
    state: &mut State,
    method: &str,
    path: &str,
    media_type: &str,
    range: Option<&str>,
    bytes: Vec<u8>,
) -> Answer {
    let bare = path.split('?').next().unwrap_or_default();
    let Some(rest) = bare.strip_prefix("/v2/") else { return reply(404) };
    if rest.is_empty() {
        return reply(200);
    }
    if let Some((repository, _)) = rest.split_once("/blobs/uploads/") {
        return uploads(state, method, repository, path, range, &bytes);
    }
    if let Some((repository, digest)) = rest.split_once("/blobs/") {
        return match state.blobs.get(&(repository.to_owned(), digest.to_owned())) {
            Some(_) if method == "HEAD" => reply(200),
            Some(found) => body(reply(200), found.clone()),
            None => envelope(404, "BLOB_UNKNOWN"),
        };
    }
    if let Some((repository, reference)) = rest.split_once("/manifests/") {
        return manifests(state, method, repository, reference, media_type, bytes);
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return tags(state, repository, query(path, "last").as_deref());
    }
    match rest.split_once("/referrers/") {
        Some((repository, subject)) if state.referrers => referrers(state, repository, subject),
        _ => body(reply(404), "404 page not found"),
    }
}

fn uploads(
    state: &mut State,
    method: &str,
    repository: &str,
    path: &str,
    range: Option<&str>,
    bytes: &[u8],
) -> Answer {
    if method == "POST" {
        if let (true, Some(digest), Some(from)) = (state.mounts, query(path, "mount"), query(path, "from"))
            && let Some(found) = state.blobs.get(&(from, digest.clone())).cloned()
        {
            state.blobs.insert((repository.to_owned(), digest), found);
            return reply(201);
        }
        state.next += 1;
        let id = state.next;
        state.uploads.insert(id, Vec::new());
        return with(reply(202), "location", &format!("/v2/{repository}/blobs/uploads/{id}?state=a%2Fb"));
    }
    let id = session(path).unwrap();
    assert!(path.contains("state=a%2Fb"), "the query of the location is lost: {path}");
    let Some(upload) = state.uploads.get_mut(&id) else { return envelope(404, "BLOB_UPLOAD_UNKNOWN") };
    let location = format!("/v2/{repository}/blobs/uploads/{id}?state=a%2Fb");
    match method {
        "GET" => with(
            with(reply(204), "range", &format!("0-{}", upload.len().saturating_sub(1))),
            "location",
            &location,
        ),
        "DELETE" => {
            state.uploads.remove(&id);
            reply(204)
        }
        "PATCH" => {
            let start: usize = range.unwrap().split('-').next().unwrap().parse().unwrap();
            if start != upload.len() {
                return reply(416);
            }
            upload.extend_from_slice(bytes);
            with(reply(202), "location", &location)
        }
        _ => {
            upload.extend_from_slice(bytes);
            let (digest, whole) = (query(path, "digest").unwrap(), upload.clone());
            if Digest::of(&whole).as_str() != digest {
                return envelope(400, "DIGEST_INVALID");
            }
            state.uploads.remove(&id);
            state.blobs.insert((repository.to_owned(), digest), whole);
            reply(201)
        }
    }
}

fn manifests(
    state: &mut State,
    method: &str,
    repository: &str,
    reference: &str,
    media_type: &str,
    bytes: Vec<u8>,
) -> Answer {
    let key = (repository.to_owned(), reference.to_owned());
    if method == "PUT" {
        let digest = Digest::of(&bytes).to_string();
        let promises = state.promises_referrers && String::from_utf8_lossy(&bytes).contains("subject");
        let manifest = (media_type.to_owned(), bytes);
        state.manifests.insert(key, manifest.clone());
        state.manifests.insert((repository.to_owned(), digest.clone()), manifest);
        let answer = with(reply(201), "docker-content-digest", &digest);
        return if promises { with(answer, "oci-subject", "sha256:promised") } else { answer };
    }
    let Some((media_type, bytes)) = state.manifests.get(&key) else {
        return envelope(404, "MANIFEST_UNKNOWN");
    };
    let answer = with(reply(200), "docker-content-digest", Digest::of(bytes).as_str());
    let answer = with(answer, "content-type", media_type);
    if method == "HEAD" { answer } else { body(answer, bytes.clone()) }
}

fn tags(state: &State, repository: &str, last: Option<&str>) -> Answer {
    let mine = state.manifests.keys().filter(|(name, _)| name == repository);
    let all: Vec<&str> = mine.map(|(_, tag)| tag.as_str()).filter(|tag| !tag.contains(':')).collect();
    if all.is_empty() {
        return envelope(404, "NAME_UNKNOWN");
    }
    let rest: Vec<&str> = all.into_iter().filter(|tag| last.is_none_or(|last| *tag > last)).collect();
    let page = &rest[..rest.len().min(2)];
    let answer = body(reply(200), serde_json::json!({ "name": repository, "tags": page }).to_string());
    match page.last() {
        Some(end) if rest.len() > 2 => {
            with(answer, "link", &format!("</v2/{repository}/tags/list?n=2&last={end}>; rel=\"next\""))
        }
        _ => answer,
    }
}

fn referrers(state: &State, repository: &str, subject: &str) -> Answer {
    let mut found = Vec::new();
    for ((name, reference), (media_type, bytes)) in &state.manifests {
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        if name == repository && reference.contains(':') && value["subject"]["digest"] == subject {
            found.push(
                serde_json::json!({ "mediaType": media_type, "digest": reference, "size": bytes.len() }),
            );
        }
    }
    let list = serde_json::json!({ "schemaVersion": 2, "manifests": found });
    body(reply(200), list.to_string())
}
