//! A bundle's file on this machine: verified as a device does, and where each member lies in it. Judges nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::manifest::Manifest;
use xedge_bundle::tar::{self, BLOCK};
use xedge_bundle::tuf::{Target, Targets};
use xedge_bundle::verify::{Observer, Trust, verify};
use xedge_bundle::{ReadError, member};
use xedge_model::Digest;

use crate::error::{Error, Result};

/// A bundle that was verified here.
#[derive(Debug)]
pub struct BundleFile {
    path: Utf8PathBuf,
    file: File,
    manifest: Manifest,
    targets: Targets,
    root: Digest,
    roots: Vec<Digest>,
    root_bytes: Vec<u8>,
    head: u64,
    places: BTreeMap<String, Place>,
}

/// Where the bytes of a member lie.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    length: u64,
}

impl BundleFile {
    /// Verifies a bundle to its last byte from a root that is trusted already, at the Unix time `now`.
    pub fn open(path: &Utf8Path, root: &[u8], now: i64, observer: &mut dyn Observer) -> Result<Self> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let trust = Trust { root, floor: None };
        let verified = verify(BufReader::with_capacity(1 << 20, &file), &trust, now, observer)?;
        let places =
            places(&mut file).map_err(|source| ReadError::Io { member: "its headers".to_owned(), source })?;
        let bundle = places.get(member::BUNDLE).copied().unwrap_or(Place { offset: 0, length: 0 });
        let head = bundle.offset + bundle.length + tar::padding(bundle.length) as u64;
        let mut roots = Vec::new();
        for (name, place) in &places {
            if let Some(member::Kind::Root(_)) = member::kind_of(name) {
                let mut bytes = vec![0; usize::try_from(place.length).unwrap_or(0)];
                file.read_exact_at(&mut bytes, place.offset).map_err(failed)?;
                roots.push(Digest::of(&bytes));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            manifest: verified.manifest().clone(),
            targets: verified.targets().clone(),
            root: Digest::of(verified.root_bytes()),
            root_bytes: verified.root_bytes().to_vec(),
            roots,
            head,
            places,
            file,
        })
    }

    /// The file.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// What the release is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Digest of the root in force: what a device shows as its fingerprint once it is enrolled.
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// The bytes of the root in force.
    pub fn root_bytes(&self) -> &[u8] {
        &self.root_bytes
    }

    /// Whether the bundle leads on from this root.
    pub fn has_root(&self, digest: &Digest) -> bool {
        self.root == *digest || self.roots.contains(digest)
    }

    /// Bytes from the first to the end of `bundle.json`, padding included.
    pub fn head_length(&self) -> u64 {
        self.head
    }

    /// Bytes of the whole file's members, metadata included.
    pub fn length(&self) -> u64 {
        self.places.values().map(|place| place.length).sum()
    }

    /// What is signed about each member that is no metadata.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.targets.targets.iter().map(|(name, target)| (name.as_str(), target))
    }

    /// A member's length; `None` for a name that it does not have.
    pub fn member_length(&self, name: &str) -> Option<u64> {
        self.places.get(name).map(|place| place.length)
    }

    /// The bytes of a small member.
    pub fn member(&self, name: &str) -> Result<Vec<u8>> {
        let length = self.member_length(name).unwrap_or_default();
        let mut bytes = Vec::new();
        self.copy(name, 0, length, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .map_err(|error| error.unwrap_or(Error::Interrupted))?;
        Ok(bytes)
    }

    /// Hands the head on, part by part. An error of `each` is `Err(None)`: it is the caller's.
    pub fn copy_head(&self, each: &mut dyn FnMut(&[u8]) -> Result<(), ()>) -> Result<(), Option<Error>> {
        self.copy_range(0, self.head, each)
    }

    /// Hands `bytes` bytes of a member on, from `offset`, part by part. An error of `each` is `Err(None)`.
    pub fn copy(
        &self,
        name: &str,
        offset: u64,
        bytes: u64,
        each: &mut dyn FnMut(&[u8]) -> Result<(), ()>,
    ) -> Result<(), Option<Error>> {
        let place = self
            .places
            .get(name)
            .filter(|place| offset.checked_add(bytes).is_some_and(|end| end <= place.length));
        let Some(place) = place else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` has no such bytes"));
            return Err(Some(Error::Read { path: self.path.clone(), source }));
        };
        self.copy_range(place.offset + offset, bytes, each)
    }

    fn copy_range(
        &self,
        mut offset: u64,
        mut left: u64,
        each: &mut dyn FnMut(&[u8]) -> Result<(), ()>,
    ) -> Result<(), Option<Error>> {
        let mut buffer = vec![0; 256 << 10];
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let part = &mut buffer[..most];
            let read = self.file.read_exact_at(part, offset);
            read.map_err(|source| Some(Error::Read { path: self.path.clone(), source }))?;
            each(part).map_err(|()| None)?;
            offset += most as u64;
            left -= most as u64;
        }
        Ok(())
    }
}

/// Reads the headers alone; the file was verified, so each is in its one form.
fn places(file: &mut File) -> io::Result<BTreeMap<String, Place>> {
    let mut found = BTreeMap::new();
    let mut offset = file.seek(SeekFrom::Start(0))?;
    loop {
        let mut block = [0; BLOCK];
        file.read_exact(&mut block)?;
        offset += BLOCK as u64;
        let Some((name, length)) = tar::parse(&block) else {
            let is_end = block.iter().all(|byte| *byte == 0);
            let changed = || io::Error::new(io::ErrorKind::InvalidData, "it changed while it was read");
            return if is_end { Ok(found) } else { Err(changed()) };
        };
        found.insert(name, Place { offset, length });
        offset += length + tar::padding(length) as u64;
        file.seek(SeekFrom::Start(offset))?;
    }
}
