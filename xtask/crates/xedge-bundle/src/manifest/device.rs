//! The values of a device (FORMAT.md §6): whether one fits its declaration. Replaces nothing in any file.

use regex_lite::RegexBuilder;
use xedge_model::stack::is_name;

use crate::stand_in::DeviceValue;

/// The most characters that a declaration may allow.
const MAX_LENGTH: u32 = 1024;
/// The most memory that a compiled pattern may take, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// A declaration or a value that does not fit.
#[derive(Debug, thiserror::Error)]
#[error("the device value `{name}` {problem}")]
pub struct NotFitting {
    name: String,
    problem: String,
}

/// Refuses a declaration that no value could satisfy, or whose own sample does not.
pub fn check_declaration(value: &DeviceValue) -> Result<(), NotFitting> {
    if !is_name(&value.name) {
        return Err(refuse(value, "has no proper name"));
    }
    if !(1..=MAX_LENGTH).contains(&value.max_length) {
        return Err(refuse(value, &format!("may be 1 to {MAX_LENGTH} characters long")));
    }
    check_value(value, &value.sample)
}

/// Refuses a value that is too long, has a character that means something in a configuration file, or does not match
/// its pattern as a whole.
pub fn check_value(declaration: &DeviceValue, text: &str) -> Result<(), NotFitting> {
    if text.chars().count() > declaration.max_length as usize {
        return Err(refuse(declaration, &format!("has at most {} characters", declaration.max_length)));
    }
    let fits = |c: char| (' '..='~').contains(&c) && !r#""\@{}#$`"#.contains(c);
    if let Some(bad) = text.chars().find(|c| !fits(*c)) {
        return Err(refuse(declaration, &format!("must not have the character `{}`", bad.escape_debug())));
    }
    if !matches(declaration, text)? {
        return Err(refuse(declaration, &format!("`{text}` does not match `{}`", declaration.pattern)));
    }
    Ok(())
}

/// The pattern is compiled alone first: one such as `a)|(b` must not break out of the parentheses around it.
fn matches(declaration: &DeviceValue, text: &str) -> Result<bool, NotFitting> {
    let compile = |pattern: &str| {
        let built = RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
        built.map_err(|error| refuse(declaration, &format!("has a pattern that cannot be read: {error}")))
    };
    compile(&declaration.pattern)?;
    Ok(compile(&format!(r"^(?:{})$", declaration.pattern))?.is_match(text))
}

fn refuse(declaration: &DeviceValue, problem: &str) -> NotFitting {
    NotFitting { name: declaration.name.escape_debug().to_string(), problem: problem.to_owned() }
}
