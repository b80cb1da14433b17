//! The one way YAML comes in and goes out: strict input with file, line, column, snippet and near-name hints.
//!
//! No other module, and no other crate, names a YAML library.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Options};

pub use serde_saphyr::Spanned;

use crate::{Class, Failure};

/// A YAML file that cannot be used, with the place in it.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {file}:{line}:{column}: {message}{snippet}")]
pub struct YamlError {
    file: String,
    line: u64,
    column: u64,
    message: String,
    snippet: String,
    hint: Option<String>,
}

impl YamlError {
    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where it is.
    pub fn place(&self) -> crate::tree::At {
        crate::tree::At { line: self.line, column: self.column }
    }

    /// The line that it is on, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The same problem with another hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Failure for YamlError {
    fn class(&self) -> Class {
        Class::Input
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// A value that stands in no file.
pub fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Location::UNKNOWN, Location::UNKNOWN)
}

/// A value that was derived from the one at `at`: problems with it are shown there.
pub fn beside<T, U>(at: &Spanned<U>, value: T) -> Spanned<T> {
    Spanned::new(value, at.referenced, at.defined)
}

/// A YAML text and the name of its file, kept to report problems that only show after parsing.
#[derive(Clone, Debug)]
pub struct Source {
    file: String,
    text: String,
}

impl Source {
    /// A text read from `file`.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file's name as given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Parses the text: unknown keys (where `T` denies them), duplicate keys and YAML 1.1 surprises are errors.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, YamlError> {
        serde_saphyr::from_str_with_options(&self.text, options()).map_err(|error| self.refused(&error))
    }

    /// A problem with the value at `at`, found after parsing.
    pub fn error_at<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> YamlError {
        self.at(Some(at.referenced), message.into(), None)
    }

    /// The same, with what to do about it.
    pub fn error_with_hint<T>(&self, at: &Spanned<T>, message: impl Into<String>, hint: String) -> YamlError {
        self.at(Some(at.referenced), message.into(), Some(hint))
    }

    /// A problem with the name at `at`, with a hint when one of the `known` names is near.
    pub fn unknown_name<T>(&self, at: &Spanned<T>, what: &str, name: &str, known: &[&str]) -> YamlError {
        let hint = near(name, known.iter().copied())
            .map_or_else(|| known_names(known), |near| format!("did you mean `{near}`?"));
        self.at(Some(at.referenced), format!("unknown {what} `{name}`"), Some(hint))
    }

    /// A problem at a line and column, found after parsing.
    pub fn error_in(
        &self,
        at: crate::tree::At,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> YamlError {
        self.placed(at.line.max(1), at.column.max(1), message.into(), hint)
    }

    /// A problem of the file as a whole.
    pub fn error(&self, message: impl Into<String>) -> YamlError {
        self.at(None, message.into(), None)
    }

    fn refused(&self, error: &serde_saphyr::Error) -> YamlError {
        use serde_saphyr::Error as E;
        let plain = error.without_snippet();
        let (message, hint) = match plain {
            E::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
            E::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
            E::DuplicateMappingKey { key: Some(key), .. } => (format!("duplicate key `{key}`"), None),
            E::InvalidBooleanStrict { .. } => ("expected `true` or `false`".to_owned(), None),
            E::InvalidScalar { ty, .. } => (format!("expected {}", words(ty)), None),
            other => (strip_location(&other.to_string()), None),
        };
        self.at(error.location(), message, hint)
    }

    fn at(&self, location: Option<Location>, message: String, hint: Option<String>) -> YamlError {
        let (line, column) = location.map_or((1, 1), |l| (l.line().max(1), l.column().max(1)));
        self.placed(line, column, message, hint)
    }

    fn placed(&self, line: u64, column: u64, message: String, hint: Option<String>) -> YamlError {
        let snippet = snippet(&self.text, line, column);
        YamlError { file: self.file.clone(), line, column, message, snippet, hint }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

fn unknown(what: &str, found: &str, expected: &[&str]) -> (String, Option<String>) {
    let hint = near(found, expected.iter().copied())
        .map_or_else(|| known_names(expected), |near| format!("did you mean `{near}`?"));
    (format!("unknown {what} `{found}`"), Some(hint))
}

/// The parser names Rust's types.
fn words(ty: &str) -> String {
    match ty {
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "floating point" => "a number".to_owned(),
        other => format!("a value of type {other}"),
    }
}

fn known_names(known: &[&str]) -> String {
    format!("known here: {}", known.join(", "))
}

/// The candidate that `name` was probably meant to be.
pub fn near<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let score = |candidate: &str| strsim::damerau_levenshtein(name, candidate);
    candidates
        .map(|candidate| (score(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()).div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The parser appends its own position to some messages; ours stands in front.
fn strip_location(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    match first.find(" at line ") {
        Some(end) => first[..end].to_owned(),
        None => first.to_owned(),
    }
}

fn snippet(text: &str, line: u64, column: u64) -> String {
    let index = usize::try_from(line - 1).unwrap_or(usize::MAX);
    let Some(content) = text.lines().nth(index) else { return String::new() };
    let gutter = line.to_string();
    let pad = " ".repeat(gutter.len());
    let before = " ".repeat(usize::try_from(column - 1).unwrap_or(0).min(content.chars().count()));
    format!("\n{pad} |\n{gutter} | {content}\n{pad} | {before}^")
}

/// Writes a value as YAML.
pub fn to_string<T: Serialize>(value: &T) -> String {
    serde_yaml::to_string(value).expect("the model's types have string keys only")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::Source;
    use crate::Failure;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only parsed")]
        duration_s: u32,
        #[expect(dead_code, reason = "only parsed")]
        strict: Option<bool>,
    }

    fn check(text: &str, message: &str, hint: Option<&str>) {
        let error = Source::new("f.yaml", text).parse::<Sample>().unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
        assert_eq!(error.hint().as_deref(), hint);
    }

    #[test]
    fn problems_name_the_place_and_the_near_name() {
        check(
            "duration_s: 1\ndurations: 2\n",
            "failed to read f.yaml:2:1: unknown key `durations`\n  |\n2 | durations: 2\n  | ^",
            Some("did you mean `duration_s`?"),
        );
        let duplicate = "failed to read f.yaml:2:1: duplicate key `duration_s`\n";
        check("duration_s: 1\nduration_s: 2\n", duplicate, None);
        let number = "failed to read f.yaml:1:13: expected a whole number from 0 to 4294967295\n";
        check("duration_s: many\n", number, None);
        let truth = "failed to read f.yaml:2:9: expected `true` or `false`\n";
        check("duration_s: 1\nstrict: yes\n", truth, None);
    }

    #[test]
    fn a_duplicate_key_in_a_map_is_an_error() {
        assert!(Source::new("f.yaml", "a: 1\na: 2\n").parse::<BTreeMap<String, u8>>().is_err());
    }
}
