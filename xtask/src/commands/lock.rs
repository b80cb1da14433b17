//! `lock`: resolve packages and base images, or check that the locks can be used as they are.

use super::Context;
use crate::archive::Archive;
use crate::base;
use crate::cli::{Lock, LockCommand, RegistryArgs};
use crate::error::Result;
use crate::locks::{self, Mode};
use crate::registry::Registry;

/// Prints one line per image: its name, and the number of locked packages or the digest of its base.
pub(super) fn run(cx: &Context<'_>, flags: &Lock) -> Result<()> {
    if let Some(LockCommand::Archive { images, registry }) = &flags.command {
        return archive(cx, images, registry);
    }
    let mode = match (flags.update, flags.check) {
        (true, _) => Mode::Update,
        (_, true) => Mode::Locked,
        _ => Mode::Use,
    };
    let runtime = super::runtime()?;
    for image in cx.project.select_images(&flags.images)? {
        let lock = runtime.block_on(locks::ensure(cx, &image, &image.def.platforms.value, mode))?;
        let count: usize = lock.platforms.values().map(|platform| platform.packages.len()).sum();
        let base = lock.platforms.values().find_map(|platform| platform.base.as_ref());
        let locked = match base {
            Some(base) => format!("{}@{}", base.repository, base.index),
            None => format!("{count} packages"),
        };
        cx.printer.data(&format!("{} {locked}", image.def.name))?;
    }
    Ok(())
}

/// Prints one reference by digest per image; of one that stands on a base, one for each platform's manifest.
fn archive(cx: &Context<'_>, called: &[String], flags: &RegistryArgs) -> Result<()> {
    let images = cx.project.select_images(called)?;
    super::runtime()?.block_on(async {
        let registry = Registry::connect(cx, flags).await?;
        let archive = Archive::new(&registry);
        for image in &images {
            let lock = locks::ensure(cx, image, &image.def.platforms.value, Mode::Locked).await?;
            let mut kept = base::archive(cx, &registry, &image.def.name, &lock).await?;
            kept.extend(archive.put(cx, &image.def.name, &lock).await?);
            if kept.is_empty() {
                cx.printer.say(&format!("{} has no packages and no base to keep", image.def.name));
            }
            for reference in kept {
                cx.printer.data(&reference)?;
            }
        }
        Ok(())
    })
}
