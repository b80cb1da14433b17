//! `logs`: what services wrote last.

use std::io::{self, Write};

use xedge_agent::engine::{SERVICE_LABEL, SEQ_LABEL};
use xedge_agent::{Error, Result, records};

use super::Context;
use crate::cli::Logs;

pub(super) fn run(cx: &Context, args: &Logs) -> Result<()> {
    let engine = cx.connect()?;
    let state = records::load_state(&cx.home.stack(&args.stack))?;
    let refuse = |reason: String| Err(Error::Given { what: format!("the stack `{}`", args.stack.escape_debug()), reason });
    let Some(current) = state.current else { return refuse("it is not installed here".to_owned()) };
    let chosen: Vec<_> =
        current.services.iter().filter(|(name, _)| args.service.as_ref().is_none_or(|s| s == *name)).collect();
    match (chosen.as_slice(), args.follow) {
        ([], _) => {
            let names: Vec<&str> = current.services.keys().map(String::as_str).collect();
            return refuse(format!("it has no such service; it has {}", names.join(", ")));
        }
        ([_, _, ..], true) => return refuse("`--follow` is for one service: name it".to_owned()),
        _ => {}
    }
    let mut stdout = io::stdout().lock();
    for (name, placed) in &chosen {
        if chosen.len() > 1 {
            writeln!(stdout, "==> {name} <==").map_err(Error::Stdout)?;
        }
        engine.logs(&placed.container, args.lines, args.follow, &mut stdout)?;
    }
    stdout.flush().map_err(Error::Stdout)
}
