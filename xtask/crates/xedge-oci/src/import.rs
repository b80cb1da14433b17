//! Images that others made, taken into the blobs: archives of `docker save` and OCI layouts. Nothing in them is
//! believed: every member is hashed, every layer is gone through. What stays unnamed after an error is `gc`'s.

mod contents;
mod docker;
mod finish;
mod intake;
mod name;
mod oci;
mod problem;
mod walk;

use std::io::{Cursor, Read};

use camino::Utf8Path;
use flate2::read::MultiGzDecoder;
use xedge_model::{Digest, Platform};

use crate::{Blobs, Descriptor, Error};
use contents::{Contents, problem_of, unreadable};
pub use problem::Problem;

/// An image for one platform, all of it in the blobs.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Where it runs, by its config.
    pub platform: Platform,
    /// Its manifest, with the platform.
    pub manifest: Descriptor,
    /// Names that the archive gives it.
    pub names: Vec<String>,
    /// When it was made, as its config says.
    pub created: Option<String>,
    /// Its layers, lowest first.
    pub layers: Vec<ImportedLayer>,
}

/// What was seen of a layer.
#[derive(Clone, Debug)]
pub struct ImportedLayer {
    /// Digest of the uncompressed layer.
    pub diff_id: Digest,
    /// Time of its newest entry, seconds since 1970.
    pub newest: i64,
}

impl Imported {
    fn named(self, names: Vec<String>) -> Self {
        Self { names, ..self }
    }
}

/// Takes over one image of a tar archive, plain or compressed with gzip: of `docker save`, or an OCI layout. Where it is
/// both, the layout counts. `wanted` names the image where there are several; `from` is what errors call the archive.
pub fn archive(
    from: &str,
    mut reader: impl Read,
    wanted: Option<&str>,
    blobs: &Blobs,
) -> Result<Vec<Imported>, Error> {
    let mut head = [0; 4];
    let filled = walk::fill(&mut reader, &mut head).map_err(|error| unreadable(from, &error))?;
    let whole = Cursor::new(head[..filled].to_vec()).chain(reader);
    let contents = match head {
        [0x1f, 0x8b, ..] => Contents::of_archive(from, MultiGzDecoder::new(whole), blobs)?,
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let why = "it is compressed with zstd: unpack it first, `zstd --decompress FILE`".to_owned();
            return Err(problem_of(from, Problem::NotAnArchive { why }));
        }
        _ => Contents::of_archive(from, whole, blobs)?,
    };
    take(&contents, wanted)
}

/// Takes over one image of an OCI layout folder.
pub fn folder(dir: &Utf8Path, wanted: Option<&str>, blobs: &Blobs) -> Result<Vec<Imported>, Error> {
    take(&Contents::of_folder(dir.as_str(), dir, blobs)?, wanted)
}

fn take(contents: &Contents<'_>, wanted: Option<&str>) -> Result<Vec<Imported>, Error> {
    if contents.get("index.json").is_some() {
        oci::images(contents, wanted)
    } else if contents.get("manifest.json").is_some() {
        docker::images(contents, wanted)
    } else {
        let why = "it has neither manifest.json nor index.json".to_owned();
        Err(contents.problem(Problem::NotAnArchive { why }))
    }
}

#[cfg(test)]
mod tests;
