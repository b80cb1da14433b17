//! Tests of rendering and writing, on the project's own templates and on changed copies of them.

mod bad_input;
mod disk;
mod late;
mod origin;
mod outputs;
mod render;
mod values;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use xedge_model::Failure;

use crate::{Error, Rendered};

/// The project's own templates.
pub(crate) fn templates() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../templates")
}

/// A copy of the templates that can be changed.
pub(crate) struct Copy {
    folder: TempDir,
}

impl Copy {
    pub(crate) fn new() -> Self {
        let copy = Self { folder: TempDir::new().unwrap() };
        copy_folder(&templates(), &copy.root());
        copy
    }

    /// A copy whose stack declares no values, so that it takes any.
    pub(crate) fn untyped() -> Self {
        let copy = Self::new();
        let path = copy.root().join("stacks/edge/stack.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let (start, end) = (text.find("values:\n").unwrap(), text.find("# A container finds them").unwrap());
        fs::write(&path, format!("{}{}", &text[..start], &text[end..])).unwrap();
        copy
    }

    pub(crate) fn root(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join("templates")
    }

    /// Replaces the first `from` in a file by `to`.
    pub(crate) fn change(self, file: &str, from: &str, to: &str) -> Self {
        let path = self.root().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} holds {from}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        self
    }

    pub(crate) fn render(&self, environment: &str) -> Result<Rendered, Error> {
        crate::render(&self.root(), "edge", environment)
    }

    /// The error of rendering for production, without the copy's folder, and its hint.
    fn refused(&self) -> (String, String) {
        let error = self.render("production").unwrap_err();
        assert_eq!(error.class(), xedge_model::Class::Input);
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        (text.replace(self.root().as_str(), "T"), error.hint().unwrap_or_default())
    }
}

fn copy_folder(from: &Utf8Path, to: &Utf8Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

pub(crate) fn production() -> Rendered {
    crate::render(&templates(), "edge", "production").unwrap()
}

pub(crate) fn simulation() -> Rendered {
    crate::render(&templates(), "edge", "simulation").unwrap()
}
