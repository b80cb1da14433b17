//! Where rendered lines come from: the line of the template and the values that to edit. Never part of a digest.

use std::fmt;

use camino::Utf8Path;
use xedge_model::stack::{DEVICE, StackDef};
use xedge_model::tree::{At, Tree, Value, join};
use xedge_model::yaml::Source;

use crate::error::Place;
use crate::rendered::Rendered;
use crate::template::Line;
use crate::values::Values;

/// What a rendered line comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The line of the template.
    pub template: Place,
    /// The values that are written on the line, by their dotted names, in the order of the line.
    pub values: Vec<(String, Place)>,
    /// The values that decided that the line is there at all: those of `if` and `for` around it.
    pub conditions: Vec<(String, Place)>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.template)?;
        for (index, (name, place)) in self.values.iter().enumerate() {
            let joint = if index == 0 { ", with" } else { " and" };
            write!(f, "{joint} `{name}` of {place}")?;
        }
        Ok(())
    }
}

impl Rendered {
    /// What line `line` (from 1) of the rendered file `path` comes from; `None` where there is no such line.
    pub fn origin(&self, path: &Utf8Path, line: usize) -> Option<&Origin> {
        let file = self.files().iter().find(|file| file.path() == path)?;
        file.origins().get(line.checked_sub(1)?)
    }
}

/// Where values stand: those of an environment, and the device's in the stack's definition.
pub(crate) struct Places<'a> {
    pub(crate) values: &'a Values,
    pub(crate) stack: (&'a Source, &'a StackDef),
}

impl Places<'_> {
    /// The origins of the lines of a rendered template.
    pub(crate) fn origins(&self, file: &str, text: &str, lines: &[Line]) -> Vec<Origin> {
        let of = |names: &[String]| names.iter().filter_map(|name| self.find(name)).collect();
        let origin = |line: &Line| Origin {
            template: Place::at_offset(file, text, line.offset),
            values: of(&line.written),
            conditions: of(&line.decided),
        };
        lines.iter().map(origin).collect()
    }

    fn find(&self, asked: &str) -> Option<(String, Place)> {
        let (head, rest) = asked.split_once('.').unwrap_or((asked, ""));
        if head == DEVICE {
            let name = rest.split('.').next()?;
            let (source, def) = self.stack;
            let at = def.device_values.get(name)?;
            return Some((join(DEVICE, name), Place::of(source, At::from(at))));
        }
        self.values.find(asked).map(|(name, value)| (name, value.place()))
    }
}

/// The origins of a Compose file that was written anew in a fixed order, from those of the text that it was read from:
/// the same setting, or what it is a part of.
pub(crate) fn of_compose(text: &str, rendered: &Source, origins: &[Origin]) -> Vec<Origin> {
    let Some(first) = origins.first() else { return Vec::new() };
    let written = Source::new("", text);
    let (Ok(to), Ok(from)) = (Tree::parse(&written), Tree::parse(rendered)) else { return Vec::new() };
    let mut found: Vec<Option<usize>> = vec![None; text.lines().count()];
    pair(&to, &from, from.at, &mut found);
    let mut above = 1;
    let line_of = |found: Option<usize>| {
        above = found.unwrap_or(above);
        origins.get(above - 1).unwrap_or(first).clone()
    };
    found.into_iter().map(line_of).collect()
}

/// Notes for each line on which something of `to` begins the line of its counterpart in `from`, else that of `near`.
fn pair(to: &Tree, from: &Tree, near: At, found: &mut [Option<usize>]) {
    match &to.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let (at, other) = counterpart(from, &key.name).unwrap_or((near, from));
                note(found, key.at, at);
                pair(value, other, at, found);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let other = same_item(from, index, items.len(), item.text().as_deref());
                let at = other.map_or(near, |other| other.at);
                note(found, item.at, at);
                pair(item, other.unwrap_or(from), at, found);
            }
        }
        _ => {}
    }
}

fn note(found: &mut [Option<usize>], at: At, from: At) {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    if let Some(slot) = number(at.line).checked_sub(1).and_then(|index| found.get_mut(index)) {
        slot.get_or_insert(number(from.line).max(1));
    }
}

/// The entry of a map, or the item of a list in its short form: `NAME`, `NAME=…` or `NAME:…`.
fn counterpart<'t>(from: &'t Tree, name: &str) -> Option<(At, &'t Tree)> {
    if let Value::List(items) = &from.value {
        let named = |item: &&Tree| {
            let text = item.text().unwrap_or_default();
            text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', ':']))
        };
        return items.iter().find(named).map(|item| (item.at, item));
    }
    from.entries().iter().find(|(key, _)| key.name == name).map(|(key, value)| (key.at, value))
}

/// The same text in a list or among the keys of a map, else the item at the same place of a list of the same length.
fn same_item<'t>(from: &'t Tree, index: usize, count: usize, text: Option<&str>) -> Option<&'t Tree> {
    match &from.value {
        Value::List(items) => {
            let same = items.iter().find(|item| text.is_some() && item.text().as_deref() == text);
            same.or_else(|| items.get(index).filter(|_| items.len() == count))
        }
        Value::Map(entries) => {
            entries.iter().find(|(key, _)| Some(&*key.name) == text).map(|(_, value)| value)
        }
        _ => None,
    }
}
