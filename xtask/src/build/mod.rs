//! `ImageDef` to `Layout`: locks, packages and payloads become image manifests, and an unchanged image is not made again.

mod assemble;
mod based;
mod dockerfile;
mod inputs;
mod sbom;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};

use camino::Utf8PathBuf;

use xedge_model::image::From;
use xedge_model::lock::LockedPackage;
use xedge_model::{Class, Digest, ImageLock, Platform};
use xedge_oci::config::History;
use xedge_oci::manifest::{Base, Notes, PlatformParts, write_platform};
use xedge_oci::{Descriptor, ImageEntry, Layout, Tree, index, rfc3339, write_layer};

use crate::commands::Context;
use crate::error::{Error, Result};
use crate::locks::{self, Mode};
use crate::payload::{self, Programs};
use crate::project::ImageSource;
pub(crate) use dockerfile::{Ignore, LEAKS, REPRODUCIBLE, untag_dead};
use inputs::Inputs;
pub(crate) use sbom::file as sbom_file;

/// The project's layout, made if it is not there.
pub(crate) fn layout(cx: &Context<'_>) -> Result<Layout> {
    Ok(Layout::open_or_create(&cx.project.output("layout"))?)
}

/// Held while blobs are made that no image names yet, so that `gc` does not take them away.
pub(crate) fn hold(cx: &Context<'_>) -> Result<File> {
    let file = open_lock(cx)?;
    file.lock_shared().map_err(|source| Error::Read { path: lock_file(cx), source })?;
    Ok(file)
}

/// Held while blobs are removed; `None` while an image is being built.
pub(crate) fn hold_alone(cx: &Context<'_>) -> Result<Option<File>> {
    let file = open_lock(cx)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(Error::Read { path: lock_file(cx), source }.into()),
    }
}

fn lock_file(cx: &Context<'_>) -> Utf8PathBuf {
    cx.project.output("build.lock")
}

fn open_lock(cx: &Context<'_>) -> Result<File> {
    let path = lock_file(cx);
    let open = || {
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        OpenOptions::new().create(true).truncate(false).write(true).open(&path)
    };
    Ok(open().map_err(|source| Error::Read { path: path.clone(), source })?)
}

/// An image in the layout, and the lock that it was made from.
pub(crate) struct Built {
    /// The image.
    pub(crate) entry: ImageEntry,
    /// The lock's file.
    pub(crate) lock_file: Utf8PathBuf,
    /// Digest of the lock's canonical text.
    pub(crate) lock: Digest,
}

/// Builds one image for these platforms, which must be among those of its definition; the layout then names an index
/// of exactly these.
pub(crate) async fn exactly(
    cx: &Context<'_>,
    image: &ImageSource,
    platforms: &[Platform],
    mode: Mode,
) -> Result<Built> {
    let (layout, _held) = (layout(cx)?, hold(cx)?);
    let done = manifests(cx, image, platforms, mode, &layout).await?;
    let lock = done.lock.clone();
    Ok(Built { entry: name(&layout, image, done)?, lock_file: locks::file(image), lock })
}

/// Builds one image for these platforms at least. An index in the layout that has their manifests and those of further
/// platforms stays: a run on this machine's platform must not take the others away from a run beside it.
pub(crate) async fn at_least(
    cx: &Context<'_>,
    image: &ImageSource,
    platforms: &[Platform],
    mode: Mode,
) -> Result<Built> {
    let (layout, _held) = (layout(cx)?, hold(cx)?);
    let done = manifests(cx, image, platforms, mode, &layout).await?;
    let lock = done.lock.clone();
    let entry = match layout.image(&image.def.name) {
        Ok(entry) if covers(&entry, image, &done.by_platform) => entry,
        _ => name(&layout, image, done)?,
    };
    Ok(Built { entry, lock_file: locks::file(image), lock })
}

fn covers(entry: &ImageEntry, image: &ImageSource, done: &BTreeMap<Platform, Made>) -> bool {
    let has = |(platform, made): (&Platform, &Made)| {
        entry.platforms().get(platform).is_some_and(|built| built.manifest().digest == made.manifest.digest)
    };
    let wanted = &image.def.platforms.value;
    done.iter().all(has) && entry.platforms().keys().all(|platform| wanted.contains(platform))
}

fn name(layout: &Layout, image: &ImageSource, made: Manifests) -> Result<ImageEntry> {
    let created = newest(&made.by_platform);
    let notes = Notes { title: image.def.name.to_string(), created, base: made.base };
    let manifests: Vec<Descriptor> = made.by_platform.into_values().map(|made| made.manifest).collect();
    let index = index::write_index(layout.blobs(), manifests, &notes)?;
    layout.set_image(&image.def.name, index.clone())?;
    Ok(layout.entry(image.def.name.clone(), index)?)
}

/// The manifests of an image, not yet in an index.
struct Manifests {
    by_platform: BTreeMap<Platform, Made>,
    /// Digest of the lock's canonical text.
    lock: Digest,
    /// The image that they stand on.
    base: Option<Base>,
}

async fn manifests(
    cx: &Context<'_>,
    image: &ImageSource,
    platforms: &[Platform],
    mode: Mode,
    layout: &Layout,
) -> Result<Manifests> {
    let lock = locks::ensure(cx, image, platforms, mode).await?;
    let spinner = cx.printer.spinner(&format!("{}: building", image.def.name));
    let done = match &image.def.from {
        From::Scratch | From::Debian(_) | From::Image(_) => {
            platform_manifests(cx, image, platforms, &lock, mode, layout)
        }
        From::Dockerfile(build) => {
            let all = dockerfile::manifests(cx, image, build, platforms, mode, layout).await;
            let lock = Digest::of(lock.to_text().as_bytes());
            all.map(|by_platform| Manifests { by_platform, lock, base: None })
        }
    };
    spinner.finish_and_clear();
    done
}

/// One platform's manifest, and the date of what is in it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Made {
    manifest: Descriptor,
    created: String,
}

/// RFC 3339 texts of UTC times sort like the times.
fn newest(made: &BTreeMap<Platform, Made>) -> String {
    made.values().map(|made| made.created.clone()).max().unwrap_or_else(|| rfc3339(0))
}

/// The platforms side by side, a thread each.
fn platform_manifests(
    cx: &Context<'_>,
    image: &ImageSource,
    platforms: &[Platform],
    lock: &ImageLock,
    mode: Mode,
    layout: &Layout,
) -> Result<Manifests> {
    let programs: BTreeMap<Platform, Programs> = side_by_side(platforms, |platform| {
        payload::build(&cx.project, &cx.environment, &image.def.payloads, platform)
    })?;
    let lock = record_compilers(cx, image, lock, &programs, mode)?;
    let by_platform = side_by_side(platforms, |platform| {
        platform_manifest(cx, image, platform, &lock, &programs[&platform], layout)
    })?;
    let base = based::noted(image, &lock);
    Ok(Manifests { by_platform, lock: Digest::of(lock.to_text().as_bytes()), base })
}

fn side_by_side<T: Send>(
    platforms: &[Platform],
    work: impl Fn(Platform) -> Result<T> + Sync,
) -> Result<BTreeMap<Platform, T>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            platforms.iter().map(|platform| (*platform, scope.spawn(move || work(*platform)))).collect();
        let join = |(platform, thread): (Platform, std::thread::ScopedJoinHandle<'_, Result<T>>)| {
            (platform, thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        };
        all_or_worst(threads.into_iter().map(join).collect())
    })
}

/// Everything, or the most pressing of the errors: damage that one thread found and removed is a missing file to the other.
fn all_or_worst<T>(results: Vec<(Platform, Result<T>)>) -> Result<BTreeMap<Platform, T>> {
    let worst = Class::worst(results.iter().filter_map(|(_, result)| Some(result.as_ref().err()?.class())));
    let mut all = BTreeMap::new();
    for (platform, result) in results {
        match result {
            Ok(value) => drop(all.insert(platform, value)),
            Err(error) if Some(error.class()) == worst => return Err(error),
            Err(_) => {}
        }
    }
    Ok(all)
}

/// The lock names the compiler of each platform. A first one is written down; another one is said, or refused.
fn record_compilers(
    cx: &Context<'_>,
    image: &ImageSource,
    lock: &ImageLock,
    programs: &BTreeMap<Platform, Programs>,
    mode: Mode,
) -> Result<ImageLock> {
    let mut recorded = lock.clone();
    for (platform, built) in programs {
        let (Some(found), Some(entry)) = (&built.rustc, recorded.platforms.get_mut(platform)) else {
            continue;
        };
        match &entry.rustc {
            None if mode == Mode::Locked => {
                let path = cx.project.relative(&locks::file(image)).to_owned();
                let reason = format!("it names no compiler for {platform}");
                return Err(Error::Lock { path, reason }.into());
            }
            None => entry.rustc = Some(found.clone()),
            Some(locked) if locked == found => {}
            Some(locked) => {
                let path = cx.project.relative(&locks::file(image)).to_owned();
                let reason = format!("{platform}: the lock names {locked}, this machine has {found}");
                if mode == Mode::Locked {
                    return Err(Error::Lock { path, reason }.into());
                }
                cx.printer.say(&format!(
                    "note: {path}: {reason}: the image gets another digest than with that compiler"
                ));
            }
        }
    }
    if recorded != *lock && mode != Mode::Locked {
        locks::write(image, &recorded)?;
    }
    Ok(recorded)
}

fn platform_manifest(
    cx: &Context<'_>,
    image: &ImageSource,
    platform: Platform,
    lock: &ImageLock,
    programs: &Programs,
    layout: &Layout,
) -> Result<Made> {
    let locked = lock.platforms.get(&platform).expect("a lock is used only if it has every platform");
    let inputs = Inputs::gather(cx, image, platform, locked, programs)?;
    if let Some(made) = inputs.made(cx, layout)? {
        return Ok(made);
    }
    let made = match (&image.def.from, &locked.base) {
        (From::Image(reference), Some(base)) => {
            based::manifest(cx, image, platform, reference, base, programs, layout)?
        }
        _ => assembled(cx, image, platform, &locked.packages, programs, layout)?,
    };
    // What was edited while it was read may be in the image or not: such a result is used once and not remembered.
    if Inputs::gather(cx, image, platform, locked, programs)? == inputs {
        inputs.remember(cx, &made)?;
    }
    Ok(made)
}

/// From nothing, or from Debian packages.
fn assembled(
    cx: &Context<'_>,
    image: &ImageSource,
    platform: Platform,
    packages: &[LockedPackage],
    programs: &Programs,
    layout: &Layout,
) -> Result<Made> {
    let (package_tree, date) = assemble::packages(&locks::store(cx), packages)?;
    let steps = [
        ("Debian packages", package_tree),
        ("users, folders and files", assemble::files(&image.def, &image.folder)?),
        ("programs", assemble::tree(assemble::programs(&programs.programs)?)?),
    ];
    let created = rfc3339(date);
    let (layers, history) = write_layers(layout, steps, &created)?;
    let notes = Notes { title: image.def.name.to_string(), created: created.clone(), base: None };
    let parts =
        PlatformParts { platform, run: &image.def.config, layers: &layers, history: &history, notes: &notes };
    let manifest = write_platform(layout.blobs(), &parts)?;
    sbom::write(cx, image, platform, &manifest.digest, &created, packages)?;
    Ok(Made { manifest, created })
}

type Step = (&'static str, Tree);

fn write_layers(
    layout: &Layout,
    steps: impl IntoIterator<Item = Step>,
    created: &str,
) -> Result<(Vec<xedge_oci::Layer>, Vec<History>)> {
    let mut layers = Vec::new();
    let mut history = Vec::new();
    for (what, tree) in steps.into_iter().filter(|(_, tree)| !tree.is_empty()) {
        layers.push(write_layer(&tree, layout.blobs())?);
        history.push(History {
            created: Some(created.to_owned()),
            created_by: Some(format!("xedge: {what}")),
            comment: None,
            empty_layer: false,
        });
    }
    Ok((layers, history))
}

#[cfg(test)]
mod tests {
    use xedge_model::{Class, Digest, Platform};

    use super::all_or_worst;
    use crate::error::Error;

    #[test]
    fn the_most_pressing_error_of_several_platforms_is_told() {
        let path = camino::Utf8PathBuf::from("x");
        let gone = Error::Read { path: path.clone(), source: std::io::ErrorKind::NotFound.into() };
        let damaged = Error::Damaged { path, found: Digest::of(b"a"), expected: Digest::of(b"b") };
        let results: Vec<(Platform, crate::error::Result<()>)> =
            vec![(Platform::LinuxAmd64, Err(gone.into())), (Platform::LinuxArm64, Err(damaged.into()))];
        assert_eq!(all_or_worst(results).unwrap_err().class(), Class::Integrity);
    }
}
