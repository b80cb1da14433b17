//! nodes/GROUP.csv: one row an event, the nodes of a group (`count`) in one file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xedge_model::atomic::WriteError;

use crate::Error;
use crate::history::{Event, History};
use crate::plan::RunPlan;

/// Columns that have a name of their own; every other field of an event goes into `detail`.
const COLUMNS: [&str; 7] = ["t_us", "node", "kind", "topic", "seq", "planned_us", "packet_id"];

/// Line by line: the text of a long run is larger than everything else in this process.
pub(super) fn write(folder: &Utf8Path, plan: &RunPlan, history: &History) -> Result<(), Error> {
    let groups: BTreeMap<&str, &str> =
        plan.models.iter().map(|m| (m.id.as_str(), m.group.as_str())).collect();
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let mut line = String::new();
    for event in history {
        line.clear();
        row(&mut line, &event).map_err(|e| Error::Report { what: "a CSV file", detail: e.to_string() })?;
        let group = groups.get(&*event.node).copied().unwrap_or(&event.node);
        match tables.get_mut(group) {
            Some(table) => table.add(&line)?,
            None => {
                let mut table = Table::create(folder.join(format!("{group}.csv")))?;
                table.add(&line)?;
                tables.insert(group.to_owned(), table);
            }
        }
    }
    tables.into_values().try_for_each(Table::finish)
}

/// A file that is being written.
struct Table {
    path: Utf8PathBuf,
    out: BufWriter<File>,
}

impl Table {
    fn create(path: Utf8PathBuf) -> Result<Self, Error> {
        let folder = path.parent().unwrap_or(Utf8Path::new("."));
        let file = fs::create_dir_all(folder).and_then(|()| File::create(&path));
        match file {
            Ok(file) => {
                let mut table = Self { path, out: BufWriter::new(file) };
                table.add(&(COLUMNS.join(",") + ",detail\n"))?;
                Ok(table)
            }
            Err(error) => Err(WriteError::new(&path, error).into()),
        }
    }

    fn add(&mut self, line: &str) -> Result<(), Error> {
        self.out.write_all(line.as_bytes()).map_err(|error| self.failed(error))
    }

    fn finish(mut self) -> Result<(), Error> {
        self.out.flush().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        WriteError::new(&self.path, error).into()
    }
}

fn row(file: &mut String, event: &Event) -> serde_json::Result<()> {
    let Value::Object(mut fields) = serde_json::to_value(event)? else { return Ok(()) };
    for column in COLUMNS {
        let cell = fields.remove(column).map_or_else(String::new, |value| text(&value));
        file.push_str(&quoted(&cell));
        file.push(',');
    }
    let mut detail = String::new();
    for (name, value) in &fields {
        let space = if detail.is_empty() { "" } else { " " };
        write!(detail, "{space}{name}={}", text(value)).expect("writing to a string cannot fail");
    }
    file.push_str(&quoted(&detail));
    file.push('\n');
    Ok(())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Quoted where RFC 4180 wants it. A cell that a spreadsheet would take for a formula gets a `'` in front.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{quoted, row};
    use crate::history::{Event, Kind};

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        let cells =
            [("a", "a"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("=1+1", "'=1+1"), ("a\nb", "\"a\nb\"")];
        for (cell, want) in cells {
            assert_eq!(quoted(cell), want);
        }
    }

    #[test]
    fn an_event_is_a_row() {
        let kind = Kind::Unreadable { topic: "sensors/x,y".into(), reason: "line 1\nline 2".into() };
        let mut file = String::new();
        row(&mut file, &Event { t_us: 5, node: Arc::from("gw"), kind }).unwrap();
        assert_eq!(file, "5,gw,unreadable,\"sensors/x,y\",,,,\"reason=line 1\nline 2\"\n");
    }
}
