//! All members of an archive or folder, read once and in whatever order they come; asked for by name afterwards.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};

use camino::Utf8Path;
use serde::de::DeserializeOwned;
use tar::EntryType;
use xedge_model::Digest;

use super::Problem;
use super::intake::{self, Stored, Trouble, What};
use super::name::{clean, resolve};
use super::walk::Walk;
use crate::{Blobs, Error};

const BLOBS: &str = "blobs/sha256/";
/// Links of links that are followed.
const LINKS: usize = 16;

/// What an archive holds; the bytes that matter are in the blobs.
pub(super) struct Contents<'a> {
    /// The archive, as the caller calls it.
    pub(super) from: &'a str,
    pub(super) blobs: &'a Blobs,
    files: BTreeMap<String, Stored>,
    links: BTreeMap<String, String>,
}

impl<'a> Contents<'a> {
    fn new(from: &'a str, blobs: &'a Blobs) -> Self {
        Self { from, blobs, files: BTreeMap::new(), links: BTreeMap::new() }
    }

    /// Reads a tar archive to its end mark.
    pub(super) fn of_archive(from: &'a str, reader: impl Read, blobs: &'a Blobs) -> Result<Self, Error> {
        let mut contents = Self::new(from, blobs);
        let mut walk = Walk::strict(reader);
        loop {
            let first = contents.files.is_empty() && contents.links.is_empty();
            let member = match walk.next() {
                Ok(Some(member)) => member,
                Ok(None) => return Ok(contents),
                Err(error) if first && error.kind() == io::ErrorKind::InvalidData => {
                    return Err(contents.problem(Problem::NotAnArchive { why: error.to_string() }));
                }
                Err(error) => return Err(contents.unreadable(&error)),
            };
            let unsafe_name = |name: &str, why| {
                let place = "the archive".to_owned();
                contents.problem(Problem::UnsafeName { place, name: name.to_owned(), why })
            };
            let name = clean(&member.path).map_err(|why| unsafe_name(&member.path, why))?;
            match member.kind {
                EntryType::Symlink => {
                    let target =
                        resolve(&name, &member.link).map_err(|why| unsafe_name(&member.link, why))?;
                    contents.links.insert(name, target);
                }
                EntryType::Link => {
                    let target = clean(&member.link).map_err(|why| unsafe_name(&member.link, why))?;
                    contents.links.insert(name, target);
                }
                kind if kind.is_file() => contents.store(name, walk.body())?,
                _ => {}
            }
        }
    }

    /// Reads the files of an OCI layout folder; links in it are not followed.
    pub(super) fn of_folder(from: &'a str, folder: &Utf8Path, blobs: &'a Blobs) -> Result<Self, Error> {
        let mut contents = Self::new(from, blobs);
        let listed =
            list(&folder.join(BLOBS)).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
        let blobs = listed.into_iter().map(|name| format!("{BLOBS}{name}"));
        for name in ["oci-layout".to_owned(), "index.json".to_owned()].into_iter().chain(blobs) {
            let path = folder.join(&name);
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                let file = File::open(&path).map_err(|source| Error::Io { path, source })?;
                contents.store(name, file)?;
            }
        }
        Ok(contents)
    }

    /// A blob whose name is a digest must have it, whether anything names it or not.
    fn store(&mut self, name: String, reader: impl Read) -> Result<(), Error> {
        let stored = intake::store(reader, self.blobs).map_err(|trouble| match trouble {
            Trouble::Source(error) => self.unreadable(&error),
            Trouble::Blobs(error) => error,
        })?;
        if let Some(claimed) = name.strip_prefix(BLOBS).and_then(|hex| Digest::from_hex(hex).ok()) {
            self.same(&name, &claimed, &stored.digest)?;
        }
        if self.files.insert(name.clone(), stored).is_some() {
            return Err(self.problem(Problem::Twice { name }));
        }
        Ok(())
    }

    /// A member by name, links followed.
    pub(super) fn get(&self, name: &str) -> Option<&Stored> {
        let mut name = clean(name).ok()?;
        for _ in 0..LINKS {
            match (self.files.get(&name), self.links.get(&name)) {
                (Some(stored), _) => return Some(stored),
                (None, Some(target)) => name.clone_from(target),
                (None, None) => return None,
            }
        }
        None
    }

    /// A member that must be there.
    pub(super) fn require(&self, name: &str) -> Result<&Stored, Error> {
        self.get(name).ok_or_else(|| self.problem(Problem::Missing { what: name.to_owned() }))
    }

    /// The bytes of a small member.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let stored = self.require(name)?;
        if !matches!(stored.what, What::Document) {
            return Err(self.garbage(name, "a document", "it is too big or something else"));
        }
        self.blobs.read(&crate::Descriptor::new("", stored.digest.clone(), stored.size))
    }

    /// A small member as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str, what: &'static str) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes(name)?)
            .map_err(|error| self.garbage(name, what, &error.to_string()))
    }

    /// Refuses what has another digest than is claimed.
    pub(super) fn same(&self, what: &str, claimed: &Digest, found: &Digest) -> Result<(), Error> {
        if claimed == found {
            return Ok(());
        }
        let (what, claimed, found) = (what.to_owned(), claimed.clone(), found.clone());
        Err(self.problem(Problem::WrongDigest { what, claimed, found }))
    }

    pub(super) fn garbage(&self, member: &str, what: &'static str, why: &str) -> Error {
        self.problem(Problem::Garbage { member: member.to_owned(), what, why: why.to_owned() })
    }

    pub(super) fn problem(&self, problem: Problem) -> Error {
        problem_of(self.from, problem)
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        unreadable(self.from, error)
    }
}

pub(super) fn problem_of(from: &str, problem: Problem) -> Error {
    Error::Import { from: from.to_owned(), problem: Box::new(problem) }
}

/// An archive that ends too early or cannot be unpacked is damaged; anything else is the reader's trouble.
pub(super) fn unreadable(from: &str, error: &io::Error) -> Error {
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => Problem::Damaged { why: "it ends in the middle".to_owned() },
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Problem::Damaged { why: error.to_string() }
        }
        _ => Problem::Unreadable { why: error.to_string() },
    };
    problem_of(from, problem)
}

fn list(folder: &Utf8Path) -> io::Result<Vec<String>> {
    let entries = match folder.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = entries.map(|entry| Ok(entry?.file_name().to_owned())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}
