//! What lies in the templates folder: names, texts, and what to say where a name is not there. Reading only.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::yaml::near;

use crate::Error;

/// The definition of a stack, in its folder.
pub(crate) const STACK_FILE: &str = "stack.yaml";

/// The names of all stacks, ordered.
pub fn stacks(root: &Utf8Path) -> Result<Vec<String>, Error> {
    let folder = root.join("stacks");
    Ok(list(&folder)?.into_iter().filter(|name| folder.join(name).join(STACK_FILE).is_file()).collect())
}

/// The names of all environments, ordered.
pub fn environments(root: &Utf8Path) -> Result<Vec<String>, Error> {
    let names = list(&root.join("environments"))?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".yaml")).map(str::to_owned).collect())
}

/// All templates of all stacks, ordered.
pub(crate) fn templates(root: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("services"), root.join("stacks")];
    while let Some(folder) = folders.pop() {
        for name in list(&folder)? {
            let path = folder.join(&name);
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some("j2") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn unknown(what: &'static str, name: &str, known: &[String]) -> Error {
    let hint = match near(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => {
            return Error::Unknown { what, name: name.escape_debug().to_string(), hint: None };
        }
        None => format!("known: {}", known.join(", ")),
    };
    Error::Unknown { what, name: name.escape_debug().to_string(), hint: Some(hint) }
}

pub(crate) fn read(path: &Utf8Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The names in a folder, ordered; a folder that is not there has none.
fn list(folder: &Utf8Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let entries = match folder.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name().to_owned());
    }
    names.sort();
    Ok(names)
}
