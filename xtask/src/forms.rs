//! Forms of a stack for work by hand, written beside its configuration. Nothing is verified here, and nothing started.

use camino::Utf8Path;
use xedge_config::outputs::{Form, QUADLET_FOLDER, output};
use xedge_model::atomic;
use xedge_model::compose::Compose;

use crate::error::Result;

/// The folder of units, beside the stack's.
pub(crate) const QUADLET: &str = "quadlet";

/// Writes a form of a stack whose configuration lies in `folder` below the stack's name; what the operator should know.
pub(crate) fn write(folder: &Utf8Path, stack: &str, compose: &Compose, form: Form) -> Result<Vec<String>> {
    let made = output(form, stack, compose, &Utf8Path::new(QUADLET_FOLDER).join(stack));
    let beside = folder.join(if form == Form::Quadlet { QUADLET } else { stack });
    for file in &made.files {
        atomic::write(&beside.join(&file.name), file.text.as_bytes(), file.mode)?;
    }
    Ok(made.notes)
}
