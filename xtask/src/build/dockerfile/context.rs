//! The folder that a build sees, as one tar: sorted, with fixed times, of root; permission bits are kept. Files pass
//! through, none is held. Never reaches outside of the project.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use tar::{Builder, EntryType};
use xedge_model::{Digest, Hasher};
use xedge_oci::tarball::{self, Entry};

use super::ignore::Ignore;
use crate::error::{Error, Result};
use crate::project::entries;

/// The name of the Dockerfile that is sent: one of ours, since names of images in it are filled in.
pub(super) const DOCKERFILE: &str = ".xedge.Dockerfile";
const IGNORE_FILE: &str = ".dockerignore";

/// A context, ready to be read.
#[derive(Clone, Debug)]
pub(super) struct Context {
    folder: Utf8PathBuf,
    ignore: Ignore,
    /// Paths below the folder that are never part of it: what this tool writes itself.
    ours: Vec<String>,
}

impl Context {
    /// The context in a folder with the text of its ignore file.
    pub(super) fn new(folder: Utf8PathBuf, ignore: &str, ours: Vec<String>) -> Self {
        Self { folder, ignore: Ignore::parse(ignore), ours }
    }

    /// Digest of everything in it.
    pub(super) fn digest(&self) -> Result<Digest> {
        let mut hasher = Hashing(Hasher::new());
        self.files(&mut Builder::new(&mut hasher)).map_err(|source| self.error(source))?;
        Ok(hasher.0.finish())
    }

    /// Writes it with a Dockerfile in it, which no `COPY` of the build sees.
    pub(super) fn write(&self, dockerfile: &str, writer: &mut dyn Write) -> io::Result<()> {
        let mut tar = Builder::new(writer);
        self.files(&mut tar)?;
        let hidden = format!("{DOCKERFILE}\n{IGNORE_FILE}\n");
        for (name, text) in [(DOCKERFILE, dockerfile), (IGNORE_FILE, &hidden)] {
            tarball::append(&mut tar, &Entry::file(name, text.len() as u64), text.as_bytes())?;
        }
        tar.into_inner()?.flush()
    }

    fn files(&self, tar: &mut Builder<impl Write>) -> io::Result<()> {
        let mut found = Vec::new();
        self.list(&self.folder, &mut found)?;
        found.sort();
        for path in found {
            let file = self.folder.join(&path);
            append(tar, &path, &file, &fs::symlink_metadata(&file)?)?;
        }
        Ok(())
    }

    fn list(&self, folder: &Utf8Path, found: &mut Vec<String>) -> io::Result<()> {
        for entry in entries(folder).map_err(|error| io::Error::other(error.chain().join(": ")))? {
            let path = entry.strip_prefix(&self.folder).unwrap_or(&entry).as_str().to_owned();
            if path == IGNORE_FILE || self.ours.contains(&path) {
                continue;
            }
            let left_out = self.ignore.leaves_out(&path);
            if !left_out {
                found.push(path);
            }
            if fs::symlink_metadata(&entry)?.is_dir() && (!left_out || self.ignore.takes_back()) {
                self.list(&entry, found)?;
            }
        }
        Ok(())
    }

    pub(super) fn error(&self, source: io::Error) -> crate::error::Failed {
        Error::Read { path: self.folder.clone(), source }.into()
    }
}

/// Sockets and the like cannot be copied into an image and are left out, as Docker does.
fn append(tar: &mut Builder<impl Write>, path: &str, file: &Utf8Path, metadata: &Metadata) -> io::Result<()> {
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_dir() {
        let name = format!("{path}/");
        return tarball::append(tar, &Entry { mode, ..Entry::folder(&name) }, io::empty());
    }
    if metadata.is_symlink() {
        let target = file.read_link_utf8()?;
        let entry =
            Entry { kind: EntryType::Symlink, link: target.as_str(), mode: 0o777, ..Entry::file(path, 0) };
        return tarball::append(tar, &entry, io::empty());
    }
    if !metadata.is_file() {
        return Ok(());
    }
    let size = metadata.len();
    let mut content = io::Read::take(File::open(file)?, size);
    tarball::append(tar, &Entry { mode, ..Entry::file(path, size) }, &mut content)?;
    if content.limit() > 0 {
        return Err(io::Error::other(format!("{path} became shorter while it was read")));
    }
    Ok(())
}

struct Hashing(Hasher);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use camino::Utf8Path;

    use super::Context;

    fn names(context: &Context) -> Vec<String> {
        let mut bytes = Vec::new();
        context.write("FROM scratch\n", &mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let entry = entry.unwrap();
            assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
            format!("{} {:o}", entry.path().unwrap().display(), entry.header().mode().unwrap())
        };
        archive.entries().unwrap().map(entry).collect()
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/c")).unwrap();
        fs::write(at("b/c/run"), "x").unwrap();
        fs::write(at("a.md"), "x").unwrap();
        fs::write(at("image.yaml"), "x").unwrap();
        fs::write(at(".dockerignore"), "*.md\n").unwrap();
        fs::set_permissions(at("b/c/run"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::set_permissions(at("b"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(at("b/c"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../nowhere", at("link")).unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        let context = Context::new(path.clone(), "*.md\n", vec!["image.yaml".to_owned()]);
        let wanted =
            ["b/ 755", "b/c/ 755", "b/c/run 750", "link 777", ".xedge.Dockerfile 644", ".dockerignore 644"];
        assert_eq!(names(&context), wanted);
        let digest = context.digest().unwrap();
        fs::write(at("a.md"), "y").unwrap();
        fs::write(at("b/c/run"), "x").unwrap();
        assert_eq!(context.digest().unwrap(), digest);
        fs::write(at("b/c/run"), "y").unwrap();
        assert_ne!(context.digest().unwrap(), digest);
        let back = Context::new(path, "b\n!b/c/run\n", Vec::new());
        assert!(
            names(&back).contains(&"b/c/run 750".to_owned()) && !names(&back).contains(&"b/ 755".to_owned())
        );
    }
}
