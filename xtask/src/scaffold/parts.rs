//! One image, scenario or stack more in a project.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::image::From;
use xedge_model::stack::{EnvValue, Environment};
use xedge_model::yaml::Source;
use xedge_model::{ImageDef, Platform, Scenario, StackDef};

use super::dockerfile;
use super::tree::Tree;
use super::{Error, fill, name};
use crate::error::{Error as Other, Result, read_text};
use crate::project::{ImageSource, Project, select_image};

/// What a new image is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// A Dockerfile, or the folder that holds one; absolute.
    Dockerfile(Utf8PathBuf),
    /// An existing image.
    Reference(String),
    /// Debian packages, and the program to start.
    Debian {
        /// Packages.
        packages: Vec<String>,
        /// Program and arguments.
        entrypoint: Vec<String>,
    },
}

/// Makes `images/NAME/image.yaml`; gives the path below the project.
pub(crate) fn image(project: &Project, name: &str, base: &Base) -> Result<Vec<Utf8PathBuf>> {
    name::check(name)?;
    // As the paths of Dockerfiles are, without links.
    let root = project.root();
    let root = root.canonicalize_utf8().map_err(|source| Other::Read { path: root.to_owned(), source })?;
    let folder = root.join("images").join(name);
    let full = format!("{}/{name}", prefix(&project.images()?, project.root()));
    let mut tree = Tree::default();
    tree.add(format!("images/{name}/image.yaml"), image_text(&full, base, &folder)?);
    finish(project, &tree, &format!("the image {name}"))
}

/// What the images of this project are called before the slash: as most are, else like the folder.
fn prefix(images: &[ImageSource], root: &Utf8Path) -> String {
    let first =
        |image: &ImageSource| image.def.name.as_str().split_once('/').map(|(first, _)| first.to_owned());
    let found: Vec<String> = images.iter().filter_map(first).collect();
    let count = |name: &String| found.iter().filter(|other| *other == name).count();
    let most = found.iter().max_by_key(|name| count(name)).cloned();
    most.unwrap_or_else(|| match name::of_folder(root.file_name().unwrap_or_default()) {
        empty if empty.is_empty() => "project".to_owned(),
        named => named,
    })
}

/// The text of an image.yaml that lies in `folder`.
pub(super) fn image_text(full: &str, base: &Base, folder: &Utf8Path) -> Result<String> {
    let native = crate::commands::host_platform()?;
    let refused = |why: String| Error::Image { name: full.to_owned(), why };
    let (platforms, from) = match base {
        Base::Dockerfile(path) => {
            (one(native, "the Dockerfile builds"), dockerfile_from(path, folder).map_err(refused)?)
        }
        Base::Reference(reference) => (one(native, "it has"), format!("from: {}\n", quoted(reference))),
        Base::Debian { packages, entrypoint } => (both(), debian_from(packages, entrypoint)),
    };
    let text = format!("format: 1\nname: {full}\n{platforms}{from}");
    ImageDef::parse(&Source::new(format!("{folder}/image.yaml"), text.clone()))?;
    Ok(text)
}

fn one(native: Platform, where_from: &str) -> String {
    let others: Vec<&str> = Platform::USUAL.iter().filter(|p| **p != native).map(|p| p.as_str()).collect();
    format!(
        "# As far as {where_from} them, more can stand here: {}.\nplatforms: [{native}]\n",
        others.join(", ")
    )
}

fn both() -> String {
    let all: Vec<&str> = Platform::USUAL.iter().map(|platform| platform.as_str()).collect();
    format!("platforms: [{}]\n", all.join(", "))
}

/// Text in double quotes, as JSON and so as YAML writes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn dockerfile_from(path: &Utf8Path, folder: &Utf8Path) -> std::result::Result<String, String> {
    let (context, file) = if path.is_dir() { (path, "Dockerfile") } else { split(path) };
    if !context.join(file).is_file() {
        return Err(format!("there is no {}", context.join(file)));
    }
    let root = folder.ancestors().nth(2).unwrap_or(folder);
    if !context.starts_with(root) {
        return Err(format!("{context} is outside of the project {root}"));
    }
    let way = way(folder, context);
    if way.as_str() == "." && file == "Dockerfile" {
        return Ok("from: dockerfile\n".to_owned());
    }
    Ok(format!("from:\n  dockerfile: {{context: {}, file: {}}}\n", quoted(way.as_str()), quoted(file)))
}

fn split(path: &Utf8Path) -> (&Utf8Path, &str) {
    (path.parent().unwrap_or(Utf8Path::new("/")), path.file_name().unwrap_or_default())
}

/// The way from one absolute folder to another.
fn way(from: &Utf8Path, to: &Utf8Path) -> Utf8PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| "..");
    let way: Utf8PathBuf = up.chain(to.components().skip(shared).map(|part| part.as_str())).collect();
    if way.as_str().is_empty() { ".".into() } else { way }
}

fn debian_from(packages: &[String], entrypoint: &[String]) -> String {
    let list = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    format!(
        "from:\n  debian:\n    suite: bookworm\n    packages: [{}]\n\
         config:\n  # The program and its fixed arguments; there is no shell unless a package brings one.\n  entrypoint: [{}]\n",
        list(packages),
        list(entrypoint)
    )
}

/// Makes a scenario over all services of a stack; gives the paths below the project.
pub(crate) fn scenario(project: &Project, name: &str, stack: Option<&str>) -> Result<Vec<Utf8PathBuf>> {
    name::check(name)?;
    let known = project.stacks()?;
    let refused = |why: String| Error::Scenario { name: name.to_owned(), why };
    let stack = match (stack, &known[..]) {
        (_, []) => return Err(refused("this project has no stack yet".to_owned()).into()),
        (Some(stack), _) if known.iter().any(|known| known == stack) => stack,
        (Some(stack), _) => {
            return Err(refused(format!("there is no stack `{stack}`, only {}", known.join(", "))).into());
        }
        (None, [only]) => only,
        (None, _) => return Err(refused(format!("there are several stacks: {}", known.join(", "))).into()),
    };
    let mut tree = Tree::default();
    scenario_file(&mut tree, name, stack);
    finish(project, &tree, &format!("the scenario {name}"))
}

fn scenario_file(tree: &mut Tree, name: &str, stack: &str) {
    tree.add(
        format!("scenarios/{name}.yaml"),
        fill(include_str!("files/service/scenario.yaml"), &[("@STACK@", stack)]),
    );
}

/// Makes a stack of these images and its smoke scenario; gives the paths below the project, and notes.
pub(crate) fn stack(
    project: &Project,
    name: &str,
    services: &[String],
) -> Result<(Vec<Utf8PathBuf>, Vec<String>)> {
    name::check(name)?;
    let images = project.images()?;
    if services.is_empty() {
        let known: Vec<&str> = images.iter().filter_map(|image| image.folder.file_name()).collect();
        let why = format!("a stack needs a service; images of this project: {}", known.join(", "));
        return Err(Error::Stack { name: name.to_owned(), why }.into());
    }
    let mut parts = Vec::new();
    for service in services {
        parts.push(Part::of_image(select_image(&images, service)?)?);
    }
    let notes = parts.iter().flat_map(|part| part.notes.iter().cloned()).collect();
    let mut tree = Tree::default();
    let scenario = format!("{name}_smoke");
    stack_files(&mut tree, name, &parts, &scenario, has_production(project)?);
    Ok((finish(project, &tree, &format!("the stack {name}"))?, notes))
}

/// A service of a new stack.
pub(super) struct Part {
    name: String,
    image: String,
    ports: Vec<String>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

impl Part {
    /// The service of a Dockerfile.
    pub(super) fn of_dockerfile(name: &str, image: &str, file: &Utf8Path) -> Result<Self> {
        let facts = dockerfile::facts(&read_text(file)?);
        let mut notes = facts.notes;
        if facts.ports.is_empty() && !facts.healthcheck {
            notes.push(format!(
                "{file} has neither EXPOSE nor HEALTHCHECK: the scenario can only claim that the service keeps running"
            ));
        }
        Ok(Self { name: name.to_owned(), image: image.to_owned(), ports: facts.ports, notes })
    }

    fn of_image(image: &ImageSource) -> Result<Self> {
        let name = image.folder.file_name().unwrap_or_default();
        let full = image.def.name.as_str();
        if let From::Dockerfile(build) = &image.def.from {
            return Self::of_dockerfile(name, full, &image.folder.join(&build.context).join(&build.file));
        }
        let ports: Vec<String> =
            image.def.config.expose.iter().filter_map(|port| dockerfile::port(port)).collect();
        let mut notes = Vec::new();
        if ports.is_empty() {
            notes.push(format!("{full} names no port: add what it listens on to the Compose template"));
        }
        Ok(Self { name: name.to_owned(), image: full.to_owned(), ports, notes })
    }
}

/// The files of a stack and its scenario.
pub(super) fn stack_files(tree: &mut Tree, name: &str, parts: &[Part], scenario: &str, has_production: bool) {
    let marks = [("@STACK@", name), ("@SCENARIO@", scenario)];
    tree.add(
        format!("templates/stacks/{name}/stack.yaml"),
        fill(include_str!("files/service/stack.yaml"), &marks),
    );
    tree.add(format!("templates/stacks/{name}/compose.yaml.j2"), compose(parts, has_production));
    scenario_file(tree, scenario, name);
}

fn compose(services: &[Part], has_production: bool) -> String {
    let mut text = "services:\n".to_owned();
    let (start, end) = if has_production { ("{% if production %}\n", "{% endif %}\n") } else { ("", "") };
    for (number, part) in services.iter().enumerate() {
        let gap = if number > 0 { "\n" } else { "" };
        let ports: Vec<String> = part.ports.iter().map(|port| quoted(&published(port))).collect();
        let ports =
            if ports.is_empty() { String::new() } else { format!("    ports: [{}]\n", ports.join(", ")) };
        let _ = write!(
            text,
            "{gap}  {}:\n    image: {}:latest\n{start}    restart: unless-stopped\n{ports}{end}",
            part.name, part.image
        );
    }
    text
}

/// The same port on the device.
fn published(port: &str) -> String {
    let number = port.split('/').next().unwrap_or(port);
    format!("{number}:{port}")
}

/// Whether every environment of the project says if it is production.
fn has_production(project: &Project) -> Result<bool> {
    let mut any = false;
    for file in crate::project::entries(&project.templates().join("environments"))? {
        if file.extension() == Some("yaml") {
            let environment = Environment::parse(&project.source(&file)?)?;
            let value = environment.values.get("production").map(|value| &value.value);
            // One that extends another takes it from there.
            if environment.extends.is_none() && !matches!(value, Some(EnvValue::Bool(_))) {
                return Ok(false);
            }
            any = true;
        }
    }
    Ok(any)
}

/// Checks, then writes.
fn finish(project: &Project, tree: &Tree, what: &str) -> Result<Vec<Utf8PathBuf>> {
    tree.refuse_present(project.root(), what)?;
    for (path, text) in tree.texts() {
        let source = Source::new(path.as_str(), text);
        match path.file_name() {
            Some("stack.yaml") => {
                let folder = path.parent().and_then(Utf8Path::file_name).unwrap_or_default();
                StackDef::parse(&source, folder)?;
            }
            _ if path.starts_with("scenarios") => drop(Scenario::parse(&source)?),
            _ => {}
        }
    }
    tree.write(project.root())?;
    Ok(tree.paths().map(Utf8Path::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::{Part, compose, way};

    #[test]
    fn the_way_leads_from_one_folder_to_another() {
        let check = |from: &str, to: &str, wanted: &str| {
            assert_eq!(way(Utf8Path::new(from), Utf8Path::new(to)), wanted, "{from} {to}");
        };
        check("/p/images/a", "/p", "../..");
        check("/p/images/a", "/p/images/a", ".");
        check("/p/images/a", "/p/src/a", "../../src/a");
        check("/p/images/a", "/q", "../../../q");
    }

    #[test]
    fn ports_are_published_as_they_are_exposed() {
        let part = |name: &str, ports: &[&str]| Part {
            name: name.to_owned(),
            image: format!("p/{name}"),
            ports: ports.iter().map(|&port| port.to_owned()).collect(),
            notes: Vec::new(),
        };
        let text = compose(&[part("a", &["80", "53/udp"]), part("b", &[])], false);
        let wanted = "services:\n  a:\n    image: p/a:latest\n    restart: unless-stopped\n    ports: [\"80:80\", \"53:53/udp\"]\n\n  \
                      b:\n    image: p/b:latest\n    restart: unless-stopped\n";
        assert_eq!(text, wanted);
    }
}
