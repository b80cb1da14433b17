//! `bundle.json` of a stack that was gated, and where the bytes of every other member are. Writes nothing.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use xedge_bundle::manifest::{
    Compatibility, Config, Emulated, EvidenceEntry, FORMAT, Gate, Lock, Manifest, Sbom, Service,
};
use xedge_bundle::member;
use xedge_model::stack::Operation;
use xedge_model::{Digest, ImageName};
use xedge_oci::Descriptor;
use xedge_sign::KeyStatus;

use super::ReadyStack;
use crate::build::{self, sbom_file};
use crate::commands::Context;
use crate::error::{Error, Result, read_bytes};
use crate::stage::Release;

/// The first xedge-agent that reads this format.
const AGENT: &str = "0.1.0";
/// The Engine API of Engine 20.10, the oldest that bundles are tried with.
const ENGINE_API: &str = "1.41";

/// What `bundle.json` says of itself rather than of its content.
#[derive(Clone, Debug)]
pub(crate) struct Title {
    /// The counter.
    pub(crate) seq: u64,
    /// The version.
    pub(crate) version: String,
    /// Revision of the source repository.
    pub(crate) revision: Option<String>,
}

/// Where the bytes of a member are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file.
    File(Utf8PathBuf),
    /// In the layout.
    Blob(Descriptor),
    /// In a bundle that was verified.
    Part {
        /// The bundle.
        path: Utf8PathBuf,
        /// Where it begins.
        offset: u64,
        /// How long it is.
        length: u64,
        /// What it was.
        digest: Digest,
    },
}

/// A member but for the metadata: what it is, and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its kind in `targets.json`.
    pub(crate) kind: String,
    /// Its bytes.
    pub(crate) content: Content,
}

/// The members of a bundle by name.
pub(crate) type Members = BTreeMap<String, Member>;

/// Describes a release.
pub(crate) fn describe(
    cx: &Context<'_>,
    stack: &ReadyStack,
    operation: &Operation,
    release: &Release,
    status: KeyStatus,
    title: &Title,
) -> Result<Manifest> {
    let manifest = Manifest {
        format: FORMAT,
        stack: stack.name.clone(),
        seq: title.seq,
        version: title.version.clone(),
        key_status: status,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        revision: title.revision.clone(),
        compatibility: Compatibility {
            platforms: stack.platforms.iter().copied().collect(),
            boards: operation.boards.clone(),
            agent: AGENT.to_owned(),
            engine_api: ENGINE_API.to_owned(),
        },
        data: operation.data,
        services: services(stack)?,
        config: config(stack),
        gate: gate(release),
        locks: locks(stack)?,
        sboms: sboms(cx, stack)?,
        probes: operation.probes.clone(),
        settle_s: operation.settle_s,
        start_s: operation.start_s,
    };
    manifest.check()?;
    Ok(manifest)
}

fn services(stack: &ReadyStack) -> Result<Vec<Service>> {
    let service = |(name, image): (&String, &ImageName)| {
        let entry = &stack.images[image].entry;
        let manifest = |platform: &xedge_model::Platform| {
            Ok((*platform, entry.platform(*platform)?.manifest().digest.clone()))
        };
        Ok(Service {
            name: name.clone(),
            image: image.clone(),
            index: entry.index().digest.clone(),
            manifests: stack.platforms.iter().map(manifest).collect::<Result<_>>()?,
        })
    };
    stack.services.iter().map(service).collect()
}

fn config(stack: &ReadyStack) -> Config {
    let record = stack.rendered.record();
    Config {
        digest: record.digest,
        environment: record.environment,
        files: record.files,
        secrets: record.secrets,
        device_values: record.device_values,
    }
}

fn gate(release: &Release) -> Gate {
    let mut evidence: Vec<EvidenceEntry> = release
        .gated()
        .iter()
        .map(|run| EvidenceEntry {
            scenario: run.scenario().to_owned(),
            scenario_digest: run.scenario_digest().clone(),
            digest: Digest::of(run.envelope()),
        })
        .collect();
    evidence.sort_by(|a, b| a.scenario.cmp(&b.scenario));
    let scenarios = evidence.iter().map(|entry| entry.scenario.clone()).collect();
    Gate { scenarios, emulated: Emulated::Accepted, evidence }
}

fn locks(stack: &ReadyStack) -> Result<Vec<Lock>> {
    let lock = |(image, built): (&ImageName, &build::Built)| {
        let digest = Digest::of(&read_bytes(&built.lock_file)?);
        if digest != built.lock {
            let reason = format!("it has {digest}, the image was built from {}", built.lock);
            return Err(Error::Lock { path: built.lock_file.clone(), reason }.into());
        }
        Ok(Lock { image: image.clone(), digest })
    };
    stack.images.iter().map(lock).collect()
}

fn sboms(cx: &Context<'_>, stack: &ReadyStack) -> Result<Vec<Sbom>> {
    let mut sboms = Vec::new();
    for (image, built) in &stack.images {
        for platform in built.entry.platforms().keys() {
            let digest = Digest::of(&read_bytes(&sbom_file(cx, image, *platform))?);
            sboms.push(Sbom { image: image.clone(), platform: *platform, digest });
        }
    }
    Ok(sboms)
}

/// `bundle.json` as a member.
pub(crate) fn description(manifest: &Manifest) -> Member {
    Member { kind: "bundle".to_owned(), content: Content::Bytes(manifest.to_bytes()) }
}

/// Every member that the description names, itself included.
pub(crate) fn members(
    cx: &Context<'_>,
    stack: &ReadyStack,
    release: &Release,
    manifest: &Manifest,
) -> Members {
    let mut all = Members::new();
    all.insert(member::BUNDLE.to_owned(), description(manifest));
    let mut add = |name: String, kind: &str, content: Content| {
        all.insert(name, Member { kind: kind.to_owned(), content });
    };
    for run in release.gated() {
        add(member::evidence(run.scenario()), "evidence", Content::Bytes(run.envelope().to_vec()));
    }
    for file in stack.rendered.files() {
        add(member::config(file.digest()), "config", Content::Bytes(file.bytes().to_vec()));
    }
    for (image, built) in &stack.images {
        add(member::lock(image), "lock", Content::File(built.lock_file.clone()));
        for (platform, built) in built.entry.platforms() {
            add(member::sbom(image, *platform), "sbom", Content::File(sbom_file(cx, image, *platform)));
            let blobs = built.layers().iter().chain([built.manifest(), built.config_blob()]);
            for blob in blobs {
                add(member::blob(&blob.digest), &blob.media_type, Content::Blob(blob.clone()));
            }
        }
        let index = built.entry.index();
        add(member::blob(&index.digest), &index.media_type, Content::Blob(index.clone()));
    }
    all
}
