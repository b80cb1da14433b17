//! A mosquitto.conf as mosquitto 2.0 reads it, but strict: each entry with its place, and nothing said twice.
//!
//! mosquitto itself starts when a value is given twice and lets the last one win, so that `allow_anonymous true` at the
//! end of a file opens a broker that looks closed.

mod facts;
mod keys;

use std::collections::BTreeMap;

pub use facts::{Facts, Listener, Saving};

use crate::Error;
use crate::error::Place;
use keys::{Key, Level};
use xedge_model::yaml::near;

/// A mosquitto.conf.
#[derive(Clone, Debug)]
pub struct Conf {
    file: String,
    text: String,
    entries: Vec<Entry>,
}

/// One line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Key.
    pub key: String,
    /// Value, as it is written.
    pub value: String,
    /// What it is about.
    pub scope: Scope,
    /// Line, from 1.
    pub line: usize,
    /// Column of the key in characters, from 1.
    pub column: usize,
    /// Column of the value in characters, from 1.
    pub value_column: usize,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The broker.
    Broker,
    /// A listener, by its position in the file from 0; settings before the first `listener` are the default listener's
    /// and count as the broker's.
    Listener(usize),
    /// A bridge, by its position in the file from 0.
    Bridge(usize),
}

impl Conf {
    /// Reads and checks a file; `file` is its name in messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let mut conf = Self { file: file.to_owned(), text: text.to_owned(), entries: Vec::new() };
        let mut state = State::default();
        for (index, line) in text.split('\n').enumerate() {
            if let Some(entry) = conf.entry(index + 1, line)? {
                let key = conf.key(&entry)?;
                let scope = conf.scope(&entry, key.level, &mut state)?;
                conf.check_value(&entry, key)?;
                conf.entries.push(Entry { scope, ..entry });
            }
        }
        conf.check_duplicates()?;
        Ok(conf)
    }

    /// The file's name as given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The entries in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the file means.
    pub fn facts(&self) -> Facts {
        Facts::of(self)
    }

    /// Every setting by its dotted path, several values of one key as one ordered list: for comparisons.
    pub fn flatten(&self) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for entry in &self.entries {
            let path = match entry.scope {
                Scope::Broker => entry.key.clone(),
                Scope::Listener(n) => format!("listener.{n}.{}", entry.key),
                Scope::Bridge(n) => format!("connection.{n}.{}", entry.key),
            };
            all.entry(path).or_default().push(&entry.value);
        }
        all.into_iter()
            .map(|(path, mut values)| {
                values.sort_unstable();
                (path, values.join(", "))
            })
            .collect()
    }

    /// One line as mosquitto splits it: a comment needs `#` as its first character, and only spaces separate.
    fn entry(&self, line: usize, text: &str) -> Result<Option<Entry>, Error> {
        let text = text.strip_suffix('\r').unwrap_or(text);
        if let Some(position) = text.chars().position(char::is_control) {
            let message = "a control character: mosquitto separates by spaces only";
            return Err(self.error(line, position + 1, message, None));
        }
        if text.starts_with('#') || text.trim().is_empty() {
            return Ok(None);
        }
        let column = text.chars().take_while(|c| *c == ' ').count() + 1;
        let rest = text.trim_start_matches(' ');
        if rest.starts_with('#') {
            let message = "mosquitto takes a comment only at the very start of a line";
            return Err(self.error(line, column, message, None));
        }
        let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let gap = value.chars().take_while(|c| *c == ' ').count();
        let value_column = column + key.chars().count() + 1 + gap;
        let (key, value) = (key.to_owned(), value.trim().to_owned());
        Ok(Some(Entry { key, value, scope: Scope::Broker, line, column, value_column }))
    }

    fn key(&self, entry: &Entry) -> Result<&'static Key, Error> {
        keys::find(&entry.key).ok_or_else(|| {
            let near = near(&entry.key, keys::names()).map(|near| format!("did you mean `{near}`?"));
            let message = format!("mosquitto 2.0 has no key `{}`", entry.key);
            self.error(entry.line, entry.column, &message, near)
        })
    }

    fn scope(&self, entry: &Entry, level: Level, state: &mut State) -> Result<Scope, Error> {
        match entry.key.as_str() {
            "include_dir" => {
                let message = "`include_dir` is refused: what it brings in would not be checked";
                return Err(self.error(entry.line, entry.column, message, None));
            }
            "per_listener_settings" if state.listeners > 0 => {
                let message = "`per_listener_settings` must stand before the first listener";
                return Err(self.error(entry.line, entry.column, message, None));
            }
            "per_listener_settings" => state.per_listener = entry.value == "true",
            "listener" => state.listeners += 1,
            "connection" => state.bridges += 1,
            _ => {}
        }
        let listener = state.listeners.checked_sub(1).map_or(Scope::Broker, Scope::Listener);
        match level {
            Level::Broker => Ok(Scope::Broker),
            Level::Security if !state.per_listener => Ok(Scope::Broker),
            Level::Security | Level::Listener => Ok(listener),
            Level::Bridge => state.bridges.checked_sub(1).map(Scope::Bridge).ok_or_else(|| {
                let message = format!("`{}` needs a `connection` before it", entry.key);
                self.error(entry.line, entry.column, &message, None)
            }),
        }
    }

    fn check_value(&self, entry: &Entry, key: &Key) -> Result<(), Error> {
        key.kind.check(&entry.value).map_err(|expected| {
            let message = format!("`{}` needs {expected}, not `{}`", entry.key, entry.value);
            self.error(entry.line, entry.value_column, &message, None)
        })
    }

    fn check_duplicates(&self) -> Result<(), Error> {
        let mut seen: BTreeMap<(Scope, &str), &Entry> = BTreeMap::new();
        for entry in &self.entries {
            let many = keys::find(&entry.key).is_some_and(|key| key.many);
            let Some(first) = seen.insert((entry.scope, &entry.key), entry) else { continue };
            if !many || first.value == entry.value {
                let message = format!("`{}` is already given on line {}", entry.key, first.line);
                return Err(self.error(entry.line, entry.column, &message, None));
            }
        }
        Ok(())
    }

    fn error(&self, line: usize, column: usize, message: &str, hint: Option<String>) -> Error {
        let place = Place::new(&self.file, &self.text, line, column);
        Error::Conf { place: Box::new(place), message: message.to_owned(), hint }
    }
}

/// How far the file has been read.
#[derive(Default)]
struct State {
    per_listener: bool,
    listeners: usize,
    bridges: usize,
}

#[cfg(test)]
mod tests;
