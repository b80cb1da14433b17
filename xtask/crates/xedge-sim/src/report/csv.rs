//! nodes/GROUP.csv: one row an event, the nodes of a group (`count`) in one file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xedge_model::atomic::WriteError;

use crate::Error;
use crate::history::{Event, History, Kind};
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
        if let Some(table) = tables.get_mut(group) {
            table.add(&line)?;
        } else {
            let mut table = Table::create(folder.join(format!("{group}.csv")))?;
            table.add(&line)?;
            tables.insert(group.to_owned(), table);
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

fn row(line: &mut String, event: &Event) -> serde_json::Result<()> {
    let (t_us, node) = (event.t_us, quoted(&event.node));
    // Nearly all events are of messages, and the general way takes ten times as long.
    match &event.kind {
        Kind::Sent { topic, seq, planned_us, packet_id, dup } => {
            let (topic, id) = (quoted(topic), packet_id.map_or_else(String::new, |id| id.to_string()));
            put(line, format_args!("{t_us},{node},sent,{topic},{seq},{planned_us},{id},dup={dup}"));
        }
        Kind::Acked { seq, planned_us, packet_id } => {
            put(line, format_args!("{t_us},{node},acked,,{seq},{planned_us},{packet_id},"));
        }
        Kind::Received { topic, from, seq, planned_us, dup } => {
            let (topic, detail) = (quoted(topic), format!("dup={dup} from={from}"));
            let detail = quoted(&detail);
            put(line, format_args!("{t_us},{node},received,{topic},{seq},{planned_us},,{detail}"));
        }
        _ => return any_row(line, event),
    }
    Ok(())
}

fn put(line: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(line, "{text}").expect("writing to a string cannot fail");
}

fn any_row(line: &mut String, event: &Event) -> serde_json::Result<()> {
    let Value::Object(mut fields) = serde_json::to_value(event)? else { return Ok(()) };
    for column in COLUMNS {
        let cell = fields.remove(column).map_or_else(String::new, |value| text(&value));
        line.push_str(&quoted(&cell));
        line.push(',');
    }
    let mut detail = String::new();
    for (name, value) in &fields {
        let space = if detail.is_empty() { "" } else { " " };
        write!(detail, "{space}{name}={}", text(value)).expect("writing to a string cannot fail");
    }
    line.push_str(&quoted(&detail));
    line.push('\n');
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
fn quoted(cell: &str) -> Cow<'_, str> {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) };
    if cell.contains([',', '"', '\n', '\r']) {
        return Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\"")));
    }
    cell
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{any_row, quoted, row};
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
    fn messages_are_the_same_rows_as_by_the_general_way() {
        for kind in [
            Kind::Sent { topic: "a,b".into(), seq: 3, planned_us: 5, packet_id: Some(4), dup: false },
            Kind::Sent { topic: "=a".into(), seq: 3, planned_us: 5, packet_id: None, dup: true },
            Kind::Acked { seq: 1, planned_us: 0, packet_id: 65_535 },
            Kind::Received { topic: "t".into(), from: "s,1".into(), seq: 1, planned_us: 9, dup: true },
        ] {
            let event = Event { t_us: 5, node: Arc::from("n\"1"), kind };
            let (mut by_hand, mut general) = (String::new(), String::new());
            row(&mut by_hand, &event).unwrap();
            any_row(&mut general, &event).unwrap();
            assert_eq!(by_hand, general);
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
