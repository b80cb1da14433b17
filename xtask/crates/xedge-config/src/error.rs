//! What can go wrong in this crate, whose fault it is, and what to do about it.

use std::fmt;
use std::io;

use camino::Utf8PathBuf;
use xedge_model::atomic::WriteError;
use xedge_model::tree::At;
use xedge_model::yaml::{Source, YamlError};
use xedge_model::{Class, Failure};

use crate::origin::Origin;

/// A configuration that cannot be rendered, written or compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A YAML file is wrong: a stack, an environment, parity.yaml, or a rendered Compose file.
    #[error(transparent)]
    Yaml(Box<YamlError>),
    /// A rendered file is wrong, and it is known what that line comes from.
    #[error("{problem}\nthe line comes from {origin}{}", .origin.template.snippet)]
    Traced {
        /// What is wrong with the rendered file.
        problem: Box<Error>,
        /// What to edit.
        origin: Box<Origin>,
    },
    /// A rendered Compose file is wrong; the place is in the rendered text.
    #[error("failed to use what {template} renders to{}", comes_from(.origin.as_deref()))]
    Compose {
        /// The template it came from.
        template: Utf8PathBuf,
        /// What the line comes from.
        origin: Option<Box<Origin>>,
        /// What is wrong.
        source: Box<YamlError>,
    },
    /// A template is wrong, or uses a value that is not there.
    #[error("failed to render {place}: {message}{}", .place.snippet)]
    Template {
        /// Where in the template.
        place: Box<Place>,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A mosquitto.conf is wrong.
    #[error("failed to read {place}: {message}{}", .place.snippet)]
    Conf {
        /// Where in the file.
        place: Box<Place>,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A rendered file holds `@{` where no device value can stand.
    #[error("failed to use {place}: {message}{}", .place.snippet)]
    Placeholder {
        /// Where in the rendered file.
        place: Box<Place>,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A file of a structured kind is not well-formed.
    #[error("failed to read {place}, as it was rendered: {message}{}", .place.snippet)]
    Malformed {
        /// Where in the rendered file.
        place: Box<Place>,
        /// What is wrong.
        message: String,
    },
    /// There is no stack, environment or template of this name.
    #[error("failed to find the {what} `{name}`")]
    Unknown {
        /// `stack`, `environment` or `template`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The near name, or all names.
        hint: Option<String>,
    },
    /// A file or folder cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file or folder.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder that was not made by rendering is in the way.
    #[error("failed to replace {folder}: {why}")]
    NotOurs {
        /// The folder.
        folder: Utf8PathBuf,
        /// What in it is not from rendering.
        why: String,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The value of a secret cannot be put into its file.
    #[error("failed to make the secret `{secret}`: {why}")]
    Secret {
        /// The secret's name.
        secret: String,
        /// What is wrong; never the value.
        why: String,
    },
    /// parity.yaml explains differences that are not there.
    #[error("failed to compare {from} with {to}: parity.yaml explains what does not differ: {}", .unused.join("; "))]
    Unused {
        /// The first environment.
        from: String,
        /// The second environment.
        to: String,
        /// Entry and place of each.
        unused: Vec<String>,
    },
    /// Environments differ in ways that parity.yaml does not explain.
    #[error("failed to explain {} of {from} and {to}: {}", differences(.unexplained.len()), .unexplained.join("; "))]
    Unexplained {
        /// The first environment.
        from: String,
        /// The second environment.
        to: String,
        /// Each difference.
        unexplained: Vec<String>,
    },
}

impl From<YamlError> for Error {
    fn from(error: YamlError) -> Self {
        Self::Yaml(Box::new(error))
    }
}

fn comes_from(origin: Option<&Origin>) -> String {
    origin.map_or_else(String::new, |origin| format!(" (the line comes from {origin})"))
}

fn differences(count: usize) -> String {
    if count == 1 { "1 difference".into() } else { format!("{count} differences") }
}

/// A place in a text, with the line it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    pub(crate) snippet: String,
}

impl Place {
    /// Line and column in `text`; a line that is not there has no snippet.
    pub(crate) fn new(file: &str, text: &str, line: usize, column: usize) -> Self {
        let (line, column) = (line.max(1), column.max(1));
        let pad = " ".repeat(line.to_string().len());
        let snippet = text.lines().nth(line - 1).map_or_else(String::new, |content| {
            let before = " ".repeat((column - 1).min(content.chars().count()));
            format!("\n{pad} |\n{line} | {content}\n{pad} | {before}^")
        });
        Self { file: file.to_owned(), line, column, snippet }
    }

    /// A place in a YAML file.
    pub(crate) fn of(source: &Source, at: At) -> Self {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self::new(source.file(), source.text(), number(at.line), number(at.column))
    }

    /// Where a YAML file is wrong.
    pub(crate) fn of_error(error: &YamlError) -> Self {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (file, At { line, column }) = (error.file().to_owned(), error.place());
        Self { file, line: number(line).max(1), column: number(column).max(1), snippet: String::new() }
    }

    /// The start of a file that nothing is shown of.
    pub(crate) fn start(file: &str) -> Self {
        Self { file: file.to_owned(), line: 1, column: 1, snippet: String::new() }
    }

    /// The line with a caret below its column, after a line break; empty where there is no such line.
    pub fn snippet(&self) -> &str {
        &self.snippet
    }

    /// The place of a byte offset in `text`.
    pub(crate) fn at_offset(file: &str, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self::new(file, text, line, column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Error {
    /// The line of a rendered file that the problem is in.
    pub(crate) fn rendered_line(&self) -> Option<usize> {
        match self {
            Self::Conf { place, .. } | Self::Placeholder { place, .. } | Self::Malformed { place, .. } => {
                Some(place.line)
            }
            _ => None,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Traced { problem, .. } => problem.class(),
            Self::Yaml(error) | Self::Compose { source: error, .. } => error.class(),
            Self::Template { .. }
            | Self::Conf { .. }
            | Self::Placeholder { .. }
            | Self::Malformed { .. }
            | Self::Unknown { .. }
            | Self::NotOurs { .. }
            | Self::Secret { .. }
            | Self::Unused { .. }
            | Self::Unexplained { .. } => Class::Input,
            Self::Read { source, .. } => Class::of_read(source),
            Self::Write(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Traced { problem, .. } => problem.hint(),
            Self::Yaml(error) | Self::Compose { source: error, .. } => error.hint(),
            Self::Template { hint, .. }
            | Self::Conf { hint, .. }
            | Self::Placeholder { hint, .. }
            | Self::Unknown { hint, .. } => hint.clone(),
            Self::NotOurs { folder, .. } => Some(format!(
                "move the folder away, or render into another one: `cargo xtask render --out {folder}-new`"
            )),
            Self::Secret { .. } => {
                Some("development passwords are made on first use by `cargo xtask sim`".into())
            }
            Self::Unused { .. } => Some("remove these from templates/parity.yaml".into()),
            Self::Unexplained { .. } => Some(
                "undo the difference, or name it with a reason under `extras` in templates/parity.yaml"
                    .into(),
            ),
            Self::Malformed { .. } | Self::Read { .. } => None,
            Self::Write(error) => error.hint(),
        }
    }
}
