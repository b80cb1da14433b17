//! `release`: the whole chain, and what it came to.

use serde_json::json;

use super::Context;
use crate::cli;
use crate::error::Result;
use crate::release::{self, Outcome, Released};

/// Prints the plan, or references, configuration and bundle.
pub(super) fn run(cx: &Context<'_>, flags: &cli::Release) -> Result<()> {
    match release::run(cx, flags)? {
        Outcome::Planned(plan) if cx.printer.is_json() => cx.printer.json(&plan.json()),
        Outcome::Planned(plan) => plan.lines().try_for_each(|line| cx.printer.data(&line)),
        Outcome::Done(released) => report(cx, &released),
    }
}

fn report(cx: &Context<'_>, released: &Released) -> Result<()> {
    let Released { references, manifest, bundle, digest, pull } = released;
    let shown = cx.project.relative(bundle);
    if cx.printer.is_json() {
        return cx.printer.json(&json!({
            "stack": manifest.stack,
            "seq": manifest.seq,
            "version": manifest.version,
            "keyStatus": manifest.key_status,
            "references": references,
            "config": manifest.config.digest,
            "bundle": {"file": shown, "digest": digest},
            "pull": pull,
        }));
    }
    for reference in references {
        cx.printer.data(reference)?;
    }
    let (stack, environment) = (&manifest.stack, &manifest.config.environment);
    cx.printer.data(&format!("{stack}.{environment}@{}", manifest.config.digest))?;
    cx.printer.data(shown.as_str())?;
    if let Some(pull) = pull {
        cx.printer.say(&format!("devices that fetch by themselves: xedge-agent pull {pull}"));
    }
    cx.printer.good("released", &format!("{stack} {} (release {})", manifest.version, manifest.seq));
    Ok(())
}
