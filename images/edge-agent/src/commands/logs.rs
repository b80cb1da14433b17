//! `logs`: what services wrote last.

use std::io::{self, Write as _};

use xedge_agent::apply::logs;
use xedge_agent::{Error, Result};

use super::Context;
use crate::cli::Logs;

pub(super) fn run(cx: &Context, args: &Logs) -> Result<()> {
    let engine = cx.connect()?;
    let agent = cx.agent(engine.as_ref());
    let mut stdout = io::stdout().lock();
    logs(&agent, &args.stack, args.service.as_deref(), args.lines, args.follow, &mut stdout)?;
    stdout.flush().map_err(Error::Stdout)
}
