//! `verify` and `doctor`: look, and change nothing.

use camino::Utf8Path;
use serde_json::json;
use xedge_agent::doctor::{Finding, State, look_over};
use xedge_agent::{Result, source_file};
use xedge_bundle::time;

use super::Context;

pub(super) fn verify(cx: &Context, file: &Utf8Path) -> Result<()> {
    let (trust, now) = cx.trust()?;
    let verified = source_file::verify_file(file, &trust, now)?;
    let manifest = verified.manifest();
    let expires = time::format(verified.expires());
    let report = json!({
        "stack": manifest.stack, "seq": manifest.seq, "version": manifest.version,
        "config": manifest.config.digest, "expires": expires, "keyStatus": manifest.key_status,
    });
    cx.printer.data(&report, || {
        let (stack, version, seq) = (&manifest.stack, &manifest.version, manifest.seq);
        vec![
            format!("{stack} {version} (release {seq}): every byte is as it was signed"),
            format!("  it may be installed until {expires}"),
        ]
    })
}

/// A device that needs a person is no error of the looking: the findings say so.
pub(super) fn doctor(cx: &Context) -> Result<()> {
    let engine = cx.connect();
    let engine = engine.as_ref().map(AsRef::as_ref);
    let findings = look_over(&cx.home, &cx.machine, &cx.clock, engine);
    cx.printer.data(&findings, || findings.iter().flat_map(in_words).collect())
}

fn in_words(finding: &Finding) -> Vec<String> {
    let sign = match finding.state {
        State::Well => "ok     ",
        State::Note => "note   ",
        State::Problem => "problem",
    };
    let code = finding.code.map(|code| format!(" [{code}]")).unwrap_or_default();
    let mut lines = vec![format!("{sign} {:<13} {}{code}", finding.subject, finding.found)];
    if !finding.fix.is_empty() {
        lines.push(format!("        {:<13} -> {}", "", finding.fix));
    }
    lines
}
