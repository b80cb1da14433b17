//! The key `device_values` of a stack.yaml: what it says about each value, checked where it stands.

use serde::Deserialize;

use super::device::{BadDeclaration, DEFAULT_LENGTH, DeviceValue};
use crate::yaml::{Source, Spanned, YamlError};

/// A device value as the file declares it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceValueDef {
    /// The regular expression that a value matches as a whole.
    pub pattern: Spanned<String>,
    /// The value that the gate runs with.
    pub sample: Spanned<String>,
    /// The most characters a value has.
    #[serde(default)]
    pub max_length: Option<Spanned<u32>>,
}

impl DeviceValueDef {
    /// The declaration under its name.
    pub(super) fn declared(&self, name: &str) -> DeviceValue {
        DeviceValue {
            name: name.to_owned(),
            pattern: self.pattern.value.clone(),
            sample: self.sample.value.clone(),
            max_length: self.max_length.as_ref().map_or(DEFAULT_LENGTH, |length| length.value),
        }
    }
}

/// Refuses a declaration that cannot be used, at the part that is wrong.
pub(super) fn check(source: &Source, name: &str, def: &Spanned<DeviceValueDef>) -> Result<(), YamlError> {
    let Err(error) = def.value.declared(name).check_declaration() else { return Ok(()) };
    let message = error.to_string();
    Err(match (error, &def.value.max_length) {
        (BadDeclaration::Pattern { .. }, _) => source.error_at(&def.value.pattern, message),
        (BadDeclaration::Sample { .. }, _) => source.error_at(&def.value.sample, message),
        (BadDeclaration::Length(_), Some(length)) => source.error_at(length, message),
        (BadDeclaration::Name(_) | BadDeclaration::Length(_), _) => source.error_at(def, message),
    })
}
