//! From a stack and an environment to checked files. Reads below the templates folder, writes nothing.

use std::collections::BTreeSet;

use camino::Utf8Path;
use xedge_model::compose::{Compose, MountSource};
use xedge_model::image::Mode;
use xedge_model::stack::{
    DEVICE, DeviceValue, Operation, RelPath, SecretReference, StackDef, StackFile, is_name, placeholders,
};
use xedge_model::yaml::{Source, YamlError};

use crate::conf::Conf;
use crate::files::{STACK_FILE, read, stacks, templates, unknown};
use crate::origin::{self, Origin, Places};
use crate::rendered::{COMPOSE_FILE, Content, Rendered, RenderedFile};
use crate::template::Given;
use crate::values::{Values, check_declarations};
use crate::{Error, Place, late, template};

const COMPOSE_MODE: u32 = 0o644;

/// Renders a stack with the values of an environment; `root` is the templates folder.
pub fn render(root: &Utf8Path, stack_name: &str, environment_name: &str) -> Result<Rendered, Error> {
    let (stack_source, def) = read_stack(root, stack_name)?;
    let mut values = Values::read(root, environment_name)?;
    let used = used_anywhere(root)?;
    let known: Vec<&str> = used.iter().map(String::as_str).collect();
    values.check_used(|name| used.iter().any(|ask| asks(ask, name)), &known)?;
    check_declarations(&stack_source, &def, &own_templates(root, &def)?)?;
    values.check_declared(&stack_source, &def)?;
    let declared = def.device_values();
    let given = Given { values: &values, device: &declared, stack: (&stack_source, &def) };
    let places = Places { values: &values, stack: (&stack_source, &def) };
    let rendering = Rendering { root, given, places, environment_name };
    let (compose, file) = rendering.compose(&def)?;
    let mut files = Vec::new();
    for file in &def.files {
        files.push(rendering.file(file)?);
    }
    compose.check_binds(&files)?;
    let secrets = compose.secrets()?;
    files.push(file);
    check_device_values_used(root, &stack_source, &def)?;
    let device_values = asked(&declared, &files);
    Ok(Rendered::new(stack_name, environment_name, files, compose.compose, secrets, device_values))
}

/// Reads and checks one stack's definition.
pub fn stack(root: &Utf8Path, name: &str) -> Result<StackDef, Error> {
    read_stack(root, name).map(|(_, def)| def)
}

/// What a device needs to know of a rendered stack beside its configuration.
pub fn operation(root: &Utf8Path, rendered: &Rendered) -> Result<Operation, Error> {
    let (source, def) = read_stack(root, rendered.stack())?;
    Ok(def.operation(&source, rendered.compose())?)
}

fn read_stack(root: &Utf8Path, name: &str) -> Result<(Source, StackDef), Error> {
    let path = root.join("stacks").join(name).join(STACK_FILE);
    if !is_name(name) || !path.is_file() {
        return Err(unknown("stack", name, &stacks(root)?));
    }
    let source = Source::new(path.as_str(), read(&path)?);
    let def = StackDef::parse(&source, name)?;
    Ok((source, def))
}

/// The names that templates of any stack ask environments for.
fn used_anywhere(root: &Utf8Path) -> Result<BTreeSet<String>, Error> {
    let mut used = BTreeSet::new();
    for path in templates(root)? {
        used.extend(template::used(path.as_str(), &read(&path)?)?);
    }
    used.retain(|ask| !template::is_of_device(ask));
    Ok(used)
}

/// Whether asking for `ask` asks for `leaf` too.
fn asks(ask: &str, leaf: &str) -> bool {
    leaf.strip_prefix(ask).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The templates of one stack: path and text.
fn own_templates(root: &Utf8Path, def: &StackDef) -> Result<Vec<(String, String)>, Error> {
    let paths = def.files.iter().map(|file| &file.template).chain([&def.compose]);
    paths.map(|path| own_template(root, &path.value)).collect()
}

fn own_template(root: &Utf8Path, path: &RelPath) -> Result<(String, String), Error> {
    let full = root.join(path.as_path());
    if full.is_file() {
        return Ok((full.to_string(), read(&full)?));
    }
    let known: Vec<String> =
        templates(root)?.iter().filter_map(|p| p.strip_prefix(root).ok()).map(ToString::to_string).collect();
    Err(unknown("template", path.as_str(), &known))
}

/// A device value that no template of its stack asks for would be demanded from every device for nothing.
fn check_device_values_used(root: &Utf8Path, source: &Source, def: &StackDef) -> Result<(), Error> {
    let mut used = BTreeSet::new();
    for (file, text) in own_templates(root, def)? {
        used.extend(template::used(&file, &text)?);
    }
    let unused = |name: &str| !used.iter().any(|ask| asks(ask, &format!("{DEVICE}.{name}")));
    match def.device_values.iter().find(|(name, _)| unused(name)) {
        Some((name, at)) => {
            let message = format!(
                "no template of this stack uses the device value `{name}`: write {{{{ {DEVICE}.{name} }}}}"
            );
            Err(source.error_at(at, message).into())
        }
        None => Ok(()),
    }
}

/// Those declared values that the files ask for in this environment.
fn asked(declared: &[DeviceValue], files: &[RenderedFile]) -> Vec<DeviceValue> {
    let found: BTreeSet<&str> =
        files.iter().flat_map(|file| placeholders(file.bytes())).filter_map(|found| found.name).collect();
    declared.iter().filter(|value| found.contains(value.name.as_str())).cloned().collect()
}

/// What all files of one rendering share.
struct Rendering<'a> {
    root: &'a Utf8Path,
    given: Given<'a>,
    places: Places<'a>,
    environment_name: &'a str,
}

/// A rendered template, before anything reads it.
struct Draft {
    /// Its name in messages.
    name: String,
    text: String,
    origins: Vec<Origin>,
}

impl Draft {
    /// A problem with a line of the text, with what the line comes from.
    fn traced(&self, problem: Error) -> Error {
        match problem.rendered_line().and_then(|line| self.origins.get(line - 1)) {
            Some(origin) => Error::Traced { problem: Box::new(problem), origin: Box::new(origin.clone()) },
            None => problem,
        }
    }
}

impl Rendering<'_> {
    /// The Compose file as its template says it, and as it is written: in a fixed order, below a comment.
    fn compose<'d>(&self, def: &'d StackDef) -> Result<(ComposeDraft<'d>, RenderedFile), Error> {
        let draft = self.template(&def.compose.value)?;
        let source = Source::new(&draft.name, &draft.text);
        let compose = Compose::parse(&source).map_err(|e| compose_error(def, &draft.origins, e))?;
        let text = format!(
            "# Stack {} for {}, made by `cargo xtask render`: change templates/ instead of this file.\n{}",
            def.name.value,
            self.environment_name,
            compose.to_text()
        );
        let origins = origin::of_compose(&text, &source, &draft.origins);
        let written = Draft { name: self.name(COMPOSE_FILE), text, origins };
        late::check_compose(&written.name, &written.text, &compose).map_err(|e| written.traced(e))?;
        let file =
            RenderedFile::new(COMPOSE_FILE, COMPOSE_MODE, written.text, Content::Compose, written.origins);
        Ok((ComposeDraft { def, source, origins: draft.origins, compose }, file))
    }

    fn file(&self, file: &StackFile) -> Result<RenderedFile, Error> {
        let draft = self.template(&file.template.value)?;
        let output = &file.output.value;
        let content = match (output.as_path().file_name(), output.as_path().extension()) {
            (Some("mosquitto.conf"), _) => Conf::parse(&draft.name, &draft.text).map(Content::Conf),
            (_, Some("toml")) => parse_toml(&draft.name, &draft.text).map(Content::Toml),
            _ => Ok(Content::Other),
        };
        let content = content.map_err(|problem| draft.traced(problem))?;
        let Mode(mode) = file.mode.value;
        Ok(RenderedFile::new(output.as_str(), mode, draft.text, content, draft.origins))
    }

    fn template(&self, path: &RelPath) -> Result<Draft, Error> {
        let (file, template) = own_template(self.root, path)?;
        let rendered = template::render(&file, &template, &self.given)?;
        let origins = self.places.origins(&file, &template, &rendered.lines);
        let draft = Draft { name: self.name(path.as_str()), text: rendered.text, origins };
        late::check_names(&draft.name, &draft.text, self.given.device).map_err(|e| draft.traced(e))?;
        Ok(draft)
    }

    /// The name of a rendered file in messages.
    fn name(&self, file: &str) -> String {
        format!("{file} (rendered for {})", self.environment_name)
    }
}

fn parse_toml(name: &str, text: &str) -> Result<toml::Table, Error> {
    let malformed = |error: toml::de::Error| Error::Malformed {
        place: Box::new(Place::at_offset(name, text, error.span().map_or(0, |span| span.start))),
        message: error.message().to_owned(),
    };
    let table = toml::from_str(text).map_err(malformed)?;
    late::check_toml(name, text, &table)?;
    Ok(table)
}

/// A Compose file with the text that it was read from, for what only shows next to the stack's other files.
struct ComposeDraft<'d> {
    def: &'d StackDef,
    source: Source,
    origins: Vec<Origin>,
    compose: Compose,
}

impl ComposeDraft<'_> {
    /// A bind mount whose source is not rendered would be made by the Engine as an empty folder owned by root.
    fn check_binds(&self, files: &[RenderedFile]) -> Result<(), Error> {
        for service in self.compose.services.values() {
            for mount in &service.value.volumes {
                let MountSource::Bind(bind) = &mount.value.source else { continue };
                if !files.iter().any(|file| file.path().starts_with(bind.as_path())) {
                    let message = format!("the bind mount `./{bind}` holds no file of this stack");
                    return Err(self.error(self.source.error_at(mount, message)));
                }
                if !mount.value.read_only {
                    let message =
                        format!("the bind mount `./{bind}` must be `:ro`: what is signed must not change");
                    return Err(self.error(self.source.error_at(mount, message)));
                }
            }
        }
        Ok(())
    }

    /// The references to those of the stack's secrets that the Compose file uses.
    fn secrets(&self) -> Result<Vec<SecretReference>, Error> {
        let known: Vec<&str> = self.def.secrets.keys().map(String::as_str).collect();
        for (name, at) in &self.compose.secrets {
            if !known.contains(&name.as_str()) {
                return Err(self.error(self.source.unknown_name(
                    at,
                    "secret, not in stack.yaml:",
                    name,
                    &known,
                )));
            }
        }
        let used = |secret: &SecretReference| self.compose.secrets.contains_key(&secret.name);
        Ok(self.def.references().into_iter().filter(used).collect())
    }

    fn error(&self, source: YamlError) -> Error {
        compose_error(self.def, &self.origins, source)
    }
}

fn compose_error(def: &StackDef, origins: &[Origin], source: YamlError) -> Error {
    let origin = usize::try_from(source.line()).ok().and_then(|line| origins.get(line.checked_sub(1)?));
    Error::Compose {
        template: def.compose.value.as_path().to_owned(),
        origin: origin.cloned().map(Box::new),
        source: Box::new(source),
    }
}
