//! Reading: manifests, tags and blobs. Nothing is handed on under a digest that it does not have, and a refusal never
//! passes for "not there".

use camino::Utf8Path;
use serde::Deserialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use xedge_model::{Digest, Hasher};

use crate::auth::Scope;
use crate::client::{Client, absent, absent_if, refusal};
use crate::error::{Error, Result};
use crate::http::{Method, Reply, Request};
use crate::reference::{self, says_name_unknown};
use crate::target::Repository;

/// The specification asks registries for 4 MiB at least; nothing here comes near that.
const MAX_MANIFEST: u64 = 8 << 20;
const MAX_TAGS: u64 = 8 << 20;
const MAX_PAGES: usize = 10_000;

/// A manifest that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// The `Content-Type` it was served with.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

/// A list that comes page by page.
pub(crate) struct List<'a> {
    /// Its address in the repository.
    pub(crate) rest: &'a str,
    /// The step, with all names.
    pub(crate) what: &'a str,
    /// The most that a page may have.
    pub(crate) limit: u64,
    /// Whether a 404 with this code, or with none, says that the list is not there.
    pub(crate) absent: fn(Option<&str>) -> bool,
}

impl Client {
    /// The manifest under a tag or digest. Its bytes are hashed; under a digest they must have it.
    pub async fn manifest(&self, repository: &Repository, reference: &str) -> Result<Fetched> {
        let found = self.manifest_in(&Scope::pull(repository), repository, reference).await?;
        found.ok_or_else(|| Error::NotFound { what: repository.at(reference) })
    }

    /// The digest that a tag names, or a digest itself where it is there; `None` only where the registry says that it
    /// is not.
    pub async fn head_manifest(&self, repository: &Repository, reference: &str) -> Result<Option<Digest>> {
        self.head_in(&Scope::pull(repository), repository, reference).await
    }

    /// All tags of a repository; none where the registry says that it does not know it. A 404 that does not say so is
    /// an error: "no tags" would have versions counted from the start.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut all = Vec::new();
        let what = format!("list the tags of {repository}");
        let list = List { rest: "tags/list", what: &what, limit: MAX_TAGS, absent: says_name_unknown };
        let pages = self.pages(&Scope::pull(repository), repository, &list).await?;
        for page in pages.unwrap_or_default() {
            let page: Page = serde_json::from_slice(&page).map_err(|e| not_json(&what, &e))?;
            all.extend(page.tags.unwrap_or_default());
        }
        Ok(all)
    }

    /// Reads a blob of at most `limit` bytes into `sink`. What was written counts only when this returns `Ok`: the
    /// digest is known at the end. Returns the size.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Result<u64> {
        let reply = self.ask_blob(repository, digest).await?;
        copy(reply, &repository.by_digest(digest), digest, limit, sink).await
    }

    /// Reads a blob into a file that is whole or absent. A cut connection is tried again.
    pub async fn blob_to_file(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
        path: &Utf8Path,
    ) -> Result<u64> {
        let mut done = 0;
        loop {
            done += 1;
            let reply = self.ask_blob(repository, digest).await?;
            match save(reply, &repository.by_digest(digest), digest, limit, path).await {
                Err(error) if self.goes_on(&error, done).await => {}
                result => return result,
            }
        }
    }

    async fn ask_blob(&self, repository: &Repository, digest: &Digest) -> Result<Reply> {
        let (what, scope) = (repository.by_digest(digest), Scope::pull(repository));
        let step = format!("read {what}");
        let address = self.address(repository, &format!("blobs/{digest}"))?;
        let reply = self.send(&scope, &step, || Request::new(Method::GET, address.clone())).await?;
        match reply.status() {
            200 => Ok(reply),
            404 => {
                absent(reply, &scope, &step).await?;
                Err(Error::NotFound { what })
            }
            _ => Err(refusal(reply, &step).await),
        }
    }

    /// Whether to read once more after a body was cut; if so, the pause is over when this returns.
    pub(crate) async fn goes_on(&self, error: &Error, done: u32) -> bool {
        let again = error.may_pass() && done < error.tries(&self.settings.retry);
        if again {
            tokio::time::sleep(self.settings.retry.pause(done, None)).await;
        }
        again
    }

    /// Like [`Client::manifest`], `None` where it is not there.
    pub(crate) async fn manifest_in(
        &self,
        scope: &Scope,
        repository: &Repository,
        reference: &str,
    ) -> Result<Option<Fetched>> {
        let step = format!("read {}", repository.at(reference));
        let mut done = 0;
        loop {
            done += 1;
            let reply = self.ask_manifest(scope, repository, reference, Method::GET).await?;
            match reply.status() {
                200 => {}
                404 => return absent(reply, scope, &step).await.map(|()| None),
                _ => return Err(refusal(reply, &step).await),
            }
            match fetched(reply, repository, reference).await {
                Err(error) if self.goes_on(&error, done).await => {}
                result => return result.map(Some),
            }
        }
    }

    /// Like [`Client::head_manifest`] in another scope.
    pub(crate) async fn head_in(
        &self,
        scope: &Scope,
        repository: &Repository,
        reference: &str,
    ) -> Result<Option<Digest>> {
        let step = format!("look for {}", repository.at(reference));
        let reply = self.ask_manifest(scope, repository, reference, Method::HEAD).await?;
        match reply.status() {
            200 => match claimed(&reply) {
                Some(digest) => Ok(Some(digest)),
                // Some registries leave the header out: then only the bytes tell.
                None => Ok(self.manifest_in(scope, repository, reference).await?.map(|found| found.digest)),
            },
            404 => absent(reply, scope, &step).await.map(|()| None),
            _ => Err(refusal(reply, &step).await),
        }
    }

    /// Whether a blob is there.
    pub(crate) async fn head_blob(
        &self,
        scope: &Scope,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool> {
        let step = format!("look for {}", repository.by_digest(digest));
        let address = self.address(repository, &format!("blobs/{digest}"))?;
        let reply = self.send(scope, &step, || Request::new(Method::HEAD, address.clone())).await?;
        match reply.status() {
            200 => Ok(true),
            404 => absent(reply, scope, &step).await.map(|()| false),
            _ => Err(refusal(reply, &step).await),
        }
    }

    /// Every page of a list, following `Link`; `None` where the registry says that the list is not there.
    pub(crate) async fn pages(
        &self,
        scope: &Scope,
        repository: &Repository,
        list: &List<'_>,
    ) -> Result<Option<Vec<Vec<u8>>>> {
        let what = list.what;
        let mut pages = Vec::new();
        let mut next = Some(self.address(repository, list.rest)?);
        while let Some(address) = next {
            if pages.len() >= MAX_PAGES {
                return Err(strange(what, "the list has no end"));
            }
            let reply = self.send(scope, what, || Request::new(Method::GET, address.clone())).await?;
            match reply.status() {
                200 => {}
                404 if pages.is_empty() => {
                    return absent_if(reply, scope, what, list.absent).await.map(|()| None);
                }
                _ => return Err(refusal(reply, what).await),
            }
            next = next_page(&reply).filter(|next| *next != address);
            pages.push(reply.bytes(list.limit).await?);
        }
        Ok(Some(pages))
    }

    async fn ask_manifest(
        &self,
        scope: &Scope,
        repository: &Repository,
        reference: &str,
        method: Method,
    ) -> Result<Reply> {
        let address = self.address(repository, &format!("manifests/{reference}"))?;
        let step = format!("read {}", repository.at(reference));
        let make = || Request::new(method.clone(), address.clone()).header("accept", reference::accepted());
        self.send(scope, &step, make).await
    }
}

async fn fetched(reply: Reply, repository: &Repository, reference: &str) -> Result<Fetched> {
    let media_type = reply.header("content-type").unwrap_or_default().to_owned();
    let claimed = claimed(&reply);
    let bytes = reply.bytes(MAX_MANIFEST).await?;
    let digest = Digest::of(&bytes);
    let expected = reference.parse().ok().or(claimed);
    match expected.filter(|expected| *expected != digest) {
        Some(expected) => Err(Error::WrongDigest { what: repository.at(reference), expected, found: digest }),
        None => Ok(Fetched { bytes, media_type, digest }),
    }
}

/// The digest that the registry says its answer has.
fn claimed(reply: &Reply) -> Option<Digest> {
    reply.header("docker-content-digest").and_then(|text| text.parse().ok())
}

fn next_page(reply: &Reply) -> Option<crate::http::Address> {
    let is_next = |part: &&str| part.contains("rel=\"next\"") || part.contains("rel=next");
    let header = reply.header("link")?;
    let part = header.split(',').find(is_next)?;
    let reference = part.trim().strip_prefix('<')?.split('>').next()?;
    reply.address().join(reference)
}

async fn save(reply: Reply, what: &str, digest: &Digest, limit: u64, path: &Utf8Path) -> Result<u64> {
    let failed = |source| Error::Write { what: path.to_string(), source };
    let folder = path.parent().filter(|p| !p.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    let beside = tempfile::Builder::new().prefix(".pull-").tempfile_in(folder).map_err(failed)?;
    let mut file = tokio::fs::File::from_std(beside.reopen().map_err(failed)?);
    let size = copy(reply, what, digest, limit, &mut file).await?;
    file.sync_all().await.map_err(failed)?;
    beside.persist(path).map_err(|error| failed(error.error))?;
    Ok(size)
}

async fn copy(
    mut reply: Reply,
    what: &str,
    digest: &Digest,
    limit: u64,
    sink: &mut (impl AsyncWrite + Unpin),
) -> Result<u64> {
    let failed = |source| Error::Write { what: what.to_owned(), source };
    let (mut hasher, mut size) = (Hasher::new(), 0);
    while let Some(piece) = reply.chunk().await? {
        size += piece.len() as u64;
        if size > limit {
            return Err(Error::TooLarge { what: what.to_owned(), limit });
        }
        hasher.update(&piece);
        sink.write_all(&piece).await.map_err(failed)?;
    }
    // Only flushing reports an error of the last write.
    sink.flush().await.map_err(failed)?;
    let found = hasher.finish();
    if found != *digest {
        return Err(Error::WrongDigest { what: what.to_owned(), expected: digest.clone(), found });
    }
    Ok(size)
}

pub(crate) fn strange(what: &str, problem: &str) -> Error {
    Error::Protocol { what: what.to_owned(), problem: problem.to_owned() }
}

pub(crate) fn not_json(what: &str, error: &serde_json::Error) -> Error {
    strange(what, &format!("not the JSON that is expected, {error}"))
}
