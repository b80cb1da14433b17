//! Packages indexes: their entries, and the newest candidate of each package; no choice of packages.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead, BufReader, Read};
use std::str::FromStr;

use xedge_model::Digest;
use xedge_model::lock::LockedPackage;

use crate::deb822::{Paragraph, Reader};
use crate::relation::{self, Relation};
use crate::{Error, Version};

/// One package of an index. Relations are kept as text: most of an index's packages are never looked at.
#[derive(Clone, Debug)]
pub struct PackageEntry {
    /// Binary package name.
    pub name: String,
    /// Binary package version.
    pub version: Version,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Source package name.
    pub source: String,
    /// Source package version; a binary rebuild `+bN` is not in it.
    pub source_version: String,
    /// The pocket whose index has the entry.
    pub pocket: String,
    /// Path below the mirror's URL, `pool/…`.
    pub filename: String,
    /// Size of the .deb file in bytes.
    pub size: u64,
    /// Digest of the .deb file.
    pub sha256: Digest,
    relations: Relations,
}

/// The text of the relation fields; empty where there is none.
#[derive(Clone, Debug, Default)]
struct Relations {
    depends: String,
    pre_depends: String,
    provides: String,
    conflicts: String,
    breaks: String,
}

impl PackageEntry {
    /// Parsed `Pre-Depends` and `Depends`, in this order.
    pub fn depends(&self, architecture: &str) -> Result<Vec<Relation>, Error> {
        self.parse([&self.relations.pre_depends, &self.relations.depends], architecture)
    }

    /// Parsed `Provides`.
    pub fn provides(&self, architecture: &str) -> Result<Vec<Relation>, Error> {
        self.parse([&self.relations.provides, ""], architecture)
    }

    /// Parsed `Conflicts` and `Breaks`.
    pub fn refuses(&self, architecture: &str) -> Result<Vec<Relation>, Error> {
        self.parse([&self.relations.conflicts, &self.relations.breaks], architecture)
    }

    fn parse(&self, fields: [&str; 2], architecture: &str) -> Result<Vec<Relation>, Error> {
        let mut relations = Vec::new();
        for field in fields {
            let parsed = relation::parse(field, architecture);
            relations.extend(parsed.map_err(|e| Error::malformed(&self.place(), e.to_string()))?);
        }
        Ok(relations)
    }

    fn place(&self) -> String {
        format!("the entry of {} in the index of {}", self.name, self.pocket)
    }
}

impl From<&PackageEntry> for LockedPackage {
    fn from(entry: &PackageEntry) -> Self {
        Self {
            name: entry.name.clone(),
            version: entry.version.to_string(),
            architecture: entry.architecture.clone(),
            source: entry.source.clone(),
            source_version: entry.source_version.clone(),
            pocket: entry.pocket.clone(),
            filename: entry.filename.clone(),
            size: entry.size,
            sha256: entry.sha256.clone(),
        }
    }
}

/// Reads a Packages file and hands each entry to `keep`. `path` says by its extension (`.xz`, `.gz` or none) how it is
/// compressed, and names the file in errors. The bytes must have been checked against the Release file before.
pub fn read_packages(
    path: &str,
    reader: impl Read,
    pocket: &str,
    mut keep: impl FnMut(PackageEntry),
) -> Result<(), Error> {
    let mut paragraphs = Reader::new(decompress(path, reader));
    while let Some(paragraph) = paragraphs.next_paragraph().map_err(|e| Error::reading(path, e))? {
        keep(entry(path, paragraph, pocket)?);
    }
    Ok(())
}

fn decompress<'a>(path: &str, reader: impl Read + 'a) -> Box<dyn BufRead + 'a> {
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ext)| ext);
    match extension {
        Some("xz") => Box::new(BufReader::with_capacity(1 << 16, liblzma::read::XzDecoder::new(reader))),
        Some("gz") => Box::new(BufReader::with_capacity(1 << 16, flate2::read::GzDecoder::new(reader))),
        _ => Box::new(BufReader::with_capacity(1 << 16, reader)),
    }
}

fn entry(path: &str, paragraph: &Paragraph, pocket: &str) -> Result<PackageEntry, Error> {
    let name = paragraph.get("Package").unwrap_or_default();
    let broken = |problem: &str| Error::malformed(path, format!("package `{name}`: {problem}"));
    let field = |key: &str| {
        paragraph.get(key).filter(|v| !v.is_empty()).ok_or_else(|| broken(&format!("no field `{key}`")))
    };
    let text = |key: &str| paragraph.get(key).unwrap_or_default().to_owned();
    field("Package")?;
    let version: Version = value(field("Version")?, &broken)?;
    let filename = field("Filename")?;
    if !is_safe_path(filename) {
        return Err(broken(&format!("`{filename}` is no path below a mirror")));
    }
    let (source, source_version) = source(paragraph.get("Source").unwrap_or(name), version.as_str());
    Ok(PackageEntry {
        name: name.to_owned(),
        architecture: field("Architecture")?.to_owned(),
        source: source.to_owned(),
        source_version: source_version.to_owned(),
        pocket: pocket.to_owned(),
        filename: filename.to_owned(),
        size: value(field("Size")?, &broken)?,
        sha256: Digest::from_hex(field("SHA256")?).map_err(|e| broken(&e.to_string()))?,
        relations: Relations {
            depends: text("Depends"),
            pre_depends: text("Pre-Depends"),
            provides: text("Provides"),
            conflicts: text("Conflicts"),
            breaks: text("Breaks"),
        },
        version,
    })
}

fn value<T: FromStr>(text: &str, broken: &impl Fn(&str) -> Error) -> Result<T, Error> {
    text.parse().map_err(|_| broken(&format!("`{text}` is no number or version")))
}

/// A relative path without tricks: it becomes part of a URL and of a file name.
fn is_safe_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\\?#".contains(&b);
    path.bytes().all(plain) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// `Source: name (version)`; the version stands there only where it differs from the binary one.
fn source<'a>(field: &'a str, version: &'a str) -> (&'a str, &'a str) {
    match field.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim()),
        None => (field.trim(), version),
    }
}

/// The newest candidate of every package of one architecture.
#[derive(Clone, Debug)]
pub struct Universe {
    architecture: String,
    packages: BTreeMap<String, PackageEntry>,
}

impl Universe {
    /// A universe without packages.
    pub fn new(architecture: impl Into<String>) -> Self {
        Self { architecture: architecture.into(), packages: BTreeMap::new() }
    }

    /// Debian's name of the architecture.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Adds a candidate. The newest version wins, whatever its pocket; of equals the first one stays. Packages of other
    /// architectures are passed over.
    pub fn add(&mut self, entry: PackageEntry) {
        if entry.architecture != self.architecture && entry.architecture != "all" {
            return;
        }
        match self.packages.entry(entry.name.clone()) {
            Entry::Vacant(vacant) => drop(vacant.insert(entry)),
            Entry::Occupied(mut known) if known.get().version < entry.version => drop(known.insert(entry)),
            Entry::Occupied(_) => (),
        }
    }

    /// The candidate of that name.
    pub fn get(&self, name: &str) -> Option<&PackageEntry> {
        self.packages.get(name)
    }

    /// All candidates, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &PackageEntry> {
        self.packages.values()
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
