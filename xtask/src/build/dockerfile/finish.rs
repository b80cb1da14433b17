//! The imported result of a build becomes the image: notes on its manifest, settings of image.yaml in its config.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use xedge_model::Digest;
use xedge_oci::base::{self, Contents};
use xedge_oci::config::{Execution, ImageConfig};
use xedge_oci::descriptor::{CONFIG, MANIFEST};
use xedge_oci::import::Imported;
use xedge_oci::manifest::Manifest;
use xedge_oci::sbom::{SbomPackage, spdx};
use xedge_oci::{Blobs, Descriptor, Layout};

use super::leaks::leaks;
use crate::build::{Made, sbom_file};
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::project::ImageSource;

/// Says `false` on the manifest of an image that another build would not repeat.
pub(crate) const REPRODUCIBLE: &str = "org.xedge.reproducible";
/// What a builder left in it.
pub(crate) const LEAKS: &str = "org.xedge.leaks";

/// What goes into an image beside its layers.
pub(super) struct Facts<'a> {
    /// When the build began, seconds since 1970.
    pub(super) started: i64,
    /// The images that it names, for the SBOM: name and manifest, packages where they are known.
    pub(super) bases: Vec<SbomPackage>,
    pub(super) image: &'a ImageSource,
}

/// Writes config and manifest. Without settings in image.yaml the config keeps its bytes, so that the Engine's image id
/// stays; notes stand on the manifest, which an Engine with the classic store never sees.
pub(super) fn write(
    cx: &Context<'_>,
    layout: &Layout,
    imported: &Imported,
    facts: &Facts<'_>,
) -> Result<(Made, Vec<String>)> {
    let blobs = layout.blobs();
    let mut manifest: Manifest = document(blobs, &imported.manifest)?;
    let mut config: Value = document(blobs, &manifest.config)?;
    let leaked = leaks(&config, imported, facts.started);
    if set(&mut config, facts)? {
        let bytes = config.to_string().into_bytes();
        blobs.put(&bytes)?;
        manifest.config = Descriptor::of(CONFIG, &bytes);
    }
    let created = seconds(imported.created.as_deref());
    manifest.annotations = notes(facts, &created, &leaked);
    let bytes = serde_json::to_vec(&manifest).expect("a manifest has string keys");
    blobs.put(&bytes)?;
    let manifest =
        Descriptor { platform: imported.manifest.platform.clone(), ..Descriptor::of(MANIFEST, &bytes) };
    sbom(cx, layout, imported, &manifest, &created, facts)?;
    Ok((Made { manifest, created }, leaked))
}

fn document<T: serde::de::DeserializeOwned>(blobs: &Blobs, descriptor: &Descriptor) -> Result<T> {
    let bad = |error: serde_json::Error| Error::BadFile {
        path: blobs.path(&descriptor.digest),
        reason: error.to_string(),
    };
    Ok(serde_json::from_slice(&blobs.read(descriptor)?).map_err(bad)?)
}

fn notes(facts: &Facts<'_>, created: &str, leaked: &[String]) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::from([
        ("org.opencontainers.image.title".to_owned(), facts.image.def.name.to_string()),
        ("org.opencontainers.image.created".to_owned(), created.to_owned()),
        (REPRODUCIBLE.to_owned(), "false".to_owned()),
    ]);
    if !leaked.is_empty() {
        notes.insert(LEAKS.to_owned(), leaked.join("; "));
    }
    notes
}

/// Puts what image.yaml sets over the built config; every field that we do not know stays. False if it sets nothing.
fn set(config: &mut Value, facts: &Facts<'_>) -> Result<bool> {
    let run = &facts.image.def.config;
    if Execution::from(run) == Execution::default() {
        return Ok(false);
    }
    let bad = |error: serde_json::Error| Error::BadFile {
        path: facts.image.folder.clone(),
        reason: format!("the built config is not one: {error}"),
    };
    let built: ImageConfig = serde_json::from_value(config.clone()).map_err(bad)?;
    let merged = json!(base::merged(&built, run));
    let Some(Value::Object(all)) = config.get_mut("config") else {
        config["config"] = merged;
        return Ok(true);
    };
    // A new entrypoint takes the arguments of the old one away.
    all.remove("Cmd");
    all.extend(merged.as_object().cloned().unwrap_or_default());
    Ok(true)
}

/// Whole seconds, as SBOMs and annotations want them.
fn seconds(created: Option<&str>) -> String {
    let whole = created.filter(|time| time.ends_with('Z')).and_then(|time| time.get(..19));
    whole.map_or_else(|| xedge_oci::rfc3339(0), |whole| format!("{whole}Z"))
}

/// The packages that dpkg's or apk's list in the image names, and the images that the Dockerfile names. What was copied
/// from elsewhere is not looked into.
fn sbom(
    cx: &Context<'_>,
    layout: &Layout,
    imported: &Imported,
    manifest: &Descriptor,
    created: &str,
    facts: &Facts<'_>,
) -> Result<()> {
    let name = &facts.image.def.name;
    let entry = layout.entry(name.clone(), manifest.clone())?;
    let root = base::root_fs(layout.blobs(), entry.platform(imported.platform)?)?;
    let Contents { mut packages, .. } = base::contents(&root);
    packages.extend(facts.bases.iter().cloned());
    let text = spdx(name, imported.platform, &manifest.digest, created, &packages);
    Ok(xedge_model::atomic::write(&sbom_file(cx, name, imported.platform), &text, 0o644)?)
}

/// An image that a Dockerfile names, as an SBOM lists it.
pub(super) fn base_package(name: &str, manifest: &Digest, architecture: &str) -> SbomPackage {
    let comment = "named in the Dockerfile; see its own SBOM".to_owned();
    SbomPackage::base_image(name, manifest, architecture, comment)
}
