//! The merge of `/bin`, `/sbin` and `/lib*` into `/usr`. Decides by paths and nodes only.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Kind, Node, Tree, clash, path};
use crate::Error;

/// The top folders that become links.
pub(super) const TOPS: [&str; 5] = ["bin", "sbin", "lib", "lib32", "lib64"];

/// Where a path below one of the top folders lies after the merge.
fn merged(path: &Utf8Path) -> Option<Utf8PathBuf> {
    let relative = path.strip_prefix("/").ok()?;
    let top = relative.components().next()?.as_str();
    TOPS.contains(&top).then(|| Utf8Path::new("/usr").join(relative))
}

/// Whether this is the link that a merge leaves, such as `/bin -> usr/bin`.
pub(super) fn is_usual_link(path: &Utf8Path, node: &Node) -> bool {
    let Some(top) = path.as_str().strip_prefix('/').filter(|top| TOPS.contains(top)) else { return false };
    matches!(&node.kind, Kind::Symlink { target }
        if target.trim_start_matches('/').strip_prefix("usr/").is_some_and(|rest| rest.trim_end_matches('/') == top))
}

impl Tree {
    /// The path, or where it leads if its top folder is merged.
    pub(super) fn redirected(&self, path: Utf8PathBuf) -> Utf8PathBuf {
        let Some(merged) = merged(&path) else { return path };
        let top: Utf8PathBuf = path.components().take(2).collect();
        let is_link = self.nodes.get(&top).is_some_and(|node| is_usual_link(&top, node));
        if is_link { merged } else { path }
    }

    /// Moves what is below one top folder and leaves the link.
    pub(super) fn merge_one(&mut self, top: &Utf8Path) -> Result<(), Error> {
        let link = Node::symlink(format!("usr{top}"));
        match self.nodes.get(top) {
            Some(old) if is_usual_link(top, old) => return Ok(()),
            Some(old) if !old.is_dir() => return Err(clash(top, &link, top, &old.kind)),
            _ => {}
        }
        for (path, node) in self.take(top) {
            self.settle(path, node)?;
        }
        self.nodes.insert(top.to_owned(), link);
        for node in self.nodes.values_mut() {
            if let Kind::Hardlink { target } = &mut node.kind
                && target.starts_with(top)
                && let Some(moved) = merged(target)
            {
                *target = moved;
            }
        }
        Ok(())
    }

    /// Puts a node where it belongs after the merge.
    fn settle(&mut self, from: Utf8PathBuf, node: Node) -> Result<(), Error> {
        let Some(to) = merged(&from) else { return self.place(from, node) };
        match self.nodes.get(&to) {
            Some(old) if *old == node || (old.is_dir() && node.is_dir()) => Ok(()),
            Some(_) if leads_to(&from, &node, &to) => Ok(()),
            Some(old) if !leads_to(&to, old, &to) => Err(Error::UsrClash { from, to }),
            _ => self.place(to, node),
        }
    }
}

/// Whether a symbolic link at `path` leads to `goal`, once the top folders are merged.
fn leads_to(path: &Utf8Path, node: &Node, goal: &Utf8Path) -> bool {
    let Kind::Symlink { target } = &node.kind else { return false };
    let resolved = path::resolve(path, target);
    merged(&resolved).unwrap_or(resolved) == goal
}
