//! What every release needs, wherever its content comes from: a number, a version, the bundle's file, and the record of it.

use camino::Utf8Path;
use tokio::runtime::Runtime;
use xedge_bundle::Manifest;
use xedge_bundle::manifest::Data;
use xedge_model::Digest;

use super::bundle;
use super::manifest::{Members, Title};
use super::number::Numbers;
use super::record::{self, Record};
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::trust::{self, Trust};

/// Where a release gets its number.
pub(super) struct Desk<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) runtime: &'a Runtime,
    pub(super) registry: &'a Registry,
    pub(super) numbers: &'a Numbers,
    /// Name of the stack.
    pub(super) stack: &'a str,
    /// The version that was asked for.
    pub(super) version: Option<&'a str>,
}

/// The number, version and content of a release, and the record of it where it was made before.
pub(super) struct Chosen {
    pub(super) manifest: Manifest,
    pub(super) before: Option<Record>,
}

impl Desk<'_> {
    /// The same content keeps its number; anything else gets the next one. `describe` says what the release is under a title;
    /// `revision` is what a new one is made of.
    pub(super) fn choose(
        &self,
        revision: Option<&str>,
        describe: &dyn Fn(&Title) -> Result<Manifest>,
    ) -> Result<Chosen> {
        let records = record::all(self.cx, self.stack)?;
        let recorded = records.last().map_or(0, |record| record.seq);
        let newest = self.numbers.newest();
        if let Some(record) = records.last().filter(|record| newest <= record.seq) {
            let version = self.version.unwrap_or(&record.version).to_owned();
            let title = Title { seq: record.seq, version, revision: record.revision.clone() };
            let manifest = describe(&title)?;
            let is_same = Digest::of(&manifest.to_bytes()) == record.content;
            // At another registry the number may be somebody else's.
            if is_same && (newest < record.seq || self.numbers.is_newest(&manifest)) {
                return Ok(Chosen { manifest, before: Some(record.clone()) });
            }
        }
        let title = |seq: u64| Title {
            seq,
            version: self.version.map_or_else(|| default_version(seq), str::to_owned),
            revision: revision.map(str::to_owned),
        };
        if newest > recorded {
            let manifest = describe(&title(newest))?;
            if self.numbers.is_newest(&manifest) {
                self.cx.printer.say(&format!("release {newest} was begun before: it is finished now"));
                return Ok(Chosen { manifest, before: None });
            }
        }
        let manifest = describe(&title(newest.max(recorded) + 1))?;
        refuse_known_version(&records, &manifest)?;
        // No device that had one of them would take it.
        manifest.check_data_floor(data_floor(&records))?;
        Ok(Chosen { manifest, before: None })
    }

    /// The bundle's file, kept or made; a new one comes with the record that is to be written when all is done.
    pub(super) fn bundle(
        &self,
        trust: &Trust,
        chosen: &Chosen,
        members: impl FnOnce(&Manifest) -> Members,
        path: &Utf8Path,
    ) -> Result<(Digest, Option<Record>)> {
        let manifest = &chosen.manifest;
        if let Some(record) = &chosen.before
            && bundle::is_fresh(self.cx, trust, path, &record.bundle)?
        {
            self.cx.printer.say(&format!("unchanged: release {} of {}", record.seq, record.stack));
            return Ok((record.bundle.clone(), None));
        }
        let restamp = chosen.before.as_ref().map_or(0, |record| record.restamp + 1);
        let restamp = restamp.max(self.numbers.next_stamp(manifest.seq));
        self.runtime.block_on(self.numbers.stamp(self.registry, manifest, restamp))?;
        let ask = trust::asker(self.cx);
        let digest = bundle::make(self.cx, trust, manifest.seq, restamp, &members(manifest), path, &ask)?;
        let record = Record {
            format: record::FORMAT,
            stack: manifest.stack.clone(),
            seq: manifest.seq,
            version: manifest.version.clone(),
            revision: manifest.revision.clone(),
            data: manifest.data,
            content: Digest::of(&manifest.to_bytes()),
            restamp,
            bundle: digest.clone(),
        };
        Ok((digest, Some(record)))
    }
}

/// The lowest version of the data that a release must write now: the highest floor of those before it.
fn data_floor(records: &[Record]) -> u64 {
    records.iter().map(|record| record.data.floor).max().unwrap_or(Data::default().floor)
}

/// A version names one release for good, also where no registry remembers it.
fn refuse_known_version(records: &[Record], manifest: &Manifest) -> Result<()> {
    match records.iter().find(|record| record.version == manifest.version) {
        Some(record) => Err(Error::VersionTaken {
            stack: record.stack.clone(),
            version: record.version.clone(),
            found: record.content.clone(),
            wanted: Digest::of(&manifest.to_bytes()),
        }
        .into()),
        None => Ok(()),
    }
}

/// The version of a release that has none of its own.
pub(super) fn default_version(seq: u64) -> String {
    format!("r{seq}")
}
