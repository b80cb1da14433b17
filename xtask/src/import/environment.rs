//! Environment variables of an imported service. What looks like a secret does not go into a template: each device fills it in
//! itself, and the gate runs with a sample.

use serde_json::{Map, Value as Json, json};
use xedge_model::tree::{At, Tree, Value, join};

use super::vars::read_env;
use super::walk::{Step, Walk};

/// A variable of a service.
pub(super) struct Variable {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) at: At,
}

impl Walk<'_> {
    /// Both sources of variables as one map; the service's own wins.
    pub(super) fn environment(&mut self, out: &mut Map<String, Json>, path: &str, tree: &Tree) -> Step {
        let mut all = Map::new();
        if let Some(files) = tree.get("env_file") {
            for (variable, value) in self.env_files(path, files)? {
                all.insert(variable.name.clone(), json!(value));
                self.variables.push(variable);
            }
        }
        if let Some(value) = tree.get("environment") {
            let path = join(path, "environment");
            match &value.value {
                Value::List(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let entry = self.scalar(item)?;
                        let (name, value) =
                            entry.split_once('=').map_or((&*entry, None), |(n, v)| (n, Some(v)));
                        self.variable(
                            &mut all,
                            &format!("{path}[{index}]"),
                            item.at,
                            name,
                            value.map(str::to_owned),
                        )?;
                    }
                }
                Value::Null => self.report.taken(&path, value.at),
                _ => {
                    for (name, value) in self.map(value)? {
                        if matches!(value.value, Value::List(_) | Value::Map(_)) {
                            return Err(self.bad(value.at, "expected text", None));
                        }
                        self.variable(&mut all, &join(&path, &name.name), name.at, &name.name, value.text())?;
                    }
                }
            }
        }
        if !all.is_empty() {
            out.insert("environment".into(), Json::Object(all));
        }
        Ok(())
    }

    fn variable(
        &mut self,
        all: &mut Map<String, Json>,
        path: &str,
        at: At,
        name: &str,
        value: Option<String>,
    ) -> Step {
        let value = match (value, self.values.get(name)) {
            (Some(value), _) => value,
            (None, Some(value)) => value.to_owned(),
            (None, None) => {
                let todo = format!("write `{name}=…`, or set it in `.env` beside the file");
                self.report.decide(
                    path,
                    at,
                    "left out: it has no value, and would be the machine's own",
                    todo,
                );
                return Ok(());
            }
        };
        self.accept(&mut Map::new(), "environment", json!({name: value}), path, at)?;
        all.insert(name.to_owned(), json!(value));
        let service = service_of(path).to_owned();
        self.variables.push(Variable { service, name: name.to_owned(), path: path.to_owned(), at });
        Ok(())
    }

    fn env_files(&mut self, service: &str, tree: &Tree) -> Step<Vec<(Variable, String)>> {
        let path = &join(service, "env_file");
        let items = match &tree.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(tree),
        };
        let mut all = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = if matches!(tree.value, Value::List(_)) {
                format!("{path}[{index}]")
            } else {
                path.to_owned()
            };
            let file = match item.get("path") {
                Some(file) => self.scalar(file)?,
                None => self.scalar(item)?,
            };
            let optional = item.get("required").and_then(Tree::text).as_deref() == Some("false");
            let full = self.folder.join(&file);
            if !full.is_file() {
                if optional {
                    let what = format!("left out: there is no `{file}`");
                    self.report.decide(
                        &at,
                        item.at,
                        what,
                        "nothing to do, or make the file and import again",
                    );
                    continue;
                }
                let hint = "make it: `NAME=value`, one a line";
                return Err(self.bad(item.at, format!("the file `{file}` is not there"), Some(hint)));
            }
            let what = format!("`{file}` is taken over now: changes of the file are not seen later");
            self.report.decide(&at, item.at, what, "change the variables in the template instead");
            let text = std::fs::read_to_string(&full).map_err(|error| {
                self.bad(item.at, format!("the file `{file}` cannot be read: {error}"), None)
            })?;
            let entries = read_env(&file, &text)?;
            for (name, value, line) in entries {
                let probe = json!({name.clone(): value});
                self.accept(&mut Map::new(), "environment", probe, &at, item.at).map_err(|error| {
                    self.bad(item.at, format!("{file}:{line}: {}", error.message()), None)
                })?;
                let service = service_of(service).to_owned();
                all.push((Variable { service, name, path: at.clone(), at: item.at }, value));
            }
        }
        Ok(all)
    }
}

/// The name in `services.NAME.…`; it has no dot.
fn service_of(path: &str) -> &str {
    path.split('.').nth(1).unwrap_or(path)
}
