//! The one place that knows the template engine: strict, without loaders, filters of ours or automatic escaping.

mod trace;

use std::collections::BTreeSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment as Engine, ErrorKind, UndefinedBehavior, Value};
use xedge_model::stack::{DEVICE, DeviceValue, EnvValue, StackDef};
use xedge_model::yaml::{Source, near};

use crate::Error;
use crate::error::Place;
use crate::values::{self, Kind, Values};
pub(crate) use trace::Line;

/// The steps that one template can take, with the bytes of the texts that it puts together: far more than any config file
/// needs, and done within a second.
const FUEL: u64 = 200_000;

/// Statements of the template language that are left out, since with them a template could call itself.
const RECURRING: [&str; 7] = ["macro", "call", "block", "extends", "include", "import", "from"];

/// What templates can use.
pub(crate) struct Given<'a> {
    pub(crate) values: &'a Values,
    pub(crate) device: &'a [DeviceValue],
    pub(crate) stack: (&'a Source, &'a StackDef),
}

impl Given<'_> {
    fn values(&self) -> Value {
        let device = self.device.iter().map(|value| (value.name.clone(), Value::from(value.placeholder())));
        let device = [(DEVICE.to_owned(), Value::from_pairs(device))];
        let values = self.values.merged().iter().map(|(name, item)| (name.clone(), of(item)));
        Value::from_pairs(values.chain(device))
    }

    /// What to write instead of a name that has no value.
    fn hint(&self, asked: &str) -> String {
        let (source, def) = self.stack;
        if let Some(declared) = def.values.as_ref().and_then(|values| values.value.get(asked)) {
            return format!("give it in the environment: {}", values::about(source, asked, declared));
        }
        let device = self.device.iter().map(|value| format!("{DEVICE}.{}", value.name));
        let known: Vec<String> = self.values.names().into_iter().chain(device).collect();
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
    let mut engine = engine(syntax());
    engine.set_fuel(Some(FUEL));
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

/// Whether the template language itself has this name, such as `range`.
pub(crate) fn is_own(asked: &str) -> bool {
    engine(syntax()).globals().any(|(name, _)| name == asked)
}

/// The problem that a template asks for a value that its stack, in the file `stack`, does not declare.
pub(crate) fn undeclared<'k>(
    file: &str,
    text: &str,
    asked: &str,
    known: impl Iterator<Item = &'k str>,
    stack: &str,
) -> Error {
    let place = Box::new(Place::at_offset(file, text, trace::first(text, syntax(), asked).unwrap_or(0)));
    let hint = match near(asked, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("declare it under `values` in {stack}"),
    };
    Error::Template { place, message: format!("`{asked}` is not declared"), hint: Some(hint) }
}

fn of(value: &values::Value) -> Value {
    match &value.kind {
        Kind::One(one) => plain(one),
        Kind::Several(map) => Value::from_pairs(map.iter().map(|(name, item)| (name.clone(), of(item)))),
    }
}

fn plain(value: &EnvValue) -> Value {
    match value {
        EnvValue::Bool(flag) => Value::from(*flag),
        EnvValue::Int(number) => Value::from(*number),
        EnvValue::Float(number) => Value::from(*number),
        EnvValue::Text(text) => Value::from(text.clone()),
        EnvValue::List(list) => list.iter().map(|item| plain(&item.value)).collect(),
        EnvValue::Map(map) => {
            Value::from_pairs(map.iter().map(|(name, item)| (name.clone(), plain(&item.value))))
        }
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
    let hint = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => Some(format!(
            "a template has {FUEL} steps, and so have bytes that it makes: are loops within loops meant?"
        )),
        (ErrorKind::SyntaxError, Some(detail)) if RECURRING.iter().any(|word| detail.ends_with(word)) => Some(
            "templates have no macros, blocks and includes, which could recur: write it out, or use `for`"
                .into(),
        ),
        _ => None,
    };
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    Error::Template { place, message, hint }
}
