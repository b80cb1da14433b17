//! Files beside an imported Compose file: which of them the stack takes along, and where they go.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::secrets::{CLOSE, OPEN};

/// The largest config file, and the most files.
const MOST_BYTES: u64 = 1 << 20;
const MOST_FILES: usize = 500;

/// A file that the stack takes along.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// Its text.
    pub(super) text: String,
    /// Permission bits in the rendered folder.
    pub(super) mode: u32,
}

/// Config files by their path below the rendered folder.
#[derive(Debug, Default)]
pub(super) struct Copies(pub(super) BTreeMap<Utf8PathBuf, Copy>);

/// Why a folder or file cannot be taken along as configuration.
pub(super) enum Unfit {
    /// It is data, not text: the first such file.
    Data(String),
    /// It cannot be read or has a name that is not taken.
    Bad(String),
}

impl Copies {
    /// Takes a file or a folder with all that is in it along as `output`.
    pub(super) fn add(&mut self, from: &Utf8Path, output: &Utf8Path) -> Result<(), Unfit> {
        let mut found = BTreeMap::new();
        collect(from, output, &mut found)?;
        self.0.extend(found);
        if self.0.len() > MOST_FILES {
            return Err(Unfit::Data(format!("more than {MOST_FILES} files")));
        }
        Ok(())
    }
}

fn collect(from: &Utf8Path, output: &Utf8Path, found: &mut BTreeMap<Utf8PathBuf, Copy>) -> Result<(), Unfit> {
    let unreadable = |error: std::io::Error| Unfit::Bad(format!("{from}: {error}"));
    let metadata = from.symlink_metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        let mut entries =
            from.read_dir_utf8().map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        entries.sort_by(|a, b| a.path().cmp(b.path()));
        for entry in entries {
            collect(entry.path(), &output.join(entry.file_name()), found)?;
            if found.len() > MOST_FILES {
                return Err(Unfit::Data(format!("{from} holds more than {MOST_FILES} files")));
            }
        }
        return Ok(());
    }
    if !metadata.is_file() {
        return Err(Unfit::Bad(format!(
            "{from} is neither a file nor a folder: links and sockets are not taken along"
        )));
    }
    if metadata.len() > MOST_BYTES {
        return Err(Unfit::Data(format!("{from} is larger than 1 MiB")));
    }
    let bytes = std::fs::read(from).map_err(unreadable)?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains(['\0', OPEN, CLOSE]));
    let text = text.ok_or_else(|| Unfit::Data(format!("{from} is no text")))?;
    let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
    found.insert(output.to_owned(), Copy { text, mode });
    Ok(())
}

/// Whether a file's name or text says that it holds a secret.
pub(super) fn is_secret(path: &Utf8Path, text: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_ascii_lowercase();
    let named = ["passwd", "password", "secret", "token", "credential", "htpasswd"];
    let ends = [".key", ".pfx", ".p12", "_rsa", "_ed25519"];
    text.contains("PRIVATE KEY-----")
        || named.iter().any(|part| name.contains(part))
        || ends.iter().any(|end| name.ends_with(end))
}

/// A relative path without `.` and `..` inside: what stands above the folder is put below `above`.
pub(super) fn output(path: &Utf8Path) -> Utf8PathBuf {
    let mut out = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::Normal(name) => out.push(name),
            Utf8Component::ParentDir if !out.pop() => out.push("above"),
            _ => {}
        }
    }
    out
}

/// Text that a template gives back as it is.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        if let Some(tag @ ("{{" | "{%" | "{#")) = from.get(..2) {
            out.push_str("{{ '");
            out.push_str(tag);
            out.push_str("' }}");
            rest = &from[2..];
        } else {
            out.push('{');
            rest = &from[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::{escaped, output};

    #[test]
    fn braces_survive_a_template() {
        assert_eq!(escaped("a {{ b }} {%c%} {#d#} { {"), "a {{ '{{' }} b }} {{ '{%' }}c%} {{ '{#' }}d#} { {");
        assert_eq!(escaped("{{{%"), "{{ '{{' }}{{ '{%' }}");
        assert_eq!(escaped("é{"), "é{");
    }

    #[test]
    fn nothing_goes_above_the_rendered_folder() {
        assert_eq!(output(Utf8Path::new("./a/../b/c")), "b/c");
        assert_eq!(output(Utf8Path::new("../x/y")), "above/x/y");
    }
}
