//! A scenario with every name resolved: images of the project, the rendered stack, users. Nothing is built or run here.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_config::{COMPOSE_FILE, Rendered, RenderedFile, render};
use xedge_model::scenario::{Docker, Expanded, Expectation, Implementation, Node, Role, Scenario};
use xedge_model::yaml::{Source, Spanned};
use xedge_model::{Digest, ImageName};
use xedge_sim::EngineKind;

use super::inputs::{Inputs, mounts};
use super::production::{self, Difference, differences};
use super::{claims, scripts};
use crate::commands::Context;
use crate::error::Result;
use crate::project::{ImageSource, image_named};

/// A checked scenario and what it refers to.
pub(crate) struct Prepared {
    /// File name without extension, and the combination of its matrix.
    pub(crate) name: String,
    /// The name in evidence, safe as a file name everywhere.
    pub(crate) slug: String,
    /// The file as the user named it.
    pub(crate) file: Utf8PathBuf,
    /// Digest of its bytes, and of the files that it names.
    pub(crate) digest: Digest,
    /// The environment whose configuration `profile: production` runs.
    pub(crate) environment: String,
    /// The scenario.
    pub(crate) scenario: Scenario,
    /// Files of the project that it names.
    pub(crate) inputs: Inputs,
    /// Image of each docker node, by node id.
    pub(crate) images: BTreeMap<String, ImageSource>,
    /// The rendered production stack, for `profile: production`.
    pub(crate) rendered: Option<Rendered>,
    /// Every user whose password is needed.
    pub(crate) users: Vec<String>,
}

/// Reads and checks the scenarios of a file, several if it has a matrix; says what it makes of the seed's optimistic keys.
///
/// `environment` is that of the stack's configuration, for `profile: production`.
pub(crate) fn prepare(cx: &Context<'_>, file: &Utf8Path, environment: &str) -> Result<Vec<Prepared>> {
    let source = cx.project.source(file)?;
    let stem = name(cx, file, &Digest::of(source.text().as_bytes()));
    let all = Scenario::parse_all(&source)?;
    all.into_iter().map(|one| prepare_one(cx, file, environment, &stem, one)).collect()
}

fn prepare_one(
    cx: &Context<'_>,
    file: &Utf8Path,
    environment: &str,
    stem: &str,
    Expanded { label, source, mut scenario }: Expanded,
) -> Result<Prepared> {
    let rendered = match &scenario.stack {
        None => None,
        Some(stack) => Some(rendered(cx, &source, stack, environment)?),
    };
    if let Some(rendered) = rendered.as_ref().filter(|_| scenario.is_short()) {
        let services = rendered.compose().start_order();
        scenario.run_all_of(services.into_iter().map(|(name, service)| (name, &*service.image.value)));
        scenario.check_references(&source)?;
    }
    scripts::check(cx, &source, &scenario)?;
    super::unready::check(&source, &scenario)?;
    let inputs = Inputs::read(cx, &source, &scenario)?;
    let digest = inputs.digest(source.text());
    let images = images(cx, &source, &scenario)?;
    check_settings(&source, &scenario, &images, rendered.as_ref())?;
    if let Some(rendered) = &rendered {
        check_users(&source, &scenario, rendered)?;
        check_all_of_it_runs(&source, &scenario, rendered)?;
        production::check_completion(rendered.compose())?;
    }
    claims::check(&source, &scenario, &images, rendered.as_ref())?;
    let users = users(&scenario, rendered.as_ref());
    let slug = if label.is_empty() { stem.to_owned() } else { format!("{stem}-{}", digest.short()) };
    Ok(Prepared {
        name: format!("{stem}{label}"),
        slug,
        file: file.to_owned(),
        digest,
        environment: environment.to_owned(),
        scenario,
        inputs,
        images,
        rendered,
        users,
    })
}

impl Prepared {
    /// Whether anything of it runs in containers.
    pub(crate) fn needs_engine(&self) -> bool {
        let nodes = &self.scenario.nodes.value;
        !self.images.is_empty() || nodes.iter().any(|node| node.process.is_some())
    }

    /// Whether it has programs of this machine and nothing else that is not a model.
    pub(crate) fn is_of_programs_only(&self) -> bool {
        self.images.is_empty() && self.needs_engine()
    }

    /// What differs from production all the same in an engine of this kind.
    pub(super) fn differences(&self, engine: EngineKind) -> Vec<Difference> {
        let Some(rendered) = &self.rendered else { return Vec::new() };
        let brokers = containers(&self.scenario).filter(|(node, _)| node.role == Role::Broker);
        let brokers: Vec<&str> = brokers.map(|(node, _)| node.id.value.as_str()).collect();
        let names = containers(&self.scenario).filter_map(|(node, _)| Some(&node.service.as_ref()?.value));
        let services = names.filter_map(|name| Some((name, rendered.compose().service(name)?)));
        services.flat_map(|(name, service)| differences(rendered, name, service, &brokers, engine)).collect()
    }
}

/// The file's name; one that is not in scenarios/ must not speak for one that is.
fn name(cx: &Context<'_>, file: &Utf8Path, digest: &Digest) -> String {
    let stem = file.file_stem().unwrap_or("scenario");
    let ours = cx.project.scenarios_folder();
    if file.parent() == Some(&ours) { stem.to_owned() } else { format!("{stem}-{}", digest.short()) }
}

/// The docker nodes with their settings.
pub(super) fn containers(scenario: &Scenario) -> impl Iterator<Item = (&Node, &Docker)> {
    let docker = scenario.nodes.value.iter().filter(|node| node.implementation == Implementation::Docker);
    docker.filter_map(|node| Some((node, &node.docker.as_ref()?.value)))
}

fn images(cx: &Context<'_>, source: &Source, scenario: &Scenario) -> Result<BTreeMap<String, ImageSource>> {
    let all = cx.project.images()?;
    let mut found = BTreeMap::new();
    for (node, docker) in containers(scenario) {
        found.insert(node.id.value.clone(), image(cx, source, &all, node, docker)?);
    }
    Ok(found)
}

/// `image` names one of images/: that one. Otherwise `build_context` is a folder with a Dockerfile, and the image whose
/// folder is called like it is meant, if there is one.
fn image(
    cx: &Context<'_>,
    source: &Source,
    all: &[ImageSource],
    node: &Node,
    docker: &Docker,
) -> Result<ImageSource> {
    let named = match &docker.image {
        None => None,
        Some(named) => {
            let name = ImageName::from_reference(&named.value).map(|(name, _)| name);
            Some((named, name.map_err(|error| source.error_at(named, error.to_string()))?))
        }
    };
    if let Some(found) = named.as_ref().and_then(|(_, name)| image_named(all, name)) {
        note_unused_context(cx, docker, &found.def.name);
        return Ok(found.clone());
    }
    match (named, &docker.build_context) {
        (None, Some(context)) => of_context(source, all, context),
        (Some((named, name)), Some(context)) => {
            let folder = name.as_str().rsplit('/').next().unwrap_or_default();
            Err(not_built(source, named, name.as_str(), folder, &context.value).into())
        }
        (Some((named, name)), None) => {
            let known: Vec<&str> = all.iter().map(|image| image.def.name.as_str()).collect();
            Err(source.unknown_name(named, "image", name.as_str(), &known).into())
        }
        (None, None) => Err(source.error_at(&node.id, "`docker` needs `image`").into()),
    }
}

fn of_context(source: &Source, all: &[ImageSource], context: &Spanned<String>) -> Result<ImageSource> {
    let folder = Utf8Path::new(&context.value).file_name().unwrap_or_default();
    let found = all.iter().find(|image| image.folder.file_name() == Some(folder));
    found.cloned().ok_or_else(|| not_built(source, context, folder, folder, &context.value).into())
}

/// A Dockerfile becomes an image of the project first, so that what it was built from is on record.
fn not_built(
    source: &Source,
    at: &Spanned<String>,
    name: &str,
    folder: &str,
    context: &str,
) -> xedge_model::yaml::YamlError {
    let message = format!("unknown image `{name}`: a Dockerfile is built as an image of images/");
    let folder = if folder.is_empty() { "NAME" } else { folder };
    source.error_with_hint(at, message, format!("`cargo xtask new image {folder} --dockerfile {context}`"))
}

fn note_unused_context(cx: &Context<'_>, docker: &Docker, name: &ImageName) {
    if let Some(context) =
        docker.build_context.as_ref().filter(|c| !cx.project.root().join(&c.value).exists())
    {
        cx.printer.say(&format!("note: there is no {}; {name} is built from images/", context.value));
    }
}

fn rendered(
    cx: &Context<'_>,
    source: &Source,
    stack: &Spanned<String>,
    environment: &str,
) -> Result<Rendered> {
    let known = cx.project.stacks()?;
    if !known.contains(&stack.value) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(source.unknown_name(stack, "stack", &stack.value, &known).into());
    }
    Ok(render(&cx.project.templates(), &stack.value, environment)?)
}

/// A production run takes its settings from the stack, and every node must say from where in it.
fn check_settings(
    source: &Source,
    scenario: &Scenario,
    images: &BTreeMap<String, ImageSource>,
    rendered: Option<&Rendered>,
) -> Result<()> {
    for (node, docker) in containers(scenario) {
        match (&node.service, rendered) {
            (None, None) => {}
            (Some(service), None) => {
                return Err(source
                    .error_at(service, "`service` needs `profile: production` and `stack`")
                    .into());
            }
            (None, Some(_)) => {
                let message = format!("node `{}` needs `service` in a production run", node.id.value);
                return Err(source.error_at(&node.id, message).into());
            }
            (Some(service), Some(rendered)) => {
                let image = &images[&node.id.value].def.name;
                check_service(source, node, docker, image, service, rendered)?;
            }
        }
    }
    Ok(())
}

/// A node has no settings of its own beside those of its service.
fn check_service(
    source: &Source,
    node: &Node,
    docker: &Docker,
    image: &ImageName,
    service: &Spanned<String>,
    rendered: &Rendered,
) -> Result<()> {
    let compose = rendered.compose();
    let Some(settings) = compose.service(&service.value) else {
        let known: Vec<&str> = compose.start_order().into_iter().map(|(name, _)| name).collect();
        return Err(source.unknown_name(service, "service", &service.value, &known).into());
    };
    if node.id.value != service.value {
        let message = format!(
            "a production node is called like its service, `{}`: others find it by that name",
            service.value
        );
        return Err(source.error_at(&node.id, message).into());
    }
    if node.limits.is_some() || !node.volumes.is_empty() || mounts(node).next().is_some() {
        let message = format!(
            "node `{}` sets what the production files decide: no `limits`, no `volumes`",
            node.id.value
        );
        return Err(source.error_at(&node.id, message).into());
    }
    if !docker.environment.is_empty() || docker.command.is_some() {
        let message = format!(
            "node `{}` sets what the production files decide: no `environment`, no `command`",
            node.id.value
        );
        return Err(source.error_at(&node.id, message).into());
    }
    if *image != settings.image_name() {
        let message =
            format!("node `{}` must run the image of its service, {}", node.id.value, settings.image_name());
        return Err(source.error_at(&node.id, message).into());
    }
    Ok(())
}

/// The digest that the evidence names covers every service and file, so every one must take part.
fn check_all_of_it_runs(source: &Source, scenario: &Scenario, rendered: &Rendered) -> Result<()> {
    let runs = |service: &str| scenario.nodes.value.iter().any(|node| node.id.value == service);
    let services = rendered.compose().start_order();
    if let Some((absent, _)) = services.iter().find(|(service, _)| !runs(service)) {
        let message =
            format!("service `{absent}` of the stack has no node: the run would not prove its configuration");
        return Err(source.error_at(&scenario.nodes, message).into());
    }
    let mounted = |path: &Utf8Path| {
        services
            .iter()
            .flat_map(|(_, service)| service.binds())
            .any(|(folder, ..)| path.starts_with(folder.as_path()))
    };
    let files = rendered.files().iter().map(RenderedFile::path);
    match files.filter(|path| *path != COMPOSE_FILE).find(|path| !mounted(path)) {
        Some(path) => {
            let message = format!("{path} is rendered, and no service mounts it: the run would not prove it");
            Err(source.error_at(&scenario.nodes, message).into())
        }
        None => Ok(()),
    }
}

/// A claim about a user whom the broker does not know would hold or fail for the wrong reason.
fn check_users(source: &Source, scenario: &Scenario, rendered: &Rendered) -> Result<()> {
    let known: BTreeSet<&str> = production::users(rendered).map(String::as_str).collect();
    let known: Vec<&str> = known.into_iter().collect();
    for claim in scenario.expect.iter().flat_map(|list| &list.value) {
        if let Some(user) = probed(&claim.value).filter(|user| !known.contains(user)) {
            return Err(source.unknown_name(claim, "user of the stack", user, &known).into());
        }
    }
    for node in &scenario.nodes.value {
        if let Some(user) = node.config.user.as_deref().filter(|user| !known.contains(user)) {
            return Err(source.unknown_name(&node.id, "user of the stack", user, &known).into());
        }
    }
    Ok(())
}

fn probed(claim: &Expectation) -> Option<&str> {
    match claim {
        Expectation::LoginAccepted(user) | Expectation::WrongPasswordRefused(user) => Some(user),
        _ => None,
    }
}

fn users(scenario: &Scenario, rendered: Option<&Rendered>) -> Vec<String> {
    let models = scenario.nodes.value.iter().filter_map(|node| node.config.user.clone());
    let claims = scenario.expectations().unwrap_or_default();
    let probed = claims.iter().filter_map(|claim| probed(claim).map(str::to_owned));
    let stack = rendered.into_iter().flat_map(|rendered| production::users(rendered).cloned());
    let all: BTreeSet<String> = models.chain(probed).chain(stack).collect();
    all.into_iter().collect()
}
