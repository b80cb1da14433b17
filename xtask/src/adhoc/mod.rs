//! An image of the project as a stack of one service, made from flags: `deploy --image`. It goes the ordinary way to a bundle,
//! through a smoke gate of its own. Nothing is written into the project but below `target/xedge`.

mod place;
mod service;
mod texts;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_config::render;
use xedge_model::compose::{Bytes, Cpus};
use xedge_model::{ImageName, atomic};

use crate::build;
use crate::cli::{self, ImageArgs, RegistryArgs, StackArgs};
use crate::commands::{self, Context};
use crate::error::{Error, Failed, Result, read_text};
use crate::evidence::PRODUCTION;
use crate::locks::Mode;
use crate::project::{ImageSource, Project, entries, image_named, select_image};
use crate::release::{self, Outcome};
use service::{Service, facts};

/// The seed's limits, for flags that were not given.
const MEMORY: Bytes = Bytes(256 << 20);
const CPUS: &str = "1.0";

/// What the flags of `deploy --image` say.
#[derive(Clone, Debug)]
pub(crate) struct AdHoc {
    /// Image by folder or name; a tag is for people and decides nothing.
    pub(crate) image: String,
    /// Config files, `FILE` or `FILE:/PATH/IN/THE/CONTAINER`, relative to the current folder.
    pub(crate) config: Vec<String>,
    /// Users who log in to a broker whose config names `/run/secrets/mosquitto-passwd` as its password file.
    pub(crate) users: Vec<String>,
    /// Name of stack, service and container; the last part of the image's name when not given.
    pub(crate) name: Option<String>,
    /// `PORT` or `PORT:CONTAINER-PORT`; the one that the image exposes when not given.
    pub(crate) port: Option<String>,
    /// Memory limit.
    pub(crate) memory: Bytes,
    /// Limit of processor time, in processors.
    pub(crate) cpus: Cpus,
    /// Where the images go.
    pub(crate) registry: RegistryArgs,
    /// Fail where a lock cannot be used as it is.
    pub(crate) locked: bool,
}

impl AdHoc {
    /// What the flags say, where they name an image.
    pub(crate) fn of(flags: &ImageArgs, registry: &RegistryArgs, locked: bool) -> Option<Self> {
        let image = flags.image.clone()?;
        let usual = || CPUS.parse().expect("a number of processors");
        Some(Self {
            image,
            config: flags.config.clone(),
            users: flags.mqtt_user.clone(),
            name: flags.name.clone(),
            port: flags.port.clone(),
            memory: flags.memory.unwrap_or(MEMORY),
            cpus: flags.cpus.unwrap_or_else(usual),
            registry: registry.clone(),
            locked,
        })
    }
}

/// Makes the stack, runs its smoke gate unless evidence is there, releases it, and returns the bundle's path.
///
/// # Errors
/// Flags that do not fit the image are input errors (3); a gate that did not pass is 2; everything else is as for `release`.
pub(crate) fn release_adhoc(cx: &Context<'_>, wanted: &AdHoc) -> Result<Utf8PathBuf> {
    let flags = release_flags(cx, wanted, false);
    match run(cx, wanted, &flags)? {
        Outcome::Done(released) => Ok(released.bundle),
        Outcome::Planned(_) => unreachable!("it was not asked for a plan"),
    }
}

/// What [`release_adhoc`] would do. The image is built and its stack written, and nothing is run, signed or recorded.
pub(crate) fn plan(cx: &Context<'_>, wanted: &AdHoc) -> Result<release::Plan> {
    match run(cx, wanted, &release_flags(cx, wanted, true))? {
        Outcome::Planned(plan) => Ok(plan),
        Outcome::Done(_) => unreachable!("it was asked for a plan"),
    }
}

/// The projects that hold the stacks that `--image` made, each with its stack, ordered by name.
pub(crate) fn projects(cx: &Context<'_>) -> Result<Vec<Project>> {
    let mut found = Vec::new();
    for folder in entries(&cx.project.output("adhoc"))? {
        let project = cx.project.with_stacks_of(&folder);
        if !project.stacks()?.is_empty() {
            found.push(project);
        }
    }
    Ok(found)
}

/// The same, with every flag of `release`.
pub(crate) fn run(cx: &Context<'_>, wanted: &AdHoc, flags: &cli::Release) -> Result<Outcome> {
    let source = image(cx, &wanted.image)?;
    let name = name(cx, wanted, &source.def.name)?;
    let mode = if flags.locked { Mode::Locked } else { Mode::Use };
    let built =
        commands::runtime()?.block_on(build::exactly(cx, &source, &source.def.platforms.value, mode))?;
    let facts = facts(&build::layout(cx)?, &source.def, &built.entry)?;
    let service = Service::new(name, wanted, &facts, cx.environment.folder()?)?;
    for line in service.lines() {
        cx.printer.say(&line);
    }
    let folder = cx.project.output("adhoc").join(&service.name);
    write(&folder, &service)?;
    let inner = Context {
        project: cx.project.with_stacks_of(&folder),
        environment: cx.environment.clone(),
        passphrase_file: cx.passphrase_file.clone(),
        passphrase: cx.passphrase.clone(),
        engine: cx.engine,
        printer: cx.printer,
    };
    check_unchanged(&inner, &service)?;
    let stack = StackArgs { stack: Some(service.name.clone()), env: PRODUCTION.to_owned() };
    release::stack(&inner, flags, &stack)
}

/// `release` without a flag, or with `--dry-run` alone.
fn release_flags(cx: &Context<'_>, wanted: &AdHoc, dry_run: bool) -> cli::Release {
    cli::Release {
        stack: StackArgs { stack: None, env: PRODUCTION.to_owned() },
        of_image: ImageArgs::default(),
        registry: wanted.registry.clone(),
        version: None,
        tag: Vec::new(),
        engine: cx.engine,
        evidence: None,
        content_of: None,
        locked: wanted.locked,
        dry_run,
    }
}

/// The image that is meant: a folder of images/, a name, or a name with a tag.
fn image(cx: &Context<'_>, called: &str) -> Result<ImageSource> {
    let all = cx.project.images()?;
    let named = ImageName::from_reference(called).ok().and_then(|(name, _tag)| image_named(&all, &name));
    if let Some(found) = named {
        return Ok(found.clone());
    }
    let found = select_image(&all, called).cloned();
    found.map_err(|error| {
        Error::Unknown {
            what: "an image of this project",
            name: called.to_owned(),
            hint: format!(
                "{}; an image of others comes in first, so that it can pass the gate: \
             `cargo xtask image import --from-engine {called} --name NAME`",
                error.hint().unwrap_or_default()
            ),
        }
        .into()
    })
}

/// The longest name: the scenario's, which is longer, must be one too.
const LONGEST: usize = 40;

/// What stack, service and container are called. A name of a stack of the project is refused: both would count releases
/// under one number.
fn name(cx: &Context<'_>, wanted: &AdHoc, image: &ImageName) -> Result<String> {
    let last = image.as_str().rsplit('/').next().unwrap_or_default();
    let name = wanted.name.clone().unwrap_or_else(|| last.replace(['.', '_'], "-"));
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > LONGEST
        || !name.chars().all(fits)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        return Err(bad(
            "a name for the service",
            &name,
            format!("`--name` takes small letters, digits and `-`, at most {LONGEST}, neither end a `-`"),
        ));
    }
    if cx.project.stacks()?.contains(&name) {
        let hint = format!(
            "it is a stack of this project: release it as one, `cargo xtask deploy --stack {name}`, or choose another `--name`"
        );
        return Err(bad("a free name for the service", &name, hint));
    }
    let scenario = texts::scenario_name(&name);
    let is_taken = cx.project.scenarios()?.iter().any(|file| file.file_stem() == Some(&scenario));
    if is_taken {
        let hint = format!("scenarios/{scenario}.yaml would have the same evidence: choose another `--name`");
        return Err(bad("a free name for the service", &name, hint));
    }
    Ok(name)
}

/// Flags that do not fit.
fn bad(what: &'static str, name: &str, hint: String) -> Failed {
    Error::Unknown { what, name: name.to_owned(), hint }.into()
}

/// Writes the stack; what an earlier call left there goes first.
fn write(folder: &Utf8Path, service: &Service) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::Write { path: folder.to_owned(), source }.into());
        }
        _ => {}
    }
    for (path, text) in texts::files(service) {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|source| Error::Write { path: parent.to_owned(), source })?;
        atomic::write(&path, text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// The files are templates on their way, and must come out as they were put in.
fn check_unchanged(cx: &Context<'_>, service: &Service) -> Result<()> {
    let rendered = render(&cx.project.templates(), &service.name, PRODUCTION)?;
    for config in &service.configs {
        let is_same = |file: &xedge_config::RenderedFile| {
            file.path() == config.output && file.bytes() == config.text.as_bytes()
        };
        if !rendered.files().iter().any(is_same) {
            let reason =
                "it holds text that cannot be kept byte for byte: make it a template of a stack".to_owned();
            return Err(Error::BadFile { path: config.file.clone(), reason }.into());
        }
    }
    Ok(())
}

/// A config file's text.
fn config_text(path: &Utf8Path) -> Result<String> {
    const LARGEST: u64 = 1 << 20;
    let length = fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?.len();
    if length > LARGEST {
        let reason = format!("it has {length} bytes, a config file at most {LARGEST}");
        return Err(Error::BadFile { path: path.to_owned(), reason }.into());
    }
    read_text(path)
}

#[cfg(test)]
mod tests;
