//! `bundle`: look into one without trusting it, take one apart, or have a refusal explained.

use std::fs::File;
use std::io::BufReader;

use camino::Utf8Path;
use serde_json::json;
use xedge_bundle::verify::{Untrusted, read_head};
use xedge_bundle::{Code, ReadError, Refusal, time};

use super::{Context, verify};
use crate::cli::Bundle;
use crate::error::{Error, Result};
use crate::extract;

/// Runs one of them.
pub(super) fn run(cx: &Context<'_>, command: &Bundle) -> Result<()> {
    match command {
        Bundle::Inspect { file } => inspect(cx, &cx.environment.folder()?.join(file)),
        Bundle::Extract(flags) => {
            let folder = extract::extract(cx, flags)?;
            cx.printer.say(&format!("the steps are in {folder}/RUNBOOK.md"));
            cx.printer.data(folder.as_str())
        }
        Bundle::Why { what, root } => why(cx, what, root.as_deref()),
    }
}

fn inspect(cx: &Context<'_>, file: &Utf8Path) -> Result<()> {
    let opened = File::open(file).map_err(|source| Error::Read { path: file.to_owned(), source })?;
    let head = read_head(BufReader::new(opened))?;
    cx.printer.warn(&format!("nothing of this was checked; that is `cargo xtask verify {file}`"));
    if cx.printer.is_json() {
        return cx.printer.json(&describe(&head));
    }
    cx.printer.data(&serde_json::to_string_pretty(&describe(&head)).expect("the report has string keys only"))
}

fn describe(head: &Untrusted) -> serde_json::Value {
    let roots: Vec<_> = head
        .roots
        .iter()
        .map(|root| json!({"version": root.root.version, "digest": root.digest, "expires": time::format(root.root.expires)}))
        .collect();
    let members: Vec<_> = head
        .plan
        .names()
        .map(|name| {
            let target = head.plan.target(name);
            json!({"name": name, "kind": target.custom.kind, "bytes": target.length})
        })
        .collect();
    let timestamp = &head.timestamp.0;
    json!({
        "bundle": head.manifest,
        "roots": roots,
        "timestamp": {"version": timestamp.version, "expires": time::format(timestamp.expires)},
        "members": members,
    })
}

/// Explains a code, or what a file is refused for; a file that is fine needs no explanation.
fn why(cx: &Context<'_>, what: &str, root: Option<&Utf8Path>) -> Result<()> {
    if let Ok(code) = what.parse::<Code>() {
        return explain(cx, code, None);
    }
    let file = cx.environment.folder()?.join(what);
    if !file.is_file() {
        return Err(Error::UnknownRefusal(what.to_owned()).into());
    }
    match verify::check(cx, &file, root)? {
        Ok(_) => cx.printer.data("it is not refused"),
        Err(ReadError::Refused(refusal)) => explain(cx, refusal.code, Some(&refusal)),
        Err(error) => Err(error.into()),
    }
}

fn explain(cx: &Context<'_>, code: Code, refusal: Option<&Refusal>) -> Result<()> {
    if cx.printer.is_json() {
        let (member, reason) = (refusal.map(|r| &r.member), refusal.map(|r| &r.reason));
        return cx.printer.json(
            &json!({"code": code.as_str(), "member": member, "reason": reason, "explanation": code.explain()}),
        );
    }
    if let Some(refusal) = refusal {
        cx.printer.data(&refusal.to_string())?;
    }
    cx.printer.data(&format!("{code}: {}", code.explain()))
}
