//! `import compose`: a Compose file of someone else's as a stack of this project. Every key is taken, changed with notice, or
//! refused by name; nothing is dropped in silence, and nothing is written where anything is refused.

mod context;
mod environment;
mod error;
mod files;
mod images;
mod keys;
mod mounts;
mod report;
mod scalar;
mod secrets;
mod service;
mod settings;
mod top;
mod vars;
mod walk;
mod words;
mod write;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value as Json, json};
use xedge_model::Platform;
use xedge_model::compose::Compose;
use xedge_model::stack::{NAME_RULE, is_name};
use xedge_model::tree::{At, Tree, Value, join};
use xedge_model::yaml::{Source, near};

use crate::commands::{Context, host_platform};
use crate::error::{Result, read_text};
pub(crate) use error::ImportError;
use files::Copies;
use images::Images;
pub(crate) use report::Report;
use vars::{Filler, Values};
use walk::{Names, Step, Walk, dollars};
use write::Made;
pub(crate) use write::STAGES;

/// What is to be imported, and how.
pub(crate) struct Request<'a> {
    pub(crate) file: &'a Utf8Path,
    pub(crate) name: Option<&'a str>,
    pub(crate) env_files: &'a [Utf8PathBuf],
    pub(crate) without: &'a [String],
    pub(crate) platforms: &'a [Platform],
    pub(crate) dry_run: bool,
}

/// What came of an import.
pub(crate) struct Imported {
    pub(crate) stack: String,
    pub(crate) report: Report,
    /// What comes to the project, below its root.
    pub(crate) places: Vec<Utf8PathBuf>,
}

/// Imports a file. Where keys are not supported, the report says so and nothing is written.
pub(crate) fn import(cx: &Context<'_>, request: &Request<'_>) -> Result<Imported> {
    let file = cx.environment.folder()?.join(request.file);
    let source = Source::new(request.file.as_str(), read_text(&file)?);
    let folder = file.parent().unwrap_or(Utf8Path::new("/"));
    let mut tree = Tree::parse(&source)?;
    let mut report = Report::default();
    leave_out(&mut tree, request.without, &mut report)?;
    let stack = stack_name(request.name, &tree, folder)?;
    let values = values(cx, folder, request.env_files)?;
    let mut variables = Filler { source: &source, values: &values, report: &mut report, filled: Vec::new() };
    variables.fill("", &mut tree)?;
    let filled = variables.filled;
    scalar::note(&source, "", &tree, &mut report);
    let mut copies = Copies::default();
    let mut images = Images {
        root: cx.project.root(),
        known: cx.project.images()?,
        new: Vec::new(),
        platforms: request.platforms,
        host: host_platform().ok(),
    };
    let mut walk = Walk {
        source: &source,
        folder,
        stack: &stack,
        values: &values,
        report: &mut report,
        copies: &mut copies,
        names: Names::default(),
        variables: Vec::new(),
        filled,
        folders: BTreeMap::new(),
    };
    let (compose, owners) = compose(&mut walk, &mut images, &tree)?;
    let device_values = compose.1;
    for (leaf, at) in tree.leaves() {
        if report.says(&leaf).is_none() {
            report.unsupported(&leaf, at, "the import does not know what to do with it");
        }
    }
    let made = Made {
        root: cx.project.root(),
        stack: &stack,
        file: request.file.file_name().unwrap_or("compose.yaml"),
        compose: compose.0,
        copies: &copies.0,
        images: &images.new,
        device_values: &device_values,
        secrets: &owners,
    };
    let places = made.places();
    if report.unsupported_paths().is_empty() {
        made.write(request.dry_run)?;
    }
    Ok(Imported { stack, report, places })
}

/// The stack's Compose file with the names of its device values, and the owners of its secrets.
type Parts = ((String, Vec<String>), Vec<(String, u32)>);

fn compose(walk: &mut Walk<'_>, images: &mut Images<'_>, tree: &Tree) -> Result<Parts> {
    walk.top_keys(tree)?;
    declared_names(walk, tree)?;
    let mut services = Map::new();
    for (name, service) in tree.get("services").map(Tree::entries).unwrap_or_default() {
        let path = join("services", &name.name);
        let image = images.image(walk, &name.name, &path, service)?;
        let mut made = walk.service(&path, service)?;
        made.insert("image".into(), json!(image));
        fit(walk, &path, &mut made);
        services.insert(name.name.clone(), Json::Object(made));
    }
    circle(walk, tree, &services)?;
    let mut all = walk.top(tree)?;
    let device_values = secrets::hide(walk, &mut services);
    let owners = owners(&services);
    all.insert("services".into(), Json::Object(services));
    let text = dollars(Json::Object(all)).to_string();
    let compose = Compose::parse(&Source::new("compose.yaml", text)).map_err(|error| {
        // The place would be one in text that nobody wrote.
        let at = tree.get("services").map_or(tree.at, |services| services.at);
        walk.bad(at, error.message(), None)
    })?;
    Ok(((compose.to_text(), device_values), owners))
}

/// Keys that exclude each other: Compose ignores one of them, a stack does not have it.
fn fit(walk: &mut Walk<'_>, path: &str, service: &mut Map<String, Json>) {
    let Some(mode) = service.get("network_mode").and_then(Json::as_str).map(str::to_owned) else { return };
    if service.remove("ports").is_some_and(|ports| ports != json!([])) {
        let what = format!("left out: with `network_mode: {mode}` nothing is published");
        walk.report.decide(
            &join(path, "ports"),
            At::default(),
            what,
            "nothing to do: the program's ports are the host's",
        );
    }
}

fn declared_names(walk: &mut Walk<'_>, tree: &Tree) -> Step {
    if !matches!(tree.get("services").map(|services| &services.value), Some(Value::Map(all)) if !all.is_empty())
    {
        return Err(walk.bad(tree.at, "`services` is missing or empty", None));
    }
    for what in ["service", "network", "volume", "secret"] {
        let mut lower: Vec<(String, String)> = Vec::new();
        let declared =
            tree.get(&format!("{what}s")).map(|all| walk.map(all)).transpose()?.unwrap_or_default();
        for (name, _) in declared {
            if !is_name(&name.name) {
                return Err(walk.bad(
                    name.at,
                    format!("`{}` is no name of a {what}: {NAME_RULE}", name.name),
                    None,
                ));
            }
            let small = name.name.to_ascii_lowercase();
            if let Some((_, other)) = lower.iter().find(|(known, _)| *known == small) {
                let message = format!("`{}` and `{other}` differ in upper and lower case only", name.name);
                return Err(walk.bad(name.at, message, Some("give them names that differ in letters")));
            }
            lower.push((small, name.name.clone()));
        }
        let names: Vec<String> = lower.into_iter().map(|(_, name)| name).collect();
        match what {
            "service" => walk.names.services = names,
            "network" => walk.names.networks = names.into_iter().chain(["default".to_owned()]).collect(),
            "volume" => walk.names.volumes = names,
            _ => walk.names.secrets = names,
        }
    }
    Ok(())
}

/// Names and numbers that a service depends on.
fn needs(service: &Json) -> Vec<&str> {
    match service.get("depends_on") {
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        Some(Json::Object(names)) => names.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn circle(walk: &Walk<'_>, tree: &Tree, services: &Map<String, Json>) -> Step {
    let mut left: Vec<&String> = services.keys().collect();
    loop {
        let waits =
            |name: &&String| needs(&services[*name]).iter().any(|need| left.iter().any(|left| left == need));
        let still: Vec<&String> = left.iter().copied().filter(|name| waits(name)).collect();
        if still.len() == left.len() {
            break;
        }
        left = still;
    }
    let Some(first) = left.first() else { return Ok(()) };
    let at =
        tree.get("services").and_then(|all| all.get(first)).and_then(|service| service.get("depends_on"));
    let names: Vec<&str> = left.iter().map(|name| name.as_str()).collect();
    let message = format!("services depend on each other in a circle: {}", names.join(", "));
    Err(walk.bad(at.map_or(tree.at, |at| at.at), message, Some("take one of them out of `depends_on`")))
}

/// A secret belongs to the user of the service that reads it, where that is a number.
fn owners(services: &Map<String, Json>) -> Vec<(String, u32)> {
    let mut all: BTreeMap<String, u32> = BTreeMap::new();
    for service in services.values() {
        let user = service.get("user").map(|user| user.to_string().trim_matches('"').to_owned());
        let owner = user.and_then(|user| user.split(':').next()?.parse().ok()).unwrap_or(0);
        for name in
            service.get("secrets").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
        {
            all.entry(name.to_owned()).or_insert(owner);
        }
    }
    all.into_iter().collect()
}

fn stack_name(named: Option<&str>, tree: &Tree, folder: &Utf8Path) -> Result<String> {
    let written = tree.get("name").and_then(Tree::text);
    let folder = folder.file_name().unwrap_or("stack");
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c.to_ascii_lowercase() } else { '-' }
    };
    let fallback: String = folder.chars().map(plain).collect();
    let name =
        named.map(str::to_owned).or(written).unwrap_or_else(|| fallback.trim_matches(['-', '_']).to_owned());
    // `_smoke` is added for the scenario's name.
    if is_name(&name) && name.len() <= 50 {
        Ok(name)
    } else {
        Err(ImportError::Name { name, rule: NAME_RULE }.into())
    }
}

fn values(cx: &Context<'_>, folder: &Utf8Path, named: &[Utf8PathBuf]) -> Result<Values> {
    let mut values = Values::default();
    let beside = folder.join(".env");
    if named.is_empty() && beside.is_file() {
        values.add_file(&beside, ".env")?;
    }
    for file in named {
        values.add_file(&cx.environment.folder()?.join(file), file.as_str())?;
    }
    Ok(values)
}

/// Takes the named keys out of the tree.
fn leave_out(tree: &mut Tree, without: &[String], report: &mut Report) -> Result<()> {
    // From the last to the first, so that the numbers of list items stay what they were.
    let mut paths: Vec<&String> = without.iter().collect();
    paths.sort_by_key(|path| std::cmp::Reverse(order(path)));
    let known = all_paths(tree);
    for path in paths {
        let Some(at) = remove(tree, "", path) else {
            let hint = match near(path, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "the report names keys such as `services.db.ports[0]`".into(),
            };
            return Err(ImportError::NoSuchKey { path: path.clone(), hint }.into());
        };
        report.decide(path, at, "left out, as `--without` asked", "nothing to do");
    }
    Ok(())
}

/// A key that sorts the items of a list by number.
fn order(path: &str) -> Vec<String> {
    path.split('[').map(|part| format!("{part:0>12}")).collect()
}

fn remove(tree: &mut Tree, path: &str, wanted: &str) -> Option<At> {
    let inside = |path: &str| wanted.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
    match &mut tree.value {
        Value::Map(entries) => {
            if let Some(index) = entries.iter().position(|(key, _)| join(path, &key.name) == wanted) {
                return Some(entries.remove(index).0.at);
            }
            let mut within = entries.iter_mut().map(|(key, value)| (join(path, &key.name), value));
            within.find_map(|(path, value)| if inside(&path) { remove(value, &path, wanted) } else { None })
        }
        Value::List(items) => {
            let name = |index: usize| format!("{path}[{index}]");
            if let Some(index) = (0..items.len()).find(|index| name(*index) == wanted) {
                return Some(items.remove(index).at);
            }
            let mut within = items.iter_mut().enumerate().map(|(index, value)| (name(index), value));
            within.find_map(|(path, value)| if inside(&path) { remove(value, &path, wanted) } else { None })
        }
        _ => None,
    }
}

fn all_paths(tree: &Tree) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (leaf, _) in tree.leaves() {
        let ends = leaf.char_indices().filter(|(_, c)| matches!(c, '.' | '[')).map(|(end, _)| end);
        all.extend(ends.map(|end| leaf[..end].to_owned()));
        all.push(leaf);
    }
    all.sort();
    all.dedup();
    all
}
