//! `doctor`: every problem of this machine and of the project's files at once, each with what mends it.

use serde_json::json;

use super::Context;
use crate::error::{Error, Result};
use crate::formats;
use crate::reach::Reach;
use crate::setup::machine::Engine;
use crate::setup::{Surroundings, doctor, probe, render_problems};

/// Prints the problems as data; an error if one of them is not optional.
pub(super) fn run(cx: &Context<'_>) -> Result<()> {
    let disagreements = formats::disagreements(&cx.project)?;
    let reach = Reach::of(&cx.environment)?;
    let machine = probe(&Surroundings::of(&cx.environment, cx.project.root()))?;
    let problems = doctor(&machine);
    if let Engine::Up { at, product, version, from } = &machine.engine {
        cx.printer.say(&format!("engine: {product} {version} at {at} ({from})"));
    }
    for line in reach.lines() {
        cx.printer.say(&line);
    }
    if cx.printer.is_json() {
        let network = reach.lines();
        cx.printer.json(&json!({ "engine": machine.engine, "network": network, "problems": problems,
            "formats": disagreements }))?;
    } else {
        for disagreement in &disagreements {
            cx.printer.data(&disagreement.text())?;
        }
        if !problems.is_empty() {
            cx.printer.data(render_problems(&problems).trim_end())?;
        }
    }
    if !disagreements.is_empty() {
        return Err(Error::Formats(disagreements.len()).into());
    }
    let needed = problems.iter().filter(|problem| !problem.optional).count();
    if needed > 0 {
        return Err(Error::Problems(needed).into());
    }
    cx.printer.good("ready", "nothing that is needed is missing, and files and tool are of one format");
    Ok(())
}
