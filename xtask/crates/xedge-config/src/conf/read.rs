//! Reading a mosquitto.conf line by line, as mosquitto splits it; goes on after a problem, and says all of them.

use std::collections::BTreeMap;

use xedge_model::yaml::near;

use super::keys::{self, Key, Level};
use super::{Conf, Entry, Scope};

/// Gives the files of a folder that `include_dir` names, each with its name, in the order of reading; `None` where they are
/// not known.
pub type Include<'a> = &'a dyn Fn(&str) -> Option<Vec<(String, String)>>;

/// A line that cannot be what its writer meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, for programs.
    pub kind: ProblemKind,
    /// The file, by its position among those read.
    pub file: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key, where it is one.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// No line that mosquitto reads as it looks.
    Syntax,
    /// A key of no version.
    Key,
    /// A value that does not fit its key.
    Value,
    /// A key at a place where it cannot stand.
    Order,
    /// A key that is given already.
    Duplicate,
    /// A folder whose files are not known.
    Include,
}

/// Reads a file and what it includes.
pub(super) fn read(file: &str, text: &str, include: Include<'_>) -> (Conf, Vec<Problem>) {
    let conf = Conf { sources: Vec::new(), entries: Vec::new() };
    let mut reader = Reader { conf, problems: Vec::new(), state: State::default(), include };
    reader.file(file, text);
    reader.duplicates();
    (reader.conf, reader.problems)
}

/// How far the file has been read.
#[derive(Default)]
struct State {
    per_listener: bool,
    listeners: usize,
    bridges: usize,
}

struct Reader<'a> {
    conf: Conf,
    problems: Vec<Problem>,
    state: State,
    include: Include<'a>,
}

/// Where in a file something is wrong, and what.
type Wrong = (ProblemKind, usize, String, Option<String>);

impl Reader<'_> {
    fn file(&mut self, name: &str, text: &str) {
        let file = self.conf.sources.len();
        self.conf.sources.push((name.to_owned(), text.to_owned()));
        for (index, line) in text.split('\n').enumerate() {
            let at = (file, index + 1);
            match split(line) {
                Ok(None) => {}
                Ok(Some(words)) => self.entry(Entry { file, line: index + 1, ..words }),
                Err(wrong) => self.problem(at, "", wrong),
            }
        }
    }

    fn entry(&mut self, entry: Entry) {
        let at = (entry.file, entry.line);
        let done = find(&entry).and_then(|key| {
            let scope = self.scope(&entry, key.level)?;
            check(&entry, key).map(|()| scope)
        });
        match done {
            Err(wrong) => self.problem(at, &entry.key, wrong),
            Ok(_) if entry.key == "include_dir" => self.include(&entry),
            Ok(scope) => self.conf.entries.push(Entry { scope, ..entry }),
        }
    }

    /// Files of a folder are read where it is named, and cannot name folders themselves.
    fn include(&mut self, entry: &Entry) {
        let files = (entry.file == 0).then(|| (self.include)(&entry.value)).flatten();
        let message = match files {
            Some(files) => return files.iter().for_each(|(name, text)| self.file(name, text)),
            None if entry.file == 0 => "`include_dir` is refused: what it brings in would not be checked",
            None => "`include_dir` is only valid in the main file",
        };
        let wrong = (ProblemKind::Include, entry.column, message.to_owned(), None);
        self.problem((entry.file, entry.line), &entry.key, wrong);
    }

    fn scope(&mut self, entry: &Entry, level: Level) -> Result<Scope, Wrong> {
        let state = &mut self.state;
        match entry.key.as_str() {
            "per_listener_settings" if state.listeners > 0 => {
                let message = "`per_listener_settings` must stand before the first listener";
                return Err((ProblemKind::Order, entry.column, message.to_owned(), None));
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
                (ProblemKind::Order, entry.column, message, None)
            }),
        }
    }

    fn duplicates(&mut self) {
        let mut seen: BTreeMap<(Scope, &str), &Entry> = BTreeMap::new();
        let mut found = Vec::new();
        for entry in &self.conf.entries {
            let many = keys::find(&entry.key).is_some_and(|key| key.many);
            let Some(first) = seen.insert((entry.scope, &entry.key), entry) else { continue };
            if !many || first.value == entry.value {
                let file = match (first.file == entry.file, self.conf.sources.get(first.file)) {
                    (false, Some((name, _))) => format!(" of {name}"),
                    _ => String::new(),
                };
                let message = format!("`{}` is already given on line {}{file}", entry.key, first.line);
                let wrong = (ProblemKind::Duplicate, entry.column, message, None);
                found.push(((entry.file, entry.line), entry.key.clone(), wrong));
            }
        }
        for (at, key, wrong) in found {
            self.problem(at, &key, wrong);
        }
    }

    fn problem(&mut self, (file, line): (usize, usize), key: &str, wrong: Wrong) {
        let (kind, column, message, hint) = wrong;
        self.problems.push(Problem { kind, file, line, column, key: key.to_owned(), message, hint });
    }
}

/// One line as mosquitto splits it: a comment needs `#` as its first character, and only spaces separate.
fn split(text: &str) -> Result<Option<Entry>, Wrong> {
    let text = text.strip_suffix('\r').unwrap_or(text);
    if let Some(position) = text.chars().position(char::is_control) {
        let message = "a control character: mosquitto separates by spaces only".to_owned();
        return Err((ProblemKind::Syntax, position + 1, message, None));
    }
    if text.starts_with('#') || text.trim().is_empty() {
        return Ok(None);
    }
    let column = text.chars().take_while(|c| *c == ' ').count() + 1;
    let rest = text.trim_start_matches(' ');
    if rest.starts_with('#') {
        let message = "mosquitto takes a comment only at the very start of a line".to_owned();
        return Err((ProblemKind::Syntax, column, message, None));
    }
    let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let gap = value.chars().take_while(|c| *c == ' ').count();
    let value_column = column + key.chars().count() + 1 + gap;
    let (key, value) = (key.to_owned(), value.trim().to_owned());
    Ok(Some(Entry { key, value, scope: Scope::Broker, file: 0, line: 0, column, value_column }))
}

fn find(entry: &Entry) -> Result<&'static Key, Wrong> {
    keys::find(&entry.key).ok_or_else(|| {
        let near = near(&entry.key, keys::names()).map(|near| format!("did you mean `{near}`?"));
        let message = format!("mosquitto 2.0 has no key `{}`, and 2.1 has none", entry.key);
        (ProblemKind::Key, entry.column, message, near)
    })
}

fn check(entry: &Entry, key: &Key) -> Result<(), Wrong> {
    key.kind.check(&entry.value).map_err(|expected| {
        let message = format!("`{}` needs {expected}, not `{}`", entry.key, entry.value);
        (ProblemKind::Value, entry.value_column, message, None)
    })
}
