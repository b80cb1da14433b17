//! A release that this device fetches itself, for devices that nobody can reach: its Engine is the client of the registry, with
//! the authorities and proxies that it has. Nothing that comes is believed before it is verified as any other bundle.
//!
//! The bundle is a plain image, `…/xedge-releases/STACK:bundle-VERSION`, with the head and all members but layers; the images lie
//! beside it and are fetched by the digests that were signed.

mod logins;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::Offer;
use xedge_bundle::tuf::Target;
use xedge_model::atomic::WriteError;
use xedge_model::{Digest, Reference};
use xedge_wire::{Event, Want};

pub use logins::Logins;

use crate::apply::Events;
use crate::check::{self, Look, Needs};
use crate::engine::{ContainerSpec, Engine, Login};
use crate::session::head;
use crate::staged::{Image, is_layer, missing, platform};
use crate::store::Store;
use crate::{Error, Home, Result, TransferError};

/// The repository of a stack's bundles, beside those of its images.
const RELEASES: &str = "xedge-releases/";
/// The tag of the newest release, where a reference names none.
const NEWEST: &str = "bundle-latest";
/// Where the image has the head.
const HEAD: &str = "/head";
/// The folder in which it has the members.
const MEMBERS: &str = "/members";
/// What a tar of the Engine has beside the files: a header, extended headers and padding for each.
const OVERHEAD: u64 = 4096;
/// What it has at its end.
const END: u64 = 64 << 10;

/// What a device fetches with.
#[derive(Clone, Copy)]
pub struct From<'a> {
    /// The device, its Engine, and whom it trusts.
    pub look: &'a Look<'a>,
    /// Unix time that is believed.
    pub now: i64,
    /// The users of registries.
    pub logins: &'a Logins,
}

/// Fetches the release that a reference names, head, members and images, and gives the head, ready to be installed.
///
/// # Errors
/// A reference that is none, or not one of a bundle, is an input error; a registry that does not give it one of the environment;
/// a bundle that is not to be trusted a refusal.
pub fn pull(from: &From<'_>, reference: &str, events: &mut Events<'_>) -> Result<Utf8PathBuf> {
    let (named, base) = parse(reference)?;
    let login = from.logins.of(named.host());
    let tag = named.tag().map_or(NEWEST, |tag| tag);
    let wanted = match named.digest() {
        Some(digest) => format!("{}@{digest}", named.name()),
        None => format!("{}:{tag}", named.name()),
    };
    let (head, offer) = members(from, &named, &wanted, login)?;
    images(from, &offer, &base, login, events)?;
    Ok(head)
}

/// A reference to bundles, and what stands before the names of its images.
fn parse(text: &str) -> Result<(Reference, String)> {
    let given = |reason: String| Error::Given { what: format!("`{text}`"), reason };
    let named: Reference =
        text.parse().map_err(|error: xedge_model::reference::NotAReference| given(error.to_string()))?;
    let Some(at) = named.name().rfind(RELEASES).filter(|at| *at == 0 || named.name()[..*at].ends_with('/'))
    else {
        return Err(given(format!("a release is at HOST/PATH/{RELEASES}STACK:bundle-VERSION")));
    };
    let base = named.name()[..at].to_owned();
    Ok((named, base))
}

/// Fetches the image with head and members, and brings both to where they are installed from. Nothing has verified that image,
/// so neither it nor a container of it stays, whatever comes of it.
fn members(
    from: &From<'_>,
    named: &Reference,
    reference: &str,
    login: Option<&Login>,
) -> Result<(Utf8PathBuf, Offer)> {
    let engine = from.look.engine;
    let image = fetch(engine, reference, login)?;
    let taken = in_container(from, named, reference, &image);
    // What was asked for counts more than a leftover, but neither is passed over.
    let forgotten = engine.forget(reference);
    let taken = taken?;
    forgotten?;
    Ok(taken)
}

/// Makes a container of the image, which never runs, to take files out of it.
fn in_container(
    from: &From<'_>,
    named: &Reference,
    reference: &str,
    image: &str,
) -> Result<(Utf8PathBuf, Offer)> {
    let engine = from.look.engine;
    let name = format!("xedge-pull-{}", Digest::of(reference.as_bytes()).short());
    // One that an earlier call left there may be of another image.
    engine.discard(&name)?;
    let spec = ContainerSpec {
        image: image.to_owned(),
        network_mode: Some("none".to_owned()),
        ..ContainerSpec::default()
    };
    let container = engine.create(&name, &spec, &[("xedge.pull".to_owned(), image.to_owned())].into())?;
    let taken = take(from, named, &container);
    let removed = engine.discard(&container);
    let taken = taken?;
    removed?;
    Ok(taken)
}

fn take(from: &From<'_>, named: &Reference, container: &str) -> Result<(Utf8PathBuf, Offer)> {
    let Look { home, engine, trust, .. } = *from.look;
    let mut tar = Temporary::new(home)?;
    tar.fill(engine, container, HEAD, head::MAX + OVERHEAD + END)?;
    let mut kept = None;
    tar.each(|path, bytes, content| {
        if path == Utf8Path::new(HEAD).file_name().unwrap_or_default() {
            kept = Some(head::keep(home, content, bytes)?);
        }
        Ok(())
    })?;
    let kept = kept.ok_or_else(no_head)?;
    let (offer, _digest) = kept.judge(trust, from.now)?;
    let stack = &offer.manifest().stack;
    if !named.name().ends_with(&format!("{RELEASES}{stack}")) {
        let reason = format!("what is there is a release of the stack `{stack}`");
        return Err(Error::Given { what: format!("`{named}`"), reason });
    }
    check::early(from.look, offer.manifest())?;
    let stack = home.stack(stack);
    let store = Store::new(home);
    let wants = missing(&offer, &store, platform(engine)?, engine)?.members;
    let wants: Vec<Want> =
        wants.into_iter().filter(|want| !is_layer(&want.name, offer.plan().target(&want.name))).collect();
    // The head first: it keeps the members, as they come, from whoever frees what nothing needs.
    kept.place(&stack)?;
    if !wants.is_empty() {
        let small = offer.targets().targets.iter().filter(|(name, target)| !is_layer(name, target));
        let most = small.map(|(_, target)| target.length + OVERHEAD).sum::<u64>();
        let coming: u64 = wants.iter().map(|want| want.length - want.from).sum();
        check::room(home, engine, &Needs { store: coming + most, ..Needs::default() })?;
        tar.fill(engine, container, MEMBERS, most + END)?;
        tar.each(|path, bytes, content| receive(&store, &offer, &wants, path, bytes, content))?;
    }
    Ok((stack.incoming(), offer))
}

/// Takes a member that is wanted; others are there already.
fn receive(
    store: &Store,
    offer: &Offer,
    wants: &[Want],
    path: &str,
    bytes: u64,
    content: &mut dyn Read,
) -> Result<()> {
    let Some(want) = wants.iter().find(|want| path.strip_prefix("members/") == Some(&want.name)) else {
        return Ok(());
    };
    let target: &Target = offer.plan().target(&want.name);
    if bytes != target.length {
        return Err(TransferError::TooLong { what: format!("`{path}`"), bytes, most: target.length }.into());
    }
    let failed = |source| Error::Bundle { member: want.name.clone(), source };
    io::copy(&mut content.take(want.from), &mut io::sink()).map_err(failed)?;
    store.receive(&want.name, target, want.from, content)
}

/// Fetches the images that lack a layer here, by the digests that were signed. Where one does not come, none that came stays.
fn images(
    from: &From<'_>,
    offer: &Offer,
    base: &str,
    login: Option<&Login>,
    events: &mut Events<'_>,
) -> Result<()> {
    let Look { home, engine, .. } = *from.look;
    let missing = missing(offer, &Store::new(home), platform(engine)?, engine)?;
    // The Engine fetches layers itself: they need no room in the store.
    check::room(home, engine, &Needs { store: 0, ..missing.needs() })?;
    let mut fetched = Vec::new();
    let all = missing.images.values().filter(|image| image.layers.iter().any(|layer| !layer.here));
    for image in all {
        let reference = format!("{base}{}@{}", image.name, image.manifest);
        fetched.push(reference.clone());
        if let Err(error) = fetch_image(engine, image, &reference, login, events) {
            for reference in &fetched {
                // The reason why it is refused counts more than a leftover, which `gc` frees.
                engine.forget(reference).ok();
            }
            return Err(error);
        }
    }
    Ok(())
}

fn fetch_image(
    engine: &dyn Engine,
    image: &Image,
    reference: &str,
    login: Option<&Login>,
    events: &mut Events<'_>,
) -> Result<()> {
    let bytes = image.layers.iter().filter(|layer| !layer.here).map(|layer| layer.length).sum();
    events(Event::Loading { image: image.name.clone(), bytes });
    fetch(engine, reference, login)?;
    if engine.image(&image.config_digest, &image.manifest)?.is_none() {
        let reason = "the Engine fetched it, and has another one".to_owned();
        return Err(Error::Engine { what: format!("find {} {}", image.name, image.manifest), reason });
    }
    Ok(())
}

fn fetch(engine: &dyn Engine, reference: &str, login: Option<&Login>) -> Result<String> {
    engine.pull(reference, login).map_err(|error| match error {
        Error::Engine { reason, .. } => {
            TransferError::Fetch { reference: reference.to_owned(), reason, with_login: login.is_some() }
                .into()
        }
        other => other,
    })
}

fn no_head() -> Error {
    let what = "the image".to_owned();
    Error::Given { what, reason: "it is no bundle: it has no file `/head`".to_owned() }
}

/// A file for what comes out of a container; it goes when this does.
struct Temporary {
    path: Utf8PathBuf,
    file: File,
}

impl Temporary {
    fn new(home: &Home) -> Result<Self> {
        let path = home.root().join(format!("pull-{}.tar", std::process::id()));
        let failed = |source| WriteError::new(&path, source);
        fs::create_dir_all(home.root()).map_err(failed)?;
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path);
        let file = file.map_err(failed)?;
        Ok(Self { path, file })
    }

    /// Copies a path of the container here; more than `most` bytes are an error, whatever the registry says.
    fn fill(&mut self, engine: &dyn Engine, container: &str, path: &str, most: u64) -> Result<()> {
        let failed = |source| Error::from(WriteError::new(&self.path, source));
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(failed)?;
        let mut bounded = Bounded { file: &self.file, left: most, failure: None };
        let copied = engine.copy_out(container, path, &mut bounded);
        match bounded.failure {
            Some(Failure::Disk(source)) => Err(failed(source)),
            Some(Failure::TooLong(bytes)) => {
                Err(TransferError::TooLong { what: format!("`{path}`"), bytes: most + bytes, most }.into())
            }
            None => copied,
        }
    }

    /// Hands each plain file on, with its path and length.
    fn each(&mut self, mut take: impl FnMut(&str, u64, &mut dyn Read) -> Result<()>) -> Result<()> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut archive = tar::Archive::new(&self.file);
        for entry in archive.entries().map_err(failed)? {
            let mut entry = entry.map_err(failed)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let bytes = entry.size();
            take(path.trim_start_matches("./"), bytes, &mut entry)?;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The next call truncates what a crash leaves.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why less was written than came.
enum Failure {
    Disk(io::Error),
    TooLong(u64),
}

/// Writes no more than so many bytes.
struct Bounded<'a> {
    file: &'a File,
    left: u64,
    failure: Option<Failure>,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len() as u64;
        if count > self.left {
            self.failure = Some(Failure::TooLong(count - self.left));
            return Err(io::Error::other("it is longer than it may be"));
        }
        let mut file = self.file;
        if let Err(error) = file.write_all(bytes) {
            let shown = io::Error::from(error.kind());
            self.failure = Some(Failure::Disk(error));
            return Err(shown);
        }
        self.left -= count;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
