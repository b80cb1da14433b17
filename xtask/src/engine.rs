//! Finding the container engine of this machine, and handing it images of the layout.

use std::collections::BTreeSet;
use std::io;

use camino::Utf8PathBuf;
use xedge_model::{Digest, ImageName, Platform, atomic};
use xedge_oci::archive::{self, Tag};
use xedge_oci::import::{self, Imported};
use xedge_oci::{Blobs, ImageEntry, PlatformImage};
use xedge_sim::{Docker, Engine};

use crate::build;
use crate::commands::Context;
use crate::error::{Error, Failed, Result};
use crate::project::entries;
use crate::setup::{Surroundings, engine_sockets};

/// Connects to `DOCKER_HOST`, else to the first of the usual sockets at which an Engine answers.
pub(crate) async fn connect(cx: &Context<'_>) -> Result<Engine> {
    if let Some(host) = cx.environment.var("DOCKER_HOST") {
        refuse_remote(host)?;
        return Ok(Engine::Docker(Docker::connect(host).await?));
    }
    let sockets = engine_sockets(&Surroundings::of(&cx.environment, cx.project.root()));
    let mut problem = None;
    for socket in sockets.iter().filter(|socket| socket.exists()) {
        match Docker::connect(socket.as_str()).await {
            Ok(engine) => return Ok(Engine::Docker(engine)),
            Err(error) => problem = Some(error),
        }
    }
    match problem {
        Some(error) => Err(error.into()),
        // None is there: the error of the usual one says what to do.
        None => Ok(Engine::Docker(Docker::connect("/var/run/docker.sock").await?)),
    }
}

/// A run needs the ports that the Engine publishes; a container with a network of its own does not see them.
pub(crate) fn refuse_elsewhere(cx: &Context<'_>, engine: &Engine) -> Result<()> {
    let around = Surroundings::of(&cx.environment, cx.project.root());
    if crate::setup::is_elsewhere(&around, engine.host()) {
        return Err(Error::EngineElsewhere(engine.host().to_owned()).into());
    }
    Ok(())
}

/// Models reach containers through loopback ports, which an Engine on another machine does not open here.
fn refuse_remote(host: &str) -> Result<()> {
    let Some((scheme, rest)) = host.split_once("://") else { return Ok(()) };
    let local = ["127.", "localhost", "[::1]"].iter().any(|name| rest.starts_with(name));
    match scheme {
        "tcp" | "http" | "https" if !local => Err(Error::RemoteEngine(host.to_owned()).into()),
        "ssh" => Err(Error::RemoteEngine(host.to_owned()).into()),
        _ => Ok(()),
    }
}

/// What an Engine calls an image: the config digest with the classic store, the manifest digest with containerd's.
pub(crate) fn ids(image: &PlatformImage) -> BTreeSet<Digest> {
    [image.config_blob().digest.clone(), image.manifest().digest.clone()].into()
}

/// Puts one platform of an image into the Engine, unless it is there, without touching the user's tags.
pub(crate) async fn ensure(
    cx: &Context<'_>,
    engine: &Engine,
    entry: &ImageEntry,
    platform: Platform,
) -> Result<Digest> {
    let image = entry.platform(platform)?;
    if let Some(id) = loaded(engine, image).await? {
        return Ok(id);
    }
    // Written down first, so that `gc` also finds what a killed run left.
    note_loaded(cx, image.config_blob().digest.as_str(), entry.name())?;
    load(cx, engine, entry, platform, Tag::None).await
}

/// Writes down an image without tag that we put into the Engine, so that `gc` removes it again.
pub(crate) fn note_loaded(cx: &Context<'_>, id: &str, name: &ImageName) -> Result<()> {
    let record = loads(cx)?.join(id.strip_prefix("sha256:").unwrap_or(id));
    Ok(atomic::write(&record, name.as_str().as_bytes(), 0o644)?)
}

/// Where images that runs put into the Engine are written down, a file each, named by config digest.
fn loads(cx: &Context<'_>) -> Result<Utf8PathBuf> {
    Ok(cx.project.home()?.join("loaded"))
}

/// Removes images that runs put into the Engine, unless they have a tag or a container by now; returns how many.
pub(crate) async fn remove_loaded(cx: &Context<'_>, engine: &Engine) -> Result<usize> {
    let mut removed = 0;
    for record in entries(&loads(cx)?)? {
        let Some(Ok(id)) = record.file_name().map(Digest::from_hex) else { continue };
        if engine.remove_untagged(id.as_str()).await? {
            removed += 1;
        }
        // One that stays is somebody's now.
        std::fs::remove_file(&record).map_err(|source| Error::Write { path: record.clone(), source })?;
    }
    Ok(removed)
}

/// Streams one platform of an image into the Engine; every blob is checked on the way.
pub(crate) async fn load(
    cx: &Context<'_>,
    engine: &Engine,
    entry: &ImageEntry,
    platform: Platform,
    tag: Tag,
) -> Result<Digest> {
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
        Some(id) => Ok(id),
        None => {
            Err(Error::NotLoaded { image: entry.name().clone(), config: image.config_blob().digest.clone() }
                .into())
        }
    }
}

/// Takes an image of the Engine over into the blobs, checked like an archive of somebody else's.
pub(crate) async fn export(
    cx: &Context<'_>,
    engine: &Docker,
    reference: &str,
    blobs: &Blobs,
) -> Result<Vec<Imported>> {
    let spinner = cx.printer.spinner(&format!("{reference}: out of the Engine"));
    let (from, blobs) = (format!("{reference} from the Engine"), blobs.clone());
    let take = move |reader: &mut dyn io::Read| import::archive(&from, reader, None, &blobs);
    let taken = engine.export_image(reference, take).await;
    spinner.finish_and_clear();
    Ok(taken??)
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
pub(crate) async fn sweep(cx: &Context<'_>, engine: &Engine) -> Result<()> {
    let swept = xedge_sim::sweep(engine, &cx.environment.host_name()).await?;
    if !swept.runs.is_empty() {
        let (runs, objects) = (swept.runs.join(", "), swept.objects);
        cx.printer.say(&format!("removed what dead runs left in the Engine: {objects} objects of {runs}"));
    }
    Ok(())
}

/// The name under which the Engine has the image, if it has it.
async fn loaded(engine: &Engine, image: &PlatformImage) -> Result<Option<Digest>> {
    for id in ids(image) {
        if engine.has_image(id.as_str()).await? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
