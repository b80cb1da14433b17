//! The file system that a base image gives a container, and what a layer on top of it must hold to change nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::scan::Scanned;
use crate::tree::{self, normalise};
use crate::{Error, Tree};

/// As many as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// All paths of a base image after its last layer. Of files only those have content here that others ask for.
#[derive(Clone, Debug, Default)]
pub struct RootFs {
    nodes: BTreeMap<Utf8PathBuf, Node>,
}

/// What a path holds, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file, with its content if that is asked for.
    File {
        content: Option<Arc<[u8]>>,
    },
    Dir,
    Symlink {
        target: String,
    },
    Hardlink {
        target: Utf8PathBuf,
    },
    /// A device, a pipe.
    Other,
}

impl Kind {
    fn noun(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::Hardlink { .. } => "file",
            Self::Dir => "folder",
            Self::Symlink { .. } => "symbolic link",
            Self::Other => "special file",
        }
    }
}

impl RootFs {
    /// The content of a file by whatever links lead to it, as a node that can be put back; nothing where there is no file.
    pub fn file(&self, path: &str) -> Result<Option<tree::Node>, Error> {
        let mut at = self.resolve(Utf8Path::new(path))?;
        for _ in 0..MAX_LINKS {
            match self.nodes.get(&at) {
                None => return Ok(None),
                Some(Node { kind: Kind::Hardlink { target }, .. }) => at.clone_from(target),
                Some(Node { kind: Kind::File { content: Some(content) }, mode, uid, gid }) => {
                    return Ok(Some(tree::Node::file(content.clone(), *mode).owned_by(*uid, *gid)));
                }
                Some(_) => break,
            }
        }
        Err(Error::UnsafePath { path: path.to_owned(), why: "the base image has no plain file there" })
    }

    /// Every path at which a container finds a file, ordered; links are not followed.
    pub fn files(&self) -> impl Iterator<Item = &Utf8Path> {
        let is_file = |node: &Node| matches!(node.kind, Kind::File { .. } | Kind::Hardlink { .. });
        self.nodes.iter().filter(move |(_, node)| is_file(node)).map(|(path, _)| path.as_path())
    }

    /// Where a path leads when every link in it is followed; a path that is not there leads to itself.
    pub fn real(&self, path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
        self.resolve(path)
    }

    /// Puts a layer of ours on top, so that a further one keeps its folders too.
    pub fn put(&mut self, layer: &Tree) {
        for (path, node) in layer.iter() {
            let kind = match &node.kind {
                tree::Kind::File { content } => Kind::File { content: Some(content.clone()) },
                tree::Kind::Dir => Kind::Dir,
                tree::Kind::Symlink { target } => Kind::Symlink { target: target.clone() },
                tree::Kind::Hardlink { target } => Kind::Hardlink { target: target.clone() },
            };
            self.place(path.to_owned(), Node { kind, mode: node.mode, uid: node.uid, gid: node.gid });
        }
    }

    /// The content of all files in a folder, by name.
    pub(super) fn folder(&self, path: &str) -> Vec<(&Utf8Path, Arc<[u8]>)> {
        let folder = Utf8Path::new(path);
        let below = self.nodes.range(folder.to_owned()..).take_while(|(path, _)| path.starts_with(folder));
        below
            .filter_map(|(path, node)| match &node.kind {
                Kind::File { content: Some(content) } => Some((path.as_path(), content.clone())),
                _ => None,
            })
            .collect()
    }

    /// What a layer must hold so that these paths get these nodes: they go where the base's links lead, and the folders
    /// above them keep owner and mode, which a layer would else replace.
    pub fn layer(&self, wanted: &[(Utf8PathBuf, tree::Node)]) -> Result<Tree, Error> {
        let mut layer = Tree::new();
        for (path, node) in wanted {
            let at = self.place_of(path, node)?;
            self.keep_folders(&at, node, &mut layer)?;
            match self.nodes.get(&at) {
                Some(old) if (old.kind == Kind::Dir) != node.is_dir() => {
                    return Err(clash(path, node, &at, &old.kind));
                }
                _ => layer.insert(&at, node.clone())?,
            }
        }
        Ok(layer)
    }

    /// A folder goes to where a link of its name leads; a file takes a link's place.
    fn place_of(&self, path: &Utf8Path, node: &tree::Node) -> Result<Utf8PathBuf, Error> {
        let path = normalise(path)?;
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if !node.is_dir() => Ok(self.resolve(parent)?.join(name)),
            _ => self.resolve(&path),
        }
    }

    fn keep_folders(&self, at: &Utf8Path, node: &tree::Node, layer: &mut Tree) -> Result<(), Error> {
        let mut above: Vec<&Utf8Path> = at.ancestors().skip(1).filter(|folder| *folder != "/").collect();
        above.reverse();
        for folder in above {
            match self.nodes.get(folder) {
                Some(Node { kind: Kind::Dir, mode, uid, gid }) if layer.get(folder).is_none() => {
                    layer.insert(folder, tree::Node::dir(*mode).owned_by(*uid, *gid))?;
                }
                Some(Node { kind: Kind::Dir, .. }) | None => {}
                Some(other) => return Err(clash(at, node, folder, &other.kind)),
            }
        }
        Ok(())
    }

    /// Where a path leads when every link in it is followed, without ever leaving the image.
    fn resolve(&self, path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
        let parts = |text: &Utf8Path| -> Vec<String> { text.components().map(|c| c.to_string()).collect() };
        let (mut at, mut links) = (Utf8PathBuf::from("/"), 0);
        let mut left: VecDeque<String> = parts(path).into();
        while let Some(part) = left.pop_front() {
            match part.as_str() {
                "/" => at = "/".into(),
                ".." => drop(at.pop()),
                "." => {}
                name => {
                    let next = at.join(name);
                    let Some(Node { kind: Kind::Symlink { target }, .. }) = self.nodes.get(&next) else {
                        at = next;
                        continue;
                    };
                    links += 1;
                    if links > MAX_LINKS {
                        let why = "the base image's links lead in a circle there";
                        return Err(Error::UnsafePath { path: path.to_string(), why });
                    }
                    for part in parts(Utf8Path::new(target)).into_iter().rev() {
                        left.push_front(part);
                    }
                }
            }
        }
        Ok(at)
    }

    /// Puts a layer on top. Its deletions are of what lies below it, wherever in the layer they stand.
    pub(super) fn apply(&mut self, layer: Scanned) {
        for path in &layer.deleted {
            self.remove(path);
        }
        for folder in &layer.emptied {
            let kept = self.nodes.get(folder).cloned();
            self.remove(folder);
            self.nodes.extend(kept.map(|kept| (folder.clone(), kept)));
        }
        for (path, node) in layer.brought {
            self.place(path, node);
        }
    }

    fn place(&mut self, path: Utf8PathBuf, node: Node) {
        let above: Vec<Utf8PathBuf> =
            path.ancestors().skip(1).filter(|folder| *folder != "/").map(Utf8Path::to_owned).collect();
        for folder in above.into_iter().rev() {
            let is_dir = self.nodes.get(&folder).is_some_and(|node| node.kind == Kind::Dir);
            if !is_dir {
                self.nodes.insert(folder, Node { kind: Kind::Dir, mode: 0o755, uid: 0, gid: 0 });
            }
        }
        if node.kind != Kind::Dir {
            self.remove(&path);
        }
        self.nodes.insert(path, node);
    }

    fn remove(&mut self, path: &Utf8Path) {
        let below = self.nodes.range(path.to_owned()..).map(|(path, _)| path);
        let gone: Vec<_> = below.take_while(|below| below.starts_with(path)).cloned().collect();
        for path in gone {
            self.nodes.remove(&path);
        }
    }
}

fn clash(path: &Utf8Path, new: &tree::Node, at: &Utf8Path, old: &Kind) -> Error {
    Error::Clash { path: path.to_owned(), new: new.kind.noun(), at: at.to_owned(), old: old.noun() }
}
