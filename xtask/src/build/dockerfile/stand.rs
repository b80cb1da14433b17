//! The images of the project that a Dockerfile stands on: found by name, built before it, and no circle of them.

use std::collections::{BTreeMap, BTreeSet};

use xedge_model::image::From;
use xedge_model::{Digest, ImageName, Platform};
use xedge_oci::ImageEntry;
use xedge_oci::sbom::SbomPackage;
use xedge_sim::Engine;

use super::error::Error;
use super::syntax::Named;
use super::{Job, finish};
use crate::build;
use crate::commands::Context;
use crate::engine;
use crate::error::Result;
use crate::locks::Mode;
use crate::project::{ImageSource, image_named};

/// The images of the project that a Dockerfile names, by the words that it names them with.
pub(super) struct Bases(BTreeMap<String, ImageEntry>);

/// Builds them for these platforms. An image of elsewhere without digest is told, or refused where all is locked.
pub(super) async fn bases(
    cx: &Context<'_>,
    job: &Job<'_>,
    platforms: &[Platform],
    mode: Mode,
) -> Result<Bases> {
    let all = cx.project.images()?;
    refuse_circle(cx, &all, job)?;
    let mut bases = BTreeMap::new();
    let mut told = BTreeSet::new();
    for platform in platforms {
        for named in job.dockerfile(*platform).images {
            match of_project(&all, &named) {
                Some(_) if bases.contains_key(&named.image) => {}
                Some(source) => {
                    refuse_missing(job, source, platforms)?;
                    // Boxed, since it may come back here for another image.
                    let built = Box::pin(build::at_least(cx, source, platforms, mode)).await?;
                    bases.insert(named.image, built.entry);
                }
                None if told.insert(named.image.clone()) => tell_digest(cx, job, &named, mode)?,
                None => {}
            }
        }
    }
    Ok(Bases(bases))
}

impl Bases {
    /// What they are, for one platform.
    pub(super) fn digests(&self, platform: Platform) -> BTreeMap<&str, &Digest> {
        self.of(platform).map(|(name, image)| (name, &image.manifest().digest)).collect()
    }

    /// As an SBOM lists them.
    pub(super) fn packages(&self, platform: Platform) -> Vec<SbomPackage> {
        let all = self.0.values().filter_map(|entry| Some((entry.name(), entry.platforms().get(&platform)?)));
        let package = |(name, image): (&ImageName, &xedge_oci::PlatformImage)| {
            finish::base_package(name.as_str(), &image.manifest().digest, platform.oci_architecture())
        };
        all.map(package).collect()
    }

    /// Puts them into the Engine; gives their ids there.
    pub(super) async fn load(
        &self,
        cx: &Context<'_>,
        engine: &Engine,
        platform: Platform,
    ) -> Result<BTreeMap<String, Digest>> {
        let mut ids = BTreeMap::new();
        for (name, entry) in &self.0 {
            ids.insert(name.clone(), engine::ensure(cx, engine, entry, platform).await?);
        }
        Ok(ids)
    }

    fn of(&self, platform: Platform) -> impl Iterator<Item = (&str, &xedge_oci::PlatformImage)> {
        self.0
            .iter()
            .filter_map(move |(name, entry)| Some((name.as_str(), entry.platforms().get(&platform)?)))
    }
}

/// An image of the project is meant by its name, with a tag or without; one with a digest or a host is not.
fn of_project<'a>(all: &'a [ImageSource], named: &Named) -> Option<&'a ImageSource> {
    if named.has_digest() {
        return None;
    }
    let (name, _tag) = ImageName::from_reference(&named.image).ok()?;
    image_named(all, &name)
}

fn refuse_missing(job: &Job<'_>, source: &ImageSource, platforms: &[Platform]) -> Result<()> {
    match platforms.iter().find(|platform| !source.def.platforms.value.contains(platform)) {
        Some(missing) => {
            let has: Vec<&str> =
                source.def.platforms.value.iter().map(|platform| platform.as_str()).collect();
            let name = &source.def.name;
            let reason =
                format!("it stands on {name}, which is for {} and not for {missing}", has.join(", "));
            Err(job.refused(&reason, "give both the same `platforms` in their image.yaml"))
        }
        None => Ok(()),
    }
}

fn tell_digest(cx: &Context<'_>, job: &Job<'_>, named: &Named, mode: Mode) -> Result<()> {
    if named.has_digest() {
        return Ok(());
    }
    let (image, file) = (job.image.def.name.clone(), cx.project.relative(&job.file).to_owned());
    let Named { image: name, line, instruction, .. } = named;
    if mode == Mode::Locked {
        let named = name.clone();
        return Err(Error::NoDigest { image, file, line: *line, instruction, named }.into());
    }
    let why = "has no digest: what it names may change, and a locked build refuses it";
    cx.printer.warn(&format!("{file}:{line}: {instruction} {name} {why}"));
    Ok(())
}

/// Follows names through Dockerfiles; one that leads back to an image on the way is an error that tells the way.
fn refuse_circle(cx: &Context<'_>, all: &[ImageSource], job: &Job<'_>) -> Result<()> {
    let mut way = vec![job.image.def.name.clone()];
    match circle(cx, all, job.image, &mut way)? {
        Some(cycle) => {
            let cycle = cycle.iter().map(ToString::to_string).collect();
            Err(Error::Cycle { image: job.image.def.name.clone(), cycle }.into())
        }
        None => Ok(()),
    }
}

fn circle(
    cx: &Context<'_>,
    all: &[ImageSource],
    image: &ImageSource,
    way: &mut Vec<ImageName>,
) -> Result<Option<Vec<ImageName>>> {
    let From::Dockerfile(build) = &image.def.from else { return Ok(None) };
    let job = Job::new(cx, image, build)?;
    let platforms = &image.def.platforms.value;
    for named in platforms.iter().flat_map(|platform| job.dockerfile(*platform).images) {
        let Some(next) = of_project(all, &named) else { continue };
        way.push(next.def.name.clone());
        if let Some(start) = way[..way.len() - 1].iter().position(|known| *known == next.def.name) {
            return Ok(Some(way[start..].to_vec()));
        }
        if let Some(found) = circle(cx, all, next, way)? {
            return Ok(Some(found));
        }
        way.pop();
    }
    Ok(None)
}
