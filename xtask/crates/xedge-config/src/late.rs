//! Device values in rendered files: only declared ones, and only where any fitting value leaves the rest as it was signed.

use xedge_model::compose::Compose;
use xedge_model::stack::{DeviceValue, placeholders};
use xedge_model::yaml::near;

use crate::Error;
use crate::error::Place;

/// The most that a value can do to a TOML file: quotes are its only characters that end a string anywhere.
const PROBE: &str = "'''";

/// Refuses `@{` in a rendered file that is no placeholder of a declared value.
pub(crate) fn check_names(file: &str, text: &str, declared: &[DeviceValue]) -> Result<(), Error> {
    for placeholder in placeholders(text.as_bytes()) {
        let known = || declared.iter().map(|value| value.name.as_str());
        match placeholder.name {
            Some(name) if known().any(|known| known == name) => {}
            Some(name) => {
                let message = format!("`@{{{name}}}` stands for no device value of this stack");
                let hint = near(name, known()).map(|near| format!("did you mean `@{{{near}}}`?"));
                return Err(refused(file, text, placeholder.range.start, message, hint));
            }
            None => {
                let message = "`@{` stands for a device value only, and no name of one follows".to_owned();
                return Err(refused(file, text, placeholder.range.start, message, None));
            }
        }
    }
    Ok(())
}

/// In TOML a placeholder stands in a value between double quotes, which no device value can end.
pub(crate) fn check_toml(file: &str, text: &str, table: &toml::Table) -> Result<(), Error> {
    for placeholder in placeholders(text.as_bytes()) {
        let range = placeholder.range;
        let probed = format!("{}{PROBE}{}", &text[..range.start], &text[range.end..]);
        let back = |table| restored(toml::Value::Table(table), &text[range.clone()]);
        let same = |probed: toml::Table| back(probed) == back(table.clone());
        if !toml::from_str(&probed).is_ok_and(same) {
            let message = "a device value must stand in a value between double quotes".to_owned();
            return Err(refused(file, text, range.start, message, None));
        }
    }
    Ok(())
}

/// The value with the placeholder back in place of every probe; keys stay as they are.
fn restored(value: toml::Value, placeholder: &str) -> toml::Value {
    match value {
        toml::Value::String(text) => toml::Value::String(text.replace(PROBE, placeholder)),
        toml::Value::Array(items) => {
            toml::Value::Array(items.into_iter().map(|item| restored(item, placeholder)).collect())
        }
        toml::Value::Table(table) => {
            let restore = |(key, value)| (key, restored(value, placeholder));
            toml::Value::Table(table.into_iter().map(restore).collect())
        }
        other => other,
    }
}

/// The Compose file is what the agent runs: a device value must not choose an image, a port or a volume. `text` is the file,
/// which ends with what `compose` gives.
pub(crate) fn check_compose(file: &str, text: &str, compose: &Compose) -> Result<(), Error> {
    let rest = without_placeholders(compose).to_text();
    let Some(found) = placeholders(rest.as_bytes()).into_iter().next() else { return Ok(()) };
    // Values stay on their lines, so that the line is the same in both.
    let above = text.lines().count() - rest.lines().count();
    let line = above + rest[..found.range.start].lines().count().max(1);
    let column = text.lines().nth(line - 1).and_then(|line| line.find("@{")).unwrap_or(0) + 1;
    Err(Error::Placeholder {
        place: Box::new(Place::new(file, text, line, column)),
        message: "a device value can only stand in the values of `environment`".into(),
        hint: Some("put it into a config file, or into a variable that the program reads".into()),
    })
}

/// The Compose file with every `@{` taken out of the values of `environment`.
fn without_placeholders(compose: &Compose) -> Compose {
    let mut compose = compose.clone();
    let services = compose.services.values_mut();
    for value in services.flat_map(|service| service.value.environment.0.values_mut()) {
        if let Ok(plain) = value.replace("@{", "").parse() {
            *value = plain;
        }
    }
    compose
}

fn refused(file: &str, text: &str, offset: usize, message: String, hint: Option<String>) -> Error {
    Error::Placeholder { place: Box::new(Place::at_offset(file, text, offset)), message, hint }
}
