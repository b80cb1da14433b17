//! Images of an imported file: those that the project has, and definitions for the others.

use camino::Utf8Path;
use serde_json::{Map, Value as Json, json};
use xedge_model::tree::{Tree, Value, join};
use xedge_model::{ImageName, Platform, yaml};

use super::context::Context;
use super::keys;
use super::walk::{Step, Walk};
use crate::project::ImageSource;

/// A definition to write.
#[derive(Debug)]
pub(super) struct NewImage {
    /// Folder below images/.
    pub(super) folder: String,
    name: String,
    /// What decides whether another service has the same image.
    from: Json,
    platforms: Vec<String>,
    /// A folder from outside of the project that a build needs.
    pub(super) context: Option<Context>,
}

/// The images of the project, and those that come to it.
pub(super) struct Images<'a> {
    pub(super) root: &'a Utf8Path,
    pub(super) known: Vec<ImageSource>,
    pub(super) new: Vec<NewImage>,
    /// Platforms of new definitions, where the user named some.
    pub(super) platforms: &'a [Platform],
    /// The platform of this machine, for builds.
    pub(super) host: Option<Platform>,
}

impl NewImage {
    /// How to go on where only the user's own Engine has the image: nothing in the Compose file tells.
    fn not_in_a_registry(&self) -> String {
        let Some(reference) = self.from.as_str().filter(|from| *from != "dockerfile") else {
            return String::new();
        };
        format!(
            "# Pulled from its registry. If only your Engine has it:\n#   cargo xtask image import --from-engine {reference} --name {}\n",
            self.folder
        )
    }

    /// The text of image.yaml.
    pub(super) fn text(&self, file: &str) -> String {
        format!(
            "# Made by `cargo xtask import compose` from {file}; yours to change.\n{}format: 1\nname: {}\nplatforms: [{}]\n{}",
            self.not_in_a_registry(),
            self.name,
            self.platforms.join(", "),
            yaml::to_string(&json!({"from": self.from}))
        )
    }
}

/// A reference in parts: path without host, the path's last part, tag, whether there is a digest.
struct Reference<'a> {
    path: &'a str,
    last: &'a str,
    tag: Option<&'a str>,
    digest: bool,
    host: bool,
}

fn reference(text: &str) -> Option<Reference<'_>> {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let (rest, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let host = rest.split_once('/').filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost");
    let path = host.map_or(rest, |(_, path)| path);
    path.parse::<ImageName>().ok()?;
    let last = path.rsplit('/').next()?;
    let well_formed = digest.is_none_or(|digest| digest.parse::<xedge_model::Digest>().is_ok());
    let word = |tag: &str| {
        !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    (well_formed && tag.is_none_or(word)).then_some(Reference {
        path,
        last,
        tag,
        digest: digest.is_some(),
        host: host.is_some(),
    })
}

impl Images<'_> {
    /// What the stack writes after `image:` for a service.
    pub(super) fn image(
        &mut self,
        walk: &mut Walk<'_>,
        service: &str,
        path: &str,
        tree: &Tree,
    ) -> Step<String> {
        let image = tree.get("image");
        let text = image.map(|image| walk.scalar(image)).transpose()?;
        match (tree.get("build"), image.zip(text)) {
            (Some(build), named) => {
                let named = match &named {
                    Some((at, text)) => {
                        walk.report.taken(&join(path, "image"), at.at);
                        Some(reference(text).ok_or_else(|| no_reference(walk, at, text))?.path.to_owned())
                    }
                    None => None,
                };
                self.build(walk, service, &join(path, "build"), build, named)
            }
            (None, Some((at, text))) => self.existing(walk, &join(path, "image"), at, &text),
            (None, None) => Err(walk.bad(
                tree.at,
                format!("the service `{service}` has neither `image` nor `build`"),
                None,
            )),
        }
    }

    fn existing(&mut self, walk: &mut Walk<'_>, path: &str, at: &Tree, text: &str) -> Step<String> {
        let parts = reference(text).ok_or_else(|| no_reference(walk, at, text))?;
        if self.known.iter().any(|known| known.def.name.as_str() == parts.path)
            && !parts.digest
            && !parts.host
        {
            walk.report.taken(path, at.at);
            return Ok(text.to_owned());
        }
        if !parts.digest && matches!(parts.tag, None | Some("latest")) {
            let what = format!("`{}` names no version: what it means changes", parts.last);
            walk.report.decide(
                path,
                at.at,
                what,
                "name a version in images/*/image.yaml; `cargo xtask lock` pins its digest",
            );
        }
        walk.report.taken(path, at.at);
        let from = json!(text);
        if let Some(same) = self.new.iter().find(|new| new.from == from) {
            return Ok(format!("{}:latest", same.name));
        }
        let name = format!("{}/{}", image_part(walk.stack), parts.last);
        let both = [Platform::LinuxAmd64, Platform::LinuxArm64].map(|platform| platform.to_string());
        let new = self.add(walk.stack, parts.last, name, from, both.to_vec(), None);
        Ok(format!("{new}:latest"))
    }

    /// Adds a definition under a free folder and name, and gives the name.
    fn add(
        &mut self,
        stack: &str,
        wish: &str,
        name: String,
        from: Json,
        platforms: Vec<String>,
        context: Option<Context>,
    ) -> String {
        let platforms = match self.platforms {
            [] => platforms,
            named => named.iter().map(ToString::to_string).collect(),
        };
        let taken = |folder: &str| {
            self.root.join("images").join(folder).exists() || self.new.iter().any(|new| new.folder == folder)
        };
        let mut folder = image_part(wish);
        if taken(&folder) {
            folder = format!("{}-{folder}", image_part(stack));
        }
        while taken(&folder) {
            folder.push_str("-2");
        }
        let used = |name: &str| {
            self.known.iter().any(|known| known.def.name.as_str() == name)
                || self.new.iter().any(|new| new.name == name)
        };
        let mut name = name;
        while used(&name) {
            name.push_str("-2");
        }
        self.new.push(NewImage { folder, name: name.clone(), from, platforms, context });
        name
    }

    fn build(
        &mut self,
        walk: &mut Walk<'_>,
        service: &str,
        path: &str,
        tree: &Tree,
        named: Option<String>,
    ) -> Step<String> {
        let mut settings = Map::new();
        let mut context = (tree.at, ".".to_owned());
        let mut platforms: Vec<String> = self.host.iter().map(ToString::to_string).collect();
        if let Some(folder) = tree.text() {
            context.1 = folder;
        }
        for (key, value) in tree.entries() {
            let at = join(path, &key.name);
            match key.name.as_str() {
                "context" => context = (value.at, walk.scalar(value)?),
                "dockerfile" => {
                    settings.insert("file".into(), json!(walk.scalar(value)?));
                }
                "target" => {
                    settings.insert("target".into(), json!(walk.scalar(value)?));
                }
                "args" => {
                    settings.insert("args".into(), args(walk, &at, value)?);
                }
                "platforms" => {
                    platforms = walk.items(value)?.iter().map(|p| walk.scalar(p)).collect::<Step<_>>()?;
                }
                "secrets" => {
                    let why = "name the files in images/*/image.yaml: `from.dockerfile.secrets`";
                    walk.report.unsupported(&at, key.at, why);
                }
                other => {
                    let Some(why) = keys::reason(&keys::BUILD, other) else {
                        let known = ["context", "dockerfile", "target", "args", "platforms", "secrets"];
                        let others = keys::BUILD.iter().map(|(name, _)| *name);
                        let known: Vec<&str> = known.into_iter().chain(others).collect();
                        return Err(walk.unknown_key(key.at, other, &known));
                    };
                    walk.report.unsupported(&at, key.at, why);
                }
            }
            walk.report.taken(&at, key.at);
        }
        walk.report.taken(path, tree.at);
        if tree.get("platforms").is_none() && self.platforms.is_empty() {
            let what = format!("built for {} only", platforms.join(", "));
            walk.report.decide(
                path,
                tree.at,
                what,
                "add the platforms of your devices in images/*/image.yaml",
            );
        }
        let (at, folder) = context;
        if folder.contains("://") || folder.starts_with("git@") {
            return Err(walk.bad(
                at,
                "a context from the network cannot be repeated",
                Some("clone it beside the file"),
            ));
        }
        let full = walk.folder.join(&folder);
        let file = settings.get("file").and_then(Json::as_str).unwrap_or("Dockerfile");
        if !full.join(file).is_file() {
            let message = format!("there is no `{file}` in the build's context `{folder}`");
            return Err(walk.bad(at, message, Some("the Dockerfile's path is relative to the context")));
        }
        let full = full.canonicalize_utf8().unwrap_or(full);
        let root = self.root.canonicalize_utf8().unwrap_or_else(|_| self.root.to_owned());
        let context = if let Ok(inside) = full.strip_prefix(&root) {
            settings.insert("context".into(), json!(Utf8Path::new("../..").join(inside)));
            None
        } else {
            let what = "the context is outside of the project: it is copied into images/";
            walk.report.decide(path, tree.at, what, "change the copy from now on");
            let unreadable = |error: std::io::Error| walk.bad(at, format!("{full}: {error}"), None);
            let context = Context::read(full.clone()).map_err(unreadable)?;
            for secret in &context.secrets {
                let what = format!("`{secret}` of the context looks like a secret: it is not copied");
                let todo = "a build reads secrets from `from.dockerfile.secrets` in image.yaml; else copy it by hand";
                walk.report.decide(path, tree.at, what, todo);
            }
            Some(context)
        };
        let from = if settings.is_empty() { json!("dockerfile") } else { json!({"dockerfile": settings}) };
        let name = named.unwrap_or_else(|| format!("{}/{}", image_part(walk.stack), image_part(service)));
        let name = self.add(walk.stack, service, name, from, platforms, context);
        Ok(format!("{name}:latest"))
    }
}

fn args(walk: &mut Walk<'_>, path: &str, value: &Tree) -> Step<Json> {
    let mut all = Map::new();
    let mut put = |walk: &mut Walk<'_>, at: &Tree, name: &str, value: Option<String>| {
        let value = value.or_else(|| walk.values.get(name).map(str::to_owned));
        if super::secrets::names_secret(name) {
            let todo = "name a file in images/*/image.yaml instead: `from.dockerfile.secrets`";
            walk.report.decide(
                path,
                at.at,
                format!("`{name}` looks like a secret, and stays in the image's history"),
                todo,
            );
        }
        if let Some(value) = value {
            all.insert(name.to_owned(), json!(value));
        } else {
            let todo = format!("set it in `.env` beside the file: `{name}=…`");
            walk.report.decide(path, at.at, format!("`{name}` has no value and is left out"), todo);
        }
    };
    match &value.value {
        Value::List(items) => {
            for item in items {
                let entry = walk.scalar(item)?;
                let (name, value) =
                    entry.split_once('=').map_or((&*entry, None), |(n, v)| (n, Some(v.to_owned())));
                put(walk, item, name, value);
            }
        }
        _ => {
            for (name, value) in walk.map(value)? {
                let text = Some(walk.text_or_nothing(value)?).filter(|_| !matches!(value.value, Value::Null));
                put(walk, value, &name.name, text);
            }
        }
    }
    Ok(Json::Object(all))
}

fn no_reference(walk: &Walk<'_>, at: &Tree, text: &str) -> xedge_model::yaml::YamlError {
    let message =
        format!("`{text}` is not an image: expected a name in lower case such as `eclipse-mosquitto:2.0`");
    walk.bad(at.at, message, Some("with a digest: `NAME@sha256:…`"))
}

/// A name as one part of an image's name.
fn image_part(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let part: String = text.chars().map(plain).collect();
    part.trim_matches('-').to_owned()
}
