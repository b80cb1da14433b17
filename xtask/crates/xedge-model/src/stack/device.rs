//! Values that only a device knows: what a stack declares about them, and which ones fit.

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// The declaration of one value that every device gives itself, such as the name of its site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Unchecked")]
pub struct DeviceValue {
    /// Name; files hold the placeholder `@{NAME}`.
    pub name: String,
    /// The regular expression that a value matches as a whole.
    pub pattern: String,
    /// The value that the gate runs with.
    pub sample: String,
    /// The most characters a value has.
    pub max_length: u32,
}

/// A declaration as it stands in a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unchecked {
    name: String,
    pattern: String,
    sample: String,
    max_length: u32,
}

impl TryFrom<Unchecked> for DeviceValue {
    type Error = BadDeclaration;

    fn try_from(raw: Unchecked) -> Result<Self, BadDeclaration> {
        let Unchecked { name, pattern, sample, max_length } = raw;
        let value = Self { name, pattern, sample, max_length };
        value.check_declaration()?;
        Ok(value)
    }
}

/// Why a declaration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDeclaration {
    /// The name cannot stand in a template.
    #[error("`{}` is no name of a device value: {DEVICE_NAME_RULE}", .0.escape_debug())]
    Name(String),
    /// The pattern is too long, not printable, or no regular expression.
    #[error("the pattern `{}` is refused: {why}", .pattern.escape_debug())]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// The length is none.
    #[error("the length {0} is not within 1 to {MAX_LENGTH}")]
    Length(u32),
    /// The sample does not fit its own declaration.
    #[error("the sample `{}` does not fit: {why}", .sample.escape_debug())]
    Sample {
        /// The sample.
        sample: String,
        /// What is wrong with it.
        why: Unfit,
    },
}

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has too many characters.
    #[error("it has {length} characters, and {most} are the most")]
    Length {
        /// Characters it has.
        length: usize,
        /// Characters it may have.
        most: u32,
    },
    /// It holds a character that could mean something in a file.
    #[error("it holds {}: only printable ASCII without {FORBIDDEN_SHOWN} is taken", .0.escape_unicode())]
    Character(char),
    /// It does not match.
    #[error("it does not match `{0}` as a whole")]
    Pattern(String),
    /// The pattern itself cannot be used.
    #[error("nothing can match the pattern: {0}")]
    NoPattern(String),
}

/// What [`is_device_name`] demands, for people.
pub const DEVICE_NAME_RULE: &str = "up to 63 lower-case letters, digits and `_`, the first a letter";

/// The longest name of a device value.
pub(super) const MAX_NAME: usize = 63;

/// The length of a value where a stack names none.
pub(super) const DEFAULT_LENGTH: u32 = 64;

const MAX_LENGTH: u32 = 1024;
const MAX_PATTERN: usize = 200;
/// Bytes of a compiled pattern: more than any sensible one has, and little enough for a small device.
const MAX_COMPILED: usize = 1 << 20;

/// What could end a string, start a comment or be filled in once more: bundle format, §6.
const FORBIDDEN: [char; 8] = ['"', '\\', '@', '{', '}', '#', '$', '`'];
const FORBIDDEN_SHOWN: &str = "`\"`, `\\`, `@`, `{`, `}`, `#`, `$` and the backtick";

impl DeviceValue {
    /// The text that stands in a file where the value goes.
    pub fn placeholder(&self) -> String {
        placeholder(&self.name)
    }

    /// Whether a device may give this value.
    pub fn check(&self, value: &str) -> Result<(), Unfit> {
        let length = value.chars().count();
        if usize::try_from(self.max_length).is_ok_and(|most| length > most) {
            return Err(Unfit::Length { length, most: self.max_length });
        }
        if let Some(bad) = value.chars().find(|c| !fits(*c)) {
            return Err(Unfit::Character(bad));
        }
        let pattern = compile(&self.pattern).map_err(Unfit::NoPattern)?;
        if pattern.is_match(value) { Ok(()) } else { Err(Unfit::Pattern(self.pattern.clone())) }
    }

    /// Whether the declaration itself can be used; its sample must fit it.
    pub fn check_declaration(&self) -> Result<(), BadDeclaration> {
        if !is_device_name(&self.name) {
            return Err(BadDeclaration::Name(self.name.clone()));
        }
        if let Err(why) = compile(&self.pattern) {
            return Err(BadDeclaration::Pattern { pattern: self.pattern.clone(), why });
        }
        if !(1..=MAX_LENGTH).contains(&self.max_length) {
            return Err(BadDeclaration::Length(self.max_length));
        }
        let sample = || self.sample.clone();
        self.check(&self.sample).map_err(|why| BadDeclaration::Sample { sample: sample(), why })
    }
}

/// Whether this can name a device value: a name in templates, and nothing that a placeholder could end at.
pub fn is_device_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.len() <= MAX_NAME && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(inner)
}

pub(super) fn placeholder(name: &str) -> String {
    format!("@{{{name}}}")
}

fn fits(c: char) -> bool {
    matches!(c, ' '..='~') && !FORBIDDEN.contains(&c)
}

/// The pattern with its ends tied to the ends of the value. It must be an expression by itself too, or one such as
/// `a)|(?:b` would come loose.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() || pattern.len() > MAX_PATTERN {
        return Err(format!("it has {} bytes, not 1 to {MAX_PATTERN}", pattern.len()));
    }
    if let Some(bad) = pattern.chars().find(|c| !matches!(c, ' '..='~')) {
        return Err(format!("it holds {}, which is not printable ASCII", bad.escape_unicode()));
    }
    let build = |text: &str| RegexBuilder::new(text).size_limit(MAX_COMPILED).build();
    build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z"))).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
