//! A mosquitto.conf as mosquitto 2.0 and 2.1 read it, but strict: each entry with its place, and nothing said twice.
//!
//! mosquitto itself starts when a value is given twice and lets the last one win, so that `allow_anonymous true` at the
//! end of a file opens a broker that looks closed.

mod facts;
mod keys;
mod read;
mod version;

use std::collections::BTreeMap;

pub use facts::{Facts, Listener, Saving};
pub use read::{Include, Problem, ProblemKind};
pub use version::BrokerVersion;

pub(crate) use version::{deprecated, since};

use crate::Error;
use crate::error::Place;

/// A mosquitto.conf.
#[derive(Clone, Debug)]
pub struct Conf {
    /// The file and those that it includes, in the order of reading: name and text.
    sources: Vec<(String, String)>,
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
    /// The file, by its position among those read; 0 is the main one.
    pub file: usize,
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
    /// Reads and checks a file; `file` is its name in messages. What `include_dir` brings in is not known here, so that it
    /// is refused.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        Self::parse_with(file, text, &|_| None)
    }

    /// The same, with the files of the folders that it includes.
    pub fn parse_with(file: &str, text: &str, include: Include<'_>) -> Result<Self, Error> {
        let (conf, problems) = Self::read(file, text, include);
        match problems.into_iter().next() {
            Some(problem) => Err(conf.error(problem)),
            None => Ok(conf),
        }
    }

    /// Reads what can be read, and says what cannot.
    pub fn read(file: &str, text: &str, include: Include<'_>) -> (Self, Vec<Problem>) {
        read::read(file, text, include)
    }

    /// The file's name as given.
    pub fn file(&self) -> &str {
        self.sources.first().map_or("", |(name, _)| name)
    }

    /// Where an entry stands.
    pub fn place(&self, entry: &Entry) -> Place {
        self.place_at(entry.file, entry.line, entry.column)
    }

    pub(crate) fn place_at(&self, file: usize, line: usize, column: usize) -> Place {
        let (name, text) = self.sources.get(file).map_or(("", ""), |(name, text)| (name, text));
        Place::new(name, text, line, column)
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

    fn error(&self, problem: Problem) -> Error {
        let place = Box::new(self.place_at(problem.file, problem.line, problem.column));
        Error::Conf { place, message: problem.message, hint: problem.hint }
    }
}

#[cfg(test)]
mod tests;
