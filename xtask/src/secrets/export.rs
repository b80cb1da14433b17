//! Secret files as a device's containers read them, from the values of an environment.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, chown};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use xedge_config::Rendered;
use xedge_config::passwd::{Salt, secret_file};
use xedge_model::atomic;
use xedge_model::stack::{SecretKind, SecretReference};
use xedge_sign::Zeroizing;

use super::{Error, Store, store, value};
use crate::commands::Context;
use crate::error::{Error as Other, Result};

/// Writes the secrets of a rendered stack into a folder, with the owners that they need if we may; gives the files, and for
/// each whether its owner is right. Nothing is written if a value is missing.
pub(crate) fn export(
    cx: &Context<'_>,
    rendered: &Rendered,
    store: &Store,
    environment: &str,
    folder: &Utf8Path,
) -> Result<Vec<(Utf8PathBuf, SecretReference, bool)>> {
    refuse_in_project(cx.project.root(), folder)?;
    store::refuse_open(folder)?;
    let mut contents = Vec::new();
    for secret in rendered.secrets() {
        contents.push((secret, content(cx, store, environment, secret)?));
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| Other::Write { path: folder.to_owned(), source })?;
    let mut files = Vec::new();
    for (secret, bytes) in contents {
        let file = folder.join(&secret.name);
        atomic::write(&file, &bytes, SecretReference::MODE)?;
        let owned = chown(&file, Some(secret.owner), Some(secret.owner)).is_ok();
        files.push((file, secret.clone(), owned));
    }
    Ok(files)
}

/// Where a folder really is decides: links and `..` lead elsewhere than the path says.
fn refuse_in_project(root: &Utf8Path, folder: &Utf8Path) -> Result<()> {
    let real = |path: &Utf8Path| {
        let there = path.ancestors().find(|above| above.exists()).unwrap_or(path);
        let rest = path.strip_prefix(there).unwrap_or(Utf8Path::new(""));
        let there = there.canonicalize_utf8().map_err(|source| Other::Read { path: path.to_owned(), source });
        Ok::<_, Other>((there?, rest.to_owned()))
    };
    let (root, _) = real(root)?;
    let (there, rest) = real(folder)?;
    let climbs = rest.components().any(|part| part == Utf8Component::ParentDir);
    let whole = there.join(rest);
    if climbs || whole.starts_with(&root) && !whole.starts_with(root.join("target")) {
        return Err(Error::InProject(folder.to_owned()).into());
    }
    Ok(())
}

/// What one secret file holds.
fn content(
    cx: &Context<'_>,
    store: &Store,
    environment: &str,
    secret: &SecretReference,
) -> Result<Zeroizing<Vec<u8>>> {
    let there = |name: &str| -> Result<Zeroizing<Vec<u8>>> {
        let missing = || Error::Missing { name: name.to_owned(), environment: environment.to_owned() };
        Ok(store.read(name)?.ok_or_else(missing)?)
    };
    if secret.kind == SecretKind::File {
        return there(&secret.name);
    }
    let mut passwords = BTreeMap::new();
    for user in &secret.users {
        passwords.insert(user.clone(), value::password(user, &there(user)?)?.to_string());
    }
    Ok(Zeroizing::new(secret_file(secret, &passwords, &salts(cx, secret)?)?))
}

/// What these secret files hold, in this order; everything that is missing is named at once.
pub(crate) fn contents(
    cx: &Context<'_>,
    store: &Store,
    environment: &str,
    secrets: &[&SecretReference],
) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    let mut missing = std::collections::BTreeSet::new();
    for secret in secrets {
        let own = [secret.name.clone()];
        let names = if secret.kind == SecretKind::File { &own[..] } else { &secret.users[..] };
        for name in names {
            if store.read(name)?.is_none() {
                missing.insert(name.clone());
            }
        }
    }
    let names: Vec<String> = missing.into_iter().collect();
    match &names[..] {
        [] | [_] => secrets.iter().map(|secret| content(cx, store, environment, secret)).collect(),
        _ => Err(Error::SeveralMissing { names, environment: environment.to_owned() }.into()),
    }
}

/// A new salt for each user of a secret.
pub(crate) fn salts(cx: &Context<'_>, secret: &SecretReference) -> Result<BTreeMap<String, Salt>> {
    let mut salts = BTreeMap::new();
    for user in &secret.users {
        let mut salt = Salt::default();
        cx.environment.random(&mut salt)?;
        salts.insert(user.clone(), salt);
    }
    Ok(salts)
}
