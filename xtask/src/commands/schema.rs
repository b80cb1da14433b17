//! `schema`: what editors need to complete and check files while they are written. Reads no project.

use crate::cli::Schema;
use crate::error::Result;
use crate::ui::Printer;

/// Prints the schema of one kind of file.
pub(super) fn run(printer: &Printer, which: Schema) -> Result<()> {
    let schema = match which {
        Schema::Scenario => xedge_model::scenario::schema(),
    };
    printer.data(&serde_json::to_string_pretty(&schema).expect("a schema has string keys only"))
}
