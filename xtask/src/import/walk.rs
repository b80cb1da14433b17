//! What the parts of an import share: the file, what became of its keys, and values in the form that a stack takes.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value as Json, json};
use xedge_model::compose::Compose;
use xedge_model::tree::{At, Key, Tree, Value};
use xedge_model::yaml::{Source, YamlError, near};

use super::environment::Variable;
use super::files::Copies;
use super::report::Report;
use super::secrets::{LEAST, names_secret};
use super::vars::Values;

/// The result of a part of an import.
pub(super) type Step<T = ()> = std::result::Result<T, YamlError>;

/// One import under way.
pub(super) struct Walk<'a> {
    /// The file.
    pub(super) source: &'a Source,
    /// Its folder.
    pub(super) folder: &'a Utf8Path,
    /// The stack's name.
    pub(super) stack: &'a str,
    /// Variables.
    pub(super) values: &'a Values,
    /// What became of each key.
    pub(super) report: &'a mut Report,
    /// Files that the stack takes along.
    pub(super) copies: &'a mut Copies,
    /// Names that the file declares.
    pub(super) names: Names,
    /// Variables of all services.
    pub(super) variables: Vec<Variable>,
    /// What was filled into the file, by name.
    pub(super) filled: Vec<(String, String)>,
    /// Volumes that take the place of writable folders: name by folder.
    pub(super) folders: BTreeMap<Utf8PathBuf, String>,
}

/// Names that the file declares.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) services: Vec<String>,
    pub(super) networks: Vec<String>,
    pub(super) volumes: Vec<String>,
    pub(super) secrets: Vec<String>,
    /// Those that a service uses, with what they are.
    pub(super) used: BTreeSet<(&'static str, String)>,
}

impl Walk<'_> {
    pub(super) fn bad(&self, at: At, message: impl Into<String>, hint: Option<&str>) -> YamlError {
        self.source.error_in(at, self.without_values(message.into()), hint.map(str::to_owned))
    }

    /// A message names a variable that was filled in, and not what it holds.
    fn without_values(&self, message: String) -> String {
        self.filled.iter().filter(|(_, value)| !value.is_empty()).fold(message, |message, (name, value)| {
            let message = message.replace(&format!("`{value}`"), &format!("`${name}`"));
            if names_secret(name) && value.len() >= LEAST {
                return message.replace(value.as_str(), &format!("${name}"));
            }
            message
        })
    }

    /// A key that the Compose specification does not have.
    pub(super) fn unknown_key(&self, at: At, key: &str, known: &[&str]) -> YamlError {
        let hint = near(key, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| {
            format!("known here: {}; notes of your own start with `x-`", known.join(", "))
        });
        self.source.error_in(at, format!("unknown key `{key}`"), Some(hint))
    }

    /// A name that is used and not declared.
    pub(super) fn declared(&mut self, at: At, what: &'static str, name: &str) -> Step {
        let known = match what {
            "service" => &self.names.services,
            "network" => &self.names.networks,
            "volume" => &self.names.volumes,
            _ => &self.names.secrets,
        };
        if !known.iter().any(|known| known == name) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = near(name, known.iter().copied()).map_or_else(
                || format!("declare it under `{what}s`"),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(self.source.error_in(at, format!("unknown {what} `{name}`"), Some(hint)));
        }
        self.names.used.insert((what, name.to_owned()));
        Ok(())
    }

    /// Takes a service's value where the stack's own reader takes it.
    pub(super) fn accept(
        &mut self,
        out: &mut Map<String, Json>,
        key: &str,
        value: Json,
        path: &str,
        at: At,
    ) -> Step {
        let service = json!({"image": "x", key: dollars(value.clone())});
        let probe = Source::new("", json!({"services": {"x": service}}).to_string());
        if let Err(error) = probe.parse::<Compose>() {
            let message = match error.message() {
                "expected sequence start" => "expected a list",
                "expected mapping start" => "expected a map",
                other => other,
            };
            return Err(self.bad(at, message, None));
        }
        out.insert(key.to_owned(), value);
        self.report.taken(path, at);
        Ok(())
    }

    /// The items of a list.
    pub(super) fn items<'t>(&self, tree: &'t Tree) -> Step<&'t [Tree]> {
        match &tree.value {
            Value::List(items) => Ok(items),
            Value::Null => Ok(&[]),
            _ => Err(self.bad(tree.at, "expected a list", None)),
        }
    }

    /// The entries of a map; nothing has none.
    pub(super) fn map<'t>(&self, tree: &'t Tree) -> Step<&'t [(Key, Tree)]> {
        match &tree.value {
            Value::Map(entries) => Ok(entries),
            Value::Null => Ok(&[]),
            _ => Err(self.bad(tree.at, "expected a map", None)),
        }
    }

    /// The text of a scalar, empty for nothing.
    pub(super) fn text_or_nothing(&self, tree: &Tree) -> Step<String> {
        if matches!(tree.value, Value::Null) { Ok(String::new()) } else { self.scalar(tree) }
    }

    /// The text of a scalar.
    pub(super) fn scalar(&self, tree: &Tree) -> Step<String> {
        tree.text().ok_or_else(|| self.bad(tree.at, "expected text", None))
    }

    /// `true` or `false`, also as a variable gives it.
    pub(super) fn flag(&self, tree: &Tree) -> Step<bool> {
        match tree.text().as_deref() {
            Some("true" | "yes" | "on") => Ok(true),
            Some("false" | "no" | "off") => Ok(false),
            _ => Err(self.bad(tree.at, "expected `true` or `false`", None)),
        }
    }
}

/// A value as JSON; lists and maps as they are.
pub(super) fn plain(tree: &Tree) -> Json {
    match &tree.value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone())),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.name.clone(), plain(value))).collect(),
    }
}

/// Every `$` doubled, as a Compose file writes it.
pub(super) fn dollars(value: Json) -> Json {
    match value {
        Json::String(text) => Json::String(text.replace('$', "$$")),
        Json::Array(items) => items.into_iter().map(dollars).collect(),
        Json::Object(map) => {
            map.into_iter().map(|(key, value)| (key.replace('$', "$$"), dollars(value))).collect()
        }
        other => other,
    }
}
