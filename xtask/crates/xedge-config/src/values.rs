//! The values of an environment: its own over those that it extends, and over both those of a class of devices.
//!
//! Each value knows the file that it stands in. Nothing is rendered here.

use std::collections::BTreeMap;
use std::rc::Rc;

use camino::Utf8Path;
use xedge_model::stack::{CLASS_MARK, EnvValue, Environment, StackDef, ValueDef, is_name, leaves};
use xedge_model::tree::{At, join};
use xedge_model::yaml::{Source, Spanned, YamlError, beside};

use crate::error::Place;
use crate::files::{environments, read, unknown};
use crate::{Error, template};

/// The most environments that can extend each other.
const DEEPEST: usize = 16;

/// All values for one rendering.
pub(crate) struct Values {
    /// In the order in which they were laid over each other; those of other classes are only checked.
    layers: Vec<Layer>,
    merged: BTreeMap<String, Value>,
}

/// Values of one file that hold together.
struct Layer {
    source: Rc<Source>,
    values: BTreeMap<String, Spanned<EnvValue>>,
    /// The class of devices that they are for.
    class: Option<String>,
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Value {
    source: Rc<Source>,
    at: Spanned<()>,
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    One(EnvValue),
    Several(BTreeMap<String, Value>),
}

/// Environment and class in the name of both, `ENVIRONMENT` or `ENVIRONMENT--CLASS`.
pub fn split_class(name: &str) -> (&str, Option<&str>) {
    match name.split_once(CLASS_MARK) {
        Some((environment, class)) => (environment, Some(class)),
        None => (name, None),
    }
}

/// The name of an environment on a class of devices.
pub fn with_class(environment: &str, class: Option<&str>) -> String {
    class.map_or_else(|| environment.to_owned(), |class| format!("{environment}{CLASS_MARK}{class}"))
}

impl Values {
    /// Reads an environment, `NAME` or `NAME--CLASS`, and all that it extends.
    pub(crate) fn read(root: &Utf8Path, name: &str) -> Result<Self, Error> {
        let (environment, class) = split_class(name);
        let chain = chain(root, environment)?;
        if let Some(class) = class {
            check_class(&chain, class)?;
        }
        let layers = layers(chain);
        let chosen = layers.iter().filter(|layer| layer.class.is_none() || layer.class.as_deref() == class);
        let mut merged = BTreeMap::new();
        for layer in chosen {
            lay_over(&mut merged, "", made(&layer.source, &layer.values))?;
        }
        Ok(Self { layers, merged })
    }

    /// The values by the names that templates use.
    pub(crate) fn merged(&self) -> &BTreeMap<String, Value> {
        &self.merged
    }

    /// The dotted names of all values that are no maps, ordered.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        names_of(&self.merged, "", &mut names);
        names
    }

    /// The value that a template asks for by `asked`, which may go on into it or call something of it.
    pub(crate) fn find(&self, asked: &str) -> Option<(String, &Value)> {
        let mut parts = asked.split('.');
        let head = parts.next()?;
        let mut found = (head.to_owned(), self.merged.get(head)?);
        for part in parts {
            match &found.1.kind {
                Kind::Several(map) if map.contains_key(part) => found = (join(&found.0, part), &map[part]),
                _ => break,
            }
        }
        Some(found)
    }

    /// A value that no template of any stack asks for is a typing error, or a setting that only looks as if it did
    /// something; on whatever class of devices.
    pub(crate) fn check_used(&self, used: impl Fn(&str) -> bool, known: &[&str]) -> Result<(), YamlError> {
        for layer in &self.layers {
            for (name, at) in leaves(&layer.values) {
                if !used(&name) {
                    return Err(layer.source.unknown_name(at, "value, used by no template:", &name, known));
                }
            }
        }
        Ok(())
    }

    /// Checks every value that a stack declares, on whatever class of devices, and fills in what has a default.
    pub(crate) fn check_declared(&mut self, source: &Source, def: &StackDef) -> Result<(), Error> {
        let Some(declared) = &def.values else { return Ok(()) };
        for (name, def) in &declared.value {
            for layer in &self.layers {
                check_value(layer, source, name, def)?;
            }
            if let Some(default) = def.value.default.as_ref().filter(|_| !self.has(name)) {
                let value = of(&Rc::new(source.clone()), default);
                lay_over(&mut self.merged, "", nested(name, value))?;
            }
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some_and(|(found, _)| found == name)
    }
}

impl Value {
    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        Place::of(&self.source, At::from(&self.at))
    }
}

/// The environment and those that it extends, the outermost first.
fn chain(root: &Utf8Path, name: &str) -> Result<Vec<(Rc<Source>, Environment)>, Error> {
    let mut chain: Vec<(Rc<Source>, Environment, String)> = Vec::new();
    let mut next = name.to_owned();
    loop {
        let (source, environment) = one(root, &next, chain.last())?;
        let extends = environment.extends.clone();
        chain.push((Rc::new(source), environment, next));
        let Some(extends) = extends else { break };
        let from = chain.last().expect("one was just pushed");
        if let Some(start) = chain.iter().position(|(_, _, name)| *name == extends.value) {
            let circle: Vec<String> = chain[start..].iter().map(shown).collect();
            let message = format!("environments extend each other in a circle: {}", circle.join(", "));
            return Err(from.0.error_at(&extends, message).into());
        }
        if chain.len() >= DEEPEST {
            return Err(from
                .0
                .error_at(&extends, format!("more than {DEEPEST} environments extend each other"))
                .into());
        }
        next = extends.value;
    }
    chain.reverse();
    Ok(chain.into_iter().map(|(source, environment, _)| (source, environment)).collect())
}

/// `NAME extends OTHER (FILE:LINE)`.
fn shown((source, environment, name): &(Rc<Source>, Environment, String)) -> String {
    let Some(extends) = &environment.extends else { return name.clone() };
    format!("`{name}` extends `{}` ({}:{})", extends.value, source.file(), At::from(extends).line)
}

/// Reads one environment; `from` is the one that extends it.
fn one(
    root: &Utf8Path,
    name: &str,
    from: Option<&(Rc<Source>, Environment, String)>,
) -> Result<(Source, Environment), Error> {
    let path = root.join("environments").join(format!("{name}.yaml"));
    if is_name(name) && !name.contains(CLASS_MARK) && path.is_file() {
        let source = Source::new(path.as_str(), read(&path)?);
        let environment = Environment::parse(&source)?;
        return Ok((source, environment));
    }
    let known = environments(root)?;
    if let Some((source, Environment { extends: Some(extends), .. }, _)) = from {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(source.unknown_name(extends, "environment", name, &known).into());
    }
    Err(unknown("environment", name, &known))
}

fn check_class(chain: &[(Rc<Source>, Environment)], class: &str) -> Result<(), Error> {
    let mut known: Vec<String> =
        chain.iter().flat_map(|(_, environment)| environment.classes.keys().cloned()).collect();
    known.sort();
    known.dedup();
    if known.iter().any(|known| known == class) {
        Ok(())
    } else {
        Err(unknown("class of devices", class, &known))
    }
}

/// Values of environments, then those of classes: what a device is weighs more than which environment says so.
fn layers(chain: Vec<(Rc<Source>, Environment)>) -> Vec<Layer> {
    let (mut layers, mut of_classes) = (Vec::new(), Vec::new());
    for (source, environment) in chain {
        for (name, class) in environment.classes {
            of_classes.push(Layer { source: source.clone(), values: class.value.values, class: Some(name) });
        }
        layers.push(Layer { source, values: environment.values, class: None });
    }
    layers.append(&mut of_classes);
    layers
}

fn made(source: &Rc<Source>, values: &BTreeMap<String, Spanned<EnvValue>>) -> BTreeMap<String, Value> {
    values.iter().map(|(name, item)| (name.clone(), of(source, item))).collect()
}

fn of(source: &Rc<Source>, item: &Spanned<EnvValue>) -> Value {
    let kind = match &item.value {
        EnvValue::Map(map) => Kind::Several(made(source, map)),
        other => Kind::One(other.clone()),
    };
    Value { source: source.clone(), at: beside(item, ()), kind }
}

/// Maps grow together; anything else takes the place of what was there, if that was no map.
fn lay_over(
    under: &mut BTreeMap<String, Value>,
    path: &str,
    over: BTreeMap<String, Value>,
) -> Result<(), Error> {
    for (name, value) in over {
        let path = join(path, &name);
        let Some(there) = under.get_mut(&name) else {
            under.insert(name, value);
            continue;
        };
        match (&mut there.kind, value) {
            (Kind::Several(map), Value { kind: Kind::Several(more), .. }) => lay_over(map, &path, more)?,
            (Kind::One(_), value @ Value { kind: Kind::One(_), .. }) => *there = value,
            (_, value) => {
                let message =
                    format!("`{path}` is a map in one place and none in the other: {}", there.place());
                return Err(value.source.error_at(&value.at, message).into());
            }
        }
    }
    Ok(())
}

/// A value below its dotted name.
fn nested(name: &str, value: Value) -> BTreeMap<String, Value> {
    match name.split_once('.') {
        None => BTreeMap::from([(name.to_owned(), value)]),
        Some((head, rest)) => {
            let (source, at) = (value.source.clone(), value.at.clone());
            let kind = Kind::Several(nested(rest, value));
            BTreeMap::from([(head.to_owned(), Value { source, at, kind })])
        }
    }
}

fn names_of(values: &BTreeMap<String, Value>, path: &str, names: &mut Vec<String>) {
    for (name, value) in values {
        let path = join(path, name);
        match &value.kind {
            Kind::Several(map) if !map.is_empty() => names_of(map, &path, names),
            _ => names.push(path),
        }
    }
}

fn check_value(layer: &Layer, stack: &Source, name: &str, def: &Spanned<ValueDef>) -> Result<(), YamlError> {
    let mut parts = name.split('.');
    let mut found = parts.next().and_then(|head| layer.values.get(head));
    for part in parts {
        match found.map(|found| &found.value) {
            Some(EnvValue::Map(map)) => found = map.get(part),
            _ => return Ok(()),
        }
    }
    let Some((at, message)) = found.and_then(|value| def.value.misfit(name, value)) else { return Ok(()) };
    Err(layer.source.error_with_hint(&at, message, about(stack, name, def)))
}

/// What a stack says about a value, and where.
pub(crate) fn about(stack: &Source, name: &str, def: &Spanned<ValueDef>) -> String {
    let description = def.value.description.as_ref().map_or("", |text| text.value.trim());
    let line = At::from(def).line;
    format!("`{name}` is {}: {description} ({}:{line})", def.value.wanted(), stack.file())
}

/// What a stack's templates ask for and what it declares must be the same.
pub(crate) fn check_declarations(
    source: &Source,
    def: &StackDef,
    templates: &[(String, String)],
) -> Result<(), Error> {
    let Some(declared) = &def.values else { return Ok(()) };
    let covers = |asked: &str, name: &str| {
        let below =
            |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        below(asked, name) || below(name, asked)
    };
    let mut all = Vec::new();
    for (file, text) in templates {
        for name in template::used(file, text)?.into_iter().filter(|name| !template::is_of_device(name)) {
            if !template::is_own(&name) && !declared.value.keys().any(|known| covers(&name, known)) {
                let known = declared.value.keys().map(String::as_str);
                return Err(template::undeclared(file, text, &name, known, source.file()));
            }
            all.push(name);
        }
    }
    match declared.value.iter().find(|(name, _)| !all.iter().any(|asked| covers(asked, name))) {
        Some((name, at)) => {
            let message = format!("no template of this stack uses the value `{name}`");
            Err(source.error_at(at, message).into())
        }
        None => Ok(()),
    }
}
