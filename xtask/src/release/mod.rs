//! `release`: from a stack to pushed images and a signed bundle, along one plan. What is there already is used again, and a run
//! that was stopped anywhere is finished by the next.

mod again;
pub(crate) mod bundle;
mod desk;
pub(crate) mod gate;
mod manifest;
mod number;
mod plan;
mod pullable;
pub(crate) mod push;
pub(crate) mod record;
mod stack;

use camino::Utf8PathBuf;
use tokio::runtime::Runtime;
use xedge_bundle::Manifest;
use xedge_config::operation;
use xedge_model::Digest;
use xedge_model::stack::Operation;
use xedge_registry::{Tag, TagKind};
use xshell::{Shell, cmd};

pub(crate) use gate::Source;
pub(crate) use plan::Plan;
pub(crate) use push::{LayoutBlobs, Shipment, push_image};
pub(crate) use stack::ReadyStack;

use crate::adhoc::{self, AdHoc};
use crate::cli::{self, StackArgs};
use crate::commands::{self, Context};
use crate::error::{Error, Result};
use crate::locks::Mode;
use crate::policy;
use crate::registry::Registry;
use crate::stage::Release;
use crate::trust::{self, Trust};
use desk::{Chosen, Desk, default_version};
use manifest::Title;
use number::Numbers;

/// What a release came to.
pub(crate) struct Released {
    /// The pushed images, by digest.
    pub(crate) references: Vec<String>,
    /// `bundle.json`.
    pub(crate) manifest: Manifest,
    /// The bundle.
    pub(crate) bundle: Utf8PathBuf,
    /// The digest of its file.
    pub(crate) digest: Digest,
    /// What a device that fetches by itself is told, `xedge-agent pull REFERENCE`; none reaches the embedded registry.
    pub(crate) pull: Option<String>,
}

/// What `--dry-run` shows, or what the run came to.
pub(crate) enum Outcome {
    /// Nothing was done.
    Planned(Plan),
    /// All of it was done.
    Done(Box<Released>),
}

/// Runs the whole chain, for a stack of the project or for an image as a stack of its own, or releases again what was
/// released before.
pub(crate) fn run(cx: &Context<'_>, flags: &cli::Release) -> Result<Outcome> {
    if let Some(of) = &flags.content_of {
        return again::run(cx, flags, of);
    }
    match AdHoc::of(&flags.of_image, &flags.registry, flags.locked) {
        Some(wanted) => adhoc::run(cx, &wanted, flags),
        None => stack(cx, flags, &flags.stack),
    }
}

/// The chain from this stack.
pub(crate) fn stack(cx: &Context<'_>, flags: &cli::Release, stack: &StackArgs) -> Result<Outcome> {
    let mode = if flags.locked { Mode::Locked } else { Mode::Use };
    let folder = cx.environment.folder()?;
    let evidence = flags.evidence.as_ref().map(|named| folder.join(named));
    if let Some(folder) = evidence.as_ref().filter(|folder| !folder.is_dir()) {
        let reason = "it is no folder, so there is no evidence in it".to_owned();
        return Err(Error::BadFile { path: folder.clone(), reason }.into());
    }
    let source = match &evidence {
        Some(folder) => Source::Folder(folder),
        None if flags.dry_run => Source::HereOnly,
        None => Source::Here(mode),
    };
    let runtime = commands::runtime()?;
    let stack = runtime.block_on(ReadyStack::make(cx, stack, mode))?;
    // Files tell in milliseconds what a gate would not ask.
    policy::advise(cx, &stack.rendered, flags.dry_run)?;
    let operation = operation(&cx.project.templates(), &stack.rendered)?;
    let registry = runtime.block_on(Registry::connect(cx, &flags.registry))?;
    // Asked before minutes go by in simulations: a registry that does not answer ends the matter.
    let numbers = runtime.block_on(Numbers::read(&registry, &stack.name))?;
    let work = Work {
        cx,
        flags,
        runtime: &runtime,
        stack: &stack,
        operation: &operation,
        registry: &registry,
        numbers: &numbers,
    };
    if flags.dry_run {
        return work.plan(source).map(Outcome::Planned);
    }
    let trust = Trust::open_or_make(cx)?;
    let release = gate::pass(cx, &stack, &trust.gate_keys(), source)?;
    work.ship(&trust, &release).map(|released| Outcome::Done(Box::new(released)))
}

/// What all steps need.
struct Work<'a> {
    cx: &'a Context<'a>,
    flags: &'a cli::Release,
    runtime: &'a Runtime,
    stack: &'a ReadyStack,
    operation: &'a Operation,
    registry: &'a Registry,
    numbers: &'a Numbers,
}

impl Work<'_> {
    /// The plan, made from reading alone.
    fn plan(&self, source: Source<'_>) -> Result<Plan> {
        let keys = trust::present_gate_keys(self.cx)?;
        let open = gate::open(self.cx, self.stack, &keys, source)?;
        let records = record::all(self.cx, &self.stack.name)?;
        let seq = records.last().map_or(0, |record| record.seq).max(self.numbers.newest()) + 1;
        let version = self.flags.version.clone();
        // Without evidence nobody knows yet whether the release is a new one; with it the choice is the real one.
        let chosen = match (open.release, trust::status(self.cx)?) {
            (Some(release), Some(status)) => Some(self.choose(&release, status)?),
            _ => None,
        };
        let version = match &chosen {
            Some(chosen) => chosen.manifest.version.clone(),
            None => version.unwrap_or_else(|| default_version(seq)),
        };
        let shipment = self.shipment(&version)?;
        let title = chosen.as_ref().map_or(seq, |chosen| chosen.manifest.seq);
        let known = chosen.is_some_and(|chosen| chosen.before.is_some());
        Ok(Plan::new(self.stack, &open.gaps, &self.registry.name(), &shipment, title, &version, known))
    }

    /// Everything that can be refused is refused before the first tag is set, and tags come last.
    fn ship(&self, trust: &Trust, release: &Release) -> Result<Released> {
        let (cx, registry) = (self.cx, self.registry);
        trust.check(cx)?;
        let chosen = self.choose(release, trust.status())?;
        let manifest = &chosen.manifest;
        self.runtime.block_on(self.numbers.check_version(registry, manifest))?;
        let shipment = self.shipment(&manifest.version)?;
        shipment.check()?;
        let (name, known) = (registry.name(), chosen.before.is_some());
        let plan = Plan::new(self.stack, &[], &name, &shipment, manifest.seq, &manifest.version, known);
        for line in plan.lines() {
            cx.printer.say(&line);
        }
        let key = trust.ring.image_key(&trust::asker(cx))?;
        let pending = self.runtime.block_on(shipment.send(cx, registry, release, &key))?;
        if !self.numbers.is_newest(manifest) {
            self.runtime.block_on(self.numbers.take(registry, manifest))?;
        }
        let file = bundle::file_name(&self.stack.name, &manifest.version);
        let path = bundle::path(cx, &file);
        let members = |manifest: &Manifest| manifest::members(cx, self.stack, release, manifest);
        let (digest, record) = self.desk().bundle(trust, &chosen, members, &path)?;
        let references = self.runtime.block_on(pending.tag(registry))?;
        let pull = self.runtime.block_on(pullable::push(cx, registry, trust, &path))?;
        if let Some(record) = record {
            record.write(cx)?;
        }
        Ok(Released { references, manifest: chosen.manifest, bundle: path, digest, pull })
    }

    fn shipment(&self, version: &str) -> Result<Shipment> {
        let entries = self.stack.images.values().map(|built| built.entry.clone()).collect();
        let mut tags = vec![Tag::new(version, TagKind::Version)?];
        for tag in &self.flags.tag {
            tags.push(Tag::new(tag, TagKind::Moving)?);
        }
        self.runtime.block_on(Shipment::plan(self.cx, self.registry, entries, &tags))
    }

    fn desk(&self) -> Desk<'_> {
        let Self { cx, runtime, registry, numbers, .. } = *self;
        Desk {
            cx,
            runtime,
            registry,
            numbers,
            stack: &self.stack.name,
            version: self.flags.version.as_deref(),
        }
    }

    fn choose(&self, release: &Release, status: xedge_sign::KeyStatus) -> Result<Chosen> {
        let describe =
            |title: &Title| manifest::describe(self.cx, self.stack, self.operation, release, status, title);
        self.desk().choose(revision(self.cx).as_deref(), &describe)
    }
}

/// The revision that is checked out, where git knows one and nothing differs from it.
fn revision(cx: &Context<'_>) -> Option<String> {
    let sh = Shell::new().ok()?;
    sh.change_dir(cx.project.root());
    let changes = cmd!(sh, "git status --porcelain").quiet().ignore_stderr().read().ok()?;
    if !changes.trim().is_empty() {
        return None;
    }
    let revision = cmd!(sh, "git rev-parse --verify HEAD").quiet().ignore_stderr().read().ok()?;
    Some(revision.trim().to_owned()).filter(|revision| !revision.is_empty())
}
