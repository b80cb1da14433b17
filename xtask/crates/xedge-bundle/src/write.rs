//! Writes a bundle whose metadata is already made and signed (FORMAT.md §1 and §2). Signs nothing, and writes nothing that
//! `targets.json` does not name.

use std::io::{self, Read, Write};

use xedge_model::{Class, Digest, Failure, Hasher};

use crate::member;
use crate::refusal::Refusal;
use crate::tar;
use crate::tuf::Metadata as _;
use crate::tuf::{Document, Root, Targets};
use crate::verify::Plan;

const BUFFER: usize = 1 << 20;

/// The metadata files of a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    /// The roots, ascending.
    pub roots: &'a [Vec<u8>],
    /// `timestamp.json`.
    pub timestamp: &'a [u8],
    /// `snapshot.json`.
    pub snapshot: &'a [u8],
    /// `targets.json`.
    pub targets: &'a [u8],
}

/// A bundle that is being written.
#[must_use]
pub struct Writer<W> {
    out: W,
    plan: Plan,
    next: usize,
    buffer: Vec<u8>,
}

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Reading a member or writing the file failed.
    #[error("failed to write `{member}` into the bundle")]
    Io {
        /// The member.
        member: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The metadata could not be read again.
    #[error("failed to read the bundle's own metadata")]
    Metadata(#[from] Refusal),
    /// The metadata has no proper order of roots.
    #[error("failed to order the bundle's roots: they are {0}, and must ascend without a gap")]
    Roots(String),
    /// Another member is due.
    #[error("failed to write `{member}` into the bundle: `{due}` is due")]
    Order {
        /// The member.
        member: String,
        /// The one that is due, or `the end`.
        due: String,
    },
    /// The member is not what the metadata says.
    #[error("failed to write `{member}` into the bundle: it has {found}, and `targets.json` says {expected}")]
    Changed {
        /// The member.
        member: String,
        /// Its length or digest.
        found: String,
        /// The length or digest in `targets.json`.
        expected: String,
    },
}

impl<W: Write> Writer<W> {
    /// Writes the metadata. Signatures are not looked at: whoever signed verifies the finished file.
    pub fn new(out: W, metadata: &Metadata<'_>) -> Result<Self, WriteError> {
        let targets: Targets = Document::parse::<Targets>(member::TARGETS, metadata.targets)?.read()?;
        let plan = Plan::new(targets)?;
        let mut writer = Self { out, plan, next: 0, buffer: vec![0; BUFFER] };
        for (version, bytes) in root_versions(metadata.roots)?.into_iter().zip(metadata.roots) {
            writer.whole(&member::root(version), bytes)?;
        }
        writer.whole(member::TIMESTAMP, metadata.timestamp)?;
        writer.whole(member::SNAPSHOT, metadata.snapshot)?;
        writer.whole(member::TARGETS, metadata.targets)?;
        Ok(writer)
    }

    /// The members that are still due, in order.
    pub fn due(&self) -> impl Iterator<Item = &str> {
        self.plan.names().skip(self.next)
    }

    /// Writes the member that is due: exactly its bytes, which must be those that `targets.json` names.
    pub fn member(&mut self, name: &str, length: u64, mut reader: impl Read) -> Result<(), WriteError> {
        let due = self.plan.names().nth(self.next).unwrap_or("the end").to_owned();
        if due != name {
            return Err(WriteError::Order { member: name.to_owned(), due });
        }
        let target = self.plan.target(name);
        let (expected, digest) = (target.length, target.hashes.sha256().clone());
        if length != expected {
            return Err(changed(name, &length_text(length), &length_text(expected)));
        }
        self.put(name, &tar::header(name, length))?;
        let found = self.copy(name, length, &mut reader)?;
        if found != digest {
            return Err(changed(name, found.as_str(), digest.as_str()));
        }
        self.next += 1;
        self.put(name, &[0; tar::BLOCK][..tar::padding(length)])
    }

    /// Ends the file, and gives what was written to.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if let Some(due) = self.due().next().map(str::to_owned) {
            return Err(WriteError::Order { member: "the end".to_owned(), due });
        }
        self.put("the end", &[0; 2 * tar::BLOCK])?;
        self.out.flush().map_err(|source| WriteError::Io { member: "the end".to_owned(), source })?;
        Ok(self.out)
    }

    fn whole(&mut self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        self.put(name, &tar::header(name, bytes.len() as u64))?;
        self.put(name, bytes)?;
        self.put(name, &[0; tar::BLOCK][..tar::padding(bytes.len() as u64)])
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes).map_err(|source| WriteError::Io { member: name.to_owned(), source })
    }

    fn copy(&mut self, name: &str, length: u64, reader: &mut impl Read) -> Result<Digest, WriteError> {
        let fail = |source| WriteError::Io { member: name.to_owned(), source };
        let mut hasher = Hasher::new();
        let mut done = 0;
        loop {
            let count = match reader.read(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(fail(source)),
            };
            done += count as u64;
            if done > length || (count == 0 && done < length) {
                let more = if done > length { "at least " } else { "" };
                return Err(changed(name, &format!("{more}{}", length_text(done)), &length_text(length)));
            }
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&self.buffer[..count]);
            self.out.write_all(&self.buffer[..count]).map_err(fail)?;
        }
    }
}

fn root_versions(roots: &[Vec<u8>]) -> Result<Vec<u64>, WriteError> {
    let version = |bytes: &Vec<u8>| -> Result<u64, Refusal> {
        let root: Root = Document::parse::<Root>("N.root.json", bytes)?.read()?;
        Ok(root.common().version)
    };
    let versions = roots.iter().map(version).collect::<Result<Vec<_>, _>>()?;
    if versions.is_empty() || !versions.is_sorted_by(|a, b| a.checked_add(1) == Some(*b)) {
        return Err(WriteError::Roots(format!("{versions:?}")));
    }
    Ok(versions)
}

fn length_text(length: u64) -> String {
    format!("{length} bytes")
}

fn changed(member: &str, found: &str, expected: &str) -> WriteError {
    WriteError::Changed { member: member.to_owned(), found: found.to_owned(), expected: expected.to_owned() }
}

impl Failure for WriteError {
    fn class(&self) -> Class {
        match self {
            WriteError::Io { .. } => Class::Environment,
            WriteError::Metadata(refusal) => refusal.class(),
            WriteError::Roots(_) | WriteError::Order { .. } => Class::Bug,
            WriteError::Changed { .. } => Class::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            WriteError::Io { .. } => {
                Some("is there room on the disk, and may the file be written?".to_owned())
            }
            WriteError::Metadata(refusal) => refusal.hint(),
            WriteError::Roots(_) => {
                Some("the keys folder must have every root, from the first one on".to_owned())
            }
            WriteError::Order { .. } => None,
            WriteError::Changed { .. } => {
                Some("a file changed while the bundle was made: run the command again".to_owned())
            }
        }
    }
}
