//! The key `values` of a stack.yaml: what its templates can ask an environment for, and which values fit.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::device::compile;
use super::environment::EnvValue;
use crate::compose::Size;
use crate::yaml::{Source, Spanned, YamlError, beside};

/// What a stack says about one value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueDef {
    /// What kind of value it is.
    #[serde(rename = "type")]
    pub kind: Spanned<ValueType>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<Spanned<String>>,
    /// What a number counts, for people.
    #[serde(default)]
    pub unit: Option<Spanned<String>>,
    /// The smallest number or size.
    #[serde(default)]
    pub min: Option<Spanned<EnvValue>>,
    /// The largest number or size.
    #[serde(default)]
    pub max: Option<Spanned<EnvValue>>,
    /// The regular expression that a text matches as a whole.
    #[serde(default)]
    pub pattern: Option<Spanned<String>>,
    /// The only values that are allowed.
    #[serde(default)]
    pub one_of: Option<Spanned<Vec<Spanned<EnvValue>>>>,
    /// The value where an environment gives none.
    #[serde(default)]
    pub default: Option<Spanned<EnvValue>>,
    /// What each entry of a list is.
    #[serde(default)]
    pub items: Option<Box<Spanned<ValueDef>>>,
    /// What each key of a map in a list is.
    #[serde(default)]
    pub keys: BTreeMap<String, Spanned<ValueDef>>,
}

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Number,
    /// Text.
    Text,
    /// A size in bytes: a whole number, or one with k, m or g.
    Size,
    /// Several values.
    List,
    /// Named values, as entries of a list: elsewhere each has a dotted name of its own.
    Map,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "`true` or `false`",
            Self::Int => "a whole number",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Size => "a size such as 64m",
            Self::List => "a list",
            Self::Map => "a map",
        })
    }
}

/// A value, or a part of it, that does not fit, and why.
type Misfit = (Spanned<()>, String);

impl ValueDef {
    /// What does not fit of the value `name`, and why.
    pub fn misfit(&self, name: &str, value: &Spanned<EnvValue>) -> Option<Misfit> {
        let at = beside(value, ());
        if !self.is_of_type(&value.value) {
            return Some((at, format!("`{name}` is {}, not {}", shown(&value.value), self.wanted())));
        }
        if let Some(allowed) =
            self.one_of.as_ref().filter(|all| !all.value.iter().any(|one| same(one, value)))
        {
            let allowed: Vec<String> = allowed.value.iter().map(|one| shown(&one.value)).collect();
            return Some((
                at,
                format!("`{name}` is {}, not one of {}", shown(&value.value), allowed.join(", ")),
            ));
        }
        if !self.is_within(&value.value) || !self.is_matched(&value.value) {
            return Some((at, format!("`{name}` is {}, not {}", shown(&value.value), self.wanted())));
        }
        self.misfit_within(name, value)
    }

    fn misfit_within(&self, name: &str, value: &Spanned<EnvValue>) -> Option<Misfit> {
        match &value.value {
            EnvValue::List(items) => {
                let def = self.items.as_ref()?;
                let mut numbered = items.iter().enumerate();
                numbered.find_map(|(index, item)| def.value.misfit(&format!("{name}[{index}]"), item))
            }
            EnvValue::Map(entries) => {
                for (key, entry) in entries {
                    let Some(def) = self.keys.get(key) else {
                        let known: Vec<&str> = self.keys.keys().map(String::as_str).collect();
                        let message = format!("`{name}` has no key `{key}`, but: {}", known.join(", "));
                        return Some((beside(entry, ()), message));
                    };
                    if let Some(misfit) = def.value.misfit(&format!("{name}.{key}"), entry) {
                        return Some(misfit);
                    }
                }
                let key = self.keys.keys().find(|key| !entries.contains_key(*key))?;
                Some((beside(value, ()), format!("`{name}` lacks the key `{key}`")))
            }
            _ => None,
        }
    }

    fn is_of_type(&self, value: &EnvValue) -> bool {
        match (self.kind.value, value) {
            (ValueType::Bool, EnvValue::Bool(_))
            | (ValueType::Int | ValueType::Number, EnvValue::Int(_))
            | (ValueType::Number, EnvValue::Float(_))
            | (ValueType::Text, EnvValue::Text(_))
            | (ValueType::List, EnvValue::List(_))
            | (ValueType::Map, EnvValue::Map(_)) => true,
            (ValueType::Size, value) => size(value).is_some(),
            _ => false,
        }
    }

    fn is_within(&self, value: &EnvValue) -> bool {
        let Some(found) = self.amount(value) else { return true };
        let bound = |bound: &Option<Spanned<EnvValue>>| bound.as_ref().and_then(|b| self.amount(&b.value));
        bound(&self.min).is_none_or(|min| found >= min) && bound(&self.max).is_none_or(|max| found <= max)
    }

    fn is_matched(&self, value: &EnvValue) -> bool {
        match (&self.pattern, value) {
            (Some(pattern), EnvValue::Text(text)) => {
                compile(&pattern.value).is_ok_and(|pattern| pattern.is_match(text))
            }
            _ => true,
        }
    }

    /// What a value is compared by with the bounds.
    #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^53")]
    fn amount(&self, value: &EnvValue) -> Option<f64> {
        match (self.kind.value, value) {
            (ValueType::Size, value) => size(value).map(|bytes| bytes as f64),
            (_, EnvValue::Int(number)) => Some(*number as f64),
            (_, EnvValue::Float(number)) => Some(*number),
            _ => None,
        }
    }

    /// What a value must be, for people.
    pub fn wanted(&self) -> String {
        let bound = |bound: &Option<Spanned<EnvValue>>| bound.as_ref().map(|bound| shown(&bound.value));
        let range = match (bound(&self.min), bound(&self.max)) {
            (Some(min), Some(max)) => format!(" from {min} to {max}"),
            (Some(min), None) => format!(" of at least {min}"),
            (None, Some(max)) => format!(" of at most {max}"),
            (None, None) => String::new(),
        };
        let pattern =
            self.pattern.as_ref().map_or_else(String::new, |p| format!(" that matches `{}`", p.value));
        let unit = self.unit.as_ref().map_or_else(String::new, |unit| format!(" ({})", unit.value));
        format!("{}{range}{pattern}{unit}", self.kind.value)
    }
}

fn size(value: &EnvValue) -> Option<u64> {
    match value {
        EnvValue::Int(bytes) => u64::try_from(*bytes).ok(),
        EnvValue::Text(text) => text.parse::<Size>().ok().map(|Size(bytes)| bytes),
        _ => None,
    }
}

fn same(a: &Spanned<EnvValue>, b: &Spanned<EnvValue>) -> bool {
    shown(&a.value) == shown(&b.value)
}

/// A value in a message.
fn shown(value: &EnvValue) -> String {
    match value {
        EnvValue::Bool(flag) => format!("`{flag}`"),
        EnvValue::Int(number) => number.to_string(),
        EnvValue::Float(number) => number.to_string(),
        EnvValue::Text(text) => format!("`{}`", text.escape_debug()),
        EnvValue::List(items) => format!("a list of {}", items.len()),
        EnvValue::Map(_) => "a map".into(),
    }
}

type Defs = BTreeMap<String, Spanned<ValueDef>>;

/// Refuses declarations that cannot be used, at the part that is wrong.
pub(super) fn check(source: &Source, defs: Option<&Spanned<Defs>>) -> Result<(), YamlError> {
    let Some(defs) = defs else { return Ok(()) };
    for (name, def) in &defs.value {
        if !name.split('.').all(super::is_device_name) {
            let message =
                format!("`{name}` is no name of a value: lower-case letters, digits and `_` between dots");
            return Err(source.error_at(def, message));
        }
        let below = format!("{name}.");
        if let Some((other, at)) = defs.value.iter().find(|(other, _)| other.starts_with(&below)) {
            return Err(
                source.error_at(at, format!("`{other}` is a part of `{name}`, which is declared too"))
            );
        }
        if def.value.kind.value == ValueType::Map {
            let message = format!("a map is declared by its parts: `{name}.NAME`");
            return Err(source.error_at(&def.value.kind, message));
        }
        if def.value.description.as_ref().is_none_or(|text| text.value.trim().is_empty()) {
            return Err(source.error_at(def, format!("`{name}` has no `description`")));
        }
        check_def(source, name, def)?;
    }
    Ok(())
}

fn check_def(source: &Source, name: &str, def: &Spanned<ValueDef>) -> Result<(), YamlError> {
    let ValueDef { kind, min, max, pattern, one_of, default, items, keys, .. } = &def.value;
    let wants = |fits: bool, at: Option<Spanned<()>>, key: &str| match at.filter(|_| !fits) {
        Some(at) => Err(source.error_at(&at, format!("`{key}` has no meaning for {}", kind.value))),
        None => Ok(()),
    };
    let counted = matches!(kind.value, ValueType::Int | ValueType::Number | ValueType::Size);
    wants(counted, min.as_ref().or(max.as_ref()).map(|at| beside(at, ())), "min` and `max")?;
    wants(kind.value == ValueType::Text, pattern.as_ref().map(|at| beside(at, ())), "pattern")?;
    wants(kind.value == ValueType::List, items.as_ref().map(|at| beside(at, ())), "items")?;
    wants(kind.value == ValueType::Map, keys.values().next().map(|at| beside(at, ())), "keys")?;
    if let Some((pattern, Err(why))) = pattern.as_ref().map(|pattern| (pattern, compile(&pattern.value))) {
        return Err(source.error_at(pattern, format!("the pattern is refused: {why}")));
    }
    let plain = ValueDef { min: None, max: None, pattern: None, one_of: None, ..def.value.clone() };
    for bound in [min, max].into_iter().flatten() {
        refuse(source, plain.misfit(name, bound))?;
    }
    let amount = |bound: &Option<Spanned<EnvValue>>| bound.as_ref().and_then(|b| def.value.amount(&b.value));
    if let (Some(least), Some(most), Some(at)) = (amount(min), amount(max), max)
        && least > most
    {
        return Err(source.error_at(at, "`max` is less than `min`"));
    }
    for allowed in one_of.iter().flat_map(|all| &all.value) {
        let without = ValueDef { one_of: None, ..def.value.clone() };
        refuse(source, without.misfit(name, allowed))?;
    }
    refuse(source, default.as_ref().and_then(|default| def.value.misfit(name, default)))?;
    let inner = items.iter().map(|items| (format!("{name}[]"), &**items));
    for (name, def) in inner.chain(keys.iter().map(|(key, def)| (format!("{name}.{key}"), def))) {
        wants(def.value.default.is_none(), def.value.default.as_ref().map(|at| beside(at, ())), "default")?;
        check_def(source, &name, def)?;
    }
    Ok(())
}

fn refuse(source: &Source, misfit: Option<Misfit>) -> Result<(), YamlError> {
    misfit.map_or(Ok(()), |(at, message)| Err(source.error_at(&at, message)))
}
