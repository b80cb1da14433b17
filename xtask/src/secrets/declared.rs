//! What the stacks of a project declare, and which services use it. Values are not read here.

use std::collections::{BTreeMap, BTreeSet};

use xedge_config::{Rendered, render};
use xedge_model::stack::{SecretKind, SecretReference};
use xedge_model::yaml::near;

use super::{DEVELOPMENT, Error};
use crate::adhoc;
use crate::commands::Context;
use crate::error::{Error as Other, Result};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The password of a user.
    Password,
    /// The content of a file.
    File,
}

impl Kind {
    /// In a word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Password => "password",
            Kind::File => "file",
        }
    }
}

/// A value that some stack needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The user's name, or the secret's that is a file.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The secrets that hold it, `STACK/SECRET`.
    pub(crate) secrets: BTreeSet<String>,
    /// The services that read them, `STACK/SERVICE`.
    pub(crate) services: BTreeSet<String>,
}

impl Declared {
    /// Everything that the stacks need in an environment, those that `deploy --image` made among them, ordered by name; `development` needs what any of them does.
    pub(crate) fn all(cx: &Context<'_>, environment: &str) -> Result<Vec<Self>> {
        let known = xedge_config::environments(&cx.project.templates())?;
        let environments = match environment {
            DEVELOPMENT => known,
            named => vec![checked(named, &known)?],
        };
        let mut all = BTreeMap::new();
        for stack in cx.project.stacks()? {
            for environment in &environments {
                collect(&render(&cx.project.templates(), &stack, environment)?, &mut all)?;
            }
        }
        for made in adhoc::projects(cx)? {
            let known = xedge_config::environments(&made.templates())?;
            for stack in made.stacks()? {
                for environment in environments.iter().filter(|one| known.contains(one)) {
                    collect(&render(&made.templates(), &stack, environment)?, &mut all)?;
                }
            }
        }
        Ok(all.into_values().collect())
    }
}

/// `development`, and the environments in which some stack needs a secret.
pub(crate) fn environments(cx: &Context<'_>) -> Result<Vec<String>> {
    let mut found = vec![DEVELOPMENT.to_owned()];
    for environment in xedge_config::environments(&cx.project.templates())? {
        if environment != DEVELOPMENT && !Declared::all(cx, &environment)?.is_empty() {
            found.push(environment);
        }
    }
    Ok(found)
}

/// The one with this name.
pub(crate) fn find(all: Vec<Declared>, name: &str) -> Result<Declared> {
    let names: Vec<String> = all.iter().map(|declared| declared.name.clone()).collect();
    let holds = |one: &&Declared| one.secrets.iter().any(|secret| secret.ends_with(&format!("/{name}")));
    let users: Vec<String> = all.iter().filter(holds).map(|one| format!("`{}`", one.name)).collect();
    let hint = match (users.is_empty(), near(name, names.iter().map(String::as_str))) {
        (false, _) => format!("that secret is made of the password of {}: name a user", users.join(", ")),
        (true, Some(near)) => format!("did you mean `{near}`?"),
        (true, None) if names.is_empty() => {
            "no stack needs one: declare it under `secrets` in stack.yaml".to_owned()
        }
        (true, None) => {
            format!("known: {}; another one is declared under `secrets` in stack.yaml", names.join(", "))
        }
    };
    let found = all.into_iter().find(|declared| declared.name == name);
    Ok(found.ok_or_else(|| Other::Unknown {
        what: "the user or file in any stack:",
        name: name.to_owned(),
        hint,
    })?)
}

/// What file secrets of a stack hold in a simulation, where stack.yaml says it.
pub(super) fn samples(cx: &Context<'_>, stack: &str) -> Result<BTreeMap<String, String>> {
    let def = xedge_config::stack(&cx.project.templates(), stack)?;
    let sample = |(name, secret): (&String, &xedge_model::yaml::Spanned<xedge_model::stack::SecretDef>)| {
        Some((name.clone(), secret.value.sample.as_ref()?.value.clone()))
    };
    Ok(def.secrets.iter().filter_map(sample).collect())
}

fn checked(named: &str, known: &[String]) -> Result<String> {
    // A class of devices that is none is told by rendering.
    let (environment, _class) = xedge_config::split_class(named);
    if known.iter().any(|known| known == environment) {
        return Ok(named.to_owned());
    }
    let all = || known.iter().map(String::as_str).chain([DEVELOPMENT]);
    let hint = near(named, all()).map_or_else(
        || format!("known: {}", all().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Other::Unknown { what: "environment", name: named.to_owned(), hint }.into())
}

fn collect(rendered: &Rendered, all: &mut BTreeMap<String, Declared>) -> Result<()> {
    for secret in rendered.secrets() {
        let place = format!("{}/{}", rendered.stack(), secret.name);
        for (name, kind) in values(secret) {
            let entry = all.entry(name.to_owned()).or_insert_with(|| Declared {
                name: name.to_owned(),
                kind,
                secrets: BTreeSet::new(),
                services: BTreeSet::new(),
            });
            if entry.kind != kind {
                return Err(ambiguous(entry, &place).into());
            }
            entry.secrets.insert(place.clone());
            entry.services.extend(services(rendered, &secret.name));
        }
    }
    Ok(())
}

/// The values that a secret is made of.
fn values(secret: &SecretReference) -> Vec<(&str, Kind)> {
    match secret.kind {
        SecretKind::File => vec![(&secret.name, Kind::File)],
        _ => secret.users.iter().map(|user| (user.as_str(), Kind::Password)).collect(),
    }
}

fn ambiguous(earlier: &Declared, place: &str) -> Error {
    let before = earlier.secrets.iter().next().cloned().unwrap_or_default();
    let (user, file) = match earlier.kind {
        Kind::Password => (before, place.to_owned()),
        Kind::File => (place.to_owned(), before),
    };
    Error::Ambiguous { name: earlier.name.clone(), user, file }
}

fn services(rendered: &Rendered, secret: &str) -> Vec<String> {
    let order = rendered.compose().start_order();
    let reads =
        order.into_iter().filter(|(_, service)| service.secret_targets().any(|(name, _)| name == secret));
    reads.map(|(name, _)| format!("{}/{name}", rendered.stack())).collect()
}
