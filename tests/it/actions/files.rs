//! The workflow and action files, parsed, and what variables of their steps can be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub use serde_yaml::Value;

use crate::support::root;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `.github/workflows/*.yml`.
    Workflow,
    /// `.github/actions/*/action.yml`.
    Action,
}

/// One file.
pub struct File {
    /// Path in the repository.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// As it is written.
    pub text: String,
    /// As it is read.
    pub value: Value,
}

/// The variables of a step, by name.
pub type Variables = BTreeMap<String, String>;

/// Every file of GitHub Actions in this repository.
pub fn all() -> Vec<File> {
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> =
            entries.map(|name| format!("{folder}/{}", name.to_string_lossy())).collect();
        names.sort();
        names
    };
    let workflows = names(".github/workflows").into_iter().map(|name| read(name, Kind::Workflow));
    let actions =
        names(".github/actions").into_iter().map(|name| read(format!("{name}/action.yml"), Kind::Action));
    workflows.chain(actions).collect()
}

fn read(name: String, kind: Kind) -> File {
    assert_eq!(Path::new(&name).extension().and_then(|e| e.to_str()), Some("yml"), "{name}");
    let text = fs::read_to_string(root().join(&name)).unwrap();
    let value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    File { name, kind, text, value }
}

/// The text of a value that is one.
pub fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

impl File {
    /// The jobs of a workflow.
    pub fn jobs(&self) -> Vec<(String, &Value)> {
        let jobs = self.value["jobs"].as_mapping().into_iter().flatten();
        jobs.map(|(name, job)| (text(name).unwrap().to_owned(), job)).collect()
    }

    /// Every step, with what its variables are in each job of the matrix.
    pub fn steps(&self) -> Vec<(&Value, Vec<Variables>)> {
        let mut all = Vec::new();
        if self.kind == Kind::Action {
            assert_eq!(text(&self.value["runs"]["using"]), Some("composite"), "{}", self.name);
            for step in self.value["runs"]["steps"].as_sequence().unwrap() {
                all.push((step, vec![variables(&[step], &Variables::new())]));
            }
        }
        for (_, job) in self.jobs() {
            let combinations = matrix(&job["strategy"]["matrix"]);
            for step in job["steps"].as_sequence().unwrap() {
                let levels = [&self.value, job, step];
                all.push((step, combinations.iter().map(|entry| variables(&levels, entry)).collect()));
            }
        }
        all
    }
}

/// Every combination of the lists of a matrix.
fn matrix(matrix: &Value) -> Vec<Variables> {
    let mut combinations = vec![Variables::new()];
    for (name, values) in matrix.as_mapping().into_iter().flatten() {
        let name = format!("${{{{ matrix.{} }}}}", text(name).unwrap());
        let with = |entry: &Variables, value: &Value| {
            let mut entry = entry.clone();
            entry.insert(name.clone(), text(value).unwrap().to_owned());
            entry
        };
        let values = values.as_sequence().unwrap();
        combinations = combinations.iter().flat_map(|e| values.iter().map(|v| with(e, v))).collect();
    }
    combinations
}

/// The `env` of a workflow, job and step: texts as they are, values of the matrix, and nothing that only a run knows.
fn variables(levels: &[&Value], matrix: &Variables) -> Variables {
    let mut known = Variables::new();
    for (name, value) in levels.iter().flat_map(|level| level["env"].as_mapping().into_iter().flatten()) {
        let (name, value) = (text(name).unwrap(), text(value).unwrap());
        let value = matrix.get(value).map_or(value, String::as_str);
        if !value.contains("${{") {
            known.insert(name.to_owned(), value.to_owned());
        }
    }
    known
}
