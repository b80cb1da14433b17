//! Variables of a Compose file: files of `NAME=value`, and what `${NAME:-default}` becomes. The process's own environment has
//! no say: the same files give the same stack everywhere.

use std::collections::BTreeMap;

use camino::Utf8Path;
use xedge_model::tree::{At, Tree, Value, join};
use xedge_model::yaml::{Source, YamlError};

use super::report::{Report, Variable};
use crate::error::{Result, read_text};

/// Values by name, and where each came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(BTreeMap<String, (String, String)>);

impl Values {
    /// Adds what a file of `NAME=value` says; later files win.
    pub(super) fn add_file(&mut self, path: &Utf8Path, shown: &str) -> Result<()> {
        for (name, value, line) in read_env(shown, &read_text(path)?)? {
            self.0.insert(name, (value, format!("{shown}:{line}")));
        }
        Ok(())
    }

    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(value, _)| value.as_str())
    }

    /// Where the value of a name came from.
    pub(super) fn origin(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(_, from)| from.as_str())
    }
}

/// The entries of a file of `NAME=value` with their lines. A mistake is told by its place alone: the line may hold a secret.
pub(super) fn read_env(
    shown: &str,
    text: &str,
) -> std::result::Result<Vec<(String, String, u64)>, YamlError> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let at = At { line: index as u64 + 1, column: 1 };
        let entry = trimmed.strip_prefix("export ").unwrap_or(trimmed);
        let bad = || {
            let hint = Some("a comment starts with `#`".to_owned());
            Source::new(shown, "").error_in(at, "expected NAME=value", hint)
        };
        let (name, value) = entry.split_once('=').ok_or_else(bad)?;
        if !is_variable(name.trim_end()) {
            return Err(bad());
        }
        all.push((name.trim_end().to_owned(), unquoted(value.trim()), at.line));
    }
    Ok(all)
}

/// What quotes or a comment leave of a value.
fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.find(quote).map(|end| &rest[..end]));
        if let Some(inner) = inner {
            return inner.to_owned();
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end().to_owned()
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Fills variables into every text of a tree; what was filled in goes to the report.
pub(super) struct Filler<'a> {
    pub(super) source: &'a Source,
    pub(super) values: &'a Values,
    pub(super) report: &'a mut Report,
    /// What was filled in, by name: never shown, only looked for.
    pub(super) filled: Vec<(String, String)>,
}

/// How deep defaults may stand in defaults.
const MOST_DEFAULTS: usize = 32;

impl Filler<'_> {
    pub(super) fn fill(&mut self, path: &str, tree: &mut Tree) -> std::result::Result<(), YamlError> {
        match &mut tree.value {
            Value::Text(text) if text.contains('$') => *text = self.text(path, tree.at, text, 0)?,
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.fill(&format!("{path}[{index}]"), item)?;
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    self.fill(&join(path, &key.name), value)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(
        &mut self,
        path: &str,
        at: At,
        text: &str,
        depth: usize,
    ) -> std::result::Result<String, YamlError> {
        if depth > MOST_DEFAULTS {
            return Err(self.bad(at, "defaults stand in defaults more than 32 deep"));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            out.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(inner) = rest.strip_prefix('{') {
                let end = closing(inner).ok_or_else(|| self.bad(at, "`${` has no `}`"))?;
                out.push_str(&self.braced(path, at, &inner[..end], depth)?);
                rest = &inner[end + 1..];
            } else {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let name = &rest[..end];
                if !is_variable(name) {
                    return Err(self.bad(at, "`$` is followed by no name of a variable"));
                }
                out.push_str(&self.value(path, at, name));
                rest = &rest[end..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn braced(
        &mut self,
        path: &str,
        at: At,
        inner: &str,
        depth: usize,
    ) -> std::result::Result<String, YamlError> {
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let (name, operation) = inner.split_at(end);
        if !is_variable(name) {
            return Err(self.bad(at, "`${` is followed by no name of a variable"));
        }
        let (colon, operation) = operation.strip_prefix(':').map_or((false, operation), |rest| (true, rest));
        let set = self.values.get(name).filter(|value| !(colon && value.is_empty())).map(str::to_owned);
        let word = operation.get(1..).unwrap_or("");
        match (operation.as_bytes().first(), set) {
            (None, _) if !colon => Ok(self.value(path, at, name)),
            (Some(b'-'), None) => {
                self.used(path, name, "the default in the file");
                let text = self.text(path, at, word, depth + 1)?;
                self.filled.push((name.to_owned(), text.clone()));
                Ok(text)
            }
            (Some(b'?'), None) => {
                let message = format!("the variable `{name}` is not set, and the file demands it: {word}");
                Err(self.source.error_in(at, message, Some(set_it(name))))
            }
            (Some(b'-' | b'?'), Some(value)) => {
                let values = self.values;
                self.used(path, name, values.origin(name).unwrap_or_default());
                self.filled.push((name.to_owned(), value.clone()));
                Ok(value)
            }
            (Some(b'+'), set) => {
                self.used(path, name, "whether it is set");
                if set.is_some() { self.text(path, at, word, depth + 1) } else { Ok(String::new()) }
            }
            _ => Err(self.bad(at, "`${NAME` is followed by none of `}`, `:-`, `-`, `:?`, `?`, `:+`, `+`")),
        }
    }

    /// An unset variable is nothing, as Compose has it, and someone must decide whether that was meant.
    fn value(&mut self, path: &str, at: At, name: &str) -> String {
        let values = self.values;
        if let (Some(value), Some(from)) = (values.get(name), values.origin(name)) {
            self.used(path, name, from);
            self.filled.push((name.to_owned(), value.to_owned()));
            return value.to_owned();
        }
        self.used(path, name, "nowhere: it is not set");
        let what = format!("the variable `{name}` is not set: nothing stands there");
        self.report.decide(path, at, what, set_it(name));
        String::new()
    }

    fn used(&mut self, path: &str, name: &str, from: &str) {
        let variable = self
            .report
            .variables
            .entry(name.to_owned())
            .or_insert_with(|| Variable { from: from.to_owned(), used: Vec::new() });
        if !variable.used.iter().any(|used| used == path) {
            variable.used.push(path.to_owned());
        }
    }

    fn bad(&self, at: At, message: &str) -> YamlError {
        self.source.error_in(at, message, Some("`$$` stands for the character `$`".into()))
    }
}

fn set_it(name: &str) -> String {
    format!("set it: `{name}=…` in `.env` beside the file, or in a file named with `--env-file`")
}

/// Where the `}` is that closes an open `${`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (index, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(index),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use xedge_model::tree::Tree;
    use xedge_model::yaml::{Source, YamlError};

    use super::{Filler, Values, read_env};
    use crate::import::report::Report;

    fn filled(text: &str) -> Result<(String, Report), YamlError> {
        let mut values = Values::default();
        for (name, value) in [("SET", "s"), ("EMPTY", "")] {
            values.0.insert(name.to_owned(), (value.to_owned(), ".env:1".to_owned()));
        }
        let source = Source::new("c.yaml", format!("{}\n", serde_json::json!({"a": text})));
        let mut tree = Tree::parse(&source)?;
        let mut report = Report::default();
        Filler { source: &source, values: &values, report: &mut report, filled: Vec::new() }
            .fill("", &mut tree)?;
        Ok((tree.get("a").and_then(Tree::text).unwrap_or_default(), report))
    }

    #[test]
    fn variables_become_what_compose_makes_of_them() {
        for (text, becomes) in [
            ("$SET-$$SET-${SET}", "s-$SET-s"),
            ("${SET:-d}${EMPTY:-d}${EMPTY-d}${NOT-d}${NOT:-}", "sdd"),
            ("${SET:+x}${EMPTY:+x}${EMPTY+x}${NOT+x}", "xx"),
            ("${NOT:-${SET}/${NOT2:-e}}", "s/e"),
            ("${SET?needed}", "s"),
            ("[${NOT}]", "[]"),
        ] {
            assert_eq!(filled(text).unwrap().0, becomes, "{text}");
        }
        for text in ["$", "$1", "${", "${SET", "${SET!x}", "${:-x}", "${NOT?why}", "${EMPTY:?why}"] {
            assert!(filled(text).is_err(), "{text}");
        }
        let deep = |levels| format!("{}x{}", "${A:-".repeat(levels), "}".repeat(levels));
        assert_eq!(filled(&deep(32)).unwrap().0, "x");
        assert!(filled(&deep(5000)).unwrap_err().to_string().contains("more than 32 deep"));
    }

    #[test]
    fn what_was_filled_in_is_reported_without_its_value() {
        let (_, report) = filled("${SET} ${NOT} ${OTHER:-secret}").unwrap();
        let from: Vec<(&str, &str)> =
            report.variables.iter().map(|(name, v)| (name.as_str(), v.from.as_str())).collect();
        let expected =
            [("NOT", "nowhere: it is not set"), ("OTHER", "the default in the file"), ("SET", ".env:1")];
        assert_eq!(from, expected);
        let json = report.to_json();
        assert!(json["decisions"].to_string().contains("the variable `NOT` is not set"), "{json}");
        assert!(!json.to_string().contains("secret"), "{json}");
    }

    #[test]
    fn files_of_variables_know_quotes_and_comments() {
        let text = "# c\n\nA=1\nexport B = \"x # y\" # z\nC='q'\nD=v # w\nE=\n";
        let all = read_env("e", text).unwrap();
        let all: Vec<(&str, &str, u64)> = all.iter().map(|(n, v, l)| (n.as_str(), v.as_str(), *l)).collect();
        assert_eq!(all, [("A", "1", 3), ("B", "x # y", 4), ("C", "q", 5), ("D", "v", 6), ("E", "", 7)]);
        for bad in ["A", "1A=x", "A B=x"] {
            assert!(read_env("e", bad).is_err(), "{bad}");
        }
    }
}
