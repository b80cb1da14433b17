//! `image`: list, inspect and save what is in the layout; take over what others built.

use serde_json::json;
use xedge_model::atomic;
use xedge_oci::archive::{self, Tag};
use xedge_oci::{ImageEntry, PlatformImage};

use super::Context;
use super::build::host_platform;
use crate::build::{self, LEAKS, REPRODUCIBLE};
use crate::cli::Image;
use crate::error::Result;
use crate::foreign;
use crate::project::select_image;

/// Dispatches.
pub(super) fn run(cx: &Context<'_>, command: Image) -> Result<()> {
    match command {
        Image::Ls => ls(cx),
        Image::Inspect { image } => inspect(cx, &image),
        Image::Save { image, output, platform } => {
            let platform = platform.map_or_else(host_platform, Ok)?;
            save(cx, &image, &cx.environment.folder()?.join(output), platform)
        }
        Image::Import(flags) => foreign::import(cx, &flags),
    }
}

fn ls(cx: &Context<'_>) -> Result<()> {
    for entry in build::layout(cx)?.images()? {
        let platforms: Vec<&str> = entry.platforms().keys().map(|platform| platform.as_str()).collect();
        if cx.printer.is_json() {
            cx.printer.json(
                &json!({"name": entry.name(), "index": entry.index().digest, "platforms": platforms}),
            )?;
        } else {
            cx.printer.data(&format!("{}@{} {}", entry.name(), entry.index().digest, platforms.join(" ")))?;
        }
    }
    Ok(())
}

fn inspect(cx: &Context<'_>, called: &str) -> Result<()> {
    let (layout, entry) = find(cx, called)?;
    let checked = layout.verify_image(entry.name())?;
    let platforms: serde_json::Map<String, serde_json::Value> = entry
        .platforms()
        .iter()
        .map(|(platform, built)| {
            let sbom = cx.project.relative(&build::sbom_file(cx, entry.name(), *platform)).to_owned();
            let value = json!({"manifest": built.manifest().digest, "config": built.config_blob().digest,
                "created": built.created(), "size": built.size(), "layers": built.layers(),
                "diffIds": built.diff_ids(), "run": built.config().config, "sbom": sbom,
                "reproducible": is_reproducible(built), "leaks": built.annotations().get(LEAKS)});
            (platform.to_string(), value)
        })
        .collect();
    let report = json!({"name": entry.name(), "index": entry.index().digest, "platforms": platforms,
        "verified": {"blobs": checked.blobs, "bytes": checked.bytes}});
    if cx.printer.is_json() {
        return cx.printer.json(&report);
    }
    cx.printer.data(&serde_json::to_string_pretty(&report).expect("the report has string keys only"))
}

/// Assembled images are; one of a builder says that it is not, and of what somebody else made nothing is known.
fn is_reproducible(image: &PlatformImage) -> bool {
    image.annotations().get(REPRODUCIBLE).is_none_or(|says| says != "false")
}

fn save(
    cx: &Context<'_>,
    called: &str,
    output: &camino::Utf8Path,
    platform: xedge_model::Platform,
) -> Result<()> {
    let (layout, entry) = find(cx, called)?;
    let mut failure = None;
    let written = atomic::write_with(output, 0o644, |file| {
        let writer = std::io::BufWriter::new(file);
        archive::save(&layout, &entry, platform, Tag::Latest, writer).map_err(|error| {
            failure = Some(error);
            std::io::Error::other("the archive could not be made")
        })
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    written?;
    cx.printer.say(&format!("{platform} of {}: try `docker load --input {output}`", entry.name()));
    cx.printer.data(output.as_str())
}

/// The layout and an image of it, called by folder or name.
fn find(cx: &Context<'_>, called: &str) -> Result<(xedge_oci::Layout, ImageEntry)> {
    let layout = build::layout(cx)?;
    let images = cx.project.images()?;
    let name = select_image(&images, called)?.def.name.clone();
    let entry = layout.image(&name)?;
    Ok((layout, entry))
}
