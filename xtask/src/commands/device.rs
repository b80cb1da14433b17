//! `device`: a look at devices, and the few things that are done to them by hand.

use super::Context;
use crate::cli::Device;
use crate::error::Result;

/// Runs one of them, on every host.
pub(super) fn run(cx: &Context<'_>, command: &Device) -> Result<()> {
    let _ = (cx, command);
    Ok(())
}
