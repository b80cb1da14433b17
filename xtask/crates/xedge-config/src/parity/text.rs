//! The comparison as a table for people. Plain text without colour.

use std::fmt::Write as _;

use super::{Difference, Table};

/// Narrower than this, a table is harder to read than a list would be.
const LEAST: usize = 60;

pub(super) fn table(table: &Table, width: usize) -> String {
    let mut out = String::new();
    let head = ["Aspect".to_owned(), title(&table.from), title(&table.to), "Reason".to_owned()];
    let rows: Vec<[String; 4]> = table
        .rows
        .iter()
        .map(|row| [row.aspect.title().to_owned(), row.from.clone(), row.to.clone(), row.reason.clone()])
        .collect();
    let first = rows.iter().map(|row| row[0].len()).max().unwrap_or(0);
    let rest = (width.max(LEAST) - first - 6) / 3;
    let widths = [first, rest, rest, rest];
    line(&mut out, &head, widths);
    let rule = widths.map(|width| "-".repeat(width));
    line(&mut out, &rule, widths);
    for row in &rows {
        line(&mut out, row, widths);
    }
    for extra in table.extras.iter().filter(|extra| !extra.differences.is_empty()) {
        let _ = writeln!(out, "\n{}: {}", extra.name, extra.reason);
        differences(&mut out, &extra.differences);
    }
    if !table.unexplained.is_empty() {
        let _ = writeln!(out, "\nNot explained:");
        differences(&mut out, &table.unexplained);
    }
    out
}

fn differences(out: &mut String, all: &[Difference]) {
    for difference in all {
        let _ = writeln!(out, "  {difference}");
    }
}

fn title(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn line(out: &mut String, cells: &[String; 4], widths: [usize; 4]) {
    let columns: Vec<Vec<String>> = cells.iter().zip(widths).map(|(cell, width)| wrap(cell, width)).collect();
    let height = columns.iter().map(Vec::len).max().unwrap_or(0);
    for index in 0..height {
        let parts: Vec<String> = columns
            .iter()
            .zip(widths)
            .map(|(column, width)| format!("{:width$}", column.get(index).map_or("", String::as_str)))
            .collect();
        let _ = writeln!(out, "{}", parts.join("  ").trim_end());
    }
}

/// Breaks at spaces; a word longer than the column is broken where the column ends.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut chars: Vec<char> = word.chars().collect();
        loop {
            let last = lines.last_mut().expect("there is always a line");
            let used = last.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + chars.len() <= width {
                last.extend(std::iter::repeat_n(' ', gap).chain(chars));
                break;
            }
            if used == 0 {
                last.extend(chars.drain(..width));
            }
            lines.push(String::new());
        }
    }
    lines
}
