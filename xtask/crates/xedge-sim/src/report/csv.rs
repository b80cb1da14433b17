//! nodes/GROUP.csv: one row an event, the nodes of a group (`count`) in one file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::Utf8Path;
use serde_json::Value;
use xedge_model::atomic;

use crate::Error;
use crate::history::Event;
use crate::plan::RunPlan;

/// Columns that have a name of their own; every other field of an event goes into `detail`.
const COLUMNS: [&str; 7] = ["t_us", "node", "kind", "topic", "seq", "planned_us", "packet_id"];

pub(super) fn write(folder: &Utf8Path, plan: &RunPlan, events: &[Event]) -> Result<(), Error> {
    let groups: BTreeMap<&str, &str> =
        plan.models.iter().map(|m| (m.id.as_str(), m.group.as_str())).collect();
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for event in events {
        let group = groups.get(&*event.node).copied().unwrap_or(&event.node);
        let file = files.entry(group).or_insert_with(|| COLUMNS.join(",") + ",detail\n");
        row(file, event).map_err(|e| Error::Report { what: "a CSV file", detail: e.to_string() })?;
    }
    for (group, text) in files {
        atomic::write(&folder.join(format!("{group}.csv")), text.as_bytes(), 0o644)?;
    }
    Ok(())
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
