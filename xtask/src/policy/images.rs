//! What images are known to hold: the version of mosquitto in their package list, and their user. What is not known stays so.

use std::fs;

use serde::Deserialize;
use xedge_config::Rendered;
use xedge_config::conf::BrokerVersion;
use xedge_config::policy::ImageFacts;
use xedge_model::lock::ImageLock;
use xedge_model::{ImageName, Platform};
use xedge_oci::PlatformImage;
use xedge_oci::base::{contents, root_fs};

use super::Images;
use crate::build;
use crate::commands::{Context, host_platform};
use crate::error::Result;
use crate::locks;
use crate::project::{ImageSource, image_named, select_image};

/// The packages that hold the broker, of Debian and of Alpine.
const PACKAGE: &str = "mosquitto";

/// The image of each service.
pub(super) fn of_services(cx: &Context<'_>, rendered: &Rendered) -> Result<Images> {
    let sources = cx.project.images()?;
    let mut all = Images::new();
    for (name, service) in rendered.compose().start_order() {
        let image = service.image_name();
        if let Some(facts) = of(cx, &image, image_named(&sources, &image))? {
            all.insert(name.to_owned(), facts);
        }
    }
    Ok(all)
}

/// An image called by folder or name.
pub(crate) fn of_image(cx: &Context<'_>, called: &str) -> Result<ImageFacts> {
    let sources = cx.project.images()?;
    let source = select_image(&sources, called)?;
    Ok(of(cx, &source.def.name, Some(source))?.unwrap_or_default())
}

/// As it lies in the layout; else as its lock says that it will be.
fn of(cx: &Context<'_>, name: &ImageName, source: Option<&ImageSource>) -> Result<Option<ImageFacts>> {
    let layout = build::layout(cx)?;
    let Ok(entry) = layout.image(name) else { return Ok(source.and_then(planned)) };
    let platform = host_platform().ok().filter(|platform| entry.platforms().contains_key(platform));
    let Some((platform, image)) = platform
        .or_else(|| entry.platforms().keys().next().copied())
        .and_then(|p| Some((p, entry.platform(p).ok()?)))
    else {
        return Ok(None);
    };
    let user = image.config().config.as_ref().and_then(|run| run.user.clone()).unwrap_or_default();
    let version = if let Some(sbom) = listed(cx, name, platform, image) {
        sbom.packages.into_iter().find(|package| package.name == PACKAGE).and_then(|package| package.version)
    } else {
        let found = contents(&root_fs(layout.blobs(), image)?);
        found.packages.iter().find(|package| package.name == PACKAGE).map(|package| package.version.clone())
    };
    Ok(Some(ImageFacts { broker: version.as_deref().and_then(BrokerVersion::of_package), user: Some(user) }))
}

/// What an SBOM says.
#[derive(Deserialize)]
struct Sbom {
    packages: Vec<SbomEntry>,
}

/// One package of an SBOM.
#[derive(Deserialize)]
struct SbomEntry {
    name: String,
    #[serde(rename = "versionInfo")]
    version: Option<String>,
}

/// The SBOM that was written beside this very image; `None` where there is none.
fn listed(cx: &Context<'_>, name: &ImageName, platform: Platform, image: &PlatformImage) -> Option<Sbom> {
    let text = fs::read_to_string(build::sbom_file(cx, name, platform)).ok()?;
    if !text.contains(image.manifest().digest.hex()) {
        return None;
    }
    serde_json::from_str(&text).ok()
}

/// What a lock names, for an image that was not built yet.
fn planned(source: &ImageSource) -> Option<ImageFacts> {
    let lock: ImageLock = serde_json::from_str(&fs::read_to_string(locks::file(source)).ok()?).ok()?;
    let mut packages = lock.platforms.values().flat_map(|platform| &platform.packages);
    let version = packages.find(|package| package.name == PACKAGE).map(|package| package.version.as_str());
    Some(ImageFacts { broker: version.and_then(BrokerVersion::of_package), user: None })
}
