//! Image locks with Cargo's meaning: used as they are while they can be met; else resolved again, loudly, or an error.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use xedge_debian::{Mirrors, Release, Universe, index, release, resolve, skew, suite};
use xedge_model::image::{DebianBase, From};
use xedge_model::lock::{FORMAT, LockedPackage, PlatformLock};
use xedge_model::{Digest, ImageLock, Platform, Reference, atomic};

use crate::archive;
use crate::base;
use crate::commands::Context;
use crate::error::{Error, Result, read_bytes, read_text};
use crate::fetch::{self, Fetched, Store, Wanted};
use crate::payload;
use crate::project::{ImageSource, entries};
use crate::reach::Reach;

/// How a lock may be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it is while it can be met; else resolve again and say so.
    Use,
    /// As it is, or fail.
    Locked,
    /// Resolve again.
    Update,
}

/// The lock file of an image.
pub(crate) fn file(image: &ImageSource) -> Utf8PathBuf {
    image.folder.join("image.lock.json")
}

/// The store of fetched files.
pub(crate) fn store(cx: &Context<'_>) -> Store {
    Store::new(&cx.project.output("store"))
}

/// A lock that meets the definition, with the packages of these platforms in the store.
pub(crate) async fn ensure(
    cx: &Context<'_>,
    image: &ImageSource,
    platforms: &[Platform],
    mode: Mode,
) -> Result<ImageLock> {
    let found = match (read(cx, image), mode) {
        // It is made anew, whatever is in it.
        (Err(_), Mode::Update) => None,
        (found, _) => found?,
    };
    let usable = match (&found, mode) {
        (_, Mode::Update) => None,
        (Some(lock), _) if meets(lock, image) => Some(lock.clone()),
        (found, _) => {
            refuse_if_locked(cx, image, mode, &unusable(image, found.is_some()))?;
            None
        }
    };
    if let Some(lock) = usable {
        let gone = fetch_locked(cx, image, &lock, platforms).await?;
        if gone.is_empty() {
            return Ok(lock);
        }
        let from = if is_on_base(image) { "registry" } else { "mirror" };
        refuse_if_locked(cx, image, mode, &format!("the {from} no longer has {}", gone.join(", ")))?;
    }
    match &image.def.from {
        From::Image(reference) if mode == Mode::Update => update(cx, image, reference, found.as_ref()).await,
        _ => renew(cx, image, platforms, found.as_ref(), mode).await,
    }
}

fn unusable(image: &ImageSource, is_there: bool) -> String {
    let why = if is_there { "image.yaml asks for something else now" } else { "there is no lock" };
    match &image.def.from {
        From::Image(reference) if reference.digest().is_none() => {
            format!("{why}, and {reference} has no digest")
        }
        _ => why.to_owned(),
    }
}

fn is_on_base(image: &ImageSource) -> bool {
    matches!(image.def.from, From::Image(_))
}

/// A base whose tag moved gets its new digest in image.yaml too, once all of it is here.
async fn update(
    cx: &Context<'_>,
    image: &ImageSource,
    reference: &Reference,
    old: Option<&ImageLock>,
) -> Result<ImageLock> {
    let Some(moved) = base::follow(cx, reference).await? else {
        return renew(cx, image, &image.def.platforms.value, old, Mode::Update).await;
    };
    let text = base::rewritten(image, reference, &moved)?;
    let mut image = image.clone();
    image.def.from = From::Image(moved);
    let lock = resolved(cx, &image, &image.def.platforms.value, old, Mode::Update).await?;
    // First: whoever is stopped here has an old lock that the next build makes anew, and not the old base again.
    atomic::write(&image.folder.join("image.yaml"), text.as_bytes(), 0o644)?;
    keep(cx, &image, old, lock).await
}

fn refuse_if_locked(cx: &Context<'_>, image: &ImageSource, mode: Mode, reason: &str) -> Result<()> {
    let path = cx.project.relative(&file(image)).to_owned();
    if mode == Mode::Locked {
        return Err(Error::Lock { path, reason: reason.to_owned() }.into());
    }
    cx.printer.warn(&format!("{path}: {reason}; resolving again (see `git diff {path}`)"));
    Ok(())
}

/// Resolves, fetches and only then writes: a lock that cannot be met never replaces one that could.
async fn renew(
    cx: &Context<'_>,
    image: &ImageSource,
    platforms: &[Platform],
    old: Option<&ImageLock>,
    mode: Mode,
) -> Result<ImageLock> {
    let lock = resolved(cx, image, platforms, old, mode).await?;
    keep(cx, image, old, lock).await
}

/// A new lock with everything that it names here, not yet written.
async fn resolved(
    cx: &Context<'_>,
    image: &ImageSource,
    platforms: &[Platform],
    old: Option<&ImageLock>,
    mode: Mode,
) -> Result<ImageLock> {
    let mut lock = resolve_image(cx, image).await?;
    for (platform, new) in &mut lock.platforms {
        new.rustc = if mode == Mode::Update {
            // An update takes the compilers of the machine that it runs on.
            payload::compiler(&cx.project, &cx.environment, &image.def.payloads, *platform)
        } else {
            old.and_then(|old| old.platforms.get(platform)).and_then(|old| old.rustc.clone())
        };
    }
    let gone = fetch_locked(cx, image, &lock, platforms).await?;
    if let (From::Image(reference), false) = (&image.def.from, gone.is_empty()) {
        let what = format!("{reference}: {}", gone.join(", "));
        return Err(xedge_registry::Error::NotFound { what }.into());
    }
    if !gone.is_empty() {
        return Err(Error::OutOfStep(gone.join(", ")).into());
    }
    Ok(lock)
}

/// Writes a lock that is new, and says what is.
async fn keep(
    cx: &Context<'_>,
    image: &ImageSource,
    old: Option<&ImageLock>,
    lock: ImageLock,
) -> Result<ImageLock> {
    if old != Some(&lock) {
        write(image, &lock)?;
        report_changes(cx, old, &lock);
        report_bases(cx, image, old, &lock).await?;
    }
    Ok(lock)
}

/// Everything that a lock names of these platforms; returns what is no longer to be had.
async fn fetch_locked(
    cx: &Context<'_>,
    image: &ImageSource,
    lock: &ImageLock,
    platforms: &[Platform],
) -> Result<Vec<String>> {
    match &image.def.from {
        From::Image(reference) => base::fetch(cx, image, reference, lock, platforms).await,
        From::Scratch | From::Debian(_) | From::Dockerfile(_) => {
            fetch_packages(cx, image, lock, platforms).await
        }
    }
}

async fn report_bases(
    cx: &Context<'_>,
    image: &ImageSource,
    old: Option<&ImageLock>,
    new: &ImageLock,
) -> Result<()> {
    let (Some(old), From::Image(reference)) = (old, &image.def.from) else { return Ok(()) };
    let index =
        |lock: &ImageLock| lock.platforms.values().find_map(|lock| Some(lock.base.as_ref()?.index.clone()));
    if let (Some(old), Some(new), None) = (index(old), index(new), reference.digest())
        && old != new
    {
        cx.printer.say(&format!("{reference} moved: {old} -> {new}"));
    }
    for (platform, new) in &new.platforms {
        let before = old.platforms.get(platform).and_then(|old| old.base.as_ref());
        if let (Some(before), Some(now)) = (before, &new.base)
            && before.manifest != now.manifest
        {
            base::report(cx, reference, *platform, before, now).await?;
        }
    }
    Ok(())
}

/// Writes a lock in its canonical form.
pub(crate) fn write(image: &ImageSource, lock: &ImageLock) -> Result<()> {
    Ok(atomic::write(&file(image), lock.to_text().as_bytes(), 0o644)?)
}

fn read(cx: &Context<'_>, image: &ImageSource) -> Result<Option<ImageLock>> {
    let path = file(image);
    if !path.exists() {
        return Ok(None);
    }
    let shown = cx.project.relative(&path).to_owned();
    let bad = |reason: String| Error::Lock { path: shown.clone(), reason };
    let lock: ImageLock = serde_json::from_str(&read_text(&path)?).map_err(|error| bad(error.to_string()))?;
    if lock.format != FORMAT {
        return Err(bad(format!("it has format {}, this xedge reads format {FORMAT}", lock.format)).into());
    }
    Ok(Some(lock))
}

/// Whether a lock is about this request and all of its platforms.
fn meets(lock: &ImageLock, image: &ImageSource) -> bool {
    let platforms: BTreeSet<&Platform> = image.def.platforms.value.iter().collect();
    lock.request == request(image) && lock.platforms.keys().collect::<BTreeSet<_>>() == platforms
}

/// What decides whether a lock belongs to a definition.
fn request(image: &ImageSource) -> Digest {
    let mut platforms = image.def.platforms.value.clone();
    platforms.sort();
    let from = match &image.def.from {
        From::Scratch => json!("scratch"),
        From::Debian(base) => {
            let sorted = |list: &[String]| {
                let mut list = list.to_vec();
                list.sort();
                list
            };
            json!({"suite": base.suite, "packages": sorted(&base.packages), "omit": sorted(&base.omit)})
        }
        From::Image(reference) => json!({ "image": reference }),
        From::Dockerfile(_) => json!("dockerfile"),
    };
    Digest::of(json!({"from": from, "platforms": platforms}).to_string().as_bytes())
}

fn report_changes(cx: &Context<'_>, old: Option<&ImageLock>, new: &ImageLock) {
    let Some(old) = old else { return };
    for (platform, lock) in &new.platforms {
        let before: BTreeMap<&str, &str> = old.platforms.get(platform).map_or_else(BTreeMap::new, versions);
        for (name, version) in versions(lock) {
            match before.get(name) {
                Some(known) if *known == version => {}
                Some(known) => cx.printer.say(&format!("  {platform} {name} {known} -> {version}")),
                None => cx.printer.say(&format!("  {platform} {name} {version} (new)")),
            }
        }
    }
}

fn versions(lock: &PlatformLock) -> BTreeMap<&str, &str> {
    lock.packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect()
}

async fn resolve_image(cx: &Context<'_>, image: &ImageSource) -> Result<ImageLock> {
    let lock = |platforms| ImageLock { format: FORMAT, request: request(image), platforms };
    if let From::Image(reference) = &image.def.from {
        let bases = base::resolve(cx, reference, &image.def.platforms.value).await?;
        let on = |base| PlatformLock { base: Some(base), ..PlatformLock::default() };
        return Ok(lock(bases.into_iter().map(|(platform, base)| (platform, on(base))).collect()));
    }
    let mut packages = BTreeMap::new();
    for platform in &image.def.platforms.value {
        let found = match &image.def.from {
            From::Scratch | From::Image(_) | From::Dockerfile(_) => Vec::new(),
            From::Debian(base) => resolve_platform(cx, base, *platform).await?,
        };
        packages.insert(*platform, found);
    }
    skew::check_skew(&packages)?;
    let of = |packages| PlatformLock { packages, ..PlatformLock::default() };
    Ok(lock(packages.into_iter().map(|(platform, packages)| (platform, of(packages))).collect()))
}

async fn resolve_platform(
    cx: &Context<'_>,
    base: &DebianBase,
    platform: Platform,
) -> Result<Vec<LockedPackage>> {
    let keys = suite::require_keyring(&base.suite)?;
    let mut universe = Universe::new(platform.debian());
    for pocket in suite::pockets(&base.suite) {
        read_pocket(cx, keys, &pocket, &mut universe).await?;
    }
    let chosen = resolve::resolve(&universe, &base.packages, &base.omit)?;
    Ok(chosen.iter().map(LockedPackage::from).collect())
}

async fn read_pocket(cx: &Context<'_>, keys: &[u8], pocket: &str, universe: &mut Universe) -> Result<()> {
    let mirrors = mirrors(cx)?;
    let mut problem = Error::NoMirror { pocket: pocket.to_owned() }.into();
    for mirror in mirrors.pocket_urls(pocket) {
        match read_pocket_from(cx, mirror, keys, pocket, universe).await {
            Ok(()) => return Ok(()),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

async fn read_pocket_from(
    cx: &Context<'_>,
    mirror: &str,
    keys: &[u8],
    pocket: &str,
    universe: &mut Universe,
) -> Result<()> {
    let dists = format!("{mirror}/dists/{pocket}");
    let client = fetch::client(&Reach::of(&cx.environment)?)?;
    let signed = fetch::small(&client, &format!("{dists}/InRelease")).await?;
    let release = release::verify_inrelease(&signed, keys, &cx.project.output("scratch"))?;
    check_age(cx, &release, pocket)?;
    let file = release.require_index_file("main", universe.architecture())?;
    // By its digest, where the mirror offers that: then a mirror in the middle of an update is no error.
    let path = file.by_hash_path.as_ref().unwrap_or(&file.path);
    let wanted = Wanted { url: format!("{dists}/{path}"), size: file.size, digest: file.sha256.clone() };
    let store = store(cx);
    let bar = cx.printer.bytes_bar(fetch::missing_bytes(&store, std::slice::from_ref(&wanted)), pocket);
    let fetched = fetch::all(&client, &store, std::slice::from_ref(&wanted), &bar).await;
    bar.finish_and_clear();
    if let Fetched::Gone(_) = fetched? {
        return Err(Error::FetchStatus { url: wanted.url, status: 404 }.into());
    }
    let mut entries = Vec::new();
    index::read_packages(&file.path, store.open(&wanted.digest)?, pocket, |entry| entries.push(entry))?;
    for entry in entries {
        universe.add(entry);
    }
    Ok(())
}

/// Brings the packages into the store, asking one mirror after the other; returns the names of those that none has.
async fn fetch_packages(
    cx: &Context<'_>,
    image: &ImageSource,
    lock: &ImageLock,
    platforms: &[Platform],
) -> Result<Vec<String>> {
    let store = store(cx);
    let locks = platforms.iter().filter_map(|platform| lock.platforms.get(platform));
    let mut missing: Vec<&LockedPackage> = locks.flat_map(|lock| &lock.packages).collect();
    missing.retain(|package| !store.has(&wanted(package, String::new())));
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let missing = match from_mirrors(cx, image, &store, missing.clone()).await {
        Ok(gone) => archive::fetch(cx, &store, gone).await?,
        // Without a mirror, an archive may still have all of it.
        Err(error) => {
            missing.retain(|package| !store.has(&wanted(package, String::new())));
            let left = archive::fetch(cx, &store, missing).await?;
            if !left.is_empty() {
                return Err(error);
            }
            left
        }
    };
    let name =
        |package: &&LockedPackage| format!("{} {} ({})", package.name, package.version, package.architecture);
    Ok(missing.iter().map(name).collect())
}

/// Asks one mirror after the other; returns what none of them has.
async fn from_mirrors<'a>(
    cx: &Context<'_>,
    image: &ImageSource,
    store: &Store,
    mut missing: Vec<&'a LockedPackage>,
) -> Result<Vec<&'a LockedPackage>> {
    let (client, mirrors) = (fetch::client(&Reach::of(&cx.environment)?)?, mirrors(cx)?);
    for rank in 0.. {
        let list = urls(&mirrors, &missing, rank)?;
        if list.is_empty() {
            break;
        }
        let bar = cx.printer.bytes_bar(fetch::missing_bytes(store, &list), image.def.name.as_str());
        let fetched = fetch::all(&client, store, &list, &bar).await;
        bar.finish_and_clear();
        match fetched? {
            Fetched::All => return Ok(Vec::new()),
            Fetched::Gone(digests) => missing.retain(|package| digests.contains(&package.sha256)),
        }
    }
    Ok(missing)
}

/// Where the missing packages are on the mirror of this rank; nothing when there are no more mirrors.
fn urls(mirrors: &Mirrors, missing: &[&LockedPackage], rank: usize) -> Result<Vec<Wanted>> {
    let mut list = Vec::new();
    for package in missing {
        match mirrors.pocket_urls(&package.pocket).into_iter().nth(rank) {
            Some(mirror) => list.push(wanted(package, format!("{mirror}/{}", package.filename))),
            None if rank == 0 => return Err(Error::NoMirror { pocket: package.pocket.clone() }.into()),
            None => {}
        }
    }
    Ok(list)
}

fn wanted(package: &LockedPackage, url: String) -> Wanted {
    Wanted { url, size: package.size, digest: package.sha256.clone() }
}

/// The mirror that the user named, else those of the machine's apt sources.
fn mirrors(cx: &Context<'_>) -> Result<Mirrors> {
    if let Some(set) = Reach::of(&cx.environment)?.mirror {
        return Ok(Mirrors::from_override(&set.value));
    }
    apt_mirrors("/".into())
}

/// The mirrors in the apt sources of the machine whose files lie below `root`.
pub(crate) fn apt_mirrors(root: &Utf8Path) -> Result<Mirrors> {
    let mut files = vec![root.join("etc/apt/sources.list")];
    files.extend(entries(&root.join("etc/apt/sources.list.d"))?);
    files.retain(|file| file.is_file());
    let mut texts = Vec::new();
    for file in files {
        texts.push((file.to_string(), String::from_utf8_lossy(&read_bytes(&file)?).into_owned()));
    }
    Ok(Mirrors::from_apt(&texts))
}

/// An index past its date may hide security updates: refused, unless this machine's apt takes it too.
fn check_age(cx: &Context<'_>, release: &Release, pocket: &str) -> Result<()> {
    let now = cx.environment.now_unix();
    match release.check(pocket, now, true) {
        Err(_) if !apt_checks_valid_until() && release.check(pocket, now, false).is_ok() => {
            let why = "taken all the same, as apt on this machine has Acquire::Check-Valid-Until off";
            cx.printer.warn(&format!("the index of {pocket} is past its date: {why}"));
            Ok(())
        }
        checked => Ok(checked?),
    }
}

/// apt's own setting decides whether an index past its date is refused; without apt it is.
fn apt_checks_valid_until() -> bool {
    let dump = std::process::Command::new("apt-config").args(["dump", "Acquire::Check-Valid-Until"]).output();
    !dump.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("\"false\""))
}
