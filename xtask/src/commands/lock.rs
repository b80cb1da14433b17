//! `lock`: resolve packages, or check that the locks can be used as they are.

use super::Context;
use crate::cli::Lock;
use crate::error::Result;
use crate::locks::{self, Mode};

/// Prints one line per image: its name and the number of locked packages.
pub(super) fn run(cx: &Context<'_>, flags: &Lock) -> Result<()> {
    let mode = match (flags.update, flags.check) {
        (true, _) => Mode::Update,
        (_, true) => Mode::Locked,
        _ => Mode::Use,
    };
    let runtime = super::runtime()?;
    for image in cx.project.select_images(&flags.images)? {
        let lock = runtime.block_on(locks::ensure(cx, &image, &image.def.platforms.value, mode))?;
        let count: usize = lock.platforms.values().map(|platform| platform.packages.len()).sum();
        cx.printer.data(&format!("{} {count} packages", image.def.name))?;
    }
    Ok(())
}
