//! What is in one platform's image, written beside the layout as SPDX: Debian packages and crates, nothing guessed.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde::Deserialize;
use xedge_model::lock::LockedPackage;
use xedge_model::{Digest, ImageName, Platform, atomic};
use xedge_oci::sbom::{SbomPackage, spdx};
use xshell::Shell;

use crate::commands::Context;
use crate::error::{Error, Result, read_text};
use crate::project::ImageSource;

/// Where the SBOM of an image's platform lies.
pub(crate) fn file(cx: &Context<'_>, name: &ImageName, platform: Platform) -> Utf8PathBuf {
    cx.project.output("sbom").join(format!("{}.{}.spdx.json", name.file_stem(), platform.file_stem()))
}

/// Writes the SBOM of one platform.
pub(super) fn write(
    cx: &Context<'_>,
    image: &ImageSource,
    platform: Platform,
    manifest: &Digest,
    created: &str,
    packages: &[LockedPackage],
) -> Result<()> {
    write_listed(cx, image, platform, manifest, created, packages.iter().map(SbomPackage::debian).collect())
}

/// Writes the SBOM of one platform: these packages, and the crates of its payloads.
pub(super) fn write_listed(
    cx: &Context<'_>,
    image: &ImageSource,
    platform: Platform,
    manifest: &Digest,
    created: &str,
    mut listed: Vec<SbomPackage>,
) -> Result<()> {
    if !image.def.payloads.is_empty() {
        let roots: Vec<&str> = image.def.payloads.iter().map(|payload| payload.package.as_str()).collect();
        listed.extend(crates(cx, &roots, platform)?);
    }
    let text = spdx(&image.def.name, platform, manifest, created, &listed);
    Ok(atomic::write(&file(cx, &image.def.name, platform), &text, 0o644)?)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<ResolveNode>,
}

#[derive(Deserialize)]
struct ResolveNode {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct CargoLock {
    package: Vec<CargoLockPackage>,
}

#[derive(Deserialize)]
struct CargoLockPackage {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The crates that are linked into these packages on this platform, with the checksums of Cargo.lock.
fn crates(cx: &Context<'_>, roots: &[&str], platform: Platform) -> Result<Vec<SbomPackage>> {
    let metadata = metadata(cx, platform)?;
    let checksums = checksums(cx)?;
    let by_id: BTreeMap<&str, &MetadataPackage> =
        metadata.packages.iter().map(|p| (p.id.as_str(), p)).collect();
    let reached = closure(&metadata, roots);
    let known = reached.iter().filter_map(|id| by_id.get(id));
    Ok(known
        .map(|package| {
            let checksum = checksums.get(&(package.name.clone(), package.version.clone())).cloned();
            SbomPackage::cargo(&package.name, &package.version, checksum, package.license.as_deref())
        })
        .collect())
}

/// Everything that is linked into the roots; what only builds or tests need, macros among it, is not in the image.
fn closure<'a>(metadata: &'a Metadata, roots: &[&str]) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<&str, &ResolveNode> =
        metadata.resolve.nodes.iter().map(|n| (n.id.as_str(), n)).collect();
    let runs_in_compiler = |package: &&MetadataPackage| {
        package.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    };
    let macros: BTreeSet<&str> =
        metadata.packages.iter().filter(runs_in_compiler).map(|package| package.id.as_str()).collect();
    let is_root = |package: &&MetadataPackage| roots.contains(&package.name.as_str());
    let mut open: Vec<&str> =
        metadata.packages.iter().filter(is_root).map(|package| package.id.as_str()).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !macros.contains(id) && reached.insert(id) {
            let deps = nodes.get(id).map_or(&[][..], |node| &node.deps);
            let is_linked = |dep: &&Dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
            open.extend(deps.iter().filter(is_linked).map(|dep| dep.pkg.as_str()));
        }
    }
    reached
}

fn metadata(cx: &Context<'_>, platform: Platform) -> Result<Metadata> {
    let cargo = cx.environment.var("CARGO").unwrap_or("cargo");
    let spawn =
        |error: xshell::Error| Error::Spawn { program: cargo.into(), source: std::io::Error::other(error) };
    let sh = Shell::new().map_err(spawn)?;
    sh.change_dir(cx.project.root());
    let command = sh.cmd(cargo).args(["metadata", "--locked", "--format-version", "1", "--filter-platform"]);
    let output = command.arg(platform.rust_target()).quiet().ignore_status().output().map_err(spawn)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Metadata(platform.to_string(), words).into());
    }
    let bad = |error: serde_json::Error| Error::BadFile {
        path: "cargo metadata".into(),
        reason: error.to_string(),
    };
    Ok(serde_json::from_slice(&output.stdout).map_err(bad)?)
}

fn checksums(cx: &Context<'_>) -> Result<BTreeMap<(String, String), Digest>> {
    let path = cx.project.root().join("Cargo.lock");
    let bad = |reason: String| Error::BadFile { path: path.clone(), reason };
    let lock: CargoLock = toml::from_str(&read_text(&path)?).map_err(|error| bad(error.to_string()))?;
    let mut found = BTreeMap::new();
    for package in lock.package {
        if let Some(checksum) = &package.checksum {
            let digest = Digest::from_hex(checksum).map_err(|error| bad(error.to_string()))?;
            found.insert((package.name, package.version), digest);
        }
    }
    Ok(found)
}
