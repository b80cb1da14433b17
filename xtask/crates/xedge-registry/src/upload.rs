//! One blob on its way up: mount or session, one streamed PUT, and going on where a cut one stood. It must not hold a
//! blob in memory, and must not leave a session behind that it gave up.

use std::time::Duration;

use crate::auth::Scope;
use crate::client::{Client, refusal, retry_after};
use crate::error::{Error, Result};
use crate::feed::{Fault, Feed};
use crate::http::{Address, Method, Reply, Request};
use crate::plan::Blob;
use crate::read::strange;
use crate::source::Event;
use crate::target::Repository;

/// How a blob came to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// From another repository of the registry.
    Mounted,
    /// From here.
    Uploaded,
}

/// An upload session and how many bytes it has.
struct Session {
    location: Address,
    at: u64,
}

/// What the POST for a session gave.
enum Opened {
    Mounted,
    Session(Session),
}

/// Why a try did not get through, and what may help.
enum Setback {
    /// Nothing.
    Final(Error),
    /// To go on with the session, after a pause.
    Resume(Error, Option<Duration>),
    /// A new session.
    Restart(Error),
}

/// One blob and everything that its upload needs.
pub(crate) struct Upload<'a> {
    pub(crate) client: &'a Client,
    pub(crate) scope: &'a Scope,
    pub(crate) repository: &'a Repository,
    pub(crate) blob: &'a Blob,
    pub(crate) feed: &'a Feed,
}

impl Upload<'_> {
    /// Brings the blob up, from `mount` if that works.
    pub(crate) async fn run(&self, mount: Option<&Repository>) -> Result<Arrived> {
        let digest = &self.blob.digest;
        let mut session = match self.open(mount).await? {
            Opened::Mounted => {
                self.feed.progress.event(Event::Mounted(digest.clone()));
                return Ok(Arrived::Mounted);
            }
            Opened::Session(session) => session,
        };
        let mut done = 0;
        loop {
            done += 1;
            let setback = match self.attempt(&mut session).await {
                Ok(()) => break,
                Err(setback) => setback,
            };
            let retry = &self.client.settings.retry;
            let (asked, resumes) = match setback {
                Setback::Resume(error, asked) if done < error.tries(retry) => (asked, true),
                Setback::Restart(_) if done < retry.tries => (None, false),
                Setback::Final(error) | Setback::Resume(error, _) | Setback::Restart(error) => {
                    return Err(self.give_up(&session, error).await);
                }
            };
            tokio::time::sleep(retry.pause(done, asked)).await;
            match self.recover(session, resumes).await? {
                Some(next) => session = next,
                None => break,
            }
        }
        self.feed.progress.event(Event::Done(digest.clone()));
        Ok(Arrived::Uploaded)
    }

    async fn open(&self, mount: Option<&Repository>) -> Result<Opened> {
        if let Some(from) = mount
            && let Some(opened) = self.try_mount(from).await?
        {
            return Ok(opened);
        }
        let address = self.client.address(self.repository, "blobs/uploads/")?;
        let step = self.step("start the upload of");
        let make = || Request::new(Method::POST, address.clone());
        let reply = self.client.send(self.scope, &step, make).await?;
        if reply.is_ok() {
            self.session_of(&reply).map(Opened::Session)
        } else {
            Err(refusal(reply, &step).await)
        }
    }

    /// A refused mount is no error: the blob is uploaded then.
    async fn try_mount(&self, from: &Repository) -> Result<Option<Opened>> {
        let address = self.client.address(self.repository, "blobs/uploads/")?;
        let address = address.with("mount", self.blob.digest.as_str()).with("from", from.path());
        let scope = self.scope.clone().and_pull(from);
        let make = || Request::new(Method::POST, address.clone());
        match self.client.send(&scope, &self.step("mount"), make).await {
            Ok(reply) if reply.status() == 201 => Ok(Some(Opened::Mounted)),
            // A session was opened instead, and it is used.
            Ok(reply) if reply.status() == 202 => self.session_of(&reply).map(|s| Some(Opened::Session(s))),
            Ok(_) | Err(Error::Denied { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn session_of(&self, reply: &Reply) -> Result<Session> {
        let location = reply.location();
        let location =
            location.ok_or_else(|| strange(&self.what(), "an upload was opened without a `Location`"))?;
        Ok(Session { location, at: 0 })
    }

    async fn attempt(&self, session: &mut Session) -> std::result::Result<(), Setback> {
        if session.at == 0 {
            self.feed.progress.event(Event::Started(self.blob.digest.clone()));
            return self.put(session, true).await;
        }
        self.feed.progress.event(Event::Resumed(self.blob.digest.clone(), session.at));
        if session.at < self.blob.size {
            self.patch(session).await?;
        }
        self.put(session, false).await
    }

    /// The PUT that ends a session, with the whole blob in it or with nothing more.
    async fn put(&self, session: &Session, whole: bool) -> std::result::Result<(), Setback> {
        let address = session.location.clone().with("digest", self.blob.digest.as_str());
        let fault = Fault::default();
        let make = || {
            let request =
                Request::new(Method::PUT, address.clone()).header("content-type", "application/octet-stream");
            if whole { request.body(self.feed.body(self.blob, 0, &fault)) } else { request }
        };
        let reply = self.sent(&fault, make).await?;
        match reply.header("docker-content-digest").and_then(|text| text.parse().ok()) {
            Some(found) if found != self.blob.digest => {
                let (what, expected) = (self.what(), self.blob.digest.clone());
                Err(Setback::Final(Error::WrongDigest { what, expected, found }))
            }
            _ => Ok(()),
        }
    }

    /// All that the session does not have yet, as one further chunk.
    async fn patch(&self, session: &mut Session) -> std::result::Result<(), Setback> {
        let (address, from, fault) = (session.location.clone(), session.at, Fault::default());
        let range = format!("{from}-{}", self.blob.size - 1);
        let make = || {
            Request::new(Method::PATCH, address.clone())
                .header("content-type", "application/octet-stream")
                .header("content-range", range.clone())
                .body(self.feed.body(self.blob, from, &fault))
        };
        let reply = self.sent(&fault, make).await?;
        let next = self.session_of(&reply).map_err(Setback::Final)?;
        *session = Session { at: self.blob.size, ..next };
        Ok(())
    }

    /// Sends bytes of the blob and sorts what may come of it.
    async fn sent(&self, fault: &Fault, make: impl Fn() -> Request) -> std::result::Result<Reply, Setback> {
        let outcome = self.client.once(self.scope, make).await;
        if let Some(error) = fault.take() {
            return Err(Setback::Final(error));
        }
        let reply = match outcome {
            Ok(reply) if reply.is_ok() => return Ok(reply),
            Ok(reply) => reply,
            Err(error) if error.may_pass() => return Err(Setback::Resume(error, None)),
            Err(error) => return Err(Setback::Final(error)),
        };
        let asked = retry_after(&reply, self.client.settings.retry.max);
        let error = refusal(reply, &self.step("upload")).await;
        let Error::Status { answer, .. } = &error else { return Err(Setback::Final(error)) };
        let forgotten = answer.status == 404 || answer.code.as_deref() == Some("BLOB_UPLOAD_UNKNOWN");
        Err(match answer.status {
            _ if forgotten => Setback::Restart(error),
            416 => Setback::Resume(error, asked),
            _ if answer.may_pass() => Setback::Resume(error, asked),
            _ => Setback::Final(error),
        })
    }

    /// Where to go on after a setback: `None` where the registry has the blob after all.
    async fn recover(&self, session: Session, resumes: bool) -> Result<Option<Session>> {
        if self.client.head_blob(self.scope, self.repository, &self.blob.digest).await? {
            return Ok(None);
        }
        if resumes && let Some(stands) = self.ask(&session).await {
            return Ok(Some(stands));
        }
        self.delete(&session).await;
        match self.open(None).await? {
            Opened::Session(session) => Ok(Some(session)),
            Opened::Mounted => Ok(None),
        }
    }

    /// Asks a session where it stands; `None` where it cannot be gone on with.
    async fn ask(&self, session: &Session) -> Option<Session> {
        let make = || Request::new(Method::GET, session.location.clone());
        let reply = self.client.send(self.scope, &self.step("resume"), make).await.ok()?;
        if !reply.is_ok() {
            return None;
        }
        let range = reply.header("range")?;
        let (_, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
        // `0-0` is said for nothing at all as well as for one byte.
        let at = last.trim().parse::<u64>().ok().filter(|last| *last > 0)?.checked_add(1)?;
        let location = reply.location().unwrap_or_else(|| session.location.clone());
        (at <= self.blob.size).then_some(Session { location, at })
    }

    async fn give_up(&self, session: &Session, error: Error) -> Error {
        self.delete(session).await;
        error
    }

    async fn delete(&self, session: &Session) {
        let make = || Request::new(Method::DELETE, session.location.clone());
        // A courtesy: a registry drops old sessions by itself.
        let _ = self.client.once(self.scope, make).await;
    }

    fn what(&self) -> String {
        self.repository.by_digest(&self.blob.digest)
    }

    fn step(&self, verb: &str) -> String {
        format!("{verb} {}", self.what())
    }
}
