//! Where a base image comes from: its registry, or the one in the data folder. What is in the store is not asked for.

use xedge_model::{Digest, Reference};
use xedge_oci::Descriptor;
use xedge_oci::blobs::MAX_DOCUMENT;
use xedge_registry::{Blob, Client, Error as RegistryError, Progress, Repository, Silent, Target};

use super::{archive, blob, has, put, read};
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::fetch::Store;
use crate::registry::{self, Registry};

/// A repository with a base image.
pub(super) struct Origin {
    reference: Reference,
    place: Place,
    repository: Repository,
}

enum Place {
    Named(Client),
    Embedded(Registry),
}

impl Origin {
    /// The origin of a reference; no other machine is asked yet.
    pub(super) async fn of(cx: &Context<'_>, reference: &Reference) -> Result<Self> {
        let reach = registry::reach_of_environment(cx);
        let (place, repository) = if let Some(name) = reference.embedded() {
            let registry = Registry::embedded(cx, &reach).await?;
            let repository = registry.repository(&name)?;
            (Place::Embedded(registry), repository)
        } else {
            let target: Target = reference.host().parse()?;
            (Place::Named(registry::client(cx, &reach)?), target.repository(&reference.path())?)
        };
        Ok(Self { reference: reference.clone(), place, repository })
    }

    /// The archives that may have it too, with their names for people: the one that the user names, and the one in the
    /// data folder.
    pub(super) async fn archives(cx: &Context<'_>, reference: &Reference) -> Result<Vec<(String, Self)>> {
        let (reach, name) = (registry::reach_of_environment(cx), archive::repository_name());
        let mut all = Vec::new();
        if let Some(named) = cx.environment.var("XEDGE_ARCHIVE") {
            let repository = named.parse::<Target>()?.repository(&name)?;
            let place = Place::Named(registry::client(cx, &reach)?);
            all.push((named.to_owned(), Self { reference: reference.clone(), place, repository }));
        }
        if registry::folder(cx)?.exists() {
            let registry = Registry::embedded(cx, &reach).await?;
            let (shown, repository) = (registry.name(), registry.repository(&name)?);
            let place = Place::Embedded(registry);
            all.push((shown, Self { reference: reference.clone(), place, repository }));
        }
        Ok(all)
    }

    fn client(&self) -> &Client {
        match &self.place {
            Place::Named(client) => client,
            Place::Embedded(registry) => &registry.client,
        }
    }

    /// The index or manifest with this digest, else the one that the tag names now; kept in the store.
    pub(super) async fn document(
        &self,
        store: &Store,
        digest: Option<&Digest>,
        tag: Option<&str>,
    ) -> Result<(Digest, Vec<u8>)> {
        let named = match (digest, tag) {
            (Some(digest), _) if store.path(digest).exists() => {
                return Ok((digest.clone(), read(store, digest)?));
            }
            (Some(digest), _) => digest.as_str(),
            (None, tag) => tag.unwrap_or("latest"),
        };
        let found = self.client().manifest(&self.repository, named).await;
        let found = found.map_err(|error| self.explained(error))?;
        put(&store.path(&found.digest), &found.bytes)?;
        Ok((found.digest, found.bytes))
    }

    /// The digest that a tag names now.
    pub(super) async fn tag(&self, tag: &str) -> Result<Digest> {
        let found = self.client().head_manifest(&self.repository, tag).await;
        let what = || format!("{}:{tag}", self.reference.name());
        Ok(found?.ok_or_else(|| RegistryError::NotFound { what: what() })?)
    }

    /// A blob into the store.
    pub(super) async fn blob(&self, store: &Store, blob: &Blob, progress: &dyn Progress) -> Result<()> {
        let path = store.path(&blob.digest);
        let done = self.client().download(&self.repository, blob, &path, progress).await;
        done.map_err(|error| self.explained(error))
    }

    /// A config: read at once, so it must be small.
    pub(super) async fn small_blob(&self, store: &Store, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if descriptor.size > MAX_DOCUMENT {
            let what = self.repository.by_digest(&descriptor.digest);
            return Err(RegistryError::TooLarge { what, limit: MAX_DOCUMENT }.into());
        }
        let wanted = blob(descriptor);
        if !has(store, &wanted) {
            self.blob(store, &wanted, &Silent).await?;
        }
        read(store, &descriptor.digest)
    }

    /// Nobody can push what was imported: who lacks it has to import it.
    fn explained(&self, error: RegistryError) -> crate::error::Failed {
        match error {
            RegistryError::NotFound { .. } if self.reference.is_imported() && !self.is_archive() => {
                Error::NotImported { reference: self.reference.to_string() }.into()
            }
            error => error.into(),
        }
    }

    fn is_archive(&self) -> bool {
        self.repository.path().ends_with(archive::repository_name().as_str())
    }
}
