//! What became of every key of an imported file, in exactly one of three groups. Values are never shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use xedge_model::tree::At;

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It means the same in the stack.
    Taken,
    /// It was changed, or someone must look at it: what, and what to do.
    Decide(Vec<(String, String)>),
    /// It has no counterpart, and why.
    Unsupported(String),
}

/// A variable that was filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Where its value came from.
    pub(crate) from: String,
    /// The keys that use it.
    pub(crate) used: Vec<String>,
}

/// What became of a file's keys.
#[derive(Debug, Default)]
pub(crate) struct Report {
    fates: BTreeMap<String, (At, Fate)>,
    /// Variables by name.
    pub(crate) variables: BTreeMap<String, Variable>,
}

impl Report {
    /// A key that means the same in the stack. What was said of it before stands.
    pub(super) fn taken(&mut self, path: &str, at: At) {
        self.fates.entry(path.to_owned()).or_insert((at, Fate::Taken));
    }

    /// A key that needs someone's decision.
    pub(super) fn decide(&mut self, path: &str, at: At, what: impl Into<String>, todo: impl Into<String>) {
        let (_, fate) = self.fates.entry(path.to_owned()).or_insert((at, Fate::Taken));
        match fate {
            Fate::Decide(all) => all.push((what.into(), todo.into())),
            Fate::Taken => *fate = Fate::Decide(vec![(what.into(), todo.into())]),
            Fate::Unsupported(_) => {}
        }
    }

    /// A key that has no counterpart.
    pub(super) fn unsupported(&mut self, path: &str, at: At, why: impl Into<String>) {
        self.fates.insert(path.to_owned(), (at, Fate::Unsupported(why.into())));
    }

    /// The keys that have no counterpart.
    pub(crate) fn unsupported_paths(&self) -> Vec<&str> {
        self.fates
            .iter()
            .filter(|(_, (_, fate))| matches!(fate, Fate::Unsupported(_)))
            .map(|(path, _)| path.as_str())
            .collect()
    }

    /// The longest path at or above a leaf that something was said about.
    pub(super) fn says(&self, leaf: &str) -> Option<&str> {
        let above = |path: &&String| {
            leaf.strip_prefix(path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.fates.keys().filter(above).max_by_key(|path| path.len()).map(String::as_str)
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> Value {
        let (mut taken, mut decisions, mut unsupported) = (Vec::new(), Vec::new(), Vec::new());
        for (path, (At { line, column }, fate)) in &self.fates {
            match fate {
                Fate::Taken => taken.push(json!({"path": path, "line": line, "column": column})),
                Fate::Decide(all) => {
                    for (what, todo) in all {
                        decisions.push(json!({
                            "path": path, "line": line, "column": column, "what": what, "do": todo,
                        }));
                    }
                }
                Fate::Unsupported(why) => {
                    unsupported.push(json!({"path": path, "line": line, "column": column, "why": why}));
                }
            }
        }
        let variables = self
            .variables
            .iter()
            .map(|(name, variable)| json!({"name": name, "from": variable.from, "used": variable.used}));
        json!({
            "taken": taken,
            "decisions": decisions,
            "unsupported": unsupported,
            "variables": variables.collect::<Vec<_>>(),
        })
    }

    /// For people.
    pub(crate) fn to_text(&self, file: &str) -> String {
        let mut text = String::new();
        self.write_taken(&mut text);
        let mut decisions = String::new();
        let mut unsupported = String::new();
        for (path, (at, fate)) in &self.fates {
            match fate {
                Fate::Taken => {}
                Fate::Decide(all) => {
                    for (what, todo) in all {
                        let _ = writeln!(decisions, "  {path} ({file}:{}): {what}\n      {todo}", at.line);
                    }
                }
                Fate::Unsupported(why) => {
                    let _ = writeln!(unsupported, "  {path} ({file}:{}): {why}", at.line);
                }
            }
        }
        group(&mut text, "Needs a decision", &decisions);
        group(&mut text, "Not supported", &unsupported);
        let mut variables = String::new();
        for (name, Variable { from, used }) in &self.variables {
            let _ = writeln!(variables, "  {name} from {from}: {}", used.join(", "));
        }
        group(&mut text, "Variables filled in", &variables);
        text
    }

    /// One line for each service or other entry: a list of all leaves would hide the rest.
    fn write_taken(&self, text: &mut String) {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, (_, fate)) in &self.fates {
            if *fate == Fate::Taken {
                let parts: Vec<&str> = path.splitn(3, '.').collect();
                let (owner, rest) = match parts[..] {
                    ["services", name, rest] => (format!("services.{name}"), rest.to_owned()),
                    [owner, ..] => {
                        (owner.to_owned(), path.strip_prefix(&format!("{owner}.")).unwrap_or("").to_owned())
                    }
                    [] => continue,
                };
                groups.entry(owner).or_default().push(rest);
            }
        }
        text.push_str("Taken\n");
        for (owner, rest) in groups {
            let rest: Vec<String> = rest.into_iter().filter(|rest| !rest.is_empty()).collect();
            let colon = if rest.is_empty() { "" } else { ": " };
            let _ = writeln!(text, "  {owner}{colon}{}", rest.join(", "));
        }
    }
}

fn group(text: &mut String, title: &str, content: &str) {
    let _ = write!(text, "{title}\n{}", if content.is_empty() { "  nothing\n" } else { content });
}
