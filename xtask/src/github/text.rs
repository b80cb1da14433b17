//! How text is written so that GitHub reads it as text: workflow commands, Markdown cells, and the length of a summary.

use std::fmt::Write;

/// A workflow command that annotates a file.
pub(super) fn command(kind: &str, file: &str, title: &str, message: &str) -> String {
    format!("::{kind} file={},title={}::{}", property(file), property(title), data(message))
}

/// The same, at a line of the file.
pub(super) fn command_at(kind: &str, file: &str, line: usize, title: &str, message: &str) -> String {
    format!("::{kind} file={},line={line},title={}::{}", property(file), property(title), data(message))
}

/// The message of a workflow command: it ends with the line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command: it ends with a comma or colons, too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text for one line or cell of Markdown: nothing in it is markup, and no user is mentioned.
pub(super) fn markdown(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() => {}
            '&' | '<' | '>' | '|' | '`' | '*' | '_' | '~' | '[' | ']' | '\\' | '@' | '#' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
        out
    })
}

/// The lines that fit into `limit` bytes, with a note where some do not.
pub(super) fn within(lines: impl Iterator<Item = String>, limit: usize) -> String {
    const NOTE: &str = "\nThis summary was cut: GitHub shows 1 MiB of a step. The reports have the rest.\n";
    let mut text = String::new();
    let mut kept = 0;
    for line in lines {
        text.push_str(&line);
        text.push('\n');
        if text.len() > limit {
            text.truncate(kept);
            if limit >= kept + NOTE.len() {
                text.push_str(NOTE);
            }
            return text;
        }
        // Room for the note is kept free, for the case that the next line is too long.
        if text.len() + NOTE.len() <= limit {
            kept = text.len();
        }
    }
    text
}
