//! The release record: what this machine has released, in the data folder, a file a release. `cargo clean` does not touch it.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use xedge_model::stack::Data;
use xedge_model::{Digest, atomic};

use crate::commands::Context;
use crate::error::{Error, Result, read_bytes};
use crate::project::entries;

/// The format version that this tool reads and writes.
pub(crate) const FORMAT: u32 = 1;

/// One release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    /// Format version of the file.
    pub(crate) format: u32,
    /// The stack.
    pub(crate) stack: String,
    /// The counter that only goes up.
    pub(crate) seq: u64,
    /// The version.
    pub(crate) version: String,
    /// The repository's revision when it was made, if it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
    /// What it writes, and who can read that.
    #[serde(default)]
    pub(crate) data: Data,
    /// Digest of `bundle.json`: everything that the release is.
    pub(crate) content: Digest,
    /// How often the bundle was stamped anew; with `seq` the version of timestamp and snapshot.
    pub(crate) restamp: u16,
    /// Digest of the bundle's file.
    pub(crate) bundle: Digest,
}

impl Record {
    /// Writes it; the same release that was stamped anew takes the place of what was written before.
    pub(crate) fn write(&self, cx: &Context<'_>) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).expect("the record has string keys only");
        text.push(b'\n');
        let path = folder(cx, &self.stack)?.join(format!("{}.json", self.seq));
        Ok(atomic::write(&path, &text, 0o644)?)
    }
}

/// Every release of a stack that this machine made, ascending.
pub(crate) fn all(cx: &Context<'_>, stack: &str) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    for path in entries(&folder(cx, stack)?)? {
        // Anything else in the folder (an unfinished write) is no record.
        let seq = path.file_name().and_then(|name| name.strip_suffix(".json"));
        if let Some(seq) = seq.and_then(|seq| seq.parse().ok()) {
            found.push(read(&path, stack, seq)?);
        }
    }
    found.sort_by_key(|record| record.seq);
    Ok(found)
}

/// A record that cannot be read is an error: taken for none, it would let a number be used twice.
fn read(path: &Utf8Path, stack: &str, seq: u64) -> Result<Record> {
    let bytes = read_bytes(path)?;
    let bad = |reason: String| Error::BadFile { path: path.to_owned(), reason };
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    if record.format != FORMAT {
        return Err(bad(format!("it has format {}, this xedge reads format {FORMAT}", record.format)).into());
    }
    if record.stack != stack || record.seq != seq {
        return Err(bad(format!("it is about release {} of {}", record.seq, record.stack)).into());
    }
    Ok(record)
}

fn folder(cx: &Context<'_>, stack: &str) -> Result<Utf8PathBuf> {
    Ok(cx.project.home()?.join("releases").join(stack))
}
