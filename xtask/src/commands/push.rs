//! `push`: gated images to a registry, by digest.

use serde_json::{Value, json};
use xedge_oci::ImageEntry;
use xedge_registry::{BlobStep, ManifestStep, Plan, Tag, TagKind, TagStep};

use super::Context;
use crate::cli::Push;
use crate::error::Result;
use crate::locks::Mode;
use crate::project::select_image;
use crate::registry::Registry;
use crate::release::{ReadyStack, Shipment, Source, gate};
use crate::trust::{self, Trust};

/// Prints one reference by digest per line, or with `--plan` what would be sent.
pub(super) fn run(cx: &Context<'_>, flags: &Push) -> Result<()> {
    let runtime = super::runtime()?;
    let stack = runtime.block_on(ReadyStack::make(cx, &flags.stack, Mode::Use))?;
    let entries = selected(cx, &stack, &flags.images)?;
    let registry = runtime.block_on(Registry::connect(cx, &flags.registry))?;
    let shipment = runtime.block_on(Shipment::plan(cx, &registry, entries, &tags(flags)?))?;
    if flags.plan {
        return shipment.images().try_for_each(|(entry, plan)| print(cx, &registry, entry, plan));
    }
    shipment.check()?;
    let trust = Trust::open_or_make(cx)?;
    let release = gate::pass(cx, &stack, &trust.gate_keys(), Source::HereOnly)?;
    trust.check(cx)?;
    let key = trust.ring.image_key(&trust::asker(cx))?;
    let sent = runtime.block_on(shipment.send(cx, &registry, &release, &key))?;
    let references = runtime.block_on(sent.tag(&registry))?;
    cx.printer.say(&format!("{} requests", registry.client.requests()));
    references.iter().try_for_each(|reference| cx.printer.data(reference))
}

fn selected(cx: &Context<'_>, stack: &ReadyStack, called: &[String]) -> Result<Vec<ImageEntry>> {
    let entries = stack.images.values().map(|built| &built.entry);
    if called.is_empty() {
        return Ok(entries.cloned().collect());
    }
    let sources = cx.project.images()?;
    let in_stack: Vec<_> =
        sources.into_iter().filter(|source| stack.images.contains_key(&source.def.name)).collect();
    let named = |call: &String| Ok(stack.images[&select_image(&in_stack, call)?.def.name].entry.clone());
    called.iter().map(named).collect()
}

fn tags(flags: &Push) -> Result<Vec<Tag>> {
    let version = flags.version.iter().map(|name| (name, TagKind::Version));
    let moving = flags.tag.iter().map(|name| (name, TagKind::Moving));
    version.chain(moving).map(|(name, kind)| Ok(Tag::new(name, kind)?)).collect()
}

/// A line for each blob, manifest and tag.
fn print(cx: &Context<'_>, registry: &Registry, entry: &ImageEntry, plan: &Plan) -> Result<()> {
    let repository = registry.shown(entry.name())?;
    let blobs =
        plan.blobs().map(|(blob, step)| ("blob", blob.digest.to_string(), blob_text(step), blob_bytes(step)));
    let manifests = plan.manifests().map(|(manifest, step)| (manifest.digest.to_string(), step));
    let index = (entry.index().digest.to_string(), plan.index());
    let manifests =
        manifests.chain([index]).map(|(digest, step)| ("manifest", digest, manifest_text(step), 0));
    let tags = plan.tags().map(|(tag, step)| ("tag", tag.name().to_owned(), tag_text(step), 0));
    for (kind, what, step, bytes) in blobs.chain(manifests).chain(tags) {
        if cx.printer.is_json() {
            let line: Value = json!({"repository": repository, kind: what, "step": step, "bytes": bytes});
            cx.printer.json(&line)?;
        } else {
            let step = if bytes > 0 { format!("{step} {bytes} bytes") } else { step };
            cx.printer.data(&format!("{repository} {kind} {what} {step}"))?;
        }
    }
    Ok(())
}

fn blob_text(step: &BlobStep) -> String {
    match step {
        BlobStep::There => "there".to_owned(),
        BlobStep::Mount { from } => format!("mount from {}", from.path()),
        BlobStep::Upload { .. } => "upload".to_owned(),
    }
}

fn blob_bytes(step: &BlobStep) -> u64 {
    if let BlobStep::Upload { bytes } = step { *bytes } else { 0 }
}

fn manifest_text(step: ManifestStep) -> String {
    if step == ManifestStep::There { "there".to_owned() } else { "put".to_owned() }
}

fn tag_text(step: &TagStep) -> String {
    match step {
        TagStep::There => "there".to_owned(),
        TagStep::Set => "set".to_owned(),
        TagStep::Conflict { found } => format!("conflict: it names {found}"),
    }
}
