//! Who we are to a registry: challenges, the token flow, and tickets that are kept while they last. It must not show
//! credentials to a host that did not ask for them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::credentials::{self, Credentials, Secret};
use crate::error::{Answer, Error, Result};
use crate::http::{Address, Body, Http, Method, Reply, Request};
use crate::reference;
use crate::settings::Settings;
use crate::target::Repository;

/// A token without `expires_in` lasts this long by specification.
const DEFAULT_LIFE_S: u64 = 60;
const MAX_ANSWER: u64 = 1 << 20;

/// What a request needs to be allowed to do.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) host: String,
    pub(crate) path: String,
    items: Vec<String>,
}

impl Scope {
    /// Reading one repository.
    pub(crate) fn pull(repository: &Repository) -> Self {
        Self::of(repository, "pull")
    }

    /// Reading and writing one repository.
    pub(crate) fn push(repository: &Repository) -> Self {
        Self::of(repository, "pull,push")
    }

    /// And reading another one, to mount from it.
    pub(crate) fn and_pull(mut self, repository: &Repository) -> Self {
        self.items.push(format!("repository:{}:pull", repository.path()));
        self
    }

    /// Nothing but being known.
    pub(crate) fn none(host: &str) -> Self {
        Self { host: host.to_owned(), path: "*".to_owned(), items: Vec::new() }
    }

    fn of(repository: &Repository, actions: &str) -> Self {
        let item = format!("repository:{}:{actions}", repository.path());
        Self { host: repository.host().to_owned(), path: repository.path().to_owned(), items: vec![item] }
    }

    fn key(&self) -> (String, String) {
        (self.host.clone(), self.items.join(" "))
    }

    /// For messages.
    pub(crate) fn place(&self) -> String {
        if self.items.is_empty() { self.host.clone() } else { format!("{}/{}", self.host, self.path) }
    }
}

/// How a registry wants to be told who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// With user and password in each request.
    Basic,
    /// With a token from another address.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The first challenge that we can answer.
    pub(crate) fn of(reply: &Reply) -> Option<Self> {
        reply.headers("www-authenticate").iter().find_map(|header| Self::parse(header))
    }

    /// From the text of a `WWW-Authenticate` header.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut fields = parameters(rest);
        Some(Self::Bearer { realm: fields.remove("realm")?, service: fields.remove("service") })
    }
}

fn parameters(mut rest: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(key.trim_matches([' ', ',']).to_ascii_lowercase(), value.to_owned());
        rest = next;
    }
    found
}

#[derive(Clone, Debug)]
struct Ticket {
    header: Secret,
    until: Option<Instant>,
}

#[derive(Default)]
struct State {
    challenges: BTreeMap<String, Challenge>,
    tickets: BTreeMap<(String, String), Ticket>,
    credentials: BTreeMap<(String, String), Option<Credentials>>,
}

/// Everything that is known about who we are.
pub(crate) struct Auth {
    settings: Settings,
    state: Mutex<State>,
}

impl Auth {
    /// Knows nothing yet.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), state: Mutex::default() }
    }

    /// The `Authorization` to send at once: none to a host that has not asked for it.
    pub(crate) async fn header(&self, http: &Http, scope: &Scope) -> Result<Option<Secret>> {
        let mut state = self.state.lock().await;
        let Some(challenge) = state.challenges.get(&scope.host).cloned() else { return Ok(None) };
        self.ticket(&mut state, http, scope, &challenge, None).await.map(Some)
    }

    /// The `Authorization` that answers a 401 to a request with `refused`. Many tasks may ask for it at once; only the
    /// first fetches it.
    pub(crate) async fn answer(
        &self,
        http: &Http,
        scope: &Scope,
        challenge: Challenge,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let mut state = self.state.lock().await;
        let header = self.ticket(&mut state, http, scope, &challenge, refused).await?;
        state.challenges.insert(scope.host.clone(), challenge);
        Ok(header)
    }

    async fn ticket(
        &self,
        state: &mut State,
        http: &Http,
        scope: &Scope,
        challenge: &Challenge,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let lasts = |ticket: &&Ticket| ticket.until.is_none_or(|until| Instant::now() < until);
        let kept = state.tickets.get(&scope.key()).filter(lasts);
        if let Some(kept) = kept.filter(|ticket| Some(&ticket.header) != refused) {
            return Ok(kept.header.clone());
        }
        let credentials = self.credentials(state, scope).await?;
        let ticket = obtain(http, scope, challenge, credentials.as_ref()).await?;
        if matches!(challenge, Challenge::Basic) && Some(&ticket.header) == refused {
            return Err(denied(
                scope,
                Why::WrongPassword,
                Answer { status: 401, code: None, message: String::new() },
            ));
        }
        state.tickets.insert(scope.key(), ticket.clone());
        Ok(ticket.header)
    }

    async fn credentials(&self, state: &mut State, scope: &Scope) -> Result<Option<Credentials>> {
        let key = (scope.host.clone(), scope.path.clone());
        if let Some(known) = state.credentials.get(&key) {
            return Ok(known.clone());
        }
        let found = credentials::find(&self.settings, &scope.host, &scope.path).await?;
        state.credentials.insert(key, found.clone());
        Ok(found)
    }

    /// Whether there are credentials for this scope, for the words of an error.
    pub(crate) async fn knows(&self, scope: &Scope) -> bool {
        let mut state = self.state.lock().await;
        matches!(self.credentials(&mut state, scope).await, Ok(Some(_)))
    }
}

/// Why access is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// None were sent, because there are none.
    NoCredentials,
    /// They are not taken at all.
    WrongPassword,
    /// They are taken, but not for this.
    NotEnough,
}

/// A refusal. The answer's own words are kept: some registries say there what is missing.
pub(crate) fn denied(scope: &Scope, why: Why, answer: Answer) -> Error {
    let why = match why {
        Why::NoCredentials => "no credentials for this host",
        Why::WrongPassword => "wrong user or password",
        Why::NotEnough => "these credentials do not suffice",
    };
    Error::Denied { place: scope.place(), host: scope.host.clone(), why, answer: Box::new(answer) }
}

async fn obtain(
    http: &Http,
    scope: &Scope,
    challenge: &Challenge,
    credentials: Option<&Credentials>,
) -> Result<Ticket> {
    match challenge {
        Challenge::Basic => {
            let header = credentials.and_then(Credentials::basic);
            let refused =
                || Answer { status: 401, code: None, message: "a user and password are asked for".into() };
            Ok(Ticket {
                header: header.ok_or_else(|| denied(scope, Why::NoCredentials, refused()))?,
                until: None,
            })
        }
        Challenge::Bearer { realm, service } => {
            token(http, scope, realm, service.as_deref(), credentials).await
        }
    }
}

/// Takes credentials to the challenge at once, without keeping anything.
pub(crate) async fn try_out(
    http: &Http,
    scope: &Scope,
    challenge: &Challenge,
    user: &str,
    password: &str,
) -> Result<Secret> {
    let password = Secret(password.to_owned());
    let credentials = Credentials::Password { user: user.to_owned(), password };
    Ok(obtain(http, scope, challenge, Some(&credentials)).await?.header)
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

async fn token(
    http: &Http,
    scope: &Scope,
    realm: &str,
    service: Option<&str>,
    credentials: Option<&Credentials>,
) -> Result<Ticket> {
    let strange = |problem: &str| Error::Protocol { what: scope.place(), problem: problem.to_owned() };
    let address = Address::parse(realm).ok_or_else(|| strange("the realm of its token is no address"))?;
    let asked = Instant::now();
    let reply = http.send(token_request(address, scope, service, credentials)).await?;
    let (status, ok) = (reply.status(), reply.is_ok());
    let place = reply.address().shown();
    let body = reply.bytes(MAX_ANSWER).await?;
    if !ok {
        let answer = answer(status, &body);
        return Err(match status {
            400 | 401 | 403 if credentials.is_some() => denied(scope, Why::WrongPassword, answer),
            400 | 401 | 403 => denied(scope, Why::NoCredentials, answer),
            _ => Error::Status { what: format!("get a token from {place}"), answer: Box::new(answer) },
        });
    }
    // The parser's own text may quote the token.
    let parsed: TokenAnswer = serde_json::from_slice(&body).map_err(|_| strange("its token is not JSON"))?;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let token = filled(parsed.token)
        .or(filled(parsed.access_token))
        .ok_or_else(|| strange("its token server gives no token"))?;
    let life = parsed.expires_in.filter(|life| *life > 0).unwrap_or(DEFAULT_LIFE_S).min(86_400);
    // A tenth is left for the way there.
    let until = asked + Duration::from_millis(life * 900);
    Ok(Ticket { header: Secret(format!("Bearer {token}")), until: Some(until) })
}

fn token_request(
    address: Address,
    scope: &Scope,
    service: Option<&str>,
    credentials: Option<&Credentials>,
) -> Request {
    if let Some(Credentials::Identity(identity)) = credentials {
        let scopes = scope.items.join(" ");
        let mut form =
            vec![("grant_type", "refresh_token"), ("client_id", "xedge"), ("refresh_token", &identity.0)];
        form.extend(service.map(|service| ("service", service)));
        form.push(("scope", &scopes));
        return Request::new(Method::POST, address)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::Bytes(Address::form(&form).into()));
    }
    let address = service.into_iter().fold(address, |address, service| address.with("service", service));
    let address = scope.items.iter().fold(address, |address, item| address.with("scope", item));
    let request = Request::new(Method::GET, address);
    match credentials.and_then(Credentials::basic) {
        Some(basic) => request.header("authorization", basic.0),
        None => request,
    }
}

/// What a refusal says: its error envelope, or the start of its text.
pub(crate) fn answer(status: u16, body: &[u8]) -> Answer {
    let (code, message) = match reference::envelope(body) {
        Some((code, message)) => (Some(code), message),
        None => (None, String::from_utf8_lossy(body).into_owned()),
    };
    let printable = |c: &char| !c.is_control();
    let message = message.chars().filter(printable).take(300).collect();
    Answer { status, code, message }
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn challenges() {
        let bearer = |realm: &str, service: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(str::to_owned),
        };
        let check = |text: &str, expected: Option<Challenge>| assert_eq!(Challenge::parse(text), expected);
        check("Basic realm=\"x\"", Some(Challenge::Basic));
        check("basic", Some(Challenge::Basic));
        check(
            "Bearer realm=\"https://a/t\",service=\"a b\",scope=\"repository:x:pull,push\"",
            Some(bearer("https://a/t", Some("a b"))),
        );
        check(
            "Bearer scope=\"x:pull,push\", realm=\"https://a/t?x=y\"",
            Some(bearer("https://a/t?x=y", None)),
        );
        check("Bearer service=x", None);
        check("Negotiate", None);
    }
}
