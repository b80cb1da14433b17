//! `build`: assemble images into the layout, and put one into the Engine if asked.

use serde_json::json;
use xedge_model::{Class, Platform};
use xedge_oci::archive::Tag;
use xedge_sim::Engine;

use super::Context;
use crate::cli::Build;
use crate::error::{Error, Failed, Result};
use crate::locks::Mode;
use crate::project::ImageSource;
use crate::{build, engine};

/// Prints one line per image: `NAME@sha256:INDEX`.
pub(super) fn run(cx: &Context<'_>, flags: &Build) -> Result<()> {
    let mode = if flags.locked { Mode::Locked } else { Mode::Use };
    let runtime = super::runtime()?;
    let mut failures = Vec::new();
    for image in cx.project.select_images(&flags.images)? {
        match build_one(cx, &runtime, flags, &image, mode) {
            Err(error) if error.class() == Class::Interrupted => return Err(error),
            Err(error) => failures.push(error),
            Ok(()) => {}
        }
    }
    // One that cannot be built here must not keep the others from being built.
    let worst = Class::worst(failures.iter().map(Failed::class));
    let Some(at) = failures.iter().position(|error| Some(error.class()) == worst) else { return Ok(()) };
    let decides = failures.remove(at);
    for error in &failures {
        cx.printer.report(error);
    }
    Err(decides)
}

fn build_one(
    cx: &Context<'_>,
    runtime: &tokio::runtime::Runtime,
    flags: &Build,
    image: &ImageSource,
    mode: Mode,
) -> Result<()> {
    let platforms = platforms(image, &flags.platform)?;
    let entry = runtime.block_on(build::exactly(cx, image, &platforms, mode))?.entry;
    for (platform, built) in entry.platforms() {
        cx.printer.say(&format!("  {platform} {} {} bytes", built.manifest().digest, built.size()));
    }
    if cx.printer.is_json() {
        let digest = |(platform, built): (&Platform, &xedge_oci::PlatformImage)| {
            (platform.to_string(), json!(built.manifest().digest))
        };
        let manifests: serde_json::Map<String, serde_json::Value> =
            entry.platforms().iter().map(digest).collect();
        let index = &entry.index().digest;
        cx.printer.json(&json!({"name": entry.name(), "index": index, "manifests": manifests}))?;
    } else {
        cx.printer.data(&format!("{}@{}", entry.name(), entry.index().digest))?;
    }
    if flags.load {
        runtime.block_on(async {
            let engine = Engine::Docker(engine::docker(cx).await?);
            engine::load(cx, &engine, &entry, host_platform()?, Tag::Latest).await
        })?;
    }
    Ok(())
}

/// The platform whose containers run natively here.
pub(crate) fn host_platform() -> Result<Platform> {
    let arch = std::env::consts::ARCH;
    Ok(Platform::of_machine(arch).ok_or_else(|| Error::Unknown {
        what: "platform of images for this machine's architecture",
        name: arch.to_owned(),
        hint: "images are built for linux/amd64, linux/arm64 and linux/arm/v7: name one with `--platform`"
            .to_owned(),
    })?)
}

fn platforms(image: &ImageSource, wanted: &[Platform]) -> Result<Vec<Platform>> {
    let known = &image.def.platforms.value;
    match wanted.iter().find(|platform| !known.contains(platform)) {
        Some(missing) => Err(image
            .source
            .error_at(&image.def.platforms, format!("{} is not built for {missing}", image.def.name))
            .into()),
        None if wanted.is_empty() => Ok(known.clone()),
        None => Ok(wanted.to_vec()),
    }
}
