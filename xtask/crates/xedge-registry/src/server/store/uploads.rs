//! Uploads that are under way. They belong to the process that began them, and no file of theirs is a blob before
//! its digest was compared.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use xedge_model::{Digest, Hasher};

use super::Store;
use crate::server::name::Name;

/// The uploads of a store by their ids.
#[derive(Default)]
pub(super) struct Uploads(Mutex<BTreeMap<String, Slot>>);

/// An upload that requests take turns at; empty once it is finished or given up.
pub(in crate::server) type Slot = Arc<tokio::sync::Mutex<Option<Upload>>>;

/// The bytes of a blob that have come so far.
pub(in crate::server) struct Upload {
    name: Name,
    file: File,
    path: TempPath,
    hasher: Hasher,
    size: u64,
}

impl Upload {
    /// How many bytes have come.
    pub(in crate::server) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it was begun in this repository.
    pub(in crate::server) fn is_of(&self, name: &Name) -> bool {
        self.name == *name
    }

    /// Adds bytes. After an error the upload must be given up: how much was written is not known.
    pub(in crate::server) async fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Hands what came to the system, so that an error shows now and not with the next bytes.
    pub(in crate::server) async fn flush(&mut self) -> io::Result<()> {
        self.file.flush().await
    }

    /// The synced file and the digest of its bytes.
    pub(in crate::server) async fn finish(mut self) -> io::Result<(TempPath, Digest)> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok((self.path, self.hasher.finish()))
    }
}

impl Store {
    /// Begins an upload without giving it an id.
    pub(in crate::server) fn begin(&self, name: &Name) -> io::Result<Upload> {
        let (file, path) = self.stage()?.into_parts();
        Ok(Upload { name: name.clone(), file: File::from_std(file), path, hasher: Hasher::new(), size: 0 })
    }

    /// Keeps an upload for later requests; its id is the random name of its file.
    pub(in crate::server) fn keep(&self, upload: Upload) -> String {
        let id = upload.path.file_name().map(|name| name.to_string_lossy().replace('.', ""));
        let id = id.expect("a staged file has a name");
        self.uploads(|uploads| uploads.insert(id.clone(), Arc::new(tokio::sync::Mutex::new(Some(upload)))));
        id
    }

    /// The upload of this id.
    pub(in crate::server) fn upload(&self, id: &str) -> Option<Slot> {
        self.uploads(|uploads| uploads.get(id).cloned())
    }

    /// Forgets an id.
    pub(in crate::server) fn forget(&self, id: &str) {
        self.uploads(|uploads| uploads.remove(id));
    }

    fn uploads<T>(&self, with: impl FnOnce(&mut BTreeMap<String, Slot>) -> T) -> T {
        with(&mut self.0.uploads.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
