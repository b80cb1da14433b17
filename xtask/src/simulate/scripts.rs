//! Scripts of a scenario, as far as its text alone cannot say: that they are there, and in the project.

use xedge_model::scenario::Scenario;
use xedge_model::yaml::{Source, Spanned};

use crate::commands::Context;
use crate::error::Result;

/// Refuses a script that is not there, or not in the project.
pub(super) fn check(cx: &Context<'_>, source: &Source, scenario: &Scenario) -> Result<()> {
    for script in scenario.nodes.value.iter().filter_map(|node| node.script.as_ref()) {
        check_script(cx, source, script)?;
    }
    Ok(())
}

fn check_script(cx: &Context<'_>, source: &Source, script: &Spanned<String>) -> Result<()> {
    let root = cx.project.root();
    let file = root.join(&script.value);
    if !file.is_file() {
        let hint = "scripts are files of the project, relative to its folder".to_owned();
        let message = format!("there is no script `{}`", script.value);
        return Err(source.error_with_hint(script, message, hint).into());
    }
    let inside = file.canonicalize_utf8().ok().zip(root.canonicalize_utf8().ok());
    if !inside.is_some_and(|(file, root)| file.starts_with(root)) {
        let message = format!("`{}` is outside of the project: evidence could not name it", script.value);
        return Err(source.error_at(script, message).into());
    }
    Ok(())
}
