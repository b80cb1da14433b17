//! The plan of a release as text: what `--dry-run` prints, and what the real run says before it acts. Computes nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use xedge_bundle::Manifest;
use xedge_registry::{BlobStep, TagStep};

use super::{ReadyStack, Shipment, bundle};

/// One step.
struct Step {
    verb: &'static str,
    subject: String,
    what: String,
}

/// All steps, in the order in which they are taken.
pub(crate) struct Plan(Vec<Step>);

impl Plan {
    /// The plan of a release that has these gaps in its evidence.
    pub(super) fn new(
        stack: &ReadyStack,
        gaps: &[String],
        registry: &str,
        shipment: &Shipment,
        seq: u64,
        version: &str,
        is_known: bool,
    ) -> Self {
        let mut steps = Vec::new();
        let mut add = |verb, subject: String, what: String| steps.push(Step { verb, subject, what });
        for (name, built) in &stack.images {
            add("build", format!("{name}@{}", built.entry.index().digest), "in the layout".to_owned());
        }
        let config = format!("{}.{}@{}", stack.name, stack.rendered.environment(), stack.rendered.digest());
        add("render", config, format!("{} files", stack.rendered.files().len()));
        if gaps.is_empty() {
            add("gate", names(stack), "evidence is there".to_owned());
        }
        for gap in gaps {
            add("gate", names(stack), format!("to run: {gap}"));
        }
        for (entry, plan) in shipment.images() {
            add("push", format!("{registry}/{}@{}", entry.name(), entry.index().digest), blobs(plan));
            for (tag, step) in plan.tags() {
                add("tag", format!("{registry}/{}:{}", entry.name(), tag.name()), tag_text(step));
            }
        }
        let what = if is_known { "there" } else { "to make" };
        add("bundle", bundle::file_name(&stack.name, version), format!("release {seq}, {what}"));
        Self(steps)
    }

    /// The plan of a release that has the content of an earlier one.
    pub(super) fn again(old: &Manifest, new: &Manifest, registry: &str, is_known: bool) -> Self {
        let mut steps = Vec::new();
        let mut add = |verb, subject: String, what: String| steps.push(Step { verb, subject, what });
        let services = new.services.iter().map(|service| (&service.image, &service.index));
        let images: BTreeMap<_, _> = services.collect();
        let stack = &new.stack;
        add("verify", bundle::file_name(stack, &old.version), format!("the content of release {}", old.seq));
        add("gate", new.gate.scenarios.join(", "), "evidence is there".to_owned());
        for (image, index) in images {
            add("tag", format!("{registry}/{image}:{}", new.version), format!("names {index}"));
        }
        let what = if is_known { "there" } else { "to make" };
        add("bundle", bundle::file_name(stack, &new.version), format!("release {}, {what}", new.seq));
        Self(steps)
    }

    /// A line a step.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|Step { verb, subject, what }| format!("{verb:7} {subject}: {what}"))
    }

    /// The steps for scripts.
    pub(crate) fn json(&self) -> Value {
        let step =
            |Step { verb, subject, what }: &Step| json!({"step": verb, "subject": subject, "what": what});
        self.0.iter().map(step).collect()
    }
}

fn names(stack: &ReadyStack) -> String {
    stack.scenarios.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn blobs(plan: &xedge_registry::Plan) -> String {
    let count = |wanted: fn(&BlobStep) -> bool| plan.blobs().filter(|(_, step)| wanted(step)).count();
    let there = count(|step| *step == BlobStep::There);
    let mounted = count(|step| matches!(step, BlobStep::Mount { .. }));
    let upload = count(|step| matches!(step, BlobStep::Upload { .. }));
    let bytes = plan.upload_bytes();
    format!("{there} blobs there, {mounted} to mount, {upload} to upload ({bytes} bytes)")
}

fn tag_text(step: &TagStep) -> String {
    match step {
        TagStep::There => "there".to_owned(),
        TagStep::Set => "to set".to_owned(),
        TagStep::Conflict { found } => format!("CONFLICT: it names {found}"),
    }
}
