//! The content of one layer in memory, by normalised absolute path. Touches no files and follows no links.

mod path;
mod usr;

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use crate::Error;

pub(crate) use path::normalise;

/// Permission bits that a node may have: set-user-id, set-group-id, sticky, and three times rwx.
const MODE_BITS: u32 = 0o7777;

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File {
        /// Its bytes; shared, so that a tree is cheap to copy.
        content: Arc<[u8]>,
    },
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink {
        /// Where it points, as it is written into the link.
        target: String,
    },
    /// Another name of a file in the same tree.
    Hardlink {
        /// Absolute path of the file, or of another hard link to it.
        target: Utf8PathBuf,
    },
}

impl Kind {
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Dir => "folder",
            Self::Symlink { .. } => "symbolic link",
            Self::Hardlink { .. } => "hard link",
        }
    }
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, including set-user-id, set-group-id and sticky. A hard link has those of its file.
    pub mode: u32,
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
}

impl Node {
    /// A file of root.
    pub fn file(content: impl Into<Arc<[u8]>>, mode: u32) -> Self {
        Self { kind: Kind::File { content: content.into() }, mode, uid: 0, gid: 0 }
    }

    /// A folder of root.
    pub fn dir(mode: u32) -> Self {
        Self { kind: Kind::Dir, mode, uid: 0, gid: 0 }
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self { kind: Kind::Symlink { target: target.into() }, mode: 0o777, uid: 0, gid: 0 }
    }

    /// A hard link to the file at an absolute path.
    pub fn hardlink(target: impl Into<Utf8PathBuf>) -> Self {
        Self { kind: Kind::Hardlink { target: target.into() }, mode: 0o644, uid: 0, gid: 0 }
    }

    /// The same with another owner.
    #[must_use]
    pub fn owned_by(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// The content of a file.
    pub fn content(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::File { content } => Some(content),
            Kind::Dir | Kind::Symlink { .. } | Kind::Hardlink { .. } => None,
        }
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind == Kind::Dir
    }
}

/// Files, folders and links by absolute path. Every entry's parents are folders of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<Utf8PathBuf, Node>,
}

impl Tree {
    /// A tree with nothing in it. The root folder itself is never part of a layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts one entry at an absolute path; missing parents become folders of root with mode 0755.
    ///
    /// An entry that is there is replaced, but a folder only by a folder and something else only by something else.
    /// Where `/bin`, `/sbin` or `/lib*` is the usual link into `/usr`, entries below it go where the link leads, and
    /// putting in such a link moves what is below the folder. Refused are paths that are relative or contain `..`, NUL
    /// or a name that layers use for deletions (`.wh.`).
    pub fn insert(&mut self, path: impl AsRef<Utf8Path>, node: Node) -> Result<(), Error> {
        let path = path::normalise(path.as_ref())?;
        let node = self.checked(&path, node)?;
        if path == "/" {
            return if node.is_dir() { Ok(()) } else { Err(clash(&path, &node, &path, &Kind::Dir)) };
        }
        if usr::is_usual_link(&path, &node) {
            let mut merged = self.clone();
            merged.merge_one(&path)?;
            *self = merged;
            return Ok(());
        }
        let path = self.redirected(path);
        self.place(path, node)
    }

    /// Puts in every entry of another tree, as [`Tree::insert`] does.
    pub fn extend(&mut self, other: &Tree) -> Result<(), Error> {
        other.iter().try_for_each(|(path, node)| self.insert(path, node.clone()))
    }

    /// Moves everything below `/bin`, `/sbin`, `/lib`, `/lib32` and `/lib64` to `/usr/…` and leaves links in their
    /// place, as Debian does since its release 12. The same file on both sides is fine, and so is a link from one side
    /// to the other; two different files are an error, which leaves the tree as it was.
    ///
    /// Targets of hard links are moved along. Targets of symbolic links stay as they are: packages are made for
    /// systems on which these folders are links already.
    pub fn merge_usr(&mut self) -> Result<(), Error> {
        let mut merged = self.clone();
        for top in usr::TOPS {
            let (path, below_usr) = (Utf8PathBuf::from(format!("/{top}")), format!("/usr/{top}"));
            if merged.get(&path).is_some() || merged.get(below_usr).is_some() {
                merged.merge_one(&path)?;
            }
        }
        *self = merged;
        Ok(())
    }

    /// Removes an entry and all below it; returns whether there was one.
    pub fn remove(&mut self, path: impl AsRef<Utf8Path>) -> bool {
        !self.take(path.as_ref()).is_empty()
    }

    /// The entry at a normalised absolute path.
    pub fn get(&self, path: impl AsRef<Utf8Path>) -> Option<&Node> {
        self.nodes.get(path.as_ref())
    }

    /// All entries, folders before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&Utf8Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn get_key_value(&self, path: &Utf8Path) -> Option<(&Utf8Path, &Node)> {
        self.nodes.get_key_value(path).map(|(path, node)| (path.as_path(), node))
    }

    fn checked(&self, path: &Utf8Path, mut node: Node) -> Result<Node, Error> {
        node.mode &= MODE_BITS;
        match &mut node.kind {
            Kind::Symlink { target } => path::check_target(target)?,
            Kind::Hardlink { target } => {
                *target = self.redirected(path::normalise(target)?);
                if target == path {
                    return Err(Error::DanglingLink { path: path.to_owned(), target: target.clone() });
                }
            }
            Kind::File { .. } | Kind::Dir => {}
        }
        Ok(node)
    }

    /// Puts a node at a normalised path, making its parents.
    fn place(&mut self, path: Utf8PathBuf, node: Node) -> Result<(), Error> {
        let mut parents: Vec<&Utf8Path> = path.ancestors().skip(1).filter(|parent| *parent != "/").collect();
        parents.reverse();
        for parent in parents {
            match self.nodes.get(parent) {
                Some(old) if !old.is_dir() => return Err(clash(&path, &node, parent, &old.kind)),
                Some(_) => {}
                None => drop(self.nodes.insert(parent.to_owned(), Node::dir(0o755))),
            }
        }
        match self.nodes.get(&path) {
            Some(old) if old.is_dir() != node.is_dir() => Err(clash(&path, &node, &path, &old.kind)),
            _ => {
                self.nodes.insert(path, node);
                Ok(())
            }
        }
    }

    /// Takes an entry and all below it out of the tree.
    fn take(&mut self, path: &Utf8Path) -> Vec<(Utf8PathBuf, Node)> {
        let below = self.nodes.range(path.to_owned()..).map(|(path, _)| path);
        let taken: Vec<_> = below.take_while(|below| below.starts_with(path)).cloned().collect();
        taken.into_iter().filter_map(|path| self.nodes.remove_entry(&path)).collect()
    }
}

fn clash(path: &Utf8Path, new: &Node, at: &Utf8Path, old: &Kind) -> Error {
    Error::Clash { path: path.to_owned(), new: new.kind.noun(), at: at.to_owned(), old: old.noun() }
}

#[cfg(test)]
mod tests;
