//! Finding the container engine of this machine, and handing it images of the layout.

use std::collections::BTreeSet;
use std::io;

use xedge_model::{Digest, Platform};
use xedge_oci::archive::{self, Tag};
use xedge_oci::{ImageEntry, PlatformImage};
use xedge_sim::Docker;

use crate::build;
use crate::commands::Context;
use crate::error::{Error, Failed, Result};
use crate::setup::{Surroundings, engine_sockets};

/// Connects to `DOCKER_HOST`, else to the first of the usual sockets that is there.
pub(crate) async fn connect(cx: &Context<'_>) -> Result<Docker> {
    let usual = "/var/run/docker.sock".to_owned();
    let host = match cx.environment.var("DOCKER_HOST") {
        Some(host) => host.to_owned(),
        None => {
            engine_sockets(&surroundings(cx)).iter().find(|s| s.exists()).map_or(usual, ToString::to_string)
        }
    };
    Ok(Docker::connect(&host).await?)
}

fn surroundings(cx: &Context<'_>) -> Surroundings {
    Surroundings::of(&cx.environment, cx.project.root())
}

/// What an Engine calls an image: the config digest with the classic store, the manifest digest with containerd's.
pub(crate) fn ids(image: &PlatformImage) -> BTreeSet<Digest> {
    [image.config_blob().digest.clone(), image.manifest().digest.clone()].into()
}

/// Puts one platform of an image into the Engine, unless it is there, without touching the user's tags.
pub(crate) async fn ensure(
    cx: &Context<'_>,
    engine: &Docker,
    entry: &ImageEntry,
    platform: Platform,
) -> Result<()> {
    match loaded(engine, entry.platform(platform)?).await? {
        Some(_) => Ok(()),
        None => load(cx, engine, entry, platform, Tag::None).await,
    }
}

/// Streams one platform of an image into the Engine; every blob is checked on the way.
pub(crate) async fn load(
    cx: &Context<'_>,
    engine: &Docker,
    entry: &ImageEntry,
    platform: Platform,
    tag: Tag,
) -> Result<()> {
    let image = entry.platform(platform)?;
    let spinner = cx.printer.spinner(&format!("{} {platform}: into the Engine", entry.name()));
    let (layout, streamed) = (build::layout(cx)?, entry.clone());
    let fill = move |sink: &mut dyn io::Write| {
        archive::save(&layout, &streamed, platform, tag, sink).map_err(|error| match error {
            // When the Engine hangs up, its answer says more than the broken pipe.
            xedge_oci::Error::Archive { source, .. } => source,
            other => io::Error::other(other),
        })
    };
    engine.load_image_with(fill).await.map_err(blame)?;
    spinner.finish_and_clear();
    match loaded(engine, image).await? {
        Some(_) => Ok(()),
        None => {
            Err(Error::NotLoaded { image: entry.name().clone(), config: image.config_blob().digest.clone() }
                .into())
        }
    }
}

/// A damaged blob is not the Engine's fault and keeps its class.
fn blame(error: xedge_sim::Error) -> Failed {
    match error {
        xedge_sim::Error::Archive(source) => match source.downcast::<xedge_oci::Error>() {
            Ok(own) => own.into(),
            Err(source) => xedge_sim::Error::Archive(source).into(),
        },
        other => other.into(),
    }
}

/// Removes what dead runs of this machine left in the Engine.
pub(crate) async fn sweep(cx: &Context<'_>, engine: &Docker) -> Result<()> {
    let swept = xedge_sim::sweep(engine, &cx.environment.host_name()).await?;
    if !swept.runs.is_empty() {
        let (runs, objects) = (swept.runs.join(", "), swept.objects);
        cx.printer.say(&format!("removed what dead runs left in the Engine: {objects} objects of {runs}"));
    }
    Ok(())
}

/// The name under which the Engine has the image, if it has it.
async fn loaded(engine: &Docker, image: &PlatformImage) -> Result<Option<Digest>> {
    for id in ids(image) {
        if engine.has_image(id.as_str()).await? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
