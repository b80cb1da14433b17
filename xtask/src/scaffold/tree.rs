//! Files that are made together: none overwrites another, and a failure takes back what was written before it.

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::atomic;

use super::Error;
use crate::error::Result;

/// Texts by their path below a folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(BTreeMap<Utf8PathBuf, String>);

impl Tree {
    /// Adds a file.
    pub(crate) fn add(&mut self, path: impl Into<Utf8PathBuf>, text: impl Into<String>) {
        self.0.insert(path.into(), text.into());
    }

    /// Leaves a file out.
    pub(crate) fn remove(&mut self, path: &Utf8Path) {
        self.0.remove(path);
    }

    /// The paths, ordered.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Utf8Path> {
        self.0.keys().map(Utf8PathBuf::as_path)
    }

    /// Paths and texts, ordered by path.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&Utf8Path, &str)> {
        self.0.iter().map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// Those files that are in `root` already with other content.
    pub(crate) fn clashes(&self, root: &Utf8Path) -> Vec<Utf8PathBuf> {
        let differs = |(path, text): &(&Utf8PathBuf, &String)| {
            let there = root.join(path);
            there.symlink_metadata().is_ok() && fs::read(&there).ok().as_deref() != Some(text.as_bytes())
        };
        self.0.iter().filter(differs).map(|(path, _)| path.clone()).collect()
    }

    /// Refuses to write over anything. What is there already word for word is as good as written.
    pub(crate) fn refuse_clashes(&self, root: &Utf8Path, what: &str) -> Result<()> {
        refuse(what, &self.clashes(root))
    }

    /// Refuses a file that is there, whatever is in it.
    pub(crate) fn refuse_present(&self, root: &Utf8Path, what: &str) -> Result<()> {
        let present = self.0.keys().filter(|path| root.join(path).symlink_metadata().is_ok());
        refuse(what, &present.cloned().collect::<Vec<_>>())
    }

    /// Writes all files below `root`. `Cargo.toml` comes last: a folder without it is no project.
    pub(crate) fn write(&self, root: &Utf8Path) -> Result<()> {
        let mut made = Made::default();
        let last = Utf8Path::new("Cargo.toml");
        let (end, start): (Vec<_>, Vec<_>) = self.0.iter().partition(|(path, _)| *path == last);
        for (path, text) in start.into_iter().chain(end) {
            let path = root.join(path);
            if path.exists() {
                continue;
            }
            made.folders(&path);
            atomic::write(&path, text.as_bytes(), 0o644)?;
            made.files.push(path);
        }
        made.keep();
        Ok(())
    }
}

fn refuse(what: &str, there: &[Utf8PathBuf]) -> Result<()> {
    if there.is_empty() {
        return Ok(());
    }
    let files = there.iter().map(ToString::to_string).collect();
    Err(Error::Exists { what: what.to_owned(), files }.into())
}

/// What has been written so far; taken back unless it is kept.
#[derive(Default)]
struct Made {
    folders: Vec<Utf8PathBuf>,
    files: Vec<Utf8PathBuf>,
}

impl Made {
    /// Remembers the folders that writing this file will make, outermost first.
    fn folders(&mut self, file: &Utf8Path) {
        let mut missing: Vec<_> =
            file.ancestors().skip(1).take_while(|folder| !folder.exists()).map(Utf8Path::to_owned).collect();
        missing.reverse();
        self.folders.extend(missing);
    }

    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed stays; the error that led here is the one to tell.
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use camino::Utf8PathBuf;

    use super::Tree;

    #[test]
    fn a_failure_takes_back_what_was_written() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).unwrap();
        fs::write(root.join("b"), "a file where a folder must be").unwrap();
        let mut tree = Tree::default();
        tree.add("a/deep/file", "1");
        tree.add("b/file", "2");
        tree.add("Cargo.toml", "3");
        assert!(tree.clashes(&root).is_empty());
        tree.write(&root.join("new")).unwrap();
        assert_eq!(fs::read_to_string(root.join("new/b/file")).unwrap(), "2");

        assert!(tree.write(&root).is_err());
        let left: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn what_is_there_already_is_named_and_the_same_text_is_no_clash() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).unwrap();
        fs::write(root.join("same"), "1").unwrap();
        fs::write(root.join("other"), "theirs").unwrap();
        let mut tree = Tree::default();
        for name in ["same", "other", "new"] {
            tree.add(name, "1");
        }
        assert_eq!(tree.clashes(&root), ["other"]);
        let told = tree.refuse_clashes(&root, "it").unwrap_err().chain().join(" ");
        assert!(told.contains("this file is already there: other"), "{told}");
    }
}
