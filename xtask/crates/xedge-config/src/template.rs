//! The one place that knows the template engine: strict, without loaders, filters of ours or automatic escaping.

mod trace;

use std::collections::{BTreeMap, BTreeSet};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment as Engine, ErrorKind, UndefinedBehavior, Value};
use xedge_model::stack::{DEVICE, DeviceValue, EnvValue, Environment};
use xedge_model::yaml::{Spanned, near};

use crate::Error;
use crate::error::Place;
pub(crate) use trace::Line;

/// What templates can use.
pub(crate) struct Given<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) device: &'a [DeviceValue],
}

impl Given<'_> {
    fn values(&self) -> Value {
        let device = self.device.iter().map(|value| (value.name.clone(), Value::from(value.placeholder())));
        let device = [(DEVICE.to_owned(), Value::from_pairs(device))];
        let values = self.environment.values.iter().map(|(name, item)| (name.clone(), value(&item.value)));
        Value::from_pairs(values.chain(device))
    }

    /// What to write instead of a name that has no value.
    fn hint(&self, asked: &str) -> String {
        let environment = self.environment.leaves().into_iter().map(|(name, _)| name);
        let device = self.device.iter().map(|value| format!("{DEVICE}.{}", value.name));
        let known: Vec<String> = environment.chain(device).collect();
        match near(asked, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if is_of_device(asked) => "declare it under `device_values` in stack.yaml".into(),
            None => format!("values of this environment: {}", known.join(", ")),
        }
    }
}

/// Whether a dotted name asks for a value of the device.
pub(crate) fn is_of_device(asked: &str) -> bool {
    asked.strip_prefix(DEVICE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A rendered template, and what each of its lines comes from.
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) lines: Vec<Line>,
}

/// Renders one template with an environment's values, and placeholders for a device's; `file` is its name in messages.
pub(crate) fn render(file: &str, text: &str, given: &Given<'_>) -> Result<Text, Error> {
    check_marks(file, text)?;
    let engine = engine(syntax());
    let template = engine.template_from_named_str(file, text).map_err(|e| problem(file, text, &e, None))?;
    let values = given.values();
    let rendered = template.render(&values).map_err(|error| problem(file, text, &error, Some(given)))?;
    let (traced, lines) = lines(text, &values).map_err(|error| problem(file, text, &error, None))?;
    debug_assert_eq!(traced, rendered, "marks change nothing");
    Ok(Text { text: rendered, lines })
}

/// What each line of a rendered template comes from; its trimming is done when it is marked.
fn lines(text: &str, values: &Value) -> Result<(String, Vec<Line>), minijinja::Error> {
    let marked = trace::mark(text, syntax())?;
    let engine = engine(SyntaxConfig::default());
    let rendered = engine.template_from_str(&marked.template)?.render(values)?;
    Ok(marked.lines(&rendered))
}

/// Two characters that no text needs are ours, to mark what a line comes from.
fn check_marks(file: &str, text: &str) -> Result<(), Error> {
    let Some(offset) = text.find(trace::MARKS) else { return Ok(()) };
    let place = Box::new(Place::at_offset(file, text, offset));
    let message = "a character here is reserved for use within programs (U+FDD0 or U+FDD1)".into();
    Err(Error::Template { place, message, hint: Some("take it out".into()) })
}

/// The dotted names of the values that a template asks for, in any branch.
pub(crate) fn used(file: &str, text: &str) -> Result<BTreeSet<String>, Error> {
    let engine = engine(syntax());
    let template = engine.template_from_named_str(file, text).map_err(|e| problem(file, text, &e, None))?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

fn values(map: &BTreeMap<String, Spanned<EnvValue>>) -> Value {
    Value::from_pairs(map.iter().map(|(name, item)| (name.clone(), value(&item.value))))
}

fn value(value: &EnvValue) -> Value {
    match value {
        EnvValue::Bool(flag) => Value::from(*flag),
        EnvValue::Int(number) => Value::from(*number),
        EnvValue::Float(number) => Value::from(*number),
        EnvValue::Text(text) => Value::from(text.clone()),
        EnvValue::List(list) => list.iter().map(|item| self::value(&item.value)).collect(),
        EnvValue::Map(map) => values(map),
    }
}

fn engine(syntax: SyntaxConfig) -> Engine<'static> {
    let mut engine = Engine::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_debug(true);
    engine.set_syntax(syntax);
    engine.set_formatter(|out, state, value| match value.kind() {
        // The engine's own way is Python's, with capitals, which no config file knows.
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        ValueKind::String | ValueKind::Number | ValueKind::Undefined => {
            minijinja::escape_formatter(out, state, value)
        }
        other => {
            let message = format!("a {other} cannot be written into a file: loop over it");
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        }
    });
    engine
}

/// A tag on a line of its own leaves nothing behind, and a file keeps its final line break.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .expect("the delimiters are the default ones")
}

fn problem(file: &str, text: &str, error: &minijinja::Error, given: Option<&Given<'_>>) -> Error {
    let place = Box::new(match error.range() {
        Some(range) => Place::at_offset(file, text, range.start),
        None => Place::new(file, text, error.line().unwrap_or(1), 1),
    });
    let asked = error.range().and_then(|range| text.get(range)).map(str::trim);
    if let (ErrorKind::UndefinedError, Some(asked), Some(given)) = (error.kind(), asked, given) {
        let hint = Some(given.hint(asked));
        return Error::Template { place, message: format!("`{asked}` has no value"), hint };
    }
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    Error::Template { place, message, hint: None }
}
