//! `render`: a stack's configuration for one environment, or what differs between two.

use camino::Utf8PathBuf;
use serde_json::json;
use xedge_config::parity::{compare_among, reasons};
use xedge_config::render;

use super::Context;
use crate::cli::Render;
use crate::error::{Error, Result};

/// Columns of the table of differences.
const WIDTH: usize = 120;

/// Prints the configuration's digest, or the table of differences.
pub(super) fn run(cx: &Context<'_>, flags: &Render) -> Result<()> {
    let stack = cx.project.select_stack(flags.stack.as_deref())?;
    let rendered = render(&cx.project.templates(), &stack, &flags.env)?;
    if let Some(other) = &flags.diff {
        return diff(cx, &render(&cx.project.templates(), &stack, other)?, &rendered);
    }
    let folder = folder(cx, flags, &stack)?;
    if flags.check {
        let drift: Vec<String> = rendered.check(&folder)?.iter().map(ToString::to_string).collect();
        if !drift.is_empty() {
            return Err(Error::Differences(drift.join("\n")).into());
        }
        cx.printer.good("same", folder.as_str());
    } else {
        let written = rendered.write_to(&folder)?;
        cx.printer.say(&format!("{folder}: {written}"));
    }
    if cx.printer.is_json() {
        return cx.printer.json(&json!(rendered.record()));
    }
    cx.printer.data(&format!("{stack}.{}@{}", flags.env, rendered.digest()))
}

fn diff(cx: &Context<'_>, from: &xedge_config::Rendered, to: &xedge_config::Rendered) -> Result<()> {
    let templates = cx.project.templates();
    let mut others = Vec::new();
    for stack in cx.project.stacks()?.iter().filter(|stack| *stack != to.stack()) {
        let of = |environment| render(&templates, stack, environment);
        others.push((of(from.environment())?, of(to.environment())?));
    }
    let table = compare_among(from, to, &reasons(&templates)?, &others)?;
    if cx.printer.is_json() {
        cx.printer.json(&json!(table))?;
    } else {
        cx.printer.data(table.to_text(WIDTH).trim_end())?;
    }
    Ok(table.check()?)
}

fn folder(cx: &Context<'_>, flags: &Render, stack: &str) -> Result<Utf8PathBuf> {
    match &flags.out {
        Some(out) => Ok(cx.environment.folder()?.join(out)),
        None => Ok(cx.project.output("rendered").join(format!("{stack}.{}", flags.env))),
    }
}
