//! `release --content-of`: what was released before, under a new number. The way back that devices take, since it is a way
//! forward to them: anti-rollback stays as it is, and nothing is built, rendered or simulated.
//!
//! Only what verifies against the newest root is taken. Its time may be over: the new release is signed anew.

mod old;
mod ship;

use camino::Utf8PathBuf;
use xedge_bundle::{Manifest, member};

use super::desk::{Chosen, Desk};
use super::manifest::{Members, Title};
use super::number::Numbers;
use super::record;
use super::{Outcome, Plan, Released, bundle, pullable};
use crate::cli;
use crate::commands::{self, Context};
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::trust::{self, Trust};
use old::Old;

/// Releases the content of this file, or of the release of this number, again.
pub(super) fn run(cx: &Context<'_>, flags: &cli::Release, of: &str) -> Result<Outcome> {
    let (file, seq) = file(cx, flags, of)?;
    let old = Old::open(cx, &trust::pinned(cx, None)?, file)?;
    check_meant(&old, flags, seq)?;
    let stack = old.manifest().stack.clone();
    let runtime = commands::runtime()?;
    let registry = runtime.block_on(Registry::connect(cx, &flags.registry))?;
    let numbers = runtime.block_on(Numbers::read(&registry, &stack))?;
    let desk = Desk {
        cx,
        runtime: &runtime,
        registry: &registry,
        numbers: &numbers,
        stack: &stack,
        version: flags.version.as_deref(),
    };
    let chosen = desk.choose(old.manifest().revision.as_deref(), &|title| describe(&old, title))?;
    let plan = Plan::again(old.manifest(), &chosen.manifest, &registry.name(), chosen.before.is_some());
    if flags.dry_run {
        return Ok(Outcome::Planned(plan));
    }
    for line in plan.lines() {
        cx.printer.say(&line);
    }
    make(&desk, &old, flags, chosen).map(|released| Outcome::Done(Box::new(released)))
}

/// As [`super::Work::ship`]: refusals before the first tag, tags last.
fn make(desk: &Desk<'_>, old: &Old, flags: &cli::Release, chosen: Chosen) -> Result<Released> {
    let (cx, registry, runtime) = (desk.cx, desk.registry, desk.runtime);
    let trust = Trust::open_or_make(cx)?;
    trust.check(cx)?;
    let manifest = &chosen.manifest;
    runtime.block_on(desk.numbers.check_version(registry, manifest))?;
    let images = ship::images(registry, old, &manifest.version, &flags.tag)?;
    runtime.block_on(ship::check(registry, &images))?;
    let key = trust.ring.image_key(&trust::asker(cx))?;
    runtime.block_on(ship::send(cx, registry, old, &images, &key))?;
    if !desk.numbers.is_newest(manifest) {
        runtime.block_on(desk.numbers.take(registry, manifest))?;
    }
    let path = bundle::path(cx, &bundle::file_name(&manifest.stack, &manifest.version));
    let (digest, record) = desk.bundle(&trust, &chosen, |manifest| members(old, manifest), &path)?;
    let references = runtime.block_on(ship::tag(registry, &images))?;
    let pull = runtime.block_on(pullable::push(cx, registry, &trust, &path))?;
    if let Some(record) = record {
        record.write(cx)?;
    }
    Ok(Released { references, manifest: chosen.manifest, bundle: path, digest, pull })
}

/// The bundle that is meant; a number is one of this machine's record.
fn file(cx: &Context<'_>, flags: &cli::Release, of: &str) -> Result<(Utf8PathBuf, Option<u64>)> {
    let file = cx.environment.folder()?.join(of);
    let Some(seq) = of.parse::<u64>().ok().filter(|_| !file.exists()) else { return Ok((file, None)) };
    let stack = cx.project.select_stack(flags.stack.stack.as_deref())?;
    let records = record::all(cx, &stack)?;
    let Some(record) = records.iter().find(|record| record.seq == seq) else {
        let known: Vec<String> = records.iter().map(|record| record.seq.to_string()).collect();
        let hint = if known.is_empty() {
            format!("no release of {stack} was made on this machine: name the bundle's file")
        } else {
            format!("releases of {stack} on this machine: {}; or name a bundle's file", known.join(", "))
        };
        return Err(Error::Unknown { what: "a release in the record", name: of.to_owned(), hint }.into());
    };
    let path = bundle::path(cx, &bundle::file_name(&stack, &record.version));
    if !path.is_file() {
        let reason = format!(
            "the bundle of release {seq} is not there any more; name a copy of it instead of its number"
        );
        return Err(Error::BadFile { path, reason }.into());
    }
    Ok((path, Some(seq)))
}

/// A file of another stack, or of another release than the one that was named, is a mix-up.
fn check_meant(old: &Old, flags: &cli::Release, seq: Option<u64>) -> Result<()> {
    let manifest = old.manifest();
    let path = old.path().to_owned();
    if let Some(stack) = flags.stack.stack.as_ref().filter(|stack| **stack != manifest.stack) {
        let reason = format!("it is of the stack {}, not {stack}", manifest.stack);
        return Err(Error::BadFile { path, reason }.into());
    }
    if let Some(seq) = seq.filter(|seq| *seq != manifest.seq) {
        let reason = format!("it is release {}, not {seq}", manifest.seq);
        return Err(Error::BadFile { path, reason }.into());
    }
    Ok(())
}

/// The same under another title. What it was made of stays as it was.
fn describe(old: &Old, title: &Title) -> Result<Manifest> {
    let manifest = Manifest {
        seq: title.seq,
        version: title.version.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        ..old.manifest().clone()
    };
    manifest.check()?;
    Ok(manifest)
}

fn members(old: &Old, manifest: &Manifest) -> Members {
    let mut all = old.members();
    all.insert(member::BUNDLE.to_owned(), super::manifest::description(manifest));
    all
}
