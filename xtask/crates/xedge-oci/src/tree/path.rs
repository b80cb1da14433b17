//! Which paths and link targets may stand in a layer. Pure text: looks at no file system.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::Error;

/// File names with this start are deletions of lower layers' files (image-spec, layer.md, whiteouts).
const WHITEOUT: &str = ".wh.";
/// Longest path and link target that Linux takes, less the final NUL.
const MAX_PATH: usize = 4_095;
/// Longest name of one file.
const MAX_NAME: usize = 255;

/// The path without `.`, doubled and final slashes, or why it is refused.
pub(crate) fn normalise(path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    let refused = |why| Err(Error::UnsafePath { path: path.to_string(), why });
    if !path.is_absolute() {
        return refused("it is not an absolute path");
    }
    if path.as_str().contains('\0') {
        return refused("it contains a NUL");
    }
    let mut normal = Utf8PathBuf::from("/");
    for component in path.components() {
        match component {
            Utf8Component::RootDir | Utf8Component::CurDir => {}
            Utf8Component::Normal(name) if name.starts_with(WHITEOUT) => {
                return refused("a name with `.wh.` in front deletes a file of a lower layer");
            }
            Utf8Component::Normal(name) if name.len() > MAX_NAME => {
                return refused("a name is longer than 255 bytes");
            }
            Utf8Component::Normal(name) => normal.push(name),
            Utf8Component::ParentDir | Utf8Component::Prefix(_) => return refused("it contains `..`"),
        }
    }
    if normal.as_str().len() > MAX_PATH { refused("it is longer than 4095 bytes") } else { Ok(normal) }
}

/// Refuses symbolic link targets that no file system takes.
pub(super) fn check_target(target: &str) -> Result<(), Error> {
    let refused = |why| Err(Error::UnsafePath { path: target.to_owned(), why });
    match target {
        "" => refused("a symbolic link needs a target"),
        _ if target.contains('\0') => refused("it contains a NUL"),
        _ if target.len() > MAX_PATH => refused("it is longer than 4095 bytes"),
        _ => Ok(()),
    }
}

/// Where a symbolic link at `path` leads by its text alone, `..` being taken back.
pub(super) fn resolve(path: &Utf8Path, target: &str) -> Utf8PathBuf {
    let mut resolved = Utf8PathBuf::from("/");
    let from = path.parent().unwrap_or(Utf8Path::new("/")).join(target);
    for component in from.components() {
        match component {
            Utf8Component::Normal(name) => resolved.push(name),
            Utf8Component::ParentDir => drop(resolved.pop()),
            Utf8Component::RootDir | Utf8Component::CurDir | Utf8Component::Prefix(_) => {}
        }
    }
    resolved
}
