//! One layer read through, as far as others need to know what is in it. Refuses names that lead out of the layer.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};
use xedge_model::bounded::Bound;
use xedge_model::{Digest, Hasher};

use super::packages;
use super::rootfs::{Kind, Node};
use crate::blobs::BlobReader;
use crate::descriptor::{DOCKER_LAYER, LAYER};
use crate::{Blobs, Descriptor, Error};

/// Deletes the file with the rest of this name from the layers below (image-spec, layer.md, whiteouts).
const WHITEOUT: &str = ".wh.";
/// Hides all that the layers below have in this folder.
const OPAQUE: &str = ".wh..wh..opq";
/// What else starts like this is AUFS's own and means nothing here.
const AUFS: &str = ".wh..wh.";
/// Files whose content counts (users, lists of packages) are not larger than this.
const MAX_CONTENT: u64 = 64 << 20;

/// What a layer does to the file system below it.
pub(super) struct Scanned {
    pub(super) diff_id: Digest,
    /// Deleted with everything below.
    pub(super) deleted: Vec<Utf8PathBuf>,
    /// Emptied.
    pub(super) emptied: Vec<Utf8PathBuf>,
    /// What it brings, in its order.
    pub(super) brought: Vec<(Utf8PathBuf, Node)>,
}

/// Reads a layer to its end; its own digest is checked on the way.
pub(super) fn scan(blobs: &Blobs, layer: &Descriptor) -> Result<Scanned, Error> {
    let blob = BufReader::with_capacity(256 << 10, blobs.open_sized(layer)?);
    let mut plain = Hashing { inner: unpacked(layer, blob), hasher: Hasher::new() };
    let mut scanned =
        Scanned { diff_id: Digest::of(b""), deleted: Vec::new(), emptied: Vec::new(), brought: Vec::new() };
    match read(&mut plain, layer, &mut scanned) {
        Ok(Ok(())) => {
            scanned.diff_id = plain.hasher.finish();
            Ok(scanned)
        }
        Ok(Err(refused)) => Err(refused),
        // Damage on this disk is another thing than a layer that was made wrong.
        Err(source) => {
            blobs.verify(layer)?;
            Err(Error::BrokenLayer { layer: layer.digest.clone(), source })
        }
    }
}

fn unpacked(layer: &Descriptor, blob: BufReader<BlobReader>) -> Box<dyn Read> {
    match layer.media_type.as_str() {
        LAYER | DOCKER_LAYER => Box::new(MultiGzDecoder::new(blob)),
        _ => Box::new(blob),
    }
}

fn read(plain: &mut impl Read, layer: &Descriptor, scanned: &mut Scanned) -> io::Result<Result<(), Error>> {
    let bound = Bound::at_start();
    let mut archive = Archive::new(bound.over(&mut *plain));
    for entry in archive.entries()? {
        let entry = entry?;
        bound.content(stored(&entry)?);
        if let Err(refused) = take(entry, layer, scanned)? {
            return Ok(Err(refused));
        }
    }
    // Padding behind the last entry is part of the digest.
    io::copy(plain, &mut io::sink())?;
    Ok(Ok(()))
}

/// How much of the archive its content takes: a sparse file's holes are not in it.
fn stored(entry: &tar::Entry<'_, impl Read>) -> io::Result<u64> {
    if entry.header().entry_type().is_gnu_sparse() { entry.header().entry_size() } else { Ok(entry.size()) }
}

fn take(
    mut entry: tar::Entry<'_, impl Read>,
    layer: &Descriptor,
    scanned: &mut Scanned,
) -> io::Result<Result<(), Error>> {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let refused = |name: &str, why| {
        Ok(Err(Error::UnsafeLayer { layer: layer.digest.clone(), name: name.to_owned(), why }))
    };
    if entry.header().entry_type() == EntryType::XGlobalHeader {
        return Ok(Ok(()));
    }
    let path = match inside(&name) {
        Ok(path) => path,
        Err(why) => return refused(&name, why),
    };
    let Some(last) = path.file_name() else { return Ok(Ok(())) };
    let folder = path.parent().unwrap_or(Utf8Path::new("/"));
    if last == OPAQUE {
        scanned.emptied.push(folder.to_owned());
    } else if last.starts_with(AUFS) {
    } else if let Some(deleted) = last.strip_prefix(WHITEOUT) {
        if matches!(deleted, "" | "." | "..") {
            return refused(&name, "it deletes a folder by a name that is none");
        }
        scanned.deleted.push(folder.join(deleted));
    } else {
        let kind = match entry.header().entry_type() {
            EntryType::Directory => Kind::Dir,
            EntryType::Symlink => Kind::Symlink { target: link(&entry) },
            EntryType::Link => {
                let target = link(&entry);
                match inside(target.trim_start_matches('/')) {
                    Ok(target) => Kind::Hardlink { target },
                    Err(why) => return refused(&target, why),
                }
            }
            kind if kind.is_file() => Kind::File { content: content(&path, &mut entry)? },
            _ => Kind::Other,
        };
        let header = entry.header();
        // A field that was left empty means 0, as Engines take it.
        let number = |read: io::Result<u64>| u32::try_from(read.unwrap_or(0)).unwrap_or(u32::MAX);
        let mode = header.mode().unwrap_or(0) & 0o7777;
        let node = Node { kind, mode, uid: number(header.uid()), gid: number(header.gid()) };
        scanned.brought.push((path, node));
    }
    Ok(Ok(()))
}

fn link(entry: &tar::Entry<'_, impl Read>) -> String {
    entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default()
}

fn content(path: &Utf8Path, entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<Arc<[u8]>>> {
    if !packages::is_read(path) || entry.size() > MAX_CONTENT {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(Some(bytes.into()))
}

/// The absolute path that a name in a layer means.
fn inside(name: &str) -> Result<Utf8PathBuf, &'static str> {
    let mut path = Utf8PathBuf::from("/");
    for component in Utf8Path::new(name).components() {
        match component {
            Utf8Component::Normal(part) => path.push(part),
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => return Err("it contains `..`"),
            Utf8Component::RootDir | Utf8Component::Prefix(_) => return Err("it is absolute"),
        }
    }
    Ok(path)
}

/// Hashes what is read.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
