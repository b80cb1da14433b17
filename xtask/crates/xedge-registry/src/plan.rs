//! What a push would do, step by step, found out by reading alone. It must not write anything.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use xedge_model::Digest;

use crate::auth::Scope;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::target::{Repository, Tag, TagKind};

/// A blob to be pushed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A manifest or index to be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its exact bytes.
    pub bytes: Bytes,
    /// Its `mediaType`.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

/// An image to be pushed, as plain data.
#[derive(Clone, Debug)]
pub struct PushImage {
    /// Where it goes.
    pub repository: Repository,
    /// The index that the tags name.
    pub index: Manifest,
    /// The manifests that the index lists.
    pub manifests: Vec<Manifest>,
    /// Every blob that the manifests list, configurations too.
    pub blobs: Vec<Blob>,
    /// The tags to set on the index.
    pub tags: Vec<Tag>,
    /// Repositories of the same host that may have some of the blobs, by their path in it.
    pub mount_from: Vec<String>,
}

/// What a push does about a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobStep {
    /// Nothing: the repository has it.
    There,
    /// The registry takes it from another of its repositories.
    Mount {
        /// That repository.
        from: Repository,
    },
    /// It is uploaded.
    Upload {
        /// How many bytes that are.
        bytes: u64,
    },
}

/// What a push does about a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestStep {
    /// Nothing: the repository has it.
    There,
    /// It is put.
    Put,
}

/// What a push does about a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagStep {
    /// Nothing: it names this index.
    There,
    /// It is set, or moved.
    Set,
    /// It cannot be set: a version that names another digest.
    Conflict {
        /// The digest that it names.
        found: Digest,
    },
}

/// All steps of a push. `Client::push` does just these.
#[derive(Clone, Debug)]
#[must_use]
pub struct Plan {
    pub(crate) image: PushImage,
    pub(crate) blobs: Vec<(Blob, BlobStep)>,
    pub(crate) manifests: Vec<ManifestStep>,
    pub(crate) index: ManifestStep,
    pub(crate) tags: Vec<TagStep>,
}

impl Plan {
    /// The image that it is for.
    pub fn image(&self) -> &PushImage {
        &self.image
    }

    /// Each blob once, by digest.
    pub fn blobs(&self) -> impl Iterator<Item = (&Blob, &BlobStep)> {
        self.blobs.iter().map(|(blob, step)| (blob, step))
    }

    /// Each child manifest.
    pub fn manifests(&self) -> impl Iterator<Item = (&Manifest, ManifestStep)> {
        self.image.manifests.iter().zip(self.manifests.iter().copied())
    }

    /// The index.
    pub fn index(&self) -> ManifestStep {
        self.index
    }

    /// Each tag.
    pub fn tags(&self) -> impl Iterator<Item = (&Tag, &TagStep)> {
        self.image.tags.iter().zip(&self.tags)
    }

    /// How many bytes of blobs will be uploaded.
    pub fn upload_bytes(&self) -> u64 {
        let bytes = |step: &BlobStep| if let BlobStep::Upload { bytes } = step { *bytes } else { 0 };
        self.blobs.iter().map(|(_, step)| bytes(step)).sum()
    }

    /// Whether everything is there already.
    pub fn is_unchanged(&self) -> bool {
        self.index == ManifestStep::There && self.tags.iter().all(|step| *step == TagStep::There)
    }

    /// The error for the first version that names another image, if there is one.
    pub fn conflict(&self) -> Option<Error> {
        self.tags().find_map(|(tag, step)| match step {
            TagStep::Conflict { found } => Some(taken(&self.image, tag, found)),
            TagStep::There | TagStep::Set => None,
        })
    }
}

/// The error for a version that names another image.
pub(crate) fn taken(image: &PushImage, tag: &Tag, found: &Digest) -> Error {
    let what = image.repository.at(tag.name());
    Error::TagTaken { what, found: found.clone(), wanted: image.index.digest.clone() }
}

impl Client {
    /// Looks at the registry and says what a push has to do. A tag that names the index shows that it is there, and an
    /// index that is there stands for all that it lists: a second push makes one request for each tag and no other.
    pub async fn plan(&self, image: PushImage) -> Result<Plan> {
        for manifest in image.manifests.iter().chain([&image.index]) {
            check(manifest)?;
        }
        let scope = Scope::push(&image.repository);
        let mut wanted = image.blobs.clone();
        wanted.sort();
        wanted.dedup();
        // Tags first: one that names the index saves the request for the index itself.
        let tags = self.tag_steps(&scope, &image).await?;
        let index = if tags.contains(&TagStep::There) {
            ManifestStep::There
        } else {
            self.manifest_step(&scope, &image.repository, &image.index).await?
        };
        if index == ManifestStep::There {
            let manifests = vec![ManifestStep::There; image.manifests.len()];
            let blobs = wanted.into_iter().map(|blob| (blob, BlobStep::There)).collect();
            return Ok(Plan { image, blobs, manifests, index, tags });
        }
        let manifests = self.manifest_steps(&scope, &image).await?;
        // Collected, so that no closure is held across an await: the future would not be `Send`.
        let steps: Vec<_> = wanted.into_iter().map(|blob| self.blob_step(&scope, &image, blob)).collect();
        let blobs = stream::iter(steps).buffered(self.settings.parallel.max(1)).try_collect().await?;
        Ok(Plan { image, blobs, manifests, index, tags })
    }

    async fn manifest_step(
        &self,
        scope: &Scope,
        repository: &Repository,
        manifest: &Manifest,
    ) -> Result<ManifestStep> {
        match self.head_in(scope, repository, manifest.digest.as_str()).await? {
            Some(found) if found == manifest.digest => Ok(ManifestStep::There),
            Some(found) => {
                let what = repository.by_digest(&manifest.digest);
                Err(Error::WrongDigest { what, expected: manifest.digest.clone(), found })
            }
            None => Ok(ManifestStep::Put),
        }
    }

    async fn manifest_steps(&self, scope: &Scope, image: &PushImage) -> Result<Vec<ManifestStep>> {
        let steps: Vec<_> = image
            .manifests
            .iter()
            .map(|manifest| self.manifest_step(scope, &image.repository, manifest))
            .collect();
        stream::iter(steps).buffered(self.settings.parallel.max(1)).try_collect().await
    }

    async fn tag_steps(&self, scope: &Scope, image: &PushImage) -> Result<Vec<TagStep>> {
        let mut steps = Vec::new();
        for tag in &image.tags {
            steps.push(self.tag_step(scope, image, tag).await?);
        }
        Ok(steps)
    }

    /// What is to be done about a tag as it is now.
    pub(crate) async fn tag_step(&self, scope: &Scope, image: &PushImage, tag: &Tag) -> Result<TagStep> {
        Ok(match (self.head_in(scope, &image.repository, tag.name()).await?, tag.kind()) {
            (Some(found), _) if found == image.index.digest => TagStep::There,
            (Some(found), TagKind::Version) => TagStep::Conflict { found },
            (Some(_), TagKind::Moving) | (None, _) => TagStep::Set,
        })
    }

    async fn blob_step(&self, scope: &Scope, image: &PushImage, blob: Blob) -> Result<(Blob, BlobStep)> {
        if self.head_blob(scope, &image.repository, &blob.digest).await? {
            return Ok((blob, BlobStep::There));
        }
        for path in image.mount_from.iter().filter(|path| *path != image.repository.path()) {
            let from = image.repository.sibling(path);
            let scope = Scope::push(&image.repository).and_pull(&from);
            match self.head_blob(&scope, &from, &blob.digest).await {
                Ok(true) => return Ok((blob, BlobStep::Mount { from })),
                // What cannot be read cannot be mounted either, which only costs an upload.
                Ok(false) | Err(Error::Denied { .. } | Error::Status { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let bytes = blob.size;
        Ok((blob, BlobStep::Upload { bytes }))
    }
}

fn check(manifest: &Manifest) -> Result<()> {
    let found = Digest::of(&manifest.bytes);
    if found == manifest.digest {
        return Ok(());
    }
    let problem = format!("its bytes have the digest {found}");
    Err(Error::BadImage { what: manifest.digest.to_string(), problem })
}
