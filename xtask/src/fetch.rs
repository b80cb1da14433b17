//! The only network code of the build: files over HTTP into the content-addressed store, by digest.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs::File;
use std::io::Seek;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use reqwest::{Certificate, Client, NoProxy, Proxy};
use tokio::io::AsyncWriteExt;
use xedge_model::{Digest, Hasher};

use crate::error::{Error, Result, read_bytes};
use crate::reach::{Reach, Set};

/// Pauses between tries, in milliseconds.
const PAUSES_MS: [u64; 2] = [500, 1_500];
const AT_ONCE: usize = 8;

/// A file that is wanted: where it is and what it must be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Address.
    pub(crate) url: String,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Digest of the content.
    pub(crate) digest: Digest,
}

/// Fetched files by digest, `target/xedge/store/sha256/HEX`.
#[derive(Clone, Debug)]
pub(crate) struct Store(Utf8PathBuf);

impl Store {
    /// The store in `folder`.
    pub(crate) fn new(folder: &Utf8Path) -> Self {
        Self(folder.join("sha256"))
    }

    /// The folder with the content, each file named by its digest's digits.
    pub(crate) fn folder(&self) -> &Utf8Path {
        &self.0
    }

    /// Where the content with this digest is, or would be.
    pub(crate) fn path(&self, digest: &Digest) -> Utf8PathBuf {
        self.0.join(digest.hex())
    }

    /// Whether content with this size is there under this digest; what is read of it is hashed again ([`Store::open`]).
    pub(crate) fn has(&self, wanted: &Wanted) -> bool {
        self.path(&wanted.digest).metadata().is_ok_and(|meta| meta.len() == wanted.size)
    }

    /// The content with this digest, hashed before the first byte of it is believed: a store outlives many runs, and
    /// may have been restored from a cache. Damaged content is removed, so that it is fetched again.
    pub(crate) fn open(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        let failed = |source| Error::Read { path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        let found = Digest::of_reader(&mut file).map_err(failed)?;
        if found != *digest {
            self.forget(digest);
            return Err(Error::Damaged { path, found, expected: digest.clone() }.into());
        }
        file.rewind().map_err(failed)?;
        Ok(file)
    }

    /// Removes content that turned out to be damaged, so that it is fetched again.
    fn forget(&self, digest: &Digest) {
        // Already gone is as good.
        let _ = std::fs::remove_file(self.path(digest));
    }
}

/// What became of a fetch: all is there, or these addresses are gone from the mirror.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// Everything is in the store.
    All,
    /// The mirror answered 404 for these.
    Gone(Vec<Digest>),
}

/// An HTTP client that goes through this user's proxy, the environment's or that of `config.yaml`, and trusts the
/// private authority that they named beside those of the system.
pub(crate) fn client(reach: &Reach) -> Result<Client> {
    let failed = |source: reqwest::Error| Error::Fetch { url: "any address".into(), source: source.into() };
    let agent = concat!("xedge/", env!("CARGO_PKG_VERSION"));
    let mut builder = Client::builder()
        .user_agent(agent)
        .connect_timeout(Duration::from_secs(15))
        .read_timeout(Duration::from_secs(30));
    if let Some(set) = &reach.ca {
        builder = builder.tls_certs_merge(authorities(set)?);
    }
    if let Some(set) = &reach.proxy {
        let except = NoProxy::from_string(&set.value.except.join(","));
        let proxy = Proxy::all(&set.value.url).map_err(failed)?;
        builder = builder.proxy(proxy.no_proxy(except));
    }
    Ok(builder.build().map_err(failed)?)
}

fn authorities(set: &Set<Utf8PathBuf>) -> Result<Vec<Certificate>> {
    let path = set.value.clone();
    let found = Certificate::from_pem_bundle(&read_bytes(&path)?).unwrap_or_default();
    if found.is_empty() {
        let reason = format!("there is no certificate in PEM in it, and {} names it", set.from);
        return Err(Error::BadFile { path, reason }.into());
    }
    Ok(found)
}

/// Reads a small file whose digest is not known (a signed index).
pub(crate) async fn small(client: &Client, url: &str) -> Result<Vec<u8>> {
    Ok(patiently(async || try_small(client, url).await).await?)
}

/// Tries again after what may pass: a broken connection, a busy server.
async fn patiently<T>(
    attempt: impl AsyncFn() -> std::result::Result<T, Error>,
) -> std::result::Result<T, Error> {
    let passes = |error: &Error| match error {
        Error::Fetch { .. } => true,
        Error::FetchStatus { status, .. } => *status >= 500,
        _ => false,
    };
    for pause_ms in PAUSES_MS {
        match attempt().await {
            Err(error) if passes(&error) => tokio::time::sleep(Duration::from_millis(pause_ms)).await,
            result => return result,
        }
    }
    attempt().await
}

/// An error on the way, told apart by whether the other end's certificate is what is wrong.
fn cut(url: &str, source: reqwest::Error) -> Error {
    let (url, source) = (shown(url), source.without_url());
    let causes = std::iter::successors(source.source(), |&cause| cause.source());
    // The TLS library's own type is behind three others, so its words are what tells.
    let certificate =
        causes.into_iter().any(|cause| cause.to_string().starts_with("invalid peer certificate"));
    let source = source.into();
    if certificate { Error::Certificate { url, source } } else { Error::Fetch { url, source } }
}

async fn try_small(client: &Client, url: &str) -> std::result::Result<Vec<u8>, Error> {
    let failed = |source: reqwest::Error| cut(url, source);
    let response = client.get(url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(Error::FetchStatus { url: shown(url), status: response.status().as_u16() });
    }
    Ok(response.bytes().await.map_err(failed)?.to_vec())
}

/// Brings everything that is missing into the store, several at once.
pub(crate) async fn all(
    client: &Client,
    store: &Store,
    wanted: &[Wanted],
    bar: &ProgressBar,
) -> Result<Fetched> {
    let missing: BTreeMap<&Digest, &Wanted> =
        wanted.iter().filter(|w| !store.has(w)).map(|w| (&w.digest, w)).collect();
    let fetches = missing.into_values().map(|wanted| one(client, store, wanted, bar));
    let gone: Vec<Option<Digest>> = stream::iter(fetches).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut gone: Vec<Digest> = gone.into_iter().flatten().collect();
    gone.sort();
    Ok(if gone.is_empty() { Fetched::All } else { Fetched::Gone(gone) })
}

/// How many bytes [`all`] would move.
pub(crate) fn missing_bytes(store: &Store, wanted: &[Wanted]) -> u64 {
    wanted.iter().filter(|w| !store.has(w)).map(|w| w.size).sum()
}

async fn one(client: &Client, store: &Store, wanted: &Wanted, bar: &ProgressBar) -> Result<Option<Digest>> {
    match patiently(async || try_one(client, store, wanted, bar).await).await {
        Ok(()) => Ok(None),
        Err(Error::FetchStatus { status: 404 | 410, .. }) => Ok(Some(wanted.digest.clone())),
        Err(error) => Err(error.into()),
    }
}

async fn try_one(
    client: &Client,
    store: &Store,
    wanted: &Wanted,
    bar: &ProgressBar,
) -> std::result::Result<(), Error> {
    let url = &wanted.url;
    let failed = |source: reqwest::Error| cut(url, source);
    let response = client.get(url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(Error::FetchStatus { url: shown(url), status: response.status().as_u16() });
    }
    let target = store.path(&wanted.digest);
    let on_disk = |source: std::io::Error| Error::Write { path: target.clone(), source };
    let folder = target.parent().unwrap_or(Utf8Path::new("."));
    tokio::fs::create_dir_all(folder).await.map_err(on_disk)?;
    let beside = tempfile::Builder::new().prefix(".fetch-").tempfile_in(folder).map_err(on_disk)?;
    let mut file = tokio::fs::File::from_std(beside.reopen().map_err(on_disk)?);
    let (mut hasher, mut length) = (Hasher::new(), 0_u64);
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(failed)?;
        hasher.update(&chunk);
        length += chunk.len() as u64;
        if length > wanted.size {
            break;
        }
        bar.inc(chunk.len() as u64);
        file.write_all(&chunk).await.map_err(on_disk)?;
    }
    if length < wanted.size {
        let cut = format!("it ended after {length} of {} bytes", wanted.size);
        return Err(Error::Fetch { url: shown(url), source: cut.into() });
    }
    let found = hasher.finish();
    if found != wanted.digest {
        return Err(Error::FetchDigest { url: shown(url), found, expected: wanted.digest.clone() });
    }
    // Only flushing reports an error of the last write.
    file.flush().await.map_err(on_disk)?;
    file.sync_all().await.map_err(on_disk)?;
    beside.persist(&target).map_err(|error| on_disk(error.error))?;
    Ok(())
}

/// An address without the name and password that it may carry.
pub(crate) fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_mirrors_password_is_not_shown() {
        assert_eq!(shown("http://me:s3cret@host:80/debian/x@1.deb"), "http://host:80/debian/x@1.deb");
        assert_eq!(shown("http://host/debian"), "http://host/debian");
    }
}
