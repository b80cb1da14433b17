//! `gc`: remove what kept or dead runs left in the Engine, and blobs that no image needs.

use super::Context;
use crate::error::Result;
use crate::{build, engine};

/// Cleans the layout first, which needs no Engine.
pub(super) fn run(cx: &Context<'_>) -> Result<()> {
    let layout = build::layout(cx)?;
    match build::hold_alone(cx)? {
        Some(_alone) => {
            let collected = layout.gc()?;
            let (blobs, bytes) = (collected.blobs, collected.bytes);
            cx.printer.say(&format!("removed {blobs} blobs ({bytes} bytes) that no image needs"));
        }
        None => cx.printer.warn("an image is being built here: its layout is left alone"),
    }
    super::runtime()?.block_on(async {
        let engine = engine::connect(cx).await?;
        engine::sweep(cx, &engine).await?;
        let kept = xedge_sim::remove_kept(&engine, &cx.environment.host_name()).await?;
        cx.printer.say(&format!(
            "removed {} kept runs ({} objects) from the Engine",
            kept.runs.len(),
            kept.objects
        ));
        let images = engine::remove_loaded(cx, &engine).await?;
        cx.printer.say(&format!("removed {images} images that runs had put into the Engine"));
        Ok(())
    })
}
