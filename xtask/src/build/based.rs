//! Images on an existing one: as it is where nothing is added, else its layers with ours above them.

use xedge_model::lock::LockedBase;
use xedge_model::{ImageLock, Platform, Reference};
use xedge_oci::base::{contents, merged, root_fs, write_on_top};
use xedge_oci::manifest::{Base, Notes, PlatformParts};
use xedge_oci::sbom::SbomPackage;
use xedge_oci::time::unix;
use xedge_oci::{Layout, PlatformImage, rfc3339};

use super::{Made, assemble, sbom, write_layers};
use crate::base;
use crate::commands::Context;
use crate::error::Result;
use crate::payload::Programs;
use crate::project::ImageSource;

/// Makes one platform's manifest. Every layer of the base is read through once for that, also where it stays as it is:
/// a base that lies about its content is nobody's to pass on.
pub(super) fn manifest(
    cx: &Context<'_>,
    image: &ImageSource,
    platform: Platform,
    reference: &Reference,
    locked: &LockedBase,
    programs: &Programs,
    layout: &Layout,
) -> Result<Made> {
    let below = base::adopt(cx, layout, locked, platform)?;
    let mut root = root_fs(layout.blobs(), &below)?;
    let listed = listed(&below, locked, platform, contents(&root));
    let mut own = assemble::users_on(&root, &image.def.users)?;
    own.extend(assemble::content(&image.def, &image.folder)?);
    let files = root.layer(&own)?;
    root.put(&files);
    let above = root.layer(&assemble::programs(&programs.programs)?)?;
    // The base's time is the only one that is the same on every machine.
    let created = rfc3339(below.created().and_then(unix).unwrap_or(0));
    let steps = [("users, folders and files", files), ("programs", above)];
    let (layers, history) = write_layers(layout, steps, &created)?;
    let run = &image.def.config;
    let is_as_it_was =
        layers.is_empty() && below.config().config.clone().unwrap_or_default() == merged(below.config(), run);
    let manifest = if is_as_it_was {
        below.manifest().clone()
    } else {
        let on = Base { name: reference.without_digest(), digest: locked.manifest.clone() };
        let notes = Notes { title: image.def.name.to_string(), created: created.clone(), base: Some(on) };
        let parts = PlatformParts { platform, run, layers: &layers, history: &history, notes: &notes };
        write_on_top(layout.blobs(), &below, &parts)?
    };
    sbom::write_listed(cx, image, platform, &manifest.digest, &created, listed)?;
    Ok(Made { manifest, created })
}

/// The base as the index of the image names it.
pub(super) fn noted(image: &ImageSource, lock: &ImageLock) -> Option<Base> {
    let xedge_model::image::From::Image(reference) = &image.def.from else { return None };
    let locked = lock.platforms.values().find_map(|platform| platform.base.as_ref())?;
    Some(Base { name: reference.without_digest(), digest: locked.index.clone() })
}

/// The base and what its own lists name.
fn listed(
    below: &PlatformImage,
    locked: &LockedBase,
    platform: Platform,
    found: xedge_oci::base::Contents,
) -> Vec<SbomPackage> {
    let layers: Vec<&str> = below.layers().iter().map(|layer| layer.digest.as_str()).collect();
    let content = if found.lists.is_empty() {
        "its content was not analysed, it has no list of packages of dpkg or apk".to_owned()
    } else {
        format!("its packages are those that it lists in {}", found.lists.join(", "))
    };
    let comment = format!("Layers {}; {content}", layers.join(", "));
    let arch = platform.oci_architecture();
    let mut listed = vec![SbomPackage::base_image(&locked.repository, &locked.manifest, arch, comment)];
    listed.extend(found.packages);
    listed
}
