//! `render`: a stack's configuration for one environment, in a form for work by hand too, or what differs between two.

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use xedge_config::parity::{compare_among, reasons};
use xedge_config::{COMPOSE_FILE, Rendered, outputs, render, with_class};
use xedge_model::atomic;
use xedge_model::compose::Compose;
use xedge_model::stack::{check_values, substitute};
use xedge_model::yaml::Source;

use super::Context;
use crate::cli::{Form, Render};
use crate::error::{Error, Result};
use crate::forms;

/// Columns of the table of differences.
const WIDTH: usize = 120;

/// Prints the configuration's digest, or the table of differences.
pub(super) fn run(cx: &Context<'_>, flags: &Render) -> Result<()> {
    let stack = cx.project.select_stack(flags.stack.as_deref())?;
    let environment = with_class(&flags.env, flags.class.as_deref());
    let rendered = render(&cx.project.templates(), &stack, &environment)?;
    if let Some(other) = &flags.diff {
        return diff(cx, flags, &render(&cx.project.templates(), &stack, other)?, &rendered);
    }
    if let (Some(form), Some(out)) = (flags.form, &flags.out) {
        by_hand(cx, &rendered, form, &cx.environment.folder()?.join(out), &flags.set)?;
    } else {
        files(cx, flags, &rendered)?;
    }
    if cx.printer.is_json() {
        return cx.printer.json(&json!(rendered.record()));
    }
    cx.printer.data(&format!("{stack}.{environment}@{}", rendered.digest()))
}

/// Writes the rendered files, or compares them with those that are there.
fn files(cx: &Context<'_>, flags: &Render, rendered: &Rendered) -> Result<()> {
    let folder = folder(cx, flags, rendered)?;
    if !flags.check {
        let written = rendered.write_to(&folder)?;
        cx.printer.say(&format!("{folder}: {written}"));
        return Ok(());
    }
    let mut drift: Vec<String> = rendered.check(&folder)?.iter().map(ToString::to_string).collect();
    if !drift.is_empty() {
        drift.push(rendered.unified_from(&folder)?.trim_end().to_owned());
        return Err(Error::Differences(drift.join("\n").trim_end().to_owned()).into());
    }
    cx.printer.good("same", folder.as_str());
    Ok(())
}

/// Writes the stack in another form, with the values of one device, into a folder that is there whole or not at all.
fn by_hand(
    cx: &Context<'_>,
    rendered: &Rendered,
    form: Form,
    out: &Utf8Path,
    set: &[(String, String)],
) -> Result<()> {
    if out.exists() {
        let reason = "it is there already; name a folder that is not".to_owned();
        return Err(Error::BadFile { path: out.to_owned(), reason }.into());
    }
    let values: BTreeMap<String, String> = set.iter().cloned().collect();
    check_values(rendered.device_values(), &values)?;
    let failed = |source| Error::Write { path: out.to_owned(), source };
    let above = out.parent().unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(above).map_err(failed)?;
    let beside = tempfile::Builder::new().prefix(".render-").tempdir_in(above).map_err(failed)?;
    let result = Utf8Path::from_path(beside.path()).expect("it lies below a path in UTF-8").join("result");
    let mut compose = rendered.compose().clone();
    for file in rendered.files() {
        let bytes = substitute(file.bytes(), rendered.device_values(), &values)?;
        if file.path() == COMPOSE_FILE {
            let text = String::from_utf8_lossy(&bytes);
            compose = Compose::parse(&Source::new(COMPOSE_FILE, text))?;
            if form != Form::Compose {
                continue;
            }
        }
        atomic::write(&result.join(rendered.stack()).join(file.path()), &bytes, file.mode())?;
    }
    let form = match form {
        Form::Compose => outputs::Form::Compose,
        Form::Quadlet => outputs::Form::Quadlet,
        Form::Run => outputs::Form::Run,
    };
    let notes = forms::write(&result, rendered.stack(), &compose, form)?;
    fs::rename(&result, out).map_err(failed)?;
    cx.printer.say(&format!("{out}: created"));
    for note in notes {
        cx.printer.say(&format!("note: {note}"));
    }
    Ok(())
}

fn diff(cx: &Context<'_>, flags: &Render, from: &Rendered, to: &Rendered) -> Result<()> {
    let templates = cx.project.templates();
    let mut others = Vec::new();
    for stack in cx.project.stacks()?.iter().filter(|stack| *stack != to.stack()) {
        let of = |environment| render(&templates, stack, environment);
        others.push((of(from.environment())?, of(to.environment())?));
    }
    let table = compare_among(from, to, &reasons(&templates)?, &others)?;
    if flags.unified {
        let text = to.unified_from_rendered(from);
        if cx.printer.is_json() {
            cx.printer.json(&json!({"from": from.environment(), "to": to.environment(), "unified": text}))?;
        } else {
            cx.printer.data(text.trim_end())?;
        }
    } else if cx.printer.is_json() {
        cx.printer.json(&json!(table))?;
    } else {
        cx.printer.data(table.to_text(WIDTH).trim_end())?;
    }
    Ok(table.check()?)
}

fn folder(cx: &Context<'_>, flags: &Render, rendered: &Rendered) -> Result<Utf8PathBuf> {
    let name = format!("{}.{}", rendered.stack(), rendered.environment());
    match &flags.out {
        Some(out) => Ok(cx.environment.folder()?.join(out)),
        None => Ok(cx.project.output("rendered").join(name)),
    }
}
