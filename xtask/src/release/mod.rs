//! `release`: from a stack to pushed images and a signed bundle, along one plan. What is there already is used again, and a run
//! that was stopped anywhere is finished by the next.

pub(crate) mod bundle;
pub(crate) mod gate;
mod manifest;
mod number;
mod plan;
pub(crate) mod push;
mod record;
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

use crate::cli;
use crate::commands::{self, Context};
use crate::error::{Error, Result};
use crate::locks::Mode;
use crate::registry::Registry;
use crate::stage::Release;
use crate::trust::{self, Trust};
use manifest::Title;
use number::Numbers;
use record::Record;

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
}

/// What `--dry-run` shows, or what the run came to.
pub(crate) enum Outcome {
    /// Nothing was done.
    Planned(Plan),
    /// All of it was done.
    Done(Box<Released>),
}

/// Runs the whole chain.
pub(crate) fn run(cx: &Context<'_>, flags: &cli::Release) -> Result<Outcome> {
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
    let stack = runtime.block_on(ReadyStack::make(cx, &flags.stack, mode))?;
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

/// The number, version and content of a release, and the record of it where it was made before.
struct Chosen {
    manifest: Manifest,
    before: Option<Record>,
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
        let (digest, record) = self.bundle(trust, release, &chosen, &path)?;
        let references = self.runtime.block_on(pending.tag(registry))?;
        if let Some(record) = record {
            record.write(cx)?;
        }
        Ok(Released { references, manifest: chosen.manifest, bundle: path, digest })
    }

    fn shipment(&self, version: &str) -> Result<Shipment> {
        let entries = self.stack.images.values().map(|built| built.entry.clone()).collect();
        let mut tags = vec![Tag::new(version, TagKind::Version)?];
        for tag in &self.flags.tag {
            tags.push(Tag::new(tag, TagKind::Moving)?);
        }
        self.runtime.block_on(Shipment::plan(self.cx, self.registry, entries, &tags))
    }

    /// The same content keeps its number; anything else gets the next one.
    fn choose(&self, release: &Release, status: xedge_sign::KeyStatus) -> Result<Chosen> {
        let describe =
            |title: &Title| manifest::describe(self.cx, self.stack, self.operation, release, status, title);
        let asked = self.flags.version.as_deref();
        let records = record::all(self.cx, &self.stack.name)?;
        let recorded = records.last().map_or(0, |record| record.seq);
        let newest = self.numbers.newest();
        if let Some(record) = records.last().filter(|record| newest <= record.seq) {
            let version = asked.unwrap_or(&record.version).to_owned();
            let title = Title { seq: record.seq, version, revision: record.revision.clone() };
            let manifest = describe(&title)?;
            let is_same = Digest::of(&manifest.to_bytes()) == record.content;
            // At another registry the number may be somebody else's.
            if is_same && (newest < record.seq || self.numbers.is_newest(&manifest)) {
                return Ok(Chosen { manifest, before: Some(record.clone()) });
            }
        }
        let revision = revision(self.cx);
        let title = |seq: u64| Title {
            seq,
            version: asked.map_or_else(|| default_version(seq), str::to_owned),
            revision: revision.clone(),
        };
        if newest > recorded {
            let manifest = describe(&title(newest))?;
            if self.numbers.is_newest(&manifest) {
                self.cx.printer.say(&format!("release {newest} was begun before: it is finished now"));
                return Ok(Chosen { manifest, before: None });
            }
        }
        let manifest = describe(&title(newest.max(recorded) + 1))?;
        refuse_known_version(&records, &manifest)?;
        Ok(Chosen { manifest, before: None })
    }

    /// The bundle's file, kept or made; a new one comes with the record that is to be written when all is done.
    fn bundle(
        &self,
        trust: &Trust,
        release: &Release,
        chosen: &Chosen,
        path: &Utf8PathBuf,
    ) -> Result<(Digest, Option<Record>)> {
        let manifest = &chosen.manifest;
        if let Some(record) = &chosen.before
            && bundle::is_fresh(self.cx, trust, path, &record.bundle)?
        {
            self.cx.printer.say(&format!("unchanged: release {} of {}", record.seq, record.stack));
            return Ok((record.bundle.clone(), None));
        }
        let restamp = chosen.before.as_ref().map_or(0, |record| record.restamp + 1);
        let restamp = restamp.max(self.numbers.next_stamp(manifest.seq));
        self.runtime.block_on(self.numbers.stamp(self.registry, manifest, restamp))?;
        let members = manifest::members(self.cx, self.stack, release, manifest);
        let ask = trust::asker(self.cx);
        let digest = bundle::make(self.cx, trust, manifest.seq, restamp, &members, path, &ask)?;
        let record = Record {
            format: record::FORMAT,
            stack: manifest.stack.clone(),
            seq: manifest.seq,
            version: manifest.version.clone(),
            revision: manifest.revision.clone(),
            content: Digest::of(&manifest.to_bytes()),
            restamp,
            bundle: digest.clone(),
        };
        Ok((digest, Some(record)))
    }
}

/// A version names one release for good, also where no registry remembers it.
fn refuse_known_version(records: &[Record], manifest: &Manifest) -> Result<()> {
    match records.iter().find(|record| record.version == manifest.version) {
        Some(record) => Err(Error::VersionTaken {
            stack: record.stack.clone(),
            version: record.version.clone(),
            found: record.content.clone(),
            wanted: Digest::of(&manifest.to_bytes()),
        }
        .into()),
        None => Ok(()),
    }
}

fn default_version(seq: u64) -> String {
    format!("r{seq}")
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
