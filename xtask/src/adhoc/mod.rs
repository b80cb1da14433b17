//! An image of the project as a stack of one service, made from flags: `deploy --image`. It goes the ordinary way to a bundle,
//! through a smoke gate of its own. Nothing is written into the project but below `target/xedge`.

use camino::Utf8PathBuf;
use xedge_model::compose::{Bytes, Cpus};

use crate::cli::RegistryArgs;
use crate::commands::Context;
use crate::error::Result;

/// What the flags of `deploy --image` say.
#[derive(Clone, Debug)]
pub(crate) struct AdHoc {
    /// Image by folder or name; a tag is for people and decides nothing.
    pub(crate) image: String,
    /// Config files, `FILE` or `FILE:/PATH/IN/THE/CONTAINER`, relative to the current folder.
    pub(crate) config: Vec<String>,
    /// Name of stack, service and container; the last part of the image's name when not given.
    pub(crate) name: Option<String>,
    /// `PORT` or `PORT:CONTAINER-PORT`; the one that the image exposes when not given.
    pub(crate) port: Option<String>,
    /// Memory limit.
    pub(crate) memory: Bytes,
    /// Limit of processor time, in processors.
    pub(crate) cpus: Cpus,
    /// Where the images go.
    pub(crate) registry: RegistryArgs,
    /// Fail where a lock cannot be used as it is.
    pub(crate) locked: bool,
}

impl AdHoc {
    /// The seed's limits, for flags that were not given: 256m and 1.0.
    pub(crate) const MEMORY: &str = "256m";
    /// The seed's limit of processor time.
    pub(crate) const CPUS: &str = "1.0";
}

/// Makes the stack, runs its smoke gate unless evidence is there, releases it, and returns the bundle's path.
///
/// # Errors
/// Flags that do not fit the image are input errors (3); a gate that did not pass is 2; everything else is as for `release`.
pub(crate) fn release_adhoc(cx: &Context<'_>, wanted: &AdHoc) -> Result<Utf8PathBuf> {
    let _ = (cx, wanted);
    Err(crate::error::Error::Declined.into())
}
