//! Images that somebody else built: into the embedded registry by digest, and an image.yaml that stands on them.

mod yaml;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use camino::Utf8Path;
use serde_json::json;
use xedge_model::{ImageName, Platform, atomic};
use xedge_oci::import::{self, Imported};
use xedge_oci::{Blobs, Descriptor, ImageEntry, Layout};
use xedge_registry::{BlobSource, Progress, Silent};

use crate::cli::ImageImport;
use crate::commands::{Context, runtime};
use crate::error::{Error, Result};
use crate::registry::{Registry, reach_of_environment};
use crate::release::{LayoutBlobs, push_image};
use crate::{build, engine};

/// Repositories of imported images in the embedded registry begin with this.
pub(crate) const IMPORTED: &str = "imported";

/// Imports one image and prints `NAME@sha256:INDEX`. Everything is checked before the registry or image.yaml change.
pub(crate) fn import(cx: &Context<'_>, flags: &ImageImport) -> Result<()> {
    let name = folder_name(&flags.name)?;
    let (layout, _held) = (build::layout(cx)?, build::hold(cx)?);
    let images = match &flags.from_engine {
        Some(reference) => from_engine(cx, reference, layout.blobs())?,
        None => from_files(cx, flags, layout.blobs())?,
    };
    let images = by_platform(images)?;
    let file = cx.project.root().join("images").join(&flags.name).join("image.yaml");
    let entry = index(&layout, name.clone(), &images)?;
    let reference = format!("{IMPORTED}/{name}@{}", entry.index().digest);
    let platforms: Vec<Platform> = images.keys().copied().collect();
    let definition = yaml::Definition { reference: &reference, platforms: &platforms };
    let text = if file.exists() {
        definition.updated(&cx.project.source(&file)?)?
    } else {
        definition.new_text(&flags.name, &origin(flags, &images))
    };
    runtime()?.block_on(store(cx, &layout, &entry))?;
    atomic::write(&file, text.as_bytes(), 0o644)?;
    cx.printer.say(&format!("{}: from {reference}", cx.project.relative(&file)));
    print(cx, &flags.name, &reference, &entry)
}

fn print(cx: &Context<'_>, name: &str, reference: &str, entry: &ImageEntry) -> Result<()> {
    let index = &entry.index().digest;
    for (platform, image) in entry.platforms() {
        cx.printer.say(&format!("  {platform} {} {} bytes", image.manifest().digest, image.size()));
    }
    if cx.printer.is_json() {
        let digest = |(platform, image): (&Platform, &xedge_oci::PlatformImage)| {
            (platform.to_string(), json!(image.manifest().digest))
        };
        let manifests: serde_json::Map<_, _> = entry.platforms().iter().map(digest).collect();
        return cx
            .printer
            .json(&json!({"name": name, "reference": reference, "index": index, "manifests": manifests}));
    }
    cx.printer.data(&format!("{name}@{index}"))
}

/// The name is a folder's and a repository's last part.
fn folder_name(name: &str) -> Result<ImageName> {
    let bad = |hint: &str| Error::Unknown {
        what: "a use for the name",
        name: name.to_owned(),
        hint: hint.to_owned(),
    };
    if name.contains('/') {
        return Err(bad("it becomes a folder below images/: `--name sensor-hub`").into());
    }
    name.parse()
        .map_err(|_| bad("it has lower-case letters, digits, `.`, `_` and `-`: `--name sensor-hub`").into())
}

fn from_engine(cx: &Context<'_>, reference: &str, blobs: &Blobs) -> Result<Vec<Imported>> {
    runtime()?.block_on(async {
        let engine = engine::connect(cx).await?;
        let docker = engine.docker()?;
        if !docker.has_image(reference).await? {
            let hint = "it has these: `docker images`".to_owned();
            return Err(
                Error::Unknown { what: "in the Engine the image", name: reference.to_owned(), hint }.into()
            );
        }
        engine::export(cx, docker, reference, blobs).await
    })
}

fn from_files(cx: &Context<'_>, flags: &ImageImport, blobs: &Blobs) -> Result<Vec<Imported>> {
    let mut images = Vec::new();
    for file in &flags.files {
        let spinner = cx.printer.spinner(&format!("{file}: importing"));
        let found = from_file(&cx.environment.folder()?.join(file), flags.image.as_deref(), blobs);
        spinner.finish_and_clear();
        images.extend(found?);
    }
    Ok(images)
}

fn from_file(path: &Utf8Path, wanted: Option<&str>, blobs: &Blobs) -> Result<Vec<Imported>> {
    if path.is_dir() {
        return Ok(import::folder(path, wanted, blobs)?);
    }
    let file = File::open(path).map_err(|source| Error::Read { path: path.into(), source })?;
    Ok(import::archive(path.as_str(), BufReader::with_capacity(256 << 10, file), wanted, blobs)?)
}

/// Files may hold the same platform only if they hold the same image for it.
fn by_platform(images: Vec<Imported>) -> Result<BTreeMap<Platform, Imported>> {
    let mut all: BTreeMap<Platform, Imported> = BTreeMap::new();
    for image in images {
        let digest = image.manifest.digest.clone();
        let known = all.entry(image.platform).or_insert(image);
        if known.manifest.digest != digest {
            let (what, name) = ("one image for", known.platform.to_string());
            let hint = format!(
                "two files have different ones, {} and {digest}: name one file a platform",
                known.manifest.digest
            );
            return Err(Error::Unknown { what, name, hint }.into());
        }
    }
    Ok(all)
}

/// An index of our own, so that files of one platform each become one image.
fn index(layout: &Layout, name: ImageName, images: &BTreeMap<Platform, Imported>) -> Result<ImageEntry> {
    let manifests: Vec<Descriptor> = images.values().map(|image| image.manifest.clone()).collect();
    let index = xedge_oci::index::write_list(layout.blobs(), manifests)?;
    Ok(layout.entry(name, index)?)
}

/// Into `imported/NAME` of the embedded registry, which outlives `cargo clean`.
async fn store(cx: &Context<'_>, layout: &Layout, entry: &ImageEntry) -> Result<()> {
    let registry = Registry::embedded(cx, &reach_of_environment(cx)).await?;
    let repository = format!("{IMPORTED}/{}", entry.name());
    let repository: ImageName = repository.parse().expect("both parts are names");
    let entry = layout.entry(repository, entry.index().clone())?;
    let plan = registry.client.plan(push_image(&registry, layout, &entry, &[], Vec::new())?).await?;
    let source: Arc<dyn BlobSource> = Arc::new(LayoutBlobs(layout.clone()));
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    registry.client.push(&plan, &source, &silent).await?;
    Ok(())
}

/// Where it came from, for people who read image.yaml.
fn origin(flags: &ImageImport, images: &BTreeMap<Platform, Imported>) -> String {
    let names = images.values().flat_map(|image| &image.names).next();
    match (&flags.from_engine, names) {
        (Some(reference), _) => format!("the Engine's {reference}"),
        (None, Some(name)) => name.clone(),
        (None, None) => flags.files.iter().filter_map(|file| file.file_name()).collect::<Vec<_>>().join(", "),
    }
}
