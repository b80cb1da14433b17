//! A stack in forms that an operator knows: a Compose file, systemd units of Podman (Quadlet), lines of `docker run`.
//!
//! From a checked Compose file to texts; nothing is written or started here. What a form cannot say is noted, not dropped.

mod backup;
mod flags;
mod quadlet;
mod run;

pub use backup::{Backup, backup};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use xedge_model::compose::{Compose, Service};

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// The Compose file as it was rendered.
    Compose,
    /// `.container`, `.volume` and `.network` files for Podman 4.4 and newer.
    Quadlet,
    /// A script of `docker run` lines.
    Run,
}

/// A stack in one form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Files by name, beside the configuration; the Compose file is there already.
    pub files: Vec<OutputFile>,
    /// What the form does otherwise than Compose, for the operator.
    pub notes: Vec<String>,
}

/// A file of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Permission bits.
    pub mode: u32,
}

/// Where a stack's configuration lies on the device, for units, which take no relative paths.
pub const QUADLET_FOLDER: &str = "/etc/xedge";

/// Makes a form of the stack `name`. Units find its configuration in `folder`, scripts beside them.
pub fn output(form: Form, name: &str, compose: &Compose, folder: &Utf8Path) -> Output {
    match form {
        Form::Compose => Output::default(),
        Form::Quadlet => quadlet::output(name, compose, folder),
        Form::Run => run::output(name, compose),
    }
}

/// The name of a network or volume in the Engine; Compose names it the same way.
fn named(stack: &str, name: &str) -> String {
    format!("{stack}_{name}")
}

/// The name of a container, as Compose gives it where the file gives none.
fn container(stack: &str, name: &str, service: &Service) -> String {
    service.container_name.as_ref().map_or_else(|| format!("{stack}-{name}-1"), ToString::to_string)
}

/// The networks of a service and its names there; the default one where it names none.
fn networks<'s>(name: &str, service: &'s Service) -> Vec<(&'s str, Vec<String>)> {
    if service.network_mode.is_some() {
        return Vec::new();
    }
    if service.networks.0.is_empty() {
        return vec![("default", vec![name.to_owned()])];
    }
    let used = service.networks.0.iter().map(|network| {
        let aliases = network.value.aliases.iter().map(ToString::to_string);
        (&*network.value.name, std::iter::once(name.to_owned()).chain(aliases).collect())
    });
    used.collect()
}

/// All networks that services use, with what the file says about them, ordered.
fn all_networks(compose: &Compose) -> Vec<(String, Option<String>, bool)> {
    let mut names: Vec<&str> = Vec::new();
    for (name, service) in &compose.services {
        names.extend(networks(name, &service.value).into_iter().map(|(network, _)| network));
    }
    names.sort_unstable();
    names.dedup();
    let settings = |name: &str| {
        let def = compose.networks.get(name).and_then(|def| def.value.as_ref());
        let driver = def.and_then(|def| def.driver.as_ref()).map(ToString::to_string);
        (name.to_owned(), driver, def.and_then(|def| def.internal).unwrap_or(false))
    };
    names.into_iter().map(settings).collect()
}

/// A path that is relative to `folder`, without `..`.
fn resolved(folder: &Utf8Path, path: &str) -> Utf8PathBuf {
    let mut all = folder.to_owned();
    for part in Utf8Path::new(path).components() {
        match part {
            Utf8Component::ParentDir => drop(all.pop()),
            Utf8Component::Normal(part) => all.push(part),
            Utf8Component::RootDir => all = Utf8PathBuf::from("/"),
            Utf8Component::CurDir | Utf8Component::Prefix(_) => {}
        }
    }
    all
}
