//! Blobs into files that are whole or absent, going on where an earlier try or an earlier process stopped. Nothing gets its
//! name before it has its digest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use xedge_model::Hasher;

use crate::auth::Scope;
use crate::client::{Client, absent, refusal};
use crate::error::{Error, Result};
use crate::http::{Method, Reply, Request};
use crate::plan::Blob;
use crate::source::{Event, Progress};
use crate::target::Repository;

impl Client {
    /// Reads a blob into a file. What was read before a connection was cut is kept beside it as `NAME.part`, and is
    /// hashed again before it counts; two processes do not write it at once.
    pub async fn download(
        &self,
        repository: &Repository,
        blob: &Blob,
        path: &Utf8Path,
        progress: &dyn Progress,
    ) -> Result<()> {
        let Some(mut part) = Part::open(blob, path).await? else { return Ok(()) };
        let mut was_resumed = part.have > 0;
        progress.event(Event::Resumed(blob.digest.clone(), part.have));
        let mut done = 0;
        loop {
            done += 1;
            let before = part.have;
            match self.read_on(repository, blob, &mut part, progress).await {
                Ok(()) => {}
                Err(error) if self.goes_on(&error, done).await => {
                    // A slow line that moves is not given up.
                    done = if part.have > before { 0 } else { done };
                    continue;
                }
                Err(error) => return Err(error),
            }
            let found = std::mem::take(&mut part.hasher).finish();
            if found == blob.digest {
                return part.finish(path).await;
            }
            if !was_resumed {
                part.discard().await?;
                let (what, expected) = (repository.by_digest(&blob.digest), blob.digest.clone());
                return Err(Error::WrongDigest { what, expected, found });
            }
            // The part of an earlier process may have been damaged: all of it once more.
            part.restart().await?;
            was_resumed = false;
            progress.event(Event::Started(blob.digest.clone()));
        }
    }

    async fn read_on(
        &self,
        repository: &Repository,
        blob: &Blob,
        part: &mut Part,
        progress: &dyn Progress,
    ) -> Result<()> {
        if part.have == blob.size {
            return Ok(());
        }
        let mut reply = self.ask_from(repository, blob, part.have).await?;
        if !continues_at(&reply, part.have) {
            part.restart().await?;
            progress.event(Event::Started(blob.digest.clone()));
        }
        if reply.status() == 416 {
            reply = self.ask_from(repository, blob, 0).await?;
        }
        while let Some(piece) = reply.chunk().await? {
            if part.have + piece.len() as u64 > blob.size {
                part.discard().await?;
                let what = repository.by_digest(&blob.digest);
                return Err(Error::TooLarge { what, limit: blob.size });
            }
            part.push(&piece).await?;
            progress.event(Event::Moved(blob.digest.clone(), piece.len() as u64));
        }
        Ok(())
    }

    async fn ask_from(&self, repository: &Repository, blob: &Blob, from: u64) -> Result<Reply> {
        let (what, scope) = (repository.by_digest(&blob.digest), Scope::pull(repository));
        let step = format!("read {what}");
        let address = self.address(repository, &format!("blobs/{}", blob.digest))?;
        let make = || {
            let request = Request::new(Method::GET, address.clone());
            if from == 0 { request } else { request.header("range", format!("bytes={from}-")) }
        };
        let reply = self.send(&scope, &step, make).await?;
        match reply.status() {
            200 | 206 => Ok(reply),
            416 if from > 0 => Ok(reply),
            404 => {
                absent(reply, &scope, &step).await?;
                Err(Error::NotFound { what })
            }
            _ => Err(refusal(reply, &step).await),
        }
    }
}

/// Whether an answer starts where it was asked to; a registry may always send all.
fn continues_at(reply: &Reply, from: u64) -> bool {
    let start = || reply.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok();
    match reply.status() {
        206 => start() == Some(from),
        _ => from == 0,
    }
}

/// A blob that is on its way.
struct Part {
    path: Utf8PathBuf,
    file: tokio::fs::File,
    hasher: Hasher,
    have: u64,
}

impl Part {
    /// Opens the unfinished file once no other process writes it; nothing where the whole is there by then.
    async fn open(blob: &Blob, whole: &Utf8Path) -> Result<Option<Self>> {
        let path = Utf8PathBuf::from(format!("{whole}.part"));
        let (size, whole, at) = (blob.size, whole.to_owned(), path.clone());
        let opened = tokio::task::spawn_blocking(move || open(&at, &whole, size)).await;
        let opened = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let Some((file, hasher, have)) = opened.map_err(|source| failed(&path, source))? else {
            return Ok(None);
        };
        Ok(Some(Self { path, file: tokio::fs::File::from_std(file), hasher, have }))
    }

    async fn push(&mut self, piece: &[u8]) -> Result<()> {
        self.file.write_all(piece).await.map_err(|source| failed(&self.path, source))?;
        self.hasher.update(piece);
        self.have += piece.len() as u64;
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        let failed = |source| failed(&self.path, source);
        self.file.set_len(0).await.map_err(failed)?;
        self.file.seek(SeekFrom::Start(0)).await.map_err(failed)?;
        (self.hasher, self.have) = (Hasher::new(), 0);
        Ok(())
    }

    async fn discard(&mut self) -> Result<()> {
        self.restart().await?;
        tokio::fs::remove_file(&self.path).await.map_err(|source| failed(&self.path, source))
    }

    async fn finish(mut self, path: &Utf8Path) -> Result<()> {
        let failed = |source| failed(&self.path, source);
        // Only flushing reports an error of the last write.
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        tokio::fs::rename(&self.path, path).await.map_err(failed)
    }
}

fn open(path: &Utf8Path, whole: &Utf8Path, size: u64) -> io::Result<Option<(File, Hasher, u64)>> {
    fs::create_dir_all(path.parent().unwrap_or(Utf8Path::new(".")))?;
    let mut file = loop {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        file.lock()?;
        if fs::metadata(whole).is_ok_and(|there| there.len() == size) {
            // It may be a new file, or the whole under its old name: others who wait for it see that it is gone.
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(None),
            };
        }
        // Whoever had the lock may have moved the file away.
        if fs::metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|own| own.ino() == there.ino())) {
            break file;
        }
    };
    let (mut hasher, mut have, mut buffer) = (Hasher::new(), 0, vec![0; 256 << 10]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        have += read as u64;
    }
    if have > size {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        (hasher, have) = (Hasher::new(), 0);
    }
    Ok(Some((file, hasher, have)))
}

fn failed(path: &Utf8Path, source: io::Error) -> Error {
    Error::Write { what: path.to_string(), source }
}
