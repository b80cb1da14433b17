//! The names of containers that do not run under their own: those to come, and those that were put aside.

use crate::Result;
use crate::engine::Engine;

/// What all these names have, and no others.
const MARK: &str = ".xedge-";

/// The name of a container before it takes its place.
pub(super) fn fresh(name: &str, seq: u64) -> String {
    format!("{name}{MARK}new-{seq}")
}

/// Whether a name is one of these.
pub(super) fn is_out_of_place(name: &str) -> bool {
    name.contains(MARK)
}

/// A free name for the container `id` of release `seq` when it leaves its place. A release that was installed twice, with
/// another secret in between, has two containers of one service.
pub(super) fn aside(engine: &dyn Engine, name: &str, seq: u64, id: &str) -> Result<String> {
    let plain = format!("{name}{MARK}{seq}");
    let taken = engine.inspect(&plain)?.is_some_and(|found| found.id != id);
    Ok(if taken { format!("{plain}-{}", id.get(..12).unwrap_or(id)) } else { plain })
}
