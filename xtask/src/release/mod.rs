//! `release`: from a stack to pushed images and a signed bundle, along one plan. What is there already is used again, and a run
//! that was stopped anywhere is finished by the next.

pub(crate) mod bundle;
pub(crate) mod gate;
mod manifest;
mod number;
mod plan;
mod push;
mod record;
mod stack;

use camino::Utf8PathBuf;
use tokio::runtime::Runtime;
use xedge_bundle::Manifest;
use xedge_model::Digest;
use xedge_registry::{Tag, TagKind};
use xshell::{Shell, cmd};

pub(crate) use gate::Source;
pub(crate) use plan::Plan;
pub(crate) use push::Shipment;
pub(crate) use stack::ReadyStack;

use crate::cli;
use crate::commands::{self, Context};
use crate::error::Result;
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
    let source = match &evidence {
        Some(folder) => Source::Folder(folder),
        None if flags.dry_run => Source::HereOnly,
        None => Source::Here(mode),
    };
    let runtime = commands::runtime()?;
    let stack = runtime.block_on(ReadyStack::make(cx, &flags.stack, mode))?;
    let registry = runtime.block_on(Registry::connect(cx, &flags.registry))?;
    // Asked before minutes go by in simulations: a registry that does not answer ends the matter.
    let numbers = runtime.block_on(Numbers::read(&registry, &stack.name))?;
    let work = Work { cx, flags, runtime: &runtime, stack: &stack, registry: &registry, numbers: &numbers };
    if flags.dry_run {
        return work.plan(source).map(Outcome::Planned);
    }
    let trust = Trust::open_or_make(cx)?;
    let release = gate::pass(cx, &stack, &trust.gate_keys()?, source)?;
    work.ship(&trust, &release).map(|released| Outcome::Done(Box::new(released)))
}

/// What all steps need.
struct Work<'a> {
    cx: &'a Context<'a>,
    flags: &'a cli::Release,
    runtime: &'a Runtime,
    stack: &'a ReadyStack,
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
        let last = record::newest(self.cx, &self.stack.name)?;
        let seq = last.as_ref().map_or(0, |record| record.seq).max(self.numbers.newest()) + 1;
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

    fn ship(&self, trust: &Trust, release: &Release) -> Result<Released> {
        let chosen = self.choose(release, trust.status())?;
        let (manifest, known) = (&chosen.manifest, chosen.before.is_some());
        let shipment = self.shipment(&manifest.version)?;
        shipment.check()?;
        self.runtime.block_on(self.numbers.check_version(self.registry, manifest))?;
        let name = self.registry.name();
        let plan = Plan::new(self.stack, &[], &name, &shipment, manifest.seq, &manifest.version, known);
        plan.lines().for_each(|line| self.cx.printer.say(&line));
        let ask = trust::asker(self.cx);
        let key = || Ok(trust.ring.image_key(&ask)?);
        let references =
            self.runtime.block_on(shipment.push(self.cx, self.registry, release, &key))?;
        self.runtime.block_on(self.numbers.take(self.registry, manifest))?;
        let file = bundle::file_name(&self.stack.name, &manifest.version);
        let path = bundle::path(self.cx, &file);
        let digest = self.bundle(trust, release, &chosen, &path)?;
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
        let describe = |title: &Title| manifest::describe(self.cx, self.stack, release, status, title);
        let asked = self.flags.version.as_deref();
        let last = record::newest(self.cx, &self.stack.name)?;
        let recorded = last.as_ref().map_or(0, |record| record.seq);
        if let Some(record) = last.filter(|record| self.numbers.newest() <= record.seq) {
            let version = asked.unwrap_or(&record.version).to_owned();
            let title = Title { seq: record.seq, version, revision: record.revision.clone() };
            let manifest = describe(&title)?;
            if Digest::of(&manifest.to_bytes()) == record.content {
                return Ok(Chosen { manifest, before: Some(record) });
            }
        }
        let revision = revision(self.cx);
        let title = |seq: u64| Title {
            seq,
            version: asked.map_or_else(|| default_version(seq), str::to_owned),
            revision: revision.clone(),
        };
        let newest = self.numbers.newest();
        if newest > recorded {
            let manifest = describe(&title(newest))?;
            if self.numbers.is_newest(&manifest) {
                self.cx.printer.say(&format!("release {newest} was begun before: it is finished now"));
                return Ok(Chosen { manifest, before: None });
            }
        }
        Ok(Chosen { manifest: describe(&title(newest.max(recorded) + 1))?, before: None })
    }

    /// The bundle's file, kept or made, and its record.
    fn bundle(&self, trust: &Trust, release: &Release, chosen: &Chosen, path: &Utf8PathBuf) -> Result<Digest> {
        let manifest = &chosen.manifest;
        if let Some(record) = &chosen.before {
            if bundle::is_fresh(self.cx, trust, path, &record.bundle)? {
                self.cx.printer.say(&format!("unchanged: release {} of {}", record.seq, record.stack));
                return Ok(record.bundle.clone());
            }
        }
        let restamp = chosen.before.as_ref().map_or(0, |record| record.restamp + 1);
        let members = manifest::members(self.cx, self.stack, release, manifest)?;
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
            file: path.file_name().unwrap_or_default().to_owned(),
            bundle: digest.clone(),
        };
        record.write(self.cx)?;
        Ok(digest)
    }
}

fn default_version(seq: u64) -> String {
    format!("r{seq}")
}

/// The revision that is checked out, where git knows one.
fn revision(cx: &Context<'_>) -> Option<String> {
    let sh = Shell::new().ok()?;
    sh.change_dir(cx.project.root());
    let revision = cmd!(sh, "git rev-parse --verify HEAD").quiet().ignore_stderr().read().ok()?;
    Some(revision.trim().to_owned()).filter(|revision| !revision.is_empty())
}
