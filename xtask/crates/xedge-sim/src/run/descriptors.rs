//! Files and connections that this process may have open: as many as the models need, or a clear word before they fail one
//! by one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Error;
use crate::plan::RunPlan;

/// For everything but models: reports, the engine, listeners of links.
const BESIDE: u64 = 512;

/// Raises the soft limit as far as the models of a plan need it.
pub(super) fn make_room(plan: &RunPlan) -> Result<(), Error> {
    let needed = plan.models.len() as u64 + BESIDE;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(limit) = now.maximum.filter(|maximum| *maximum < needed) {
        return Err(Error::Descriptors { needed, limit });
    }
    let raised = Rlimit { current: Some(needed), ..now };
    setrlimit(Resource::Nofile, raised)
        .map_err(|_| Error::Descriptors { needed, limit: now.current.unwrap_or_default() })
}
