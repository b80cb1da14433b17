//! `setup`: say what is missing, ask, get it, look again.

use super::Context;
use crate::cli::Setup;
use crate::error::{Error, Result};
use crate::setup::{Mode, Outcome, Surroundings, Talk, setup};

/// Asks only where a person can answer; `--yes`, CI and pipes go ahead.
pub(super) fn run(cx: &Context<'_>, flags: &Setup) -> Result<()> {
    let mode = match (flags.check, flags.yes || !cx.printer.can_ask()) {
        (true, _) => Mode::Check,
        (false, true) => Mode::Go,
        (false, false) => Mode::Ask,
    };
    let talk = Talk {
        say: &|text| cx.printer.say(text.trim_end()),
        confirm: &|question| cx.printer.confirm(question),
    };
    let mut around = Surroundings::of(&cx.environment, cx.project.root());
    around.wanted.extend(&flags.platform);
    match setup(&around, mode, &talk)? {
        Outcome::Complete => cx.printer.good("ready", "nothing is missing"),
        Outcome::Declined => return Err(Error::Declined.into()),
        Outcome::Done { notes } => {
            for note in notes {
                cx.printer.warn(&note);
            }
            cx.printer.good("ready", "everything needed is there");
        }
    }
    Ok(())
}
