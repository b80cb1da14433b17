//! The only code here that speaks HTTP: addresses, requests, redirects and standing still. It knows no registry, and
//! it never sends an `Authorization` to a host it was not made for.

use std::error::Error as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{io, iter};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Certificate, ClientBuilder, NoProxy, Response, Url};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::settings::Settings;

pub(crate) use reqwest::Method;

const MAX_REDIRECTS: usize = 5;

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(Url);

impl Address {
    /// From its text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Url::parse(text).ok().filter(Url::has_host).map(Self)
    }

    /// What a `Location` or `Link` on the page at this address means; its query is kept.
    pub(crate) fn join(&self, reference: &str) -> Option<Self> {
        self.0.join(reference).ok().filter(Url::has_host).map(Self)
    }

    /// With one more pair in the query.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.0.query_pairs_mut().append_pair(key, value);
        self
    }

    /// Without query, user and password, for messages.
    pub(crate) fn shown(&self) -> String {
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}{}", self.0.scheme(), self.0.host_str().unwrap_or_default(), self.0.path())
    }

    /// Pairs as the body of a form.
    pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
        let mut url = Url::parse("x://x").expect("this address is well-formed");
        url.query_pairs_mut().extend_pairs(pairs);
        url.query().unwrap_or_default().to_owned()
    }

    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// Whether `HOST[:PORT]` is this machine.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host == "::1" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// What is sent along.
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// All of it at once.
    Bytes(Bytes),
    /// A stream of known length; `moved` grows with every piece that is handed to the network.
    Stream { length: u64, moved: Arc<AtomicU64>, pieces: BoxStream<'static, io::Result<Bytes>> },
}

/// One request.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) address: Address,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Request {
    /// A request without body.
    pub(crate) fn new(method: Method, address: Address) -> Self {
        Self { method, address, headers: Vec::new(), body: Body::Empty }
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With this body.
    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

/// The client: one for the loopback, which never goes through a proxy, and one for everything else.
pub(crate) struct Http {
    near: reqwest::Client,
    far: OnceLock<reqwest::Client>,
    authorities: Vec<Certificate>,
    settings: Settings,
    requests: AtomicU64,
}

impl Http {
    /// Reads the CA files; no request is made.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let mut authorities = Vec::new();
        for path in &settings.ca_files {
            let wrong = |problem: String| Error::CaFile { path: path.clone(), problem };
            let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
            let found = Certificate::from_pem_bundle(&pem).map_err(|_| wrong("it is not PEM".into()))?;
            if found.is_empty() {
                return Err(wrong("there is none in it".into()));
            }
            authorities.extend(found);
        }
        let near = builder(settings).no_proxy().tls_certs_only(authorities.clone()).build().map_err(setup)?;
        let requests = AtomicU64::new(0);
        Ok(Self { near, far: OnceLock::new(), authorities, settings: settings.clone(), requests })
    }

    /// How many requests were sent.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The address of `path` on a registry.
    pub(crate) fn address(&self, host: &str, path: &str) -> Result<Address> {
        let scheme = if self.allows_plain(host) { "http" } else { "https" };
        Address::parse(&format!("{scheme}://{host}{path}"))
            .ok_or_else(|| Error::Target { text: host.to_owned(), problem: "it is not a host".into() })
    }

    /// Sends a request and, for reads, follows redirects.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply> {
        let Request { method, mut address, headers, mut body } = request;
        let first = address.clone();
        for _ in 0..=MAX_REDIRECTS {
            let sent = std::mem::replace(&mut body, Body::Empty);
            let headers = header_map(&headers, first.same_origin(&address), &address)?;
            let reply = self.hop(&method, &address, headers, sent).await?;
            let moved = matches!(reply.status(), 301 | 302 | 303 | 307 | 308);
            if !moved || !(method == Method::GET || method == Method::HEAD) {
                return Ok(reply);
            }
            address = reply.location().ok_or_else(|| Error::Protocol {
                what: address.shown(),
                problem: "a redirect leads nowhere".into(),
            })?;
        }
        Err(Error::Protocol { what: address.shown(), problem: "too many redirects".into() })
    }

    async fn hop(&self, method: &Method, address: &Address, headers: HeaderMap, body: Body) -> Result<Reply> {
        let authority = address.authority();
        if address.0.scheme() != "https" && !self.allows_plain(&authority) {
            return Err(Error::Insecure { address: address.shown() });
        }
        let client = if is_loopback(&authority) { &self.near } else { self.far()? };
        let mut request = client.request(method.clone(), address.0.clone()).headers(headers);
        let mut watched = Arc::new(AtomicU64::new(0));
        match body {
            Body::Empty if *method == Method::GET || *method == Method::HEAD => {}
            Body::Empty => request = request.header(CONTENT_LENGTH, 0),
            Body::Bytes(bytes) => request = request.body(bytes),
            Body::Stream { length, moved, pieces } => {
                watched = moved;
                request = request.header(CONTENT_LENGTH, length).body(reqwest::Body::wrap_stream(pieces));
            }
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let stall = self.settings.timeouts.stall;
        let response = unless_stalled(request.send(), &watched, stall, address).await?;
        Ok(Reply { response, stall })
    }

    fn allows_plain(&self, authority: &str) -> bool {
        let named = |plain: &String| {
            plain == authority || authority.rsplit_once(':').is_some_and(|(h, _)| h == plain)
        };
        is_loopback(authority) || self.settings.plain_http.iter().any(named)
    }

    fn far(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.far.get() {
            return Ok(client);
        }
        // Made only when needed: a machine without CA certificates can still use its own registry.
        let mut builder = builder(&self.settings).tls_certs_merge(self.authorities.clone());
        if let Some(proxy) = &self.settings.proxy {
            let except = NoProxy::from_string(&proxy.except.join(","));
            builder = builder.proxy(reqwest::Proxy::all(&proxy.url).map_err(setup)?.no_proxy(except));
        }
        let made = builder.build().map_err(setup)?;
        Ok(self.far.get_or_init(|| made))
    }
}

fn builder(settings: &Settings) -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .connect_timeout(settings.timeouts.connect)
        .redirect(reqwest::redirect::Policy::none())
        // Retries are this crate's own business: they count, pause and open the body anew.
        .retry(reqwest::retry::never())
        .referer(false)
}

fn setup(source: reqwest::Error) -> Error {
    Error::Setup { source: source.into() }
}

fn header_map(
    headers: &[(&'static str, String)],
    may_authorize: bool,
    address: &Address,
) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_static(name);
        if name == AUTHORIZATION && !may_authorize {
            continue;
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| Error::Protocol {
            what: address.shown(),
            problem: format!("a value for the header `{name}` has characters that are not allowed"),
        })?;
        value.set_sensitive(name == AUTHORIZATION);
        map.insert(name, value);
    }
    Ok(map)
}

async fn unless_stalled(
    sending: impl Future<Output = reqwest::Result<Response>>,
    moved: &AtomicU64,
    stall: Duration,
    address: &Address,
) -> Result<Response> {
    let mut sending = std::pin::pin!(sending);
    loop {
        let before = moved.load(Ordering::Relaxed);
        match timeout(stall, &mut sending).await {
            Ok(done) => return done.map_err(|source| cut(address, source)),
            Err(_) if moved.load(Ordering::Relaxed) != before => {}
            Err(_) => return Err(stalled(address, stall)),
        }
    }
}

fn cut(address: &Address, source: reqwest::Error) -> Error {
    let (place, nobody, certificate) =
        (address.shown(), nobody_there(&source), is_about_certificate(&source));
    let source = source.without_url().into();
    match (nobody, certificate) {
        (true, _) => Error::Unreachable { place, source },
        (_, true) => Error::Certificate { place, source },
        _ => Error::Connection { place, source },
    }
}

/// Whether the port is closed or the host's name leads nowhere, as against a connection that broke.
fn nobody_there(error: &reqwest::Error) -> bool {
    let refused = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused)
    };
    // The type of a failed look-up is not public: its text is all that tells.
    let unnamed = |cause: &(dyn std::error::Error + 'static)| cause.to_string() == "dns error";
    let mut causes = iter::successors(error.source(), |&cause| cause.source());
    error.is_connect() && causes.any(|cause| refused(cause) || unnamed(cause))
}

/// The TLS library's own type is behind three others, so its words are what tells.
fn is_about_certificate(error: &reqwest::Error) -> bool {
    let mut causes = iter::successors(error.source(), |&cause| cause.source());
    causes.any(|cause| cause.to_string().starts_with("invalid peer certificate"))
}

fn stalled(address: &Address, stall: Duration) -> Error {
    let source = format!("nothing moved for {} s", stall.as_secs());
    Error::Connection { place: address.shown(), source: source.into() }
}

/// The answer to a request, its body not read yet.
pub(crate) struct Reply {
    response: Response,
    stall: Duration,
}

impl Reply {
    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Whether the status is a 2xx.
    pub(crate) fn is_ok(&self) -> bool {
        self.response.status().is_success()
    }

    /// A header that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All headers of that name that are text.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let all = self.response.headers().get_all(name).iter();
        all.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    }

    /// Where the answer came from.
    pub(crate) fn address(&self) -> Address {
        Address(self.response.url().clone())
    }

    /// Where `Location` leads.
    pub(crate) fn location(&self) -> Option<Address> {
        self.address().join(self.header(LOCATION.as_str())?)
    }

    /// The next piece of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let address = self.address();
        match timeout(self.stall, self.response.chunk()).await {
            Ok(piece) => piece.map_err(|source| cut(&address, source)),
            Err(_) => Err(stalled(&address, self.stall)),
        }
    }

    /// The whole body, which must not be longer than `limit`.
    pub(crate) async fn bytes(mut self, limit: u64) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.chunk().await? {
            all.extend_from_slice(&piece);
            if all.len() as u64 > limit {
                return Err(Error::TooLarge { what: self.address().shown(), limit });
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Http, is_loopback, nobody_there};
    use crate::error::Error;
    use crate::settings::Settings;

    #[test]
    fn only_this_machine_is_the_loopback() {
        for here in ["localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:5000"] {
            assert!(is_loopback(here), "{here}");
        }
        for away in ["localhost.example", "127.0.0.1.example:80", "[::2]:5000", "128.0.0.1", "[::ffff:1]", ""]
        {
            assert!(!is_loopback(away), "{away}");
        }
    }

    #[test]
    fn plain_http_is_for_named_hosts_and_the_loopback() {
        let mut settings = Settings::new("xedge-tests");
        settings.plain_http = vec!["a.example".into(), "b.example:81".into()];
        let http = Http::new(&settings).unwrap();
        let address = |host: &str| http.address(host, "/v2/").unwrap().shown();
        assert_eq!(address("a.example:80"), "http://a.example/v2/");
        assert_eq!(address("b.example:81"), "http://b.example:81/v2/");
        assert_eq!(address("b.example:82"), "https://b.example:82/v2/");
        assert_eq!(address("[::1]:5000"), "http://[::1]:5000/v2/");
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let address = Address::parse("https://me:pw@h.example:81/a/b?token=t").unwrap();
        assert_eq!(address.shown(), "https://h.example:81/a/b");
        let next = address.join("/c?x=%2F").unwrap().with("digest", "sha256:0");
        assert!(next.0.as_str().ends_with("/c?x=%2F&digest=sha256%3A0"), "{}", next.0);
        assert!(Address::parse("mailto:x").is_none() && Address::parse("/x").is_none());
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere_is_told_from_a_connection_that_breaks() {
        let client = Http::new(&Settings::new("xedge-tests")).unwrap().near;
        // No part of a name has more than 63 characters: this one is not even asked about.
        let nowhere = format!("http://{}.invalid/", "a".repeat(64));
        assert!(nobody_there(&client.get(nowhere).send().await.unwrap_err()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let (broken, ()) = tokio::join!(client.get(&address).send(), async { drop(listener.accept().await) });
        assert!(!nobody_there(&broken.unwrap_err()));
        drop(listener);
        assert!(nobody_there(&client.get(&address).send().await.unwrap_err()));
    }

    #[test]
    fn a_ca_file_must_have_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(folder.path().join("ca.pem")).unwrap();
        let mut settings = Settings::new("xedge-tests");
        settings.ca_files = vec![path.clone()];
        let fails = |settings: &Settings| matches!(Http::new(settings), Err(Error::CaFile { .. }));
        assert!(fails(&settings));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(fails(&settings));
    }
}
