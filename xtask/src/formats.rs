//! Whether the files of a project and this tool are of one format. Every file is looked at, whatever else is wrong with it.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use xedge_model::{format, image, lock, scenario, stack};

use crate::error::Result;
use crate::project::{Project, entries};

/// A file of another format than this tool reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Disagreement {
    /// The file, below the project.
    pub(crate) file: Utf8PathBuf,
    /// The format that it says it has; absent where it has to say one and does not.
    pub(crate) found: Option<u32>,
    /// The format that this tool reads.
    pub(crate) known: u32,
    /// What to do.
    pub(crate) fix: String,
}

impl Disagreement {
    /// As people read it.
    pub(crate) fn text(&self) -> String {
        let found = self.found.map_or("no format".to_owned(), |found| format!("format {found}"));
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "- {} has {found}, this xedge ({version}) reads format {}\n    {}",
            self.file, self.known, self.fix
        )
    }
}

/// Every file that disagrees, ordered by path.
pub(crate) fn disagreements(project: &Project) -> Result<Vec<Disagreement>> {
    let mut found = Vec::new();
    for kind in Kind::all(project)? {
        for file in kind.files.iter().filter(|file| file.is_file()) {
            found.extend(kind.disagreement(project, file)?);
        }
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

/// Files of one kind.
struct Kind {
    files: Vec<Utf8PathBuf>,
    known: u32,
    /// Whether a file has to say its format.
    says: bool,
}

impl Kind {
    fn all(project: &Project) -> Result<Vec<Self>> {
        let in_each = |folder: Utf8PathBuf, file: &str| -> Result<Vec<Utf8PathBuf>> {
            Ok(entries(&folder)?.into_iter().map(|entry| entry.join(file)).collect())
        };
        let (images, templates) = (project.root().join("images"), project.templates());
        let mut environments = entries(&templates.join("environments"))?;
        environments.retain(|file| file.extension() == Some("yaml"));
        let says = |files, known| Self { files, known, says: true };
        Ok(vec![
            says(in_each(images.clone(), "image.yaml")?, image::FORMAT),
            says(in_each(images, "image.lock.json")?, lock::FORMAT),
            Self { files: project.scenarios()?, known: scenario::FORMAT, says: false },
            says(in_each(templates.join("stacks"), "stack.yaml")?, stack::FORMAT),
            says(environments, stack::FORMAT),
            says(vec![templates.join("parity.yaml")], stack::FORMAT),
        ])
    }

    fn disagreement(&self, project: &Project, file: &Utf8Path) -> Result<Option<Disagreement>> {
        let source = project.source(file)?;
        let found =
            if file.extension() == Some("json") { in_json(source.text()) } else { format::of(&source) };
        let known = self.known;
        let fix = match found {
            Some(found) if found == known => return Ok(None),
            Some(found) if file.extension() == Some("json") && found < known => {
                "`cargo xtask lock --update` writes it anew".to_owned()
            }
            Some(found) => format::advice(found, known).to_owned(),
            None if !self.says => return Ok(None),
            None => format!("it has to begin with `format: {known}`, or cannot be read at all"),
        };
        Ok(Some(Disagreement { file: project.relative(file).to_owned(), found, known, fix }))
    }
}

fn in_json(text: &str) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value.get("format")?.as_u64()?.try_into().ok()
}
