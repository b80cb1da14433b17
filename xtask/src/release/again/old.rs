//! A bundle that was released before: verified as a whole, and where each of its members is in the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::verify::{Observer, Progress, Trust, Verified, verify};
use xedge_bundle::{Manifest, member, tar};
use xedge_model::Digest;
use xedge_oci::Descriptor;

use crate::commands::Context;
use crate::error::{Error, Result};
use crate::release::bundle;
use crate::release::manifest::{Content, Member, Members};

/// A moment at which nothing has expired: what was signed is to be signed anew.
const ANY_TIME: i64 = 0;

/// An earlier release.
pub(super) struct Old {
    path: Utf8PathBuf,
    verified: Verified,
    /// Where each member's bytes begin.
    places: BTreeMap<String, u64>,
}

impl Old {
    /// Verifies the file to its last byte, its time apart.
    pub(super) fn open(cx: &Context<'_>, root: &[u8], path: Utf8PathBuf) -> Result<Self> {
        let opened = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let bar = cx.printer.bytes_bar(0, path.file_name().unwrap_or("bundle"));
        let mut places = Places { bar, begin: tar::BLOCK as u64, length: 0, found: BTreeMap::new() };
        let reader = BufReader::with_capacity(1 << 20, opened);
        let verified = verify(reader, &Trust { root, floor: None }, ANY_TIME, &mut places);
        places.bar.finish_and_clear();
        Ok(Self { path, verified: verified?, places: places.found })
    }

    /// What the release was.
    pub(super) fn manifest(&self) -> &Manifest {
        self.verified.manifest()
    }

    /// What was verified.
    pub(super) fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The file.
    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Everything but metadata, where it lies in the file.
    pub(super) fn members(&self) -> Members {
        let names = self.verified.targets().targets.keys();
        names.map(|name| (name.clone(), self.member(name))).collect()
    }

    /// A blob as images name it.
    pub(super) fn descriptor(&self, digest: &Digest) -> Descriptor {
        let target = &self.verified.targets().targets[&member::blob(digest)];
        Descriptor::new(&target.custom.kind, digest.clone(), target.length)
    }

    /// The bytes of a small member.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let member = self.member(name);
        bundle::part_reader(&member.content)
            .and_then(|mut reader| reader.read_to_end(&mut bytes))
            .map_err(failed)?;
        let (found, expected) = (Digest::of(&bytes), self.verified.targets().targets[name].hashes.sha256());
        if found != *expected {
            return Err(Error::Damaged { path: self.path.clone(), found, expected: expected.clone() }.into());
        }
        Ok(bytes)
    }

    fn member(&self, name: &str) -> Member {
        let target = &self.verified.targets().targets[name];
        let content = Content::Part {
            path: self.path.clone(),
            offset: self.places[name],
            length: target.length,
            digest: target.hashes.sha256().clone(),
        };
        Member { kind: target.custom.kind.clone(), content }
    }
}

/// Counts where members begin: each after its header, in a file that is nothing but members.
struct Places {
    bar: indicatif::ProgressBar,
    begin: u64,
    length: u64,
    found: BTreeMap<String, u64>,
}

impl Observer for Places {
    fn bytes(&mut self, progress: &Progress<'_>, _bytes: &[u8]) -> io::Result<()> {
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.total_done);
        self.length = progress.length;
        Ok(())
    }

    fn end(&mut self, member: &str) -> io::Result<()> {
        self.found.insert(member.to_owned(), self.begin);
        self.begin += self.length.next_multiple_of(tar::BLOCK as u64) + tar::BLOCK as u64;
        Ok(())
    }
}
