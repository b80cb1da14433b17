//! Finding the container engine of this machine, and handing it images of the layout.

use std::collections::BTreeSet;
use std::io;

use camino::Utf8PathBuf;
use xedge_model::{Digest, Platform, atomic};
use xedge_oci::archive::{self, Tag};
use xedge_oci::{ImageEntry, PlatformImage};
use xedge_sim::engine::embedded::Settings;
use xedge_sim::{Docker, Embedded, Engine};

use crate::build;
use crate::cli::EngineChoice;
use crate::commands::Context;
use crate::error::{Error, Failed, Result};
use crate::project::entries;
use crate::setup::{Surroundings, engine_sockets};

/// The engine that the command line asks for. `auto` falls back to the embedded one where no Engine answers, unless
/// somebody named one.
pub(crate) async fn connect(cx: &Context<'_>) -> Result<Engine> {
    match cx.engine {
        EngineChoice::Docker => Ok(Engine::Docker(docker(cx).await?)),
        EngineChoice::Embedded => Ok(Engine::Embedded(embedded(cx)?)),
        EngineChoice::Auto => match docker(cx).await {
            Ok(engine) => Ok(Engine::Docker(engine)),
            Err(error) if cx.environment.var("DOCKER_HOST").is_some() => Err(error),
            Err(error) => fall_back(cx, error),
        },
    }
}

/// What is missing for a Docker Engine is the better advice where neither can be had.
fn fall_back(cx: &Context<'_>, no_docker: Failed) -> Result<Engine> {
    match embedded(cx) {
        Ok(engine) => {
            let engine = Engine::Embedded(engine);
            let version = &engine.facts().version;
            cx.printer
                .say(&format!("no Docker Engine answers: containers run in the embedded engine ({version})"));
            Ok(engine)
        }
        Err(error) => {
            cx.printer.warn(&format!("no fallback: {}", error.chain().join(": ")));
            Err(no_docker)
        }
    }
}

/// Where the embedded engine keeps images and containers.
fn embedded_folder(cx: &Context<'_>) -> Result<Utf8PathBuf> {
    Ok(cx.project.home()?.join("embedded"))
}

fn embedded(cx: &Context<'_>) -> Result<Embedded> {
    let settings = Settings {
        folder: embedded_folder(cx)?,
        // This program, also when Cargo has built another in its place meanwhile.
        program: "/proc/self/exe".into(),
        path: cx.environment.var("PATH").unwrap_or_default().to_owned(),
        runtime: cx.environment.var("XEDGE_RUNTIME").map(str::to_owned),
    };
    Ok(Embedded::open(settings)?)
}

/// The embedded engine as well, for clearing up, where it was ever used here and another one is chosen.
pub(crate) fn embedded_beside(cx: &Context<'_>, engine: &Engine) -> Result<Option<Engine>> {
    let used = matches!(engine, Engine::Docker(_)) && embedded_folder(cx)?.exists();
    if used { Ok(Some(Engine::Embedded(embedded(cx)?))) } else { Ok(None) }
}

/// Connects to `DOCKER_HOST`, else to the first of the usual sockets at which an Engine answers.
pub(crate) async fn docker(cx: &Context<'_>) -> Result<Docker> {
    if let Some(host) = cx.environment.var("DOCKER_HOST") {
        refuse_remote(host)?;
        return Ok(Docker::connect(host).await?);
    }
    let sockets = engine_sockets(&Surroundings::of(&cx.environment, cx.project.root()));
    let mut problem = None;
    for socket in sockets.iter().filter(|socket| socket.exists()) {
        match Docker::connect(socket.as_str()).await {
            Ok(engine) => return Ok(engine),
            Err(error) => problem = Some(error),
        }
    }
    match problem {
        Some(error) => Err(error.into()),
        // None is there: the error of the usual one says what to do.
        None => Ok(Docker::connect("/var/run/docker.sock").await?),
    }
}

/// A run needs the ports that the Engine publishes; a container with a network of its own does not see them.
pub(crate) fn refuse_elsewhere(cx: &Context<'_>, engine: &Engine) -> Result<()> {
    let Ok(engine) = engine.docker() else { return Ok(()) };
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
    if engine.docker().is_ok() {
        // Written down first, so that `gc` also finds what a killed run left.
        let record = loads(cx)?.join(image.config_blob().digest.hex());
        atomic::write(&record, entry.name().as_str().as_bytes(), 0o644)?;
    }
    load(cx, engine, entry, platform, Tag::None).await
}

/// Where images that runs put into the Engine are written down, a file each, named by config digest.
fn loads(cx: &Context<'_>) -> Result<Utf8PathBuf> {
    Ok(cx.project.home()?.join("loaded"))
}

/// Removes images that runs put into the Engine, unless they have a tag or a container by now; returns how many.
pub(crate) async fn remove_loaded(cx: &Context<'_>, engine: &Engine) -> Result<usize> {
    let mut removed = 0;
    if let Engine::Embedded(embedded) = engine {
        // All of them are a run's.
        for id in embedded.images().await? {
            removed += usize::from(engine.remove_untagged(id.as_str()).await?);
        }
        return Ok(removed);
    }
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

/// How to look at a run that was kept.
pub(crate) fn kept(engine: &Engine, run_id: &str) -> String {
    match engine {
        Engine::Docker(_) => format!("look with `docker ps --filter label=xedge.run={run_id}`"),
        Engine::Embedded(_) => format!(
            "its containers run on, without network and ports; look into {}/containers/xedge-{run_id}-NODE",
            engine.host()
        ),
    }
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
