//! `gc`: remove what kept or dead runs left in the Engine, and blobs that no image needs.

use super::Context;
use crate::error::{Error, Result};
use crate::project::entries;
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
    let reports = remove_unfinished_reports(cx)?;
    cx.printer.say(&format!("removed {reports} reports of runs that were killed"));
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

/// A run writes its report into `reports/.RUNID` and holds a lock of that name; one without its lock was killed.
fn remove_unfinished_reports(cx: &Context<'_>) -> Result<usize> {
    let mut removed = 0;
    for folder in entries(&cx.project.output("reports"))? {
        let Some(id) = folder.file_name().and_then(|name| name.strip_prefix('.')) else { continue };
        if !cx.project.home()?.join("runs").join(format!("{id}.lock")).exists() {
            std::fs::remove_dir_all(&folder)
                .map_err(|source| Error::Write { path: folder.clone(), source })?;
            removed += 1;
        }
    }
    Ok(removed)
}
