//! `doctor`: every problem of this machine at once, each with the commands that mend it.

use serde_json::json;

use super::Context;
use crate::error::{Error, Result};
use crate::reach::Reach;
use crate::setup::machine::Engine;
use crate::setup::{Surroundings, doctor, probe, render_problems};

/// Prints the problems as data; exit 1 if one of them is not optional.
pub(super) fn run(cx: &Context<'_>) -> Result<()> {
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
        cx.printer.json(&json!({ "engine": machine.engine, "network": network, "problems": problems }))?;
    } else if !problems.is_empty() {
        cx.printer.data(render_problems(&problems).trim_end())?;
    }
    let needed = problems.iter().filter(|problem| !problem.optional).count();
    if needed > 0 {
        return Err(Error::Problems(needed).into());
    }
    cx.printer.good("ready", "nothing that is needed is missing");
    Ok(())
}
