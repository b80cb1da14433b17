//! `templates/environments/<name>.yaml`: the values that differ from one environment to another. No secrets.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{FORMAT, NAME_RULE, is_name};
use crate::format;
use crate::yaml::{Source, Spanned, YamlError};

/// The name under which templates find the values of a device; no value of an environment has it.
pub const DEVICE: &str = "device";

/// What stands between an environment and a class of devices in the name of both; neither name holds it.
pub const CLASS_MARK: &str = "--";

/// The values of one environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Format version of the file.
    pub format: Spanned<u32>,
    /// The environment whose values hold where this one has no others.
    #[serde(default)]
    pub extends: Option<Spanned<String>>,
    /// The values, by the names that templates use.
    pub values: BTreeMap<String, Spanned<EnvValue>>,
    /// What is different on a class of devices, by its name.
    #[serde(default)]
    pub classes: BTreeMap<String, Spanned<DeviceClass>>,
}

/// What is different on one class of devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceClass {
    /// The values, by the names that templates use.
    pub values: BTreeMap<String, Spanned<EnvValue>>,
}

/// A value that a template can use.
#[derive(Clone, Debug)]
pub enum EnvValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text without control characters.
    Text(String),
    /// Several values.
    List(Vec<Spanned<EnvValue>>),
    /// Named values.
    Map(BTreeMap<String, Spanned<EnvValue>>),
}

impl Environment {
    /// Reads and checks one environment.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let environment: Self = format::parse(source, FORMAT)?;
        check_all(source, &environment.values)?;
        for (name, class) in &environment.classes {
            if !is_name(name) || name.contains(CLASS_MARK) {
                let message = format!("`{name}` is no name of a class: {NAME_RULE}, and no `{CLASS_MARK}`");
                return Err(source.error_at(class, message));
            }
            check_all(source, &class.value.values)?;
        }
        Ok(environment)
    }

    /// The dotted names of all values that are not maps themselves, with their places, ordered.
    pub fn leaves(&self) -> Vec<(String, &Spanned<EnvValue>)> {
        leaves(&self.values)
    }
}

/// The dotted names of all of these values that are not maps themselves, with their places, ordered.
pub fn leaves(values: &BTreeMap<String, Spanned<EnvValue>>) -> Vec<(String, &Spanned<EnvValue>)> {
    let mut leaves = Vec::new();
    for (key, value) in values {
        collect(key.clone(), value, &mut leaves);
    }
    leaves
}

fn check_all(source: &Source, values: &BTreeMap<String, Spanned<EnvValue>>) -> Result<(), YamlError> {
    for (key, value) in values {
        if key == DEVICE {
            let message =
                format!("`{DEVICE}` is where templates find what stack.yaml lists under `device_values`");
            return Err(source.error_at(value, message));
        }
        check(source, key, key, value)?;
    }
    Ok(())
}

fn collect<'a>(
    path: String,
    value: &'a Spanned<EnvValue>,
    leaves: &mut Vec<(String, &'a Spanned<EnvValue>)>,
) {
    match &value.value {
        EnvValue::Map(map) if !map.is_empty() => {
            for (key, value) in map {
                collect(format!("{path}.{key}"), value, leaves);
            }
        }
        _ => leaves.push((path, value)),
    }
}

/// A line break in a value would add lines of its own to a config file, where the last line wins.
fn check(source: &Source, path: &str, key: &str, value: &Spanned<EnvValue>) -> Result<(), YamlError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !key.starts_with(|c: char| c.is_ascii_lowercase()) || !key.chars().all(fits) {
        let message =
            format!("`{}` is no name of a value: lower-case letters, digits and `_`", path.escape_debug());
        return Err(source.error_at(value, message));
    }
    match &value.value {
        EnvValue::Text(text) => match text.chars().find(|c| is_forbidden(*c)) {
            Some(c) => {
                let message = format!(
                    "value `{path}` holds the control character U+{:04X}, which could add lines to a file",
                    u32::from(c)
                );
                Err(source.error_at(value, message))
            }
            None => Ok(()),
        },
        EnvValue::List(list) => list.iter().try_for_each(|item| check(source, path, key, item)),
        EnvValue::Map(map) => {
            map.iter().try_for_each(|(key, item)| check(source, &format!("{path}.{key}"), key, item))
        }
        EnvValue::Bool(_) | EnvValue::Int(_) | EnvValue::Float(_) => Ok(()),
    }
}

/// Control characters, the separators that some readers take for line breaks, and those that reorder what a reviewer sees.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = EnvValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a boolean, a number, text, a list or a map")
    }

    fn visit_bool<E>(self, value: bool) -> Result<EnvValue, E> {
        Ok(EnvValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<EnvValue, E> {
        Ok(EnvValue::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<EnvValue, E> {
        i64::try_from(value).map(EnvValue::Int).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<EnvValue, E> {
        Ok(EnvValue::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<EnvValue, E> {
        Ok(EnvValue::Text(value.to_owned()))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<EnvValue, E> {
        Err(E::custom("the value is empty: leave the key out, or write \"\""))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<EnvValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(EnvValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<EnvValue, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = access.next_entry::<String, Spanned<EnvValue>>()? {
            if map.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("duplicate key `{key}`")));
            }
        }
        Ok(EnvValue::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::{EnvValue, Environment};
    use crate::yaml::{Source, YamlError};

    fn parse(values: &str) -> Result<Environment, YamlError> {
        Environment::parse(&Source::new("e.yaml", format!("format: 1\nvalues:\n{values}")))
    }

    #[test]
    fn values_keep_their_types_and_names() {
        let environment = parse("  a: 1\n  b: {c: text, d: [true, 0.5]}\n  e: \"1\"\n").unwrap();
        let names: Vec<String> = environment.leaves().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b.c", "b.d", "e"]);
        assert!(matches!(environment.values["a"].value, EnvValue::Int(1)));
        assert!(matches!(&environment.values["e"].value, EnvValue::Text(text) if text == "1"));
    }

    #[test]
    fn control_characters_are_refused_by_name_and_place() {
        let check = |values: &str, start: &str| {
            let error = parse(values).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
        };
        check(
            "  ok: 1\n  topic: \"a\\nallow_anonymous true\"\n",
            "failed to read e.yaml:4:10: value `topic` holds the control character U+000A",
        );
        check(
            "  a: {b: [\"x\\0\"]}\n",
            "failed to read e.yaml:3:11: value `a.b` holds the control character U+0000",
        );
        check(
            "  a: \"\\u2028\"\n",
            "failed to read e.yaml:3:6: value `a` holds the control character U+2028",
        );
        check("  a: |\n    two\n    lines\n", "failed to read e.yaml:4:5: value `a` holds");
        check("  A-b: 1\n", "failed to read e.yaml:3:8: `A-b` is no name of a value");
        check("  device: 1\n", "failed to read e.yaml:3:11: `device` is where templates find");
        check("  a:\n", "failed to read e.yaml:");
        check("  a: {b: 1, b: 2}\n", "failed to read e.yaml:");
        check("  a: .inf\n", "failed to read e.yaml:3:6: non-finite float");
    }
}
