//! `gc`: remove what kept or dead runs left in the Engine, and blobs that no image needs.

use xedge_sim::Engine;

use super::Context;
use crate::error::{Error, Result};
use crate::import::STAGES;
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
    remove_stages(cx)?;
    super::runtime()?.block_on(async {
        let engine = engine::connect(cx).await?;
        clear(cx, &engine, "the Engine").await?;
        match engine::embedded_beside(cx, &engine)? {
            Some(embedded) => clear(cx, &embedded, "the embedded engine").await,
            None => Ok(()),
        }
    })
}

async fn clear(cx: &Context<'_>, engine: &Engine, name: &str) -> Result<()> {
    engine::sweep(cx, engine).await?;
    let kept = xedge_sim::remove_kept(engine, &cx.environment.host_name()).await?;
    let (runs, objects) = (kept.runs.len(), kept.objects);
    cx.printer.say(&format!("removed {runs} kept runs ({objects} objects) from {name}"));
    let images = engine::remove_loaded(cx, engine).await?;
    cx.printer.say(&format!("removed {images} images that runs had put into {name}"));
    Ok(())
}

/// What an import that was killed left beside.
fn remove_stages(cx: &Context<'_>) -> Result<()> {
    let path = cx.project.root().join(STAGES);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Write { path, source }.into())
        }
        _ => Ok(()),
    }
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
