//! Secrets of a stack on the device: one file each, for its owner alone to read. Values go in and are never shown, hashed
//! into anything or compared aloud.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};
use xedge_model::atomic::{self, WriteError};
use xedge_model::stack::{NAME_RULE, SecretReference, is_name};

use crate::home::StackHome;
use crate::{Error, Result, sealed};

/// The most bytes that a secret may have.
pub const MAX_BYTES: usize = 1 << 20;

/// How often a secret was given, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    version: u64,
    owner: u32,
}

/// Keeps a secret's value, owned by this user of the containers. The same value for the same owner changes nothing.
/// Gives the version: a container that mounts an older one needs to be made anew.
pub fn put(stack: &StackHome, name: &str, owner: u32, value: &[u8]) -> Result<u64> {
    let refuse =
        |reason: String| Error::Given { what: format!("the secret `{}`", name.escape_debug()), reason };
    if !is_name(name) {
        return Err(refuse(format!("its name: {NAME_RULE}")));
    }
    if value.len() > MAX_BYTES {
        return Err(refuse(format!("it has {} bytes, and {MAX_BYTES} are the most", value.len())));
    }
    let (path, folder) = (stack.secret(name), stack.secrets());
    let failed = |source| Error::Write(WriteError::new(&path, source));
    let mut all = versions(stack)?;
    let before = all.get(name).map_or(0, |given| given.version);
    if before > 0 && is_kept(stack, name, owner)? && std::fs::read(&path).map_err(failed)? == value {
        return Ok(before);
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    // The number first: if the power fails in between, a container is made anew without need, never left with an old value.
    all.insert(name.to_owned(), Given { version: before + 1, owner });
    sealed::write(&stack.secret_versions(), &all)?;
    atomic::write_with(&path, SecretReference::MODE, |file| {
        file.write_all(value)?;
        std::os::unix::fs::fchown(&*file, Some(owner), Some(owner))
    })?;
    Ok(before + 1)
}

/// Names of the declared secrets that are not there for the user who is to read them, sorted.
pub fn missing(stack: &StackHome, declared: &[SecretReference]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for secret in declared {
        if !is_kept(stack, &secret.name, secret.owner)? {
            missing.push(secret.name.clone());
        }
    }
    missing.sort();
    Ok(missing)
}

/// How often the value of a secret was changed; 0 where there is none.
pub fn version(stack: &StackHome, name: &str) -> Result<u64> {
    Ok(versions(stack)?.get(name).map_or(0, |given| given.version))
}

fn versions(stack: &StackHome) -> Result<BTreeMap<String, Given>> {
    Ok(sealed::read(&stack.secret_versions())?.unwrap_or_default())
}

/// Whether the file is there, for this owner, and nobody else can read it.
fn is_kept(stack: &StackHome, name: &str, owner: u32) -> Result<bool> {
    let path = stack.secret(name);
    match path.symlink_metadata() {
        Ok(found) => {
            let open = found.mode() & 0o777 & !SecretReference::MODE != 0;
            Ok(found.is_file() && found.uid() == owner && !open)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Read { path, source }),
    }
}

#[cfg(test)]
mod tests;
