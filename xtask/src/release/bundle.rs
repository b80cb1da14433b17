//! Making the signed bundle: hashes first, then metadata, then one pass that writes, and one that verifies what was written
//! as a device would. The file is there whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};

use camino::{Utf8Path, Utf8PathBuf};
use indicatif::ProgressBar;
use xedge_bundle::pieces::pieces;
use xedge_bundle::tuf::Target;
use xedge_bundle::verify::{Observer, Progress, Trust as Anchor, Verified, verify};
use xedge_bundle::write::{Metadata, Writer};
use xedge_model::{Digest, Hasher, atomic};
use xedge_oci::Layout;
use xedge_sign::{
    AskPassphrase, TARGETS_LIFETIME, TIMESTAMP_LIFETIME, make_snapshot, make_targets, make_timestamp,
};

use super::manifest::{Content, Member, Members};
use crate::build;
use crate::commands::Context;
use crate::error::{Error, Failed, Result};
use crate::trust::Trust;

/// A bundle's file is stamped anew when less than this of its time is left, in seconds.
const FRESH: i64 = TIMESTAMP_LIFETIME / 2;

/// Where bundles lie.
pub(crate) fn path(cx: &Context<'_>, file: &str) -> Utf8PathBuf {
    cx.project.output("bundles").join(file)
}

/// The name of a bundle's file.
pub(crate) fn file_name(stack: &str, version: &str) -> String {
    format!("{stack}-{version}.xedge")
}

/// Whether a bundle that was made before can stay as it is: the recorded bytes, trusted, and good for a while.
pub(crate) fn is_fresh(cx: &Context<'_>, trust: &Trust, path: &Utf8Path, digest: &Digest) -> Result<bool> {
    let Ok(mut file) = File::open(path) else { return Ok(false) };
    let failed = |source| Error::Read { path: path.to_owned(), source };
    if Digest::of_reader(&mut file).map_err(failed)? != *digest {
        cx.printer.warn(&format!("{path} is not as it was made: it is made anew"));
        return Ok(false);
    }
    file.rewind().map_err(failed)?;
    let now = cx.environment.now_unix();
    let anchor = Anchor { root: trust.root_bytes(), floor: None };
    Ok(verify(&file, &anchor, now, &mut ()).is_ok_and(|verified| verified.expires() > now + FRESH))
}

/// Makes the bundle and returns the digest of its file.
pub(crate) fn make(
    cx: &Context<'_>,
    trust: &Trust,
    seq: u64,
    restamp: u16,
    members: &Members,
    path: &Utf8Path,
    ask: AskPassphrase<'_>,
) -> Result<Digest> {
    let layout = build::layout(cx)?;
    let targets = targets(&layout, members)?;
    let metadata = Signed::new(cx, trust, seq, restamp, &targets, ask)?;
    let total = targets.values().map(|target| target.length).sum();
    let bar = cx.printer.bytes_bar(total, path.file_name().unwrap_or("bundle"));
    let mut failure = None;
    let mut digest = None;
    let written = atomic::write_with(path, 0o644, |file| {
        match fill(cx, trust, &layout, members, &metadata, file, &bar) {
            Ok(found) => digest = Some(found),
            Err(error) => failure = Some(error),
        }
        if failure.is_some() { Err(io::Error::other("the bundle could not be made")) } else { Ok(()) }
    });
    bar.finish_and_clear();
    if let Some(error) = failure {
        return Err(error);
    }
    written?;
    Ok(digest.expect("a bundle that was written has a digest"))
}

/// The metadata of one bundle.
struct Signed<'a> {
    roots: &'a [Vec<u8>],
    timestamp: Vec<u8>,
    snapshot: Vec<u8>,
    targets: Vec<u8>,
}

impl<'a> Signed<'a> {
    fn new(
        cx: &Context<'_>,
        trust: &'a Trust,
        seq: u64,
        restamp: u16,
        targets: &BTreeMap<String, Target>,
        ask: AskPassphrase<'_>,
    ) -> Result<Self> {
        let (root, now) = (trust.root_bytes(), cx.environment.now_unix());
        let targets =
            make_targets(root, seq, now + TARGETS_LIFETIME, targets, &trust.ring.release_key(ask)?)?;
        let stamp = trust.ring.stamp_key(ask)?;
        let snapshot = make_snapshot(root, &targets, restamp, now + TARGETS_LIFETIME, &stamp)?;
        let timestamp = make_timestamp(root, &snapshot, now + TIMESTAMP_LIFETIME, &stamp)?;
        Ok(Self { roots: &trust.roots, timestamp, snapshot, targets })
    }

    fn metadata(&self) -> Metadata<'_> {
        let Self { roots, timestamp, snapshot, targets } = self;
        Metadata { roots, timestamp, snapshot, targets }
    }
}

fn targets(layout: &Layout, members: &Members) -> Result<BTreeMap<String, Target>> {
    let target = |(name, member): (&String, &Member)| {
        let (_, reader) = open(layout, name, member)?;
        let found = pieces(reader).map_err(|source| read_error(name, source))?;
        if let Content::Part { path, digest, .. } = &member.content
            && found.digest != *digest
        {
            let (path, expected) = (path.clone(), digest.clone());
            return Err(Error::Damaged { path, found: found.digest, expected }.into());
        }
        Ok((name.clone(), found.target(&member.kind)))
    };
    members.iter().map(target).collect()
}

fn fill(
    cx: &Context<'_>,
    trust: &Trust,
    layout: &Layout,
    members: &Members,
    metadata: &Signed<'_>,
    file: &mut File,
    bar: &ProgressBar,
) -> Result<Digest> {
    let mut writer = Writer::new(Hashing::new(BufWriter::new(&mut *file)), &metadata.metadata())?;
    let due: Vec<String> = writer.due().map(str::to_owned).collect();
    for name in due {
        let (length, reader) = open(layout, &name, &members[&name])?;
        writer.member(&name, length, bar.wrap_read(reader))?;
    }
    let digest = writer.finish()?.hasher.finish();
    let failed = |source| Error::Read { path: "the new bundle".into(), source };
    file.rewind().map_err(failed)?;
    let anchor = Anchor { root: trust.root_bytes(), floor: None };
    let _verified: Verified = verify(&*file, &anchor, cx.environment.now_unix(), &mut ())?;
    Ok(digest)
}

fn open(layout: &Layout, name: &str, member: &Member) -> Result<(u64, Box<dyn Read>)> {
    match &member.content {
        Content::Bytes(bytes) => Ok((bytes.len() as u64, Box::new(io::Cursor::new(bytes.clone())))),
        Content::File(path) => {
            let file = File::open(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let length = file.metadata().map_err(|source| read_error(name, source))?.len();
            Ok((length, Box::new(file)))
        }
        part @ Content::Part { length, .. } => {
            let reader = part_reader(part).map_err(|source| read_error(name, source))?;
            Ok((*length, Box::new(reader)))
        }
        Content::Blob(blob) => Ok((blob.size, Box::new(layout.blobs().open_sized(blob)?))),
    }
}

/// A part of a file, from its first byte to its last.
pub(crate) fn part_reader(content: &Content) -> io::Result<io::Take<File>> {
    let Content::Part { path, offset, length, .. } = content else {
        return Err(io::Error::other("it is no part of a bundle"));
    };
    let mut file = File::open(path)?;
    file.seek(io::SeekFrom::Start(*offset))?;
    Ok(file.take(*length))
}

/// A damaged blob comes out of a reader as an I/O error, and is one of integrity all the same.
fn read_error(name: &str, source: io::Error) -> Failed {
    match source.downcast::<xedge_oci::Error>() {
        Ok(own) => own.into(),
        Err(source) => Error::Read { path: name.into(), source }.into(),
    }
}

/// Hashes what is written.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new() }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Shows how far a verification is.
pub(crate) struct Shown(pub(crate) ProgressBar);

impl Observer for Shown {
    fn bytes(&mut self, progress: &Progress<'_>, _bytes: &[u8]) -> io::Result<()> {
        self.0.set_length(progress.total);
        self.0.set_position(progress.total_done);
        Ok(())
    }
}
