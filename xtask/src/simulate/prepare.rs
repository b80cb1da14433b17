//! A scenario with every name resolved: images of the project, the rendered stack, users. Nothing is built or run here.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_config::{COMPOSE_FILE, Rendered, RenderedFile, render};
use xedge_model::scenario::{Docker, Expectation, Implementation, NO_DOCKERFILES, Node, Scenario};
use xedge_model::yaml::{Source, Spanned};
use xedge_model::{Digest, ImageName};

use super::production::{self, Difference};
use crate::commands::Context;
use crate::error::Result;
use crate::project::{ImageSource, image_named};

/// A checked scenario and what it refers to.
pub(crate) struct Prepared {
    /// File name without extension.
    pub(crate) name: String,
    /// The file as the user named it.
    pub(crate) file: Utf8PathBuf,
    /// Digest of its bytes.
    pub(crate) digest: Digest,
    /// The environment whose configuration `profile: production` runs.
    pub(crate) environment: String,
    /// The scenario.
    pub(crate) scenario: Scenario,
    /// Image of each docker node, by node id.
    pub(crate) images: BTreeMap<String, ImageSource>,
    /// The rendered production stack, for `profile: production`.
    pub(crate) rendered: Option<Rendered>,
    /// What differs from production all the same.
    pub(super) differences: Vec<Difference>,
    /// Every user whose password is needed.
    pub(crate) users: Vec<String>,
}

/// Reads and checks one scenario; says what it makes of the seed's optimistic keys.
///
/// `environment` is that of the stack's configuration, for `profile: production`.
pub(crate) fn prepare(cx: &Context<'_>, file: &Utf8Path, environment: &str) -> Result<Prepared> {
    let source = cx.project.source(file)?;
    let scenario = Scenario::parse(&source)?;
    let digest = Digest::of(source.text().as_bytes());
    let images = images(cx, &source, &scenario)?;
    let rendered = match &scenario.stack {
        None => None,
        Some(stack) => Some(rendered(cx, &source, stack, environment)?),
    };
    let differences = differences(&source, &scenario, rendered.as_ref())?;
    if let Some(rendered) = &rendered {
        check_users(&source, &scenario, rendered)?;
        check_all_of_it_runs(&source, &scenario, rendered)?;
    }
    let users = users(&scenario, rendered.as_ref());
    Ok(Prepared {
        name: name(cx, file, &digest),
        file: file.to_owned(),
        digest,
        environment: environment.to_owned(),
        scenario,
        images,
        rendered,
        differences,
        users,
    })
}

/// The file's name; one that is not in scenarios/ must not speak for one that is.
fn name(cx: &Context<'_>, file: &Utf8Path, digest: &Digest) -> String {
    let stem = file.file_stem().unwrap_or("scenario");
    let ours = cx.project.root().join("scenarios");
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

/// `image` names one of images/: that one. Otherwise `build_context` is a folder to build from, which is not there yet.
fn image(
    cx: &Context<'_>,
    source: &Source,
    all: &[ImageSource],
    node: &Node,
    docker: &Docker,
) -> Result<ImageSource> {
    let Some(named) = &docker.image else {
        return Err(source.error_at(&node.id, "`docker` needs `image`").into());
    };
    let name = ImageName::from_reference(&named.value).map(|(name, _)| name);
    let name = name.map_err(|error| source.error_at(named, error.to_string()))?;
    if let Some(found) = image_named(all, &name) {
        note_unused_context(cx, docker, &name);
        return Ok(found.clone());
    }
    if let Some(context) = &docker.build_context {
        return Err(source.error_at(context, NO_DOCKERFILES).into());
    }
    let known: Vec<&str> = all.iter().map(|image| image.def.name.as_str()).collect();
    Err(source.unknown_name(named, "image", name.as_str(), &known).into())
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

fn differences(source: &Source, scenario: &Scenario, rendered: Option<&Rendered>) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
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
                differences.extend(service_differences(source, node, docker, service, rendered)?);
            }
        }
    }
    Ok(differences)
}

fn service_differences(
    source: &Source,
    node: &Node,
    docker: &Docker,
    service: &Spanned<String>,
    rendered: &Rendered,
) -> Result<Vec<Difference>> {
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
    if !docker.environment.is_empty() || docker.command.is_some() {
        let message = format!(
            "node `{}` sets what the production files decide: no `environment`, no `command`",
            node.id.value
        );
        return Err(source.error_at(&node.id, message).into());
    }
    let image = docker.image.as_ref().and_then(|image| ImageName::from_reference(&image.value).ok());
    if image.is_none_or(|(name, _)| name != settings.image_name()) {
        let message =
            format!("node `{}` must run the image of its service, {}", node.id.value, settings.image_name());
        return Err(source.error_at(&node.id, message).into());
    }
    production::differences(rendered, &service.value, settings)
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
    let claims = scenario.expectations();
    let probed = claims.iter().filter_map(|claim| probed(claim).map(str::to_owned));
    let stack = rendered.into_iter().flat_map(|rendered| production::users(rendered).cloned());
    let all: BTreeSet<String> = models.chain(probed).chain(stack).collect();
    all.into_iter().collect()
}
