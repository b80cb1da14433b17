//! Release files: their signature, age and suite, and where a Packages index lies; nothing is downloaded.

use std::collections::BTreeMap;

use camino::Utf8Path;
use xedge_model::Digest;

use crate::Error;
use crate::deb822::{Paragraph, Reader};

mod date;
mod gpgv;

/// How the file is named in errors.
const FILE: &str = "InRelease";

/// A Release file whose signature was checked: there is no other way to make one.
#[derive(Clone, Debug)]
#[must_use]
pub struct Release {
    suite: String,
    codename: String,
    date: i64,
    valid_until: Option<i64>,
    valid_until_text: String,
    by_hash: bool,
    files: BTreeMap<String, (u64, Digest)>,
}

/// A Packages file as the Release file names it. Paths are relative to `dists/POCKET/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// For example `main/binary-arm64/Packages.xz`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the file as it is, compressed.
    pub sha256: Digest,
    /// The same file under its digest, where the archive has that: it cannot change while it is fetched.
    pub by_hash_path: Option<String>,
}

/// Checks an `InRelease` file with gpgv and reads what was signed, and only that.
///
/// One good signature by a key of `keyring` is enough: Debian signs with the keys of several suites. `scratch` is a
/// folder for temporary files.
pub fn verify_inrelease(inrelease: &[u8], keyring: &[u8], scratch: &Utf8Path) -> Result<Release, Error> {
    Release::parse(&gpgv::signed_text("gpgv", inrelease, keyring, scratch)?)
}

impl Release {
    /// The suite's name at the time, for example `oldstable`.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// The code name, for example `bookworm-security`.
    pub fn codename(&self) -> &str {
        &self.codename
    }

    /// When it was made, in Unix seconds.
    pub fn date_unix(&self) -> i64 {
        self.date
    }

    /// Until when it may be used, in Unix seconds; Debian's main suites have no such limit.
    pub fn valid_until(&self) -> Option<i64> {
        self.valid_until
    }

    /// The Packages file of a component and architecture, `.xz` before `.gz`.
    pub fn index_file(&self, component: &str, architecture: &str) -> Option<IndexFile> {
        let folder = format!("{component}/binary-{architecture}");
        ["xz", "gz"].into_iter().find_map(|extension| {
            let path = format!("{folder}/Packages.{extension}");
            let (size, sha256) = self.files.get(&path)?.clone();
            let by_hash_path = self.by_hash.then(|| format!("{folder}/by-hash/SHA256/{}", sha256.hex()));
            Some(IndexFile { path, size, sha256, by_hash_path })
        })
    }

    /// Like [`Self::index_file`], with the error to show for a release that does not name one.
    pub fn require_index_file(&self, component: &str, architecture: &str) -> Result<IndexFile, Error> {
        let missing = || format!("{} has no Packages file of {component} for {architecture}", self.codename);
        self.index_file(component, architecture).ok_or_else(|| Error::malformed(FILE, missing()))
    }

    /// Checks that this is the index of `pocket`, and, if `check_valid_until`, that it is not too old at `now_unix`.
    pub fn check(&self, pocket: &str, now_unix: i64, check_valid_until: bool) -> Result<(), Error> {
        if self.codename != pocket {
            return Err(Error::WrongSuite { pocket: pocket.to_owned(), found: self.codename.clone() });
        }
        if check_valid_until && self.valid_until.is_some_and(|end| end < now_unix) {
            let valid_until = self.valid_until_text.clone();
            return Err(Error::Expired { pocket: pocket.to_owned(), valid_until });
        }
        Ok(())
    }

    fn parse(text: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(text);
        let paragraph = reader.next_paragraph().map_err(|e| Error::reading(FILE, e))?;
        let paragraph = paragraph.ok_or_else(|| Error::malformed(FILE, "it is empty"))?;
        let field = |key: &str| {
            paragraph
                .get(key)
                .map(str::to_owned)
                .ok_or_else(|| Error::malformed(FILE, format!("no field `{key}`")))
        };
        let valid_until = paragraph.get("Valid-Until");
        let release = Self {
            suite: paragraph.get("Suite").unwrap_or_default().to_owned(),
            codename: field("Codename")?,
            date: unix(&field("Date")?)?,
            valid_until: valid_until.map(unix).transpose()?,
            valid_until_text: valid_until.unwrap_or_default().to_owned(),
            by_hash: paragraph.get("Acquire-By-Hash") == Some("yes"),
            files: files(paragraph)?,
        };
        match reader.next_paragraph() {
            Ok(None) => Ok(release),
            _ => Err(Error::malformed(FILE, "it has more than one paragraph")),
        }
    }
}

fn unix(date: &str) -> Result<i64, Error> {
    date::unix(date).ok_or_else(|| Error::malformed(FILE, format!("`{date}` is no date")))
}

/// The field `SHA256`: a digest, a size and a path on each line.
fn files(paragraph: &Paragraph) -> Result<BTreeMap<String, (u64, Digest)>, Error> {
    let list = paragraph.get("SHA256").ok_or_else(|| Error::malformed(FILE, "no field `SHA256`"))?;
    let mut files = BTreeMap::new();
    for line in list.lines().filter(|line| !line.is_empty()) {
        let (path, file) =
            file(line).ok_or_else(|| Error::malformed(FILE, format!("`{line}` names no file")))?;
        if files.insert(path.to_owned(), file).is_some() {
            return Err(Error::malformed(FILE, format!("`{path}` is there twice")));
        }
    }
    Ok(files)
}

fn file(line: &str) -> Option<(&str, (u64, Digest))> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [digest, size, path] = words[..] else { return None };
    Some((path, (size.parse().ok()?, Digest::from_hex(digest).ok()?)))
}

#[cfg(test)]
mod tests;
