//! An image as an archive that the Engine loads while it is written: in constant memory, and without the layers it has.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::Stream;
use serde_json::json;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use xedge_model::{Digest, Hasher};

use crate::engine::{ImageLoad, LayerLoad};
use crate::{Error, Result};

/// Chunks that may be under way, and the bytes of each.
const CHUNKS: usize = 4;
const CHUNK: usize = 128 * 1024;
/// The longest manifest that is read.
const MAX_MANIFEST: u64 = 4 << 20;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The two ends of an archive under way.
pub(super) fn pipe() -> (Pipe, impl Stream<Item = io::Result<Bytes>> + Send + 'static) {
    let (sender, mut receiver): (Sender<io::Result<Bytes>>, Receiver<io::Result<Bytes>>) = channel(CHUNKS);
    (Pipe(sender), futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)))
}

/// The end that is written to, outside of the runtime's own threads.
pub(super) struct Pipe(Sender<io::Result<Bytes>>);

impl Pipe {
    /// Makes the upload fail, so that half an archive never looks like a whole one.
    fn fail(&self) {
        let cut = io::Error::other("the archive was cut off");
        drop(self.0.blocking_send(Err(cut)));
    }
}

impl Write for &Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What became of the writing.
pub(super) enum Written {
    /// All of it.
    Whole,
    /// The Engine hung up: its answer says why.
    HungUp,
    /// A blob could not be read, or is not what its digest says.
    Failed(Error),
}

/// Writes the archive of an image into a pipe, which the caller closes. `whole` adds what an Engine needs that keeps images by their
/// manifest; such an Engine takes no thin images.
pub(super) fn write(image: &ImageLoad<'_>, whole: bool, pipe: &Pipe) -> Written {
    let mut failed = None;
    let buffered = io::BufWriter::with_capacity(CHUNK, pipe);
    let written = archive(image, whole, buffered, &mut failed);
    match (written, failed) {
        (Ok(()), _) => Written::Whole,
        (Err(_), Some(error)) => {
            pipe.fail();
            Written::Failed(error)
        }
        (Err(error), None) if error.kind() == io::ErrorKind::BrokenPipe => Written::HungUp,
        (Err(error), None) => {
            pipe.fail();
            Written::Failed(unreadable("an image", &error))
        }
    }
}

fn archive(
    image: &ImageLoad<'_>,
    whole: bool,
    writer: impl Write,
    failed: &mut Option<Error>,
) -> io::Result<()> {
    let mut tar = Builder::new(writer);
    let layers: Vec<String> = image.layers.iter().map(|layer| path(&layer.digest)).collect();
    let load = json!([{"Config": path(image.config_digest), "RepoTags": null, "Layers": layers}]);
    append(&mut tar, "manifest.json", load.to_string().as_bytes())?;
    if whole {
        let manifest = keep(read_manifest(image), failed)?;
        append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let entry = json!({"mediaType": MANIFEST_TYPE, "digest": image.manifest, "size": manifest.len()});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        append(&mut tar, "index.json", index.to_string().as_bytes())?;
        append(&mut tar, &path(image.manifest), &manifest)?;
    }
    append(&mut tar, &path(image.config_digest), image.config)?;
    let mut done = BTreeSet::new();
    for layer in image.layers.iter().filter(|layer| !layer.here) {
        if !done.insert(&layer.digest) {
            continue;
        }
        let blob = keep((image.open)(&layer.digest), failed)?;
        let mut reader = Checked { blob, left: layer.length, hasher: Hasher::new(), damaged: false };
        let mut header = header(layer.length);
        let appended = tar.append_data(&mut header, path(&layer.digest), &mut reader);
        if reader.damaged {
            *failed = Some(damaged(layer));
        }
        appended?;
        if reader.hasher.finish() != layer.digest {
            *failed = Some(damaged(layer));
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    tar.into_inner()?.flush()
}

fn read_manifest(image: &ImageLoad<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let blob = (image.open)(image.manifest)?;
    blob.take(MAX_MANIFEST).read_to_end(&mut bytes).map_err(|e| unreadable(image.manifest.as_str(), &e))?;
    if Digest::of(&bytes) == *image.manifest {
        Ok(bytes)
    } else {
        Err(Error::Engine {
            what: format!("load an image of manifest {}", image.manifest),
            reason: "the manifest that is kept is damaged".to_owned(),
        })
    }
}

/// An error of ours is kept, since the archive's writer only knows those of files.
fn keep<T>(result: Result<T>, failed: &mut Option<Error>) -> io::Result<T> {
    result.map_err(|error| {
        *failed = Some(error);
        io::ErrorKind::Other.into()
    })
}

fn unreadable(what: &str, error: &io::Error) -> Error {
    Error::Engine { what: format!("load {what}"), reason: error.to_string() }
}

fn damaged(layer: &LayerLoad) -> Error {
    Error::Engine {
        what: format!("load layer {}", layer.digest),
        reason: "the layer that is kept is damaged".to_owned(),
    }
}

/// Reads a blob of known length and hashes it on the way.
struct Checked {
    blob: Box<dyn Read + Send>,
    left: u64,
    hasher: Hasher,
    damaged: bool,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.blob.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            // The archive's header promised more.
            self.damaged = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hasher.update(&buffer[..read]);
        self.left -= read as u64;
        Ok(read)
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn append(tar: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), path, bytes)
}

fn header(size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(size);
    header
}
