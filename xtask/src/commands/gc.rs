//! `gc`: remove what kept or dead runs left in the Engine, and blobs that no image needs.

use super::Context;
use crate::engine;
use crate::error::Result;

/// Cleans the layout first, which needs no Engine.
pub(super) fn run(cx: &Context<'_>) -> Result<()> {
    let layout = xedge_oci::Layout::open_or_create(&cx.project.output("layout"))?;
    let collected = layout.gc()?;
    cx.printer.say(&format!("removed {} blobs ({} bytes) that no image needs", collected.blobs, collected.bytes));
    super::runtime()?.block_on(async {
        let engine = engine::connect(cx).await?;
        engine::sweep(cx, &engine).await?;
        let kept = xedge_sim::remove_kept(&engine, &cx.environment.host_name()).await?;
        cx.printer.say(&format!("removed {} kept runs ({} objects) from the Engine", kept.runs.len(), kept.objects));
        Ok(())
    })
}
