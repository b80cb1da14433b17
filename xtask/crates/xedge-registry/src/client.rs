//! The client: one request with who we are and with another try where that may help. It must not know what a request
//! is for.

use std::time::Duration;

use crate::auth::{self, Auth, Challenge, Scope, Why};
use crate::credentials::Secret;
use crate::error::{Answer, Error, Result};
use crate::http::{Address, Http, Reply, Request};
use crate::reference;
use crate::settings::Settings;
use crate::target::Repository;

/// The most that is read of an answer that is not a manifest or a blob.
const MAX_ANSWER: u64 = 1 << 20;

/// Talks to registries. It keeps tokens while they last; it is shared by reference.
pub struct Client {
    pub(crate) http: Http,
    pub(crate) auth: Auth,
    pub(crate) settings: Settings,
}

impl Client {
    /// A client with these settings. Only the CA files are read; no request is made.
    pub fn new(settings: Settings) -> Result<Self> {
        Ok(Self { http: Http::new(&settings)?, auth: Auth::new(&settings), settings })
    }

    /// How many requests were sent so far, those for tokens included.
    pub fn requests(&self) -> u64 {
        self.http.requests()
    }

    /// The address of `rest` in a repository.
    pub(crate) fn address(&self, repository: &Repository, rest: &str) -> Result<Address> {
        self.http.address(repository.host(), &format!("/v2/{}/{rest}", repository.path()))
    }

    /// Sends a request, again where that may help. Any status comes back but a refusal for lack of rights and one that
    /// did not pass in the end.
    pub(crate) async fn send(&self, scope: &Scope, what: &str, make: impl Fn() -> Request) -> Result<Reply> {
        let mut done = 0;
        loop {
            done += 1;
            let asked = match self.once(scope, &make).await {
                Ok(reply) if !passes(reply.status()) => return Ok(reply),
                Ok(reply) if done >= self.settings.retry.tries => return Err(refusal(reply, what).await),
                Ok(reply) => retry_after(&reply, self.settings.retry.max),
                Err(error) if !error.may_pass() || done >= error.tries(&self.settings.retry) => {
                    return Err(error);
                }
                Err(_) => None,
            };
            tokio::time::sleep(self.settings.retry.pause(done, asked)).await;
        }
    }

    /// Sends a request, and once more when it is a 401 that can be answered.
    pub(crate) async fn once(&self, scope: &Scope, make: impl Fn() -> Request) -> Result<Reply> {
        // A `Location`, a `Link` or a redirect may lead to another host: that one learns nothing about us, and its
        // challenge is not taken for the registry's. Nor is the registry's answered where the other host only sent us
        // on to it: the answer would go to that host first.
        let home = self.http.address(&scope.host, "/v2/")?;
        let request = make();
        let at_home = home.same_origin(&request.address);
        let sent = if at_home { self.auth.header(&self.http, scope).await? } else { None };
        let mut reply = self.http.send(authorized(request, sent.as_ref())).await?;
        let mut with_token = sent.as_ref().is_some_and(Secret::is_token);
        if reply.status() == 401
            && at_home
            && home.same_origin(&reply.address())
            && let Some(challenge) = Challenge::of(&reply)
        {
            let header = self.auth.answer(&self.http, scope, challenge, sent.as_ref()).await?;
            with_token = header.is_token();
            reply = self.http.send(authorized(make(), Some(&header))).await?;
        }
        if !matches!(reply.status(), 401 | 403) {
            return Ok(reply);
        }
        let why = match reply.status() {
            _ if !self.auth.knows(scope).await => Why::NoCredentials,
            401 if !with_token => Why::WrongPassword,
            _ => Why::NotEnough,
        };
        Err(auth::denied(scope, why, answer_of(reply).await))
    }
}

fn authorized(request: Request, header: Option<&Secret>) -> Request {
    match header {
        Some(header) => request.header("authorization", header.0.clone()),
        None => request,
    }
}

fn passes(status: u16) -> bool {
    Answer { status, code: None, message: String::new() }.may_pass()
}

/// How long the registry asks to wait. A date counts as the longest pause: no clock is read here.
pub(crate) fn retry_after(reply: &Reply, max: Duration) -> Option<Duration> {
    let text = reply.header("retry-after")?;
    Some(text.trim().parse().map_or(max, Duration::from_secs))
}

/// What the registry says in an answer that is a refusal.
pub(crate) async fn answer_of(reply: Reply) -> Answer {
    let status = reply.status();
    // The body only adds words: where it cannot be read, the status still says it.
    let body = reply.bytes(MAX_ANSWER).await.unwrap_or_default();
    auth::answer(status, &body)
}

/// The error for an answer that `what` (the step, with all names) cannot go on from.
pub(crate) async fn refusal(reply: Reply, what: &str) -> Error {
    Error::Status { what: what.to_owned(), answer: Box::new(answer_of(reply).await) }
}

/// For a 404: nothing where it really says that, else an error. A refusal must never pass for "not there".
pub(crate) async fn absent(reply: Reply, scope: &Scope, what: &str) -> Result<()> {
    absent_if(reply, scope, what, reference::says_absent).await
}

/// Like [`absent`], where `says` tells from the code of the error envelope whether it says that.
pub(crate) async fn absent_if(
    reply: Reply,
    scope: &Scope,
    what: &str,
    says: fn(Option<&str>) -> bool,
) -> Result<()> {
    let answer = answer_of(reply).await;
    match answer.code.as_deref() {
        code if says(code) => Ok(()),
        Some(code) if reference::says_denied(code) => Err(auth::denied(scope, Why::NotEnough, answer)),
        _ => Err(Error::Status { what: what.to_owned(), answer: Box::new(answer) }),
    }
}
