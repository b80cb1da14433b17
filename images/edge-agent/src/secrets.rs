//! Secrets of a stack on the device: one file for each version, for its owner alone to read. Values go in and are never shown,
//! hashed into anything or compared aloud; a version that was given is never written again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

use camino::Utf8PathBuf;
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
    let mut all = versions(stack)?;
    let before = all.get(name).map_or(0, |given| given.version);
    let read = || {
        let path = stack.secret(name, before);
        std::fs::read(&path).map_err(|source| Error::Read { path, source })
    };
    if before > 0 && is_kept(stack, name, owner)? && read()? == value {
        return Ok(before);
    }
    let (path, folder) = (stack.secret(name, before + 1), stack.secrets());
    let failed = |source| Error::Write(WriteError::new(&path, source));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    // The number last: no container mounts what it does not speak of, so a power cut in between leaves all as it was.
    atomic::write_with(&path, SecretReference::MODE, |file| {
        file.write_all(value)?;
        std::os::unix::fs::fchown(&*file, Some(owner), Some(owner))
    })?;
    all.insert(name.to_owned(), Given { version: before + 1, owner });
    sealed::write(&stack.secret_versions(), &all)?;
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

/// The files of the versions that the next release mounts.
pub(crate) fn files(stack: &StackHome) -> Result<Vec<Utf8PathBuf>> {
    Ok(versions(stack)?.iter().map(|(name, given)| stack.secret(name, given.version)).collect())
}

fn versions(stack: &StackHome) -> Result<BTreeMap<String, Given>> {
    Ok(sealed::read(&stack.secret_versions())?.unwrap_or_default())
}

/// Whether the newest version is there, for this owner, and nobody else can read it.
fn is_kept(stack: &StackHome, name: &str, owner: u32) -> Result<bool> {
    let path = stack.secret(name, version(stack, name)?);
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
