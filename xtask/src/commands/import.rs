//! `import compose`: a stack from an existing Compose file, with a report of what became of each key.

use serde_json::json;

use super::Context;
use crate::cli::Import;
use crate::error::Result;
use crate::import::{ImportError, Request, import};

/// Prints the report; an error where something is not supported.
pub(super) fn run(cx: &Context<'_>, command: &Import) -> Result<()> {
    let Import::Compose(flags) = command;
    let request = Request {
        file: &flags.file,
        name: flags.name.as_deref(),
        env_files: &flags.env_file,
        without: &flags.without,
        platforms: &flags.platform,
        dry_run: flags.dry_run,
    };
    let imported = import(cx, &request)?;
    let unsupported: Vec<String> =
        imported.report.unsupported_paths().into_iter().map(str::to_owned).collect();
    let written = unsupported.is_empty() && !flags.dry_run;
    if cx.printer.is_json() {
        let mut report = imported.report.to_json();
        report["stack"] = json!(imported.stack);
        report["written"] = json!(written);
        report["places"] = json!(imported.places);
        cx.printer.json(&report)?;
    } else {
        cx.printer.data(imported.report.to_text(flags.file.as_str()).trim_end())?;
    }
    if !unsupported.is_empty() {
        return Err(ImportError::Unsupported { file: flags.file.to_string(), keys: unsupported }.into());
    }
    let word = if written { "made" } else { "would make" };
    for place in &imported.places {
        cx.printer.say(&format!("{word} {place}"));
    }
    if written {
        let stack = &imported.stack;
        if imported.places.iter().any(|place| place.starts_with("images")) {
            cx.printer.say("what no registry has is taken over from the Engine first: `cargo xtask image import --from-engine REFERENCE --name FOLDER`");
        }
        cx.printer
            .say(&format!("next: `cargo xtask render --stack {stack}` and `cargo xtask sim {stack}_smoke`"));
    }
    Ok(())
}
