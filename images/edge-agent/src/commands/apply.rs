//! `apply`, `rollback`, `remove` and `gc`: the commands that change what runs.

use serde_json::json;
use xedge_agent::apply::{self, Data, Options};
use xedge_agent::install::install;
use xedge_agent::{Device, Error, Result, records, source_file};
use xedge_wire::{Applied, Event};

use super::Context;
use crate::cli::Apply;

pub(super) fn run(cx: &Context, args: &Apply) -> Result<()> {
    let (trust, now) = cx.trust()?;
    let (engine, device) = (cx.connect_for_good()?, Device::load(&cx.home)?);
    let agent = cx.agent(engine.as_ref());
    let options = Options { adopt: args.adopt.clone(), check_only: args.check_only };
    let mut applied = Vec::new();
    for file in source_file::find(&args.path, &trust, now)? {
        cx.printer.event(&Event::Verifying);
        let head = source_file::stage(&cx.look(engine.as_ref(), &device, &trust), &file, now)?;
        applied.push(install(&agent, &head, &options, &mut |event| cx.printer.event(&event))?);
    }
    let words = |applied: &Applied| if args.check_only { preview(applied) } else { in_words(applied) };
    cx.printer.data(&applied, || applied.iter().flat_map(words).collect())
}

pub(super) fn rollback(cx: &Context, stack: Option<&str>) -> Result<()> {
    let stack = match stack {
        Some(stack) => stack.to_owned(),
        None => only_stack(cx)?,
    };
    let engine = cx.connect()?;
    let (mut trust, _) = cx.trust()?;
    let agent = cx.agent(engine.as_ref());
    let applied = apply::rollback(&agent, &mut trust, &stack, &mut |event| cx.printer.event(&event))?;
    cx.printer.data(&applied, || in_words(&applied))
}

pub(super) fn remove(cx: &Context, stack: &str, data: Data) -> Result<()> {
    let engine = cx.connect()?;
    let (mut trust, _) = cx.trust()?;
    apply::remove(&cx.agent(engine.as_ref()), &mut trust, stack, data, &mut |_event| ())?;
    let what = if data == Data::Purge { "with its data and secrets" } else { "its data and secrets stay" };
    cx.printer.data(&json!({ "removed": stack, "purged": data == Data::Purge }), || {
        vec![format!("{stack} is removed; {what}")]
    })
}

pub(super) fn gc(cx: &Context) -> Result<()> {
    let engine = cx.connect()?;
    let freed = apply::gc(&cx.agent(engine.as_ref()))?;
    cx.printer.data(&json!({ "bytes": freed.bytes, "entries": freed.entries }), || {
        vec![format!("freed {} bytes in {} files and folders", freed.bytes, freed.entries)]
    })
}

/// The stack that is meant where none is named.
fn only_stack(cx: &Context) -> Result<String> {
    let mut stacks = records::stacks(&cx.home)?;
    match (stacks.pop(), stacks.is_empty()) {
        (Some(stack), true) => Ok(stack),
        (None, _) => {
            Err(Error::Given { what: "the stack".to_owned(), reason: "none is installed".to_owned() })
        }
        (Some(last), false) => {
            let reason = format!("there are several, name one: {}, {last}", stacks.join(", "));
            Err(Error::Given { what: "the stack".to_owned(), reason })
        }
    }
}

pub(super) fn in_words(applied: &Applied) -> Vec<String> {
    let Applied { stack, seq, version, changed, kept, unchanged } = applied;
    let mut lines = vec![if *unchanged {
        format!("{stack} {version} (release {seq}): nothing changed")
    } else {
        format!("{stack} {version} (release {seq}) runs")
    }];
    lines.extend(changed.iter().map(|(service, ms)| format!("  {service}: answered after {ms} ms")));
    lines.extend(kept.iter().map(|service| format!("  {service}: not touched")));
    lines
}

/// What would be, after everything was checked.
fn preview(applied: &Applied) -> Vec<String> {
    let Applied { stack, seq, version, changed, kept, .. } = applied;
    let mut lines = vec![format!("{stack} {version} (release {seq}) fits this device; nothing was changed")];
    lines.extend(changed.keys().map(|service| format!("  {service}: would change over")));
    lines.extend(kept.iter().map(|service| format!("  {service}: would not be touched")));
    lines
}
