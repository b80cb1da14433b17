//! `secrets`: make, take, list, renew and hand out. No value is ever printed.

use std::io::Read as _;

use camino::Utf8Path;
use serde_json::json;
use xedge_config::render;
use xedge_sign::Zeroizing;

use super::Context;
use crate::adhoc;
use crate::cli::Secrets;
use crate::error::{Error as Other, Result};
use crate::secrets::{
    self, DEFAULT_LENGTH, DEVELOPMENT, Declared, Error, Kind, LARGEST_FILE, Store, check, find, generate,
};

/// Runs one of them.
pub(super) fn run(cx: &Context<'_>, command: &Secrets) -> Result<()> {
    match command {
        Secrets::Gen { name: Some(name), env, length } => generate_one(cx, name, env, characters(*length)),
        Secrets::Gen { name: None, env, length } => generate_missing(cx, env, characters(*length)),
        Secrets::Set { name, value, .. } if !value.is_empty() => {
            Err(Error::OnCommandLine { name: name.clone() }.into())
        }
        Secrets::Set { name, file, env, .. } => set(cx, name, file.as_deref(), env),
        Secrets::List { env } => list(cx, env.as_deref()),
        Secrets::Rotate { name, env, length } => rotate(cx, name, env, characters(*length)),
        Secrets::Export { stack, env, out } => export(cx, stack.as_deref(), env, out),
    }
}

fn characters(length: Option<u16>) -> usize {
    length.map_or(DEFAULT_LENGTH, usize::from)
}

fn generate_one(cx: &Context<'_>, name: &str, environment: &str, length: usize) -> Result<()> {
    let declared = find(Declared::all(cx, environment)?, name)?;
    let store = Store::open(cx, environment)?;
    if !store.create(name, generate(cx, environment, length)?.as_bytes())? {
        return Err(Error::Exists { name: name.to_owned(), environment: environment.to_owned() }.into());
    }
    told(cx, "made", &declared, environment, &store)
}

/// What a file has to hold, no random text can say.
fn generate_missing(cx: &Context<'_>, environment: &str, length: usize) -> Result<()> {
    let store = Store::open(cx, environment)?;
    let there = store.names()?;
    let all = Declared::all(cx, environment)?;
    let missing: Vec<&Declared> = all.iter().filter(|declared| !there.contains_key(&declared.name)).collect();
    for declared in &missing {
        match declared.kind {
            Kind::Password => {
                store.create(&declared.name, generate(cx, environment, length)?.as_bytes())?;
                told(cx, "made", declared, environment, &store)?;
            }
            Kind::File => {
                let name = &declared.name;
                cx.printer.warn(&format!(
                    "{name} is a file: `cargo xtask secrets set {name} --env {environment} --file FILE`"
                ));
            }
        }
    }
    if missing.is_empty() {
        cx.printer.good("ready", &format!("{environment} has all {} secrets", all.len()));
    }
    Ok(())
}

fn set(cx: &Context<'_>, name: &str, file: Option<&Utf8Path>, environment: &str) -> Result<()> {
    let declared = find(Declared::all(cx, environment)?, name)?;
    let store = Store::open(cx, environment)?;
    let bytes = check(name, declared.kind, &read(cx, name, file)?)?;
    if environment != DEVELOPMENT && secrets::is_development(cx, &bytes)? {
        let (name, environment) = (name.to_owned(), environment.to_owned());
        return Err(Error::Development { name, environment }.into());
    }
    store.write(name, &bytes)?;
    told(cx, "set", &declared, environment, &store)
}

/// The value from a file, from a person who types it unseen, or from stdin.
fn read(cx: &Context<'_>, name: &str, file: Option<&Utf8Path>) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = LARGEST_FILE as u64 + 1;
    if let Some(file) = file {
        let path = cx.environment.folder()?.join(file);
        let read = std::fs::File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        read.map_err(|source| Other::Read { path, source })?;
        return Ok(bytes);
    }
    if cx.printer.can_ask() {
        let typed = rpassword::prompt_password(format!("value of {name}: "));
        let typed = Zeroizing::new(typed.map_err(|error| Other::Password(error.to_string()))?);
        return Ok(Zeroizing::new(typed.as_bytes().to_vec()));
    }
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| Other::Password(error.to_string()))?;
    Ok(bytes)
}

fn rotate(cx: &Context<'_>, name: &str, environment: &str, length: usize) -> Result<()> {
    let declared = find(Declared::all(cx, environment)?, name)?;
    if declared.kind == Kind::File {
        return Err(Error::IsFile { name: name.to_owned() }.into());
    }
    let store = Store::open(cx, environment)?;
    if store.read(name)?.is_none() {
        return Err(Error::Missing { name: name.to_owned(), environment: environment.to_owned() }.into());
    }
    store.write(name, generate(cx, environment, length)?.as_bytes())?;
    told(cx, "renewed", &declared, environment, &store)?;
    if environment != DEVELOPMENT {
        let services: Vec<&str> = declared.services.iter().map(String::as_str).collect();
        cx.printer.warn(&format!(
            "until they get it, what logs in as {name} is refused by what already has it: redeploy together {}, and every client that logs in as {name}",
            services.join(", ")
        ));
    }
    Ok(())
}

/// Says what was done to a secret; the file's path is the data.
fn told(cx: &Context<'_>, done: &str, declared: &Declared, environment: &str, store: &Store) -> Result<()> {
    let (name, kind) = (&declared.name, declared.kind.as_str());
    let services: Vec<&str> = declared.services.iter().map(String::as_str).collect();
    cx.printer.good(done, &format!("{name} ({kind}) of {environment}, used by {}", services.join(", ")));
    let file = store.file(name);
    if cx.printer.is_json() {
        return cx
            .printer
            .json(&json!({"name": name, "kind": kind, "environment": environment, "file": file,
            "services": services}));
    }
    cx.printer.data(file.as_str())
}

/// A line for each secret and environment.
fn list(cx: &Context<'_>, environment: Option<&str>) -> Result<()> {
    let environments = match environment {
        Some(named) => vec![named.to_owned()],
        None => secrets::environments(cx)?,
    };
    for environment in environments {
        let declared = Declared::all(cx, &environment)?;
        let mut there = Store::open(cx, &environment)?.names()?;
        for one in &declared {
            line(cx, &environment, &one.name, Some(one), there.remove(&one.name))?;
        }
        // Those of scenarios without a stack, of other projects, and of stacks that are gone.
        for (name, time) in there {
            line(cx, &environment, &name, None, Some(time))?;
        }
    }
    Ok(())
}

fn line(
    cx: &Context<'_>,
    environment: &str,
    name: &str,
    declared: Option<&Declared>,
    time: Option<i64>,
) -> Result<()> {
    let days = time.map(|time| (cx.environment.now_unix() - time).max(0) / 86_400);
    let kind = declared.map(|declared| declared.kind.as_str());
    let services: Vec<&str> = declared.iter().flat_map(|one| &one.services).map(String::as_str).collect();
    let stored_in: Vec<&str> = declared.iter().flat_map(|one| &one.secrets).map(String::as_str).collect();
    if cx.printer.is_json() {
        return cx.printer.json(&json!({"environment": environment, "name": name, "kind": kind,
            "there": time.is_some(), "days": days, "secrets": stored_in, "services": services}));
    }
    let age = days.map_or("missing".to_owned(), |days| format!("{days} days old"));
    let uses =
        if declared.is_none() { "not declared by this project".to_owned() } else { services.join(", ") };
    cx.printer.data(&format!("{environment} {name} {} · {age} · {uses}", kind.unwrap_or("-")))
}

fn export(cx: &Context<'_>, stack: Option<&str>, environment: &str, out: &Utf8Path) -> Result<()> {
    let stack = cx.project.select_stack(stack)?;
    // One that `deploy --image` made has a folder of its own.
    let mut made = adhoc::projects(cx)?.into_iter();
    let own = made.find(|project| project.stacks().is_ok_and(|stacks| stacks.contains(&stack)));
    let templates = own.map_or_else(|| cx.project.templates(), |project| project.templates());
    // `development` has no configuration of its own: production's, with the values of a simulation.
    let configuration = if environment == DEVELOPMENT { crate::evidence::PRODUCTION } else { environment };
    let rendered = render(&templates, &stack, configuration)?;
    let store = Store::open(cx, environment)?;
    let folder = cx.environment.folder()?.join(out);
    for (file, secret, owned) in secrets::export(cx, &rendered, &store, environment, &folder)? {
        if !owned {
            cx.printer.warn(&format!(
                "its container cannot read it yet: `sudo chown {0}:{0} {file}`",
                secret.owner
            ));
        }
        cx.printer.data(file.as_str())?;
    }
    if environment == DEVELOPMENT {
        cx.printer.warn("these are DEVELOPMENT values: good for a try on this machine, and for no device");
    }
    Ok(())
}
