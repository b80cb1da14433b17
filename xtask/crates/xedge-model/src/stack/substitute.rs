//! Placeholders in files, and a device's values in their place. Bytes to bytes, nothing is read or written.

use std::collections::BTreeMap;
use std::ops::Range;

use super::device::{DeviceValue, MAX_NAME, Unfit, is_device_name};
use crate::{Class, Failure};

/// What starts a placeholder; in a rendered file it stands for nothing else.
const OPEN: &[u8] = b"@{";

/// One `@{` in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder<'a> {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// The name in it; `None` where no well-formed name and `}` follow.
    pub name: Option<&'a str>,
}

/// Why values cannot be put into a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubstituteError {
    /// A declared value is not given.
    #[error("the device value `{0}` is missing")]
    Missing(String),
    /// A value is given that is not declared.
    #[error("the device value `{}` is not one of this stack", .0.escape_debug())]
    Surplus(String),
    /// A value does not fit its declaration.
    #[error("the device value `{name}` is refused")]
    Unfit {
        /// The value's name.
        name: String,
        /// Why.
        source: Unfit,
    },
    /// The file asks for a value that is not declared.
    #[error("line {line} asks for the device value `{name}`, which is not declared")]
    Unknown {
        /// Line, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// The file holds `@{` that is no placeholder.
    #[error("line {line} holds `@{{` that is no placeholder")]
    Stray {
        /// Line, from 1.
        line: usize,
    },
}

impl Failure for SubstituteError {
    fn class(&self) -> Class {
        Class::Input
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

/// Puts a device's values in place of their placeholders. Exactly the declared values must be given, and fit; the text may
/// use any of them, and no other.
pub fn substitute(
    text: &[u8],
    declared: &[DeviceValue],
    values: &BTreeMap<String, String>,
) -> Result<Vec<u8>, SubstituteError> {
    check_values(declared, values)?;
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    for placeholder in placeholders(text) {
        let line = || line_of(text, placeholder.range.start);
        let name = placeholder.name.ok_or_else(|| SubstituteError::Stray { line: line() })?;
        let unknown = || SubstituteError::Unknown { line: line(), name: name.to_owned() };
        let value = values.get(name).ok_or_else(unknown)?;
        out.extend_from_slice(&text[done..placeholder.range.start]);
        out.extend_from_slice(value.as_bytes());
        done = placeholder.range.end;
    }
    out.extend_from_slice(&text[done..]);
    Ok(out)
}

/// Whether exactly the declared values are given, each one fitting.
pub fn check_values(
    declared: &[DeviceValue],
    values: &BTreeMap<String, String>,
) -> Result<(), SubstituteError> {
    for value in declared {
        let name = || value.name.clone();
        let given = values.get(&value.name).ok_or_else(|| SubstituteError::Missing(name()))?;
        value.check(given).map_err(|source| SubstituteError::Unfit { name: name(), source })?;
    }
    match values.keys().find(|name| !declared.iter().any(|value| value.name == **name)) {
        Some(name) => Err(SubstituteError::Surplus(name.clone())),
        None => Ok(()),
    }
}

/// The samples of all declared values, by name: what the gate runs with.
pub fn samples(declared: &[DeviceValue]) -> BTreeMap<String, String> {
    declared.iter().map(|value| (value.name.clone(), value.sample.clone())).collect()
}

/// Every `@{` of a text, in order.
pub fn placeholders(text: &[u8]) -> Vec<Placeholder<'_>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].windows(OPEN.len()).position(|bytes| bytes == OPEN) {
        let start = at + found;
        let name = name(&text[start + OPEN.len()..]);
        let end = start + OPEN.len() + name.map_or(0, |name| name.len() + 1);
        all.push(Placeholder { range: start..end, name });
        at = end;
    }
    all
}

/// The name that stands before the first `}`.
fn name(rest: &[u8]) -> Option<&str> {
    let length = rest.iter().take(MAX_NAME + 1).position(|byte| *byte == b'}')?;
    std::str::from_utf8(&rest[..length]).ok().filter(|name| is_device_name(name))
}

fn line_of(text: &[u8], offset: usize) -> usize {
    text[..offset].split(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests;
