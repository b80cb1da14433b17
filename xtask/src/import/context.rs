//! The folder of a build that lies outside of the project: what is copied of it, and which secrets stay behind.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::Ignore;

/// The largest file that is looked into for a private key.
const MOST_BYTES: u64 = 64 << 10;

/// A build's context outside of the project.
#[derive(Debug)]
pub(super) struct Context {
    /// Where it is.
    pub(super) folder: Utf8PathBuf,
    ignore: Ignore,
    /// Files that look like secrets, by their path in it, ordered.
    pub(super) secrets: Vec<Utf8PathBuf>,
}

impl Context {
    /// Looks through a folder.
    pub(super) fn read(folder: Utf8PathBuf) -> io::Result<Self> {
        let ignore = match fs::read_to_string(folder.join(".dockerignore")) {
            Ok(text) => Ignore::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ignore::default(),
            Err(error) => return Err(error),
        };
        let mut context = Self { folder, ignore, secrets: Vec::new() };
        let mut secrets = Vec::new();
        context.collect(Utf8Path::new(""), &mut secrets)?;
        secrets.sort();
        context.secrets = secrets;
        Ok(context)
    }

    /// Whether a path in it is not copied.
    pub(super) fn leaves_out(&self, path: &Utf8Path) -> bool {
        let below = path.as_str();
        let needed = matches!(below, ".dockerignore" | "Dockerfile");
        let ignored = self.ignore.leaves_out(below) && !self.ignore.takes_back() && !needed;
        path.file_name() == Some(".git") || ignored || self.secrets.iter().any(|secret| secret == path)
    }

    fn collect(&self, below: &Utf8Path, secrets: &mut Vec<Utf8PathBuf>) -> io::Result<()> {
        for entry in self.folder.join(below).read_dir_utf8()? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if self.leaves_out(&path) {
                continue;
            }
            if kind.is_dir() {
                self.collect(&path, secrets)?;
            } else if kind.is_file() && (is_secret_name(entry.file_name()) || holds_key(entry.path())?) {
                secrets.push(path);
            }
        }
        Ok(())
    }
}

/// Narrower than for mounted files: a program's own sources may well be called `token.py`.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = [".key", ".pfx", ".p12", ".jks", "_rsa", "_dsa", "_ecdsa", "_ed25519"];
    let names = [".netrc", ".npmrc", ".pypirc", ".pgpass", ".htpasswd", "passwd", "credentials"];
    name == ".env"
        || name.starts_with(".env.")
        || names.contains(&name.as_str())
        || ends.iter().any(|end| name.ends_with(end))
}

fn holds_key(path: &Utf8Path) -> io::Result<bool> {
    let small = path.metadata()?.len() <= MOST_BYTES;
    Ok(small && fs::read(path)?.windows(16).any(|bytes| bytes == b"PRIVATE KEY-----"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use camino::{Utf8Path, Utf8PathBuf};

    use super::Context;

    #[test]
    fn secrets_and_what_is_ignored_stay_behind() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        fs::create_dir_all(root.join("src")).unwrap();
        for (name, text) in [
            ("Dockerfile", "FROM scratch\n"),
            (".dockerignore", "*.log\n"),
            (".env", "A=1\n"),
            ("id_rsa", "x"),
            ("src/a.pem", "-----BEGIN PRIVATE KEY-----\n"),
            ("src/token.py", "x"),
            ("b.log", "x"),
        ] {
            fs::write(root.join(name), text).unwrap();
        }
        let context = Context::read(root).unwrap();
        assert_eq!(context.secrets, [".env", "id_rsa", "src/a.pem"]);
        for (path, out) in [
            (".env", true),
            ("b.log", true),
            (".git", true),
            ("src/token.py", false),
            (".dockerignore", false),
            ("Dockerfile", false),
        ] {
            assert_eq!(context.leaves_out(Utf8Path::new(path)), out, "{path}");
        }
    }
}
