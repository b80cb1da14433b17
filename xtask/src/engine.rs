//! Finding the container engine of this machine, and handing it images of the layout.

use std::collections::BTreeSet;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::{Digest, ImageName, Platform, atomic};
use xedge_oci::archive::{self, Tag};
use xedge_oci::import::{self, Imported};
use xedge_oci::{Blobs, ImageEntry, PlatformImage};
use xedge_sim::engine::Settings;
use xedge_sim::{Docker, Embedded, Engine};

use crate::build;
use crate::cli::EngineChoice;
use crate::commands::Context;
use crate::error::{Error, Failed, Result};
use crate::project::entries;
use crate::setup::{Choice, Place, Surroundings, choose};

/// The engine that the command line asks for. `auto` falls back to the embedded one where no Engine answers, unless
/// somebody named one.
pub(crate) async fn connect(cx: &Context<'_>) -> Result<Engine> {
    match cx.engine {
        EngineChoice::Docker => Ok(Engine::Docker(docker(cx).await?)),
        EngineChoice::Embedded => Ok(Engine::Embedded(embedded(cx)?)),
        EngineChoice::Auto => match docker(cx).await {
            Ok(engine) => Ok(Engine::Docker(engine)),
            Err(error) if is_named(cx) => Err(error),
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
            let reason = no_docker.chain().join(": ");
            cx.printer.warn(&format!("{reason}: containers run in the embedded engine ({version})"));
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

/// The embedded engine as well, for clearing up, where it was ever used here and another one is chosen. Where it cannot be
/// had any more, that is said.
pub(crate) fn embedded_beside(cx: &Context<'_>, engine: &Engine) -> Result<Option<Engine>> {
    if !matches!(engine, Engine::Docker(_)) || !embedded_folder(cx)?.exists() {
        return Ok(None);
    }
    match embedded(cx) {
        Ok(embedded) => Ok(Some(Engine::Embedded(embedded))),
        Err(error) => {
            cx.printer.warn(&format!("the embedded engine is left alone: {}", error.chain().join(": ")));
            Ok(None)
        }
    }
}

/// Whether somebody named an Engine: then no other takes its place.
fn is_named(cx: &Context<'_>) -> bool {
    let choice = choose(&Surroundings::of(&cx.environment, cx.project.root()));
    !matches!(choice, Ok(Choice::Usual(_)))
}

/// Connects to the Engine that this user named, else to the first of the usual sockets at which one answers.
pub(crate) async fn docker(cx: &Context<'_>) -> Result<Docker> {
    let place = match choose(&Surroundings::of(&cx.environment, cx.project.root()))? {
        Choice::Named(place) => place,
        Choice::Usual(places) => return first(cx, places).await,
    };
    refuse_remote(&place)?;
    let docker = Docker::connect(&place.host).await?;
    cx.printer.say(&told(&docker, &place));
    Ok(docker)
}

async fn first(cx: &Context<'_>, places: Vec<Place>) -> Result<Docker> {
    let mut problem = None;
    for place in places.iter().filter(|place| place.socket().is_some_and(Utf8Path::exists)) {
        match Docker::connect(&place.host).await {
            Ok(docker) => {
                if place != &places[0] {
                    cx.printer.say(&told(&docker, place));
                }
                return Ok(docker);
            }
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    match problem {
        Some(error) => Err(error.into()),
        // None is there: the error of the usual one says what to do.
        None => Ok(Docker::connect(&places[0].host).await?),
    }
}

/// Which Engine was taken, and why.
fn told(docker: &Docker, place: &Place) -> String {
    let facts = docker.facts();
    format!("engine: {} {} at {} ({})", facts.name, facts.version, place.host, place.from)
}

/// A run needs the ports that the Engine publishes; a container with a network of its own does not see them. Says what
/// else of a run does not hold there.
pub(crate) fn refuse_elsewhere(cx: &Context<'_>, engine: &Engine) -> Result<()> {
    let Ok(engine) = engine.docker() else { return Ok(()) };
    let around = Surroundings::of(&cx.environment, cx.project.root());
    if crate::setup::is_elsewhere(&around, engine.host()) {
        return Err(Error::EngineElsewhere(engine.host().to_owned()).into());
    }
    if crate::setup::ignores_limits(engine.host()) {
        let why = "it runs without root, on a system with control groups of version 1";
        cx.printer.warn(&format!("this Engine applies no limits of memory, CPU and processes: {why}"));
    }
    Ok(())
}

/// Models reach containers through loopback ports, which an Engine on another machine does not open here.
fn refuse_remote(place: &Place) -> Result<()> {
    match place.address() {
        Some(address) if !is_loopback(address) => {
            let (host, from) = (place.host.clone(), place.from.clone());
            Err(Error::RemoteEngine { host, from }.into())
        }
        _ => Ok(()),
    }
}

/// Whether `HOST:PORT` is this machine, by its address or by the one name that always is.
fn is_loopback(address: &str) -> bool {
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => address,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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
        note_loaded(cx, image.config_blob().digest.as_str(), entry.name())?;
    }
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
    if let Engine::Embedded(embedded) = engine {
        // All of them are a run's.
        for id in embedded.images().await? {
            removed += usize::from(engine.remove_untagged(id.as_str()).await?);
        }
        return Ok(removed);
    }
    build::untag_dead(engine.docker()?).await?;
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

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_the_loopback() {
        for here in ["127.0.0.1:2375", "127.0.0.1", "localhost:2375", "[::1]:2375", "127.9.9.9:1"] {
            assert!(is_loopback(here), "{here}");
        }
        for other in ["localhost.example.com:2375", "127.evil.example:1", "192.0.2.1:2375", "[2001:db8::1]:1"]
        {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
