//! Manifests and tags on disk. The bytes of a manifest are content like a blob's; its record, written last, makes
//! it a manifest of the repository. Nothing is parsed here but the records.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use xedge_model::Digest;

use super::{Store, found, remove};
use crate::server::error::Error;
use crate::server::name::{Name, Tag};

/// What is kept of a manifest beside its bytes: what a descriptor in a list of referrers needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::server) struct Record {
    /// The content type that it was pushed with.
    pub(in crate::server) media_type: String,
    /// Its length in bytes.
    pub(in crate::server) size: u64,
    /// What it is, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) artifact_type: Option<String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::server) annotations: BTreeMap<String, String>,
    /// The manifest that it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) subject: Option<Digest>,
}

impl Store {
    /// The record of a manifest of this repository.
    pub(in crate::server) fn record(&self, name: &Name, digest: &Digest) -> io::Result<Option<Record>> {
        read_record(&self.manifest(name, digest))
    }

    /// The bytes of a manifest; damaged ones are an error, for nobody may act on them.
    pub(in crate::server) fn manifest_bytes(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.content(digest))?;
        if Digest::of(&bytes) == *digest {
            Ok(bytes)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("the manifest {digest} is damaged")))
        }
    }

    /// Adds a manifest, and then its tag if it has one.
    pub(in crate::server) fn put_manifest(
        &self,
        name: &Name,
        bytes: &[u8],
        record: &Record,
        tag: Option<&Tag>,
    ) -> io::Result<()> {
        let digest = Digest::of(bytes);
        self.write(&self.content(&digest), bytes)?;
        let record = serde_json::to_vec(record).expect("a record has only text keys");
        self.write(&self.manifest(name, &digest), &record)?;
        match tag {
            Some(tag) => self.write(&self.tag_file(name, tag), digest.as_str().as_bytes()),
            None => Ok(()),
        }
    }

    /// The manifest that a tag names.
    pub(in crate::server) fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
        let text = found(fs::read_to_string(self.tag_file(name, tag)))?;
        text.map(|text| text.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))).transpose()
    }

    /// All tags in the order of their bytes.
    pub(in crate::server) fn tags(&self, name: &Name) -> io::Result<Vec<Tag>> {
        let files = list(&self.repository(name).join("_tags"))?;
        Ok(files.iter().filter_map(|file| Tag::parse(file).ok()).collect())
    }

    /// Every tag of every repository as (repository, tag, digest), in the order of their bytes.
    pub fn tagged(&self) -> Result<Vec<(String, String, Digest)>, Error> {
        let root = self.folder().join("repositories");
        let walk = || -> io::Result<Vec<(String, String, Digest)>> {
            let (mut all, mut folders) = (Vec::new(), vec![String::new()]);
            while let Some(folder) = folders.pop() {
                for entry in list(&root.join(&folder))?.into_iter().filter(|entry| !entry.starts_with('_')) {
                    let below = if folder.is_empty() { entry } else { format!("{folder}/{entry}") };
                    let Ok(name) = Name::parse(&below) else { continue };
                    for tag in self.tags(&name)? {
                        let digest = self.tag(&name, &tag)?;
                        all.extend(digest.map(|digest| (below.clone(), tag.as_str().to_owned(), digest)));
                    }
                    folders.push(below);
                }
            }
            all.sort();
            Ok(all)
        };
        walk().map_err(|source| Error::Open { folder: root.to_string(), source })
    }

    /// Removes a tag and leaves the manifest; false if there was none.
    pub(in crate::server) fn delete_tag(&self, name: &Name, tag: &Tag) -> io::Result<bool> {
        remove(&self.tag_file(name, tag))
    }

    /// Removes a manifest, its tags first; false if there was none.
    pub(in crate::server) fn delete_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        for tag in self.tags(name)? {
            if self.tag(name, &tag)?.as_ref() == Some(digest) {
                self.delete_tag(name, &tag)?;
            }
        }
        remove(&self.manifest(name, digest))
    }

    /// The manifests that refer to `subject`, by their digests.
    pub(in crate::server) fn referrers(
        &self,
        name: &Name,
        subject: &Digest,
    ) -> io::Result<BTreeMap<Digest, Record>> {
        let mut referrers = BTreeMap::new();
        let folder = self.repository(name).join("_manifests");
        for file in list(&folder)? {
            let Ok(digest) = Digest::from_hex(&file) else { continue };
            let record = read_record(&folder.join(&file))?;
            if let Some(record) = record.filter(|record| record.subject.as_ref() == Some(subject)) {
                referrers.insert(digest, record);
            }
        }
        Ok(referrers)
    }

    fn manifest(&self, name: &Name, digest: &Digest) -> Utf8PathBuf {
        self.repository(name).join("_manifests").join(digest.hex())
    }

    fn tag_file(&self, name: &Name, tag: &Tag) -> Utf8PathBuf {
        self.repository(name).join("_tags").join(tag.as_str())
    }
}

fn read_record(path: &Utf8Path) -> io::Result<Option<Record>> {
    let bytes = found(fs::read(path))?;
    Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
}

/// The names of a folder's files, sorted; none if it is not there.
fn list(folder: &Utf8Path) -> io::Result<Vec<String>> {
    let Some(entries) = found(folder.read_dir_utf8())? else { return Ok(Vec::new()) };
    let mut names = entries.map(|entry| Ok(entry?.file_name().to_owned())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}
