//! A bundle taken apart for work by hand: archives for `docker load`, the configuration, and the steps in words. What
//! comes out was verified as it was read; nothing on a device checks it any more.

mod runbook;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::member::{self, Kind};
use xedge_bundle::verify::{Observer, Progress, Trust, Verified, verify};
use xedge_config::COMPOSE_FILE;
use xedge_config::outputs::Form;
use xedge_model::compose::Compose;
use xedge_model::stack::{check_values, substitute};
use xedge_model::yaml::Source;
use xedge_model::{Digest, ImageName, Platform, atomic};
use xedge_oci::archive::{self, Tag};
use xedge_oci::{Blobs, Descriptor, Layout, blobs::BlobWriter};

use crate::cli::Extract;
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::{forms, trust};

/// An image of the release on its platform.
struct Taken {
    image: ImageName,
    archive: Utf8PathBuf,
    /// What `docker image inspect` calls it.
    id: Digest,
}

/// Takes a bundle apart into a folder that is there whole or not at all.
pub(crate) fn extract(cx: &Context<'_>, flags: &Extract) -> Result<Utf8PathBuf> {
    let file = cx.environment.folder()?.join(&flags.file);
    let out = cx.environment.folder()?.join(&flags.out);
    if out.exists() {
        let reason = "it is there already; name a folder that is not".to_owned();
        return Err(Error::BadFile { path: out, reason }.into());
    }
    let above = out.parent().unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(above).map_err(|source| Error::Write { path: above.to_owned(), source })?;
    let beside = tempfile::Builder::new().prefix(".extract-").tempdir_in(above);
    let beside = beside.map_err(|source| Error::Write { path: out.clone(), source })?;
    let folder = Utf8Path::from_path(beside.path()).expect("it lies below a path in UTF-8");
    let layout = Layout::open_or_create(&folder.join("layout"))?;
    let verified = read(cx, &file, flags.root.as_deref(), layout.blobs())?;
    let result = folder.join("result");
    let images = images(&verified, &layout, flags.platform, &result)?;
    configuration(&verified, layout.blobs(), &flags.set, &result)?;
    let compose = compose(&result.join(&verified.manifest().stack))?;
    let mut notes = Vec::new();
    for form in [Form::Quadlet, Form::Run] {
        notes.extend(forms::write(&result, &verified.manifest().stack, &compose, form)?);
    }
    let text = runbook::text(&verified, flags.platform, &images, &compose, &notes);
    atomic::write(&result.join("RUNBOOK.md"), text.as_bytes(), 0o644)?;
    fs::rename(&result, &out).map_err(|source| Error::Write { path: out.clone(), source })?;
    Ok(out)
}

/// The Compose file that was just written, with the device's values in it.
fn compose(stack: &Utf8Path) -> Result<Compose> {
    let file = stack.join(COMPOSE_FILE);
    let text = fs::read_to_string(&file).map_err(|source| Error::Read { path: file.clone(), source })?;
    Ok(Compose::parse(&Source::new(file.as_str(), text))?)
}

/// Verifies the bundle, and keeps its blobs and configuration files.
fn read(cx: &Context<'_>, file: &Utf8Path, root: Option<&Utf8Path>, blobs: &Blobs) -> Result<Verified> {
    let root = trust::pinned(cx, root)?;
    let opened = File::open(file).map_err(|source| Error::Read { path: file.to_owned(), source })?;
    let trust = Trust { root: &root, floor: None };
    let bar = cx.printer.bytes_bar(0, file.file_name().unwrap_or("bundle"));
    let mut keep = Keep { blobs, open: None, bar };
    let reader = BufReader::with_capacity(1 << 20, opened);
    let verified = verify(reader, &trust, cx.environment.now_unix(), &mut keep);
    keep.bar.finish_and_clear();
    Ok(verified?)
}

/// Keeps what is named by its digest as it passes.
struct Keep<'a> {
    blobs: &'a Blobs,
    open: Option<BlobWriter>,
    bar: indicatif::ProgressBar,
}

impl Observer for Keep<'_> {
    fn bytes(&mut self, progress: &Progress<'_>, bytes: &[u8]) -> io::Result<()> {
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.total_done);
        if !matches!(member::kind_of(progress.member), Some(Kind::Blob | Kind::Config)) {
            return Ok(());
        }
        if self.open.is_none() {
            self.open = Some(self.blobs.writer().map_err(io::Error::other)?);
        }
        self.open.as_mut().map_or(Ok(()), |writer| writer.write_all(bytes))
    }

    fn end(&mut self, _member: &str) -> io::Result<()> {
        match self.open.take() {
            Some(writer) => writer.finish().map(drop).map_err(io::Error::other),
            None => Ok(()),
        }
    }
}

/// An archive per image, for the Engine of a device.
fn images(verified: &Verified, layout: &Layout, platform: Platform, result: &Utf8Path) -> Result<Vec<Taken>> {
    let services = &verified.manifest().services;
    let images: BTreeMap<&ImageName, &Digest> =
        services.iter().map(|service| (&service.image, &service.index)).collect();
    let mut taken = Vec::new();
    for (image, index) in images {
        let target = &verified.targets().targets[&member::blob(index)];
        let index = Descriptor::new(&target.custom.kind, index.clone(), target.length);
        layout.set_image(image, index)?;
        let entry = layout.image(image)?;
        let id = entry.platform(platform)?.config_blob().digest.clone();
        let name = Utf8PathBuf::from(format!("images/{}.tar", image.as_str().replace('/', ".")));
        write_archive(layout, &entry, platform, &result.join(&name))?;
        taken.push(Taken { image: image.clone(), archive: name, id });
    }
    Ok(taken)
}

fn write_archive(
    layout: &Layout,
    entry: &xedge_oci::ImageEntry,
    platform: Platform,
    path: &Utf8Path,
) -> Result<()> {
    let mut failure = None;
    let written = atomic::write_with(path, 0o644, |file| {
        archive::save(layout, entry, platform, Tag::Latest, BufWriter::new(file)).map_err(|error| {
            failure = Some(error);
            io::Error::other("the archive could not be made")
        })
    });
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(written?),
    }
}

/// The configuration with the device's values, below a folder of the stack's name.
fn configuration(
    verified: &Verified,
    blobs: &Blobs,
    set: &[(String, String)],
    result: &Utf8Path,
) -> Result<()> {
    let manifest = verified.manifest();
    let declared = &manifest.config.device_values;
    let values: BTreeMap<String, String> = set.iter().cloned().collect();
    check_values(declared, &values)?;
    for file in &manifest.config.files {
        let target = &verified.targets().targets[&member::config(&file.digest)];
        let kept = Descriptor::new("config", file.digest.clone(), target.length);
        let bytes = substitute(&blobs.read(&kept)?, declared, &values)?;
        atomic::write(&result.join(&manifest.stack).join(&file.path), &bytes, file.mode.0)?;
    }
    Ok(())
}
