//! A stack made ready: its configuration rendered, its images built for every platform, its gate's scenarios read.
//! Nothing is run, signed or sent here.

use std::collections::{BTreeMap, BTreeSet};

use xedge_config::{Rendered, render, stack};
use xedge_model::{Digest, ImageName, Platform};
use xedge_oci::PlatformImage;

use crate::build::{self, Built};
use crate::cli::StackArgs;
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::locks::Mode;
use crate::project::{ImageSource, image_named};
use crate::simulate::{Prepared, prepare};
use crate::stage::Demand;

/// A stack whose images are in the layout.
pub(crate) struct ReadyStack {
    /// Name of the stack.
    pub(crate) name: String,
    /// The configuration.
    pub(crate) rendered: Rendered,
    /// The image of each service.
    pub(crate) services: BTreeMap<String, ImageName>,
    /// The images, each once.
    pub(crate) images: BTreeMap<ImageName, Built>,
    /// The platforms that every image has.
    pub(crate) platforms: BTreeSet<Platform>,
    /// The scenarios of the gate.
    pub(crate) scenarios: Vec<Prepared>,
}

impl ReadyStack {
    /// Renders, reads and builds; everything that can be wrong without an Engine is found here.
    pub(crate) async fn make(cx: &Context<'_>, flags: &StackArgs, mode: Mode) -> Result<Self> {
        let name = cx.project.select_stack(flags.stack.as_deref())?;
        let rendered = render(&cx.project.templates(), &name, &flags.env)?;
        let services = services(&rendered);
        let sources = sources(cx, &services)?;
        let scenarios = scenarios(cx, &name, &flags.env)?;
        let platforms = common_platforms(&name, &sources)?;
        let mut images = BTreeMap::new();
        for source in sources {
            let built = build::exactly(cx, &source, &source.def.platforms.value, mode).await?;
            images.insert(source.def.name.clone(), built);
        }
        refuse_two_types(&images)?;
        Ok(Self { name, rendered, services, images, platforms, scenarios })
    }

    /// What must have passed before this may leave the machine.
    pub(crate) fn demand(&self) -> Demand {
        let mut manifests = BTreeMap::new();
        for (name, built) in &self.images {
            // All that the index names, also a platform that another image lacks: the whole index is pushed.
            for (platform, image) in built.entry.platforms() {
                manifests.insert((name.clone(), *platform), image.manifest().digest.clone());
            }
        }
        let scenarios = self.scenarios.iter().map(|scenario| scenario.slug.clone()).collect();
        Demand {
            scenarios,
            environment: self.rendered.environment().to_owned(),
            config: self.rendered.digest().clone(),
            manifests,
        }
    }
}

/// A bundle's list gives each blob one type, and who reads it takes no other. Docker's own manifests and OCI's name the
/// same layer of a base by two.
fn refuse_two_types(images: &BTreeMap<ImageName, Built>) -> Result<()> {
    let mut seen: BTreeMap<Digest, (&str, &ImageName)> = BTreeMap::new();
    for (image, built) in images {
        for layer in built.entry.platforms().values().flat_map(PlatformImage::layers) {
            let (known, first) =
                seen.entry(layer.digest.clone()).or_insert((layer.media_type.as_str(), image));
            if *known != layer.media_type {
                let (first, second) = ((*first).clone(), image.clone());
                return Err(Error::TwoTypes { layer: layer.digest.clone(), first, second }.into());
            }
        }
    }
    Ok(())
}

fn services(rendered: &Rendered) -> BTreeMap<String, ImageName> {
    let named =
        |(name, service): (&str, &xedge_model::compose::Service)| (name.to_owned(), service.image_name());
    rendered.compose().start_order().into_iter().map(named).collect()
}

fn sources(cx: &Context<'_>, services: &BTreeMap<String, ImageName>) -> Result<Vec<ImageSource>> {
    let all = cx.project.images()?;
    let mut found: Vec<ImageSource> = Vec::new();
    for (service, image) in services {
        let missing = || Error::ServiceImage { service: service.clone(), image: image.clone() };
        let source = image_named(&all, image).ok_or_else(missing)?;
        if image_named(&found, image).is_none() {
            found.push(source.clone());
        }
    }
    Ok(found)
}

fn scenarios(cx: &Context<'_>, name: &str, environment: &str) -> Result<Vec<Prepared>> {
    let def = stack(&cx.project.templates(), name)?;
    let called: Vec<String> = def.gate.value.iter().map(|scenario| scenario.value.clone()).collect();
    let files = cx.project.select_scenarios(&called, cx.environment.folder()?)?;
    let mut all = Vec::new();
    for file in &files {
        all.extend(prepare(cx, file, environment)?);
    }
    Ok(all)
}

fn common_platforms(stack: &str, images: &[ImageSource]) -> Result<BTreeSet<Platform>> {
    let has = |platform: &Platform| images.iter().all(|image| image.def.platforms.value.contains(platform));
    let common: BTreeSet<Platform> = Platform::ALL.into_iter().filter(has).collect();
    if common.is_empty() {
        return Err(Error::NoPlatform { stack: stack.to_owned() }.into());
    }
    Ok(common)
}
