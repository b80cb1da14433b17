//! Unpacking tar archives: layers with whiteouts (image-spec, layer.md), and files for volumes. Nothing is written
//! outside of the root, whatever an archive says.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, makedev,
};
use tar::{Archive, Entry, EntryType};
use xedge_model::bounded::Bound;

use super::root::{Root, children, kind_at, open_at, path_of, plain, remove_at};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Prefix of pax records that carry extended attributes, such as a program's capabilities.
const XATTR: &str = "SCHILY.xattr.";

/// What an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A layer on top of others: names with `.wh.` remove what those have.
    Layer,
    /// Just files.
    Files,
}

/// Unpacks an archive into `root`, with owners, modes, times and extended attributes.
pub(super) fn unpack(archive: impl Read, root: &Root, content: Content) -> io::Result<()> {
    let mut target = Target { root, content, parent: None, written: BTreeSet::new(), times: Vec::new() };
    let bound = Bound::at_start();
    let mut archive = Archive::new(bound.over(archive));
    for entry in archive.entries()? {
        let mut entry = entry?;
        bound.content(stored(&entry)?);
        let name = PathBuf::from(OsString::from_vec(entry.path_bytes().into_owned()));
        target.take(&mut entry, &name).map_err(|error| about(&name, &error))?;
    }
    target.finish()
}

/// How much of the archive its content takes: a sparse file's holes are not in it.
pub(super) fn stored(entry: &Entry<'_, impl Read>) -> io::Result<u64> {
    if entry.header().entry_type().is_gnu_sparse() { entry.header().entry_size() } else { Ok(entry.size()) }
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("entry `{}`: {error}", path.display()))
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

struct Target<'a> {
    root: &'a Root,
    content: Content,
    /// The folder of the last entry: archives list a folder's files one after the other.
    parent: Option<(PathBuf, OwnedFd)>,
    /// What this archive brought: its whiteouts are about the layers below only.
    written: BTreeSet<PathBuf>,
    /// Times of folders, set when nothing is put into them any more.
    times: Vec<(PathBuf, u64)>,
}

impl Target<'_> {
    fn take(&mut self, entry: &mut Entry<'_, impl Read>, name: &Path) -> io::Result<()> {
        let path = plain(name).ok_or_else(|| refused("the path climbs with `..`"))?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            return self.root_folder(entry);
        };
        let above = path.parent().map(Path::to_owned).unwrap_or_default();
        let parent = self.folder(&above)?;
        if self.content == Content::Layer && name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(parent.as_fd(), &above, &name);
        }
        self.put(entry, parent.as_fd(), &path, &name)?;
        self.written.insert(path);
        Ok(())
    }

    /// The entry of the root itself sets its owner and mode.
    fn root_folder(&mut self, entry: &Entry<'_, impl Read>) -> io::Result<()> {
        if entry.header().entry_type() != EntryType::Directory {
            return Err(refused("it has no name"));
        }
        let folder = self.root.folder(Path::new(""))?;
        let path = path_of(&folder);
        let (uid, gid, mode) = owner(entry)?;
        fs::chown(&path, Some(uid), Some(gid))?;
        Ok(fs::chmod(&path, mode)?)
    }

    fn folder(&mut self, path: &Path) -> io::Result<OwnedFd> {
        if let Some((known, fd)) = &self.parent
            && known == path
        {
            return fd.try_clone();
        }
        let fd = self.root.make_folder(path)?;
        self.parent = Some((path.to_owned(), fd.try_clone()?));
        Ok(fd)
    }

    fn whiteout(&mut self, parent: BorrowedFd<'_>, above: &Path, name: &OsStr) -> io::Result<()> {
        if name.as_bytes() == OPAQUE {
            let folder = self.root.folder(above)?;
            return self.clear(folder.as_fd(), above);
        }
        let hidden = OsStr::from_bytes(&name.as_bytes()[WHITEOUT.len()..]);
        if matches!(hidden.as_bytes(), b"" | b"." | b"..") {
            return Err(refused("the whiteout names nothing"));
        }
        self.hide(parent, &above.join(hidden), hidden)
    }

    /// Removes what the layers below have in a folder.
    fn clear(&mut self, folder: BorrowedFd<'_>, above: &Path) -> io::Result<()> {
        for child in children(folder, OsStr::new("."))? {
            self.hide(folder, &above.join(&child), &child)?;
        }
        Ok(())
    }

    /// Removes what the layers below have at a path; what this one brought stays.
    fn hide(&mut self, parent: BorrowedFd<'_>, path: &Path, name: &OsStr) -> io::Result<()> {
        let from_here = self.written.range(path.to_owned()..).next().is_some_and(|p| p.starts_with(path));
        if !from_here {
            self.parent = None;
            return remove_at(parent, name);
        }
        if kind_at(parent, name)? == Some(FileType::Directory) {
            let folder = open_at(parent, name)?;
            return self.clear(folder.as_fd(), path);
        }
        Ok(())
    }

    fn put(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        parent: BorrowedFd<'_>,
        path: &Path,
        name: &OsStr,
    ) -> io::Result<()> {
        let kind = entry.header().entry_type();
        self.make_room(parent, name, kind == EntryType::Directory)?;
        let (uid, gid, mode) = owner(entry)?;
        match kind {
            EntryType::Directory => {
                if kind_at(parent, name)?.is_none() {
                    fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
                }
                self.times.push((path.to_owned(), entry.header().mtime()?));
            }
            EntryType::Symlink => fs::symlinkat(link(entry)?, parent, name)?,
            // Owner, mode and times are those of the file that it is another name of.
            EntryType::Link => return self.hard_link(&link(entry)?, parent, name),
            EntryType::Char | EntryType::Block | EntryType::Fifo => special(entry, parent, name)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
                let mode = Mode::from_raw_mode(0o600);
                let file = fs::openat(parent, name, flags | OFlags::CLOEXEC, mode)?;
                io::copy(entry, &mut File::from(file))?;
            }
            other => return Err(refused(&format!("entries of kind {other:?} are not understood"))),
        }
        // Owner first: changing it takes away set-user-id bits.
        fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if kind != EntryType::Symlink {
            fs::chmodat(parent, name, mode, AtFlags::empty())?;
        }
        attributes(entry, parent, name)?;
        set_time(parent, name, entry.header().mtime()?)
    }

    /// Takes away what is in the way. A folder stays where a folder is to be.
    fn make_room(&mut self, parent: BorrowedFd<'_>, name: &OsStr, for_folder: bool) -> io::Result<()> {
        match kind_at(parent, name)? {
            None => Ok(()),
            Some(FileType::Directory) if for_folder => Ok(()),
            Some(_) => {
                self.parent = None;
                remove_at(parent, name)
            }
        }
    }

    fn hard_link(&mut self, to: &Path, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let to = plain(to).ok_or_else(|| refused("the link's target climbs with `..`"))?;
        let (above, other) =
            to.parent().zip(to.file_name()).ok_or_else(|| refused("the link has no target"))?;
        let folder = self.root.folder(above)?;
        // Without following: the target may be a symbolic link itself, and leads nowhere then.
        Ok(fs::linkat(&folder, other, parent, name, AtFlags::empty())?)
    }

    /// The deepest first, since a change below does not touch the times above it.
    fn finish(self) -> io::Result<()> {
        for (path, time) in self.times.iter().rev() {
            let (above, name) = (path.parent().unwrap_or(Path::new("")), path.file_name());
            let (Ok(parent), Some(name)) = (self.root.folder(above), name) else { continue };
            if kind_at(parent.as_fd(), name)? == Some(FileType::Directory) {
                set_time(parent.as_fd(), name, *time)?;
            }
        }
        Ok(())
    }
}

fn owner(entry: &Entry<'_, impl Read>) -> io::Result<(Uid, Gid, Mode)> {
    let header = entry.header();
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    let ids = id(header.uid()?).zip(id(header.gid()?));
    let (uid, gid) = ids.ok_or_else(|| refused("the owner's number is too large"))?;
    Ok((Uid::from_raw(uid), Gid::from_raw(gid), Mode::from_raw_mode(header.mode()? & 0o7777)))
}

fn link(entry: &Entry<'_, impl Read>) -> io::Result<PathBuf> {
    let name = entry.link_name_bytes().ok_or_else(|| refused("the link has no target"))?;
    Ok(PathBuf::from(OsString::from_vec(name.into_owned())))
}

fn special(entry: &Entry<'_, impl Read>, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let header = entry.header();
    let kind = match header.entry_type() {
        EntryType::Char => FileType::CharacterDevice,
        EntryType::Block => FileType::BlockDevice,
        _ => FileType::Fifo,
    };
    let number = |n: io::Result<Option<u32>>| n.map(Option::unwrap_or_default);
    let device = match kind {
        FileType::Fifo => 0,
        _ => makedev(number(header.device_major())?, number(header.device_minor())?),
    };
    Ok(fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device)?)
}

fn attributes(entry: &mut Entry<'_, impl Read>, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let Some(records) = entry.pax_extensions()? else { return Ok(()) };
    for record in records {
        let record = record?;
        let Some(attribute) = record.key().ok().and_then(|key| key.strip_prefix(XATTR)) else { continue };
        let path = path_of(parent).join(name);
        fs::lsetxattr(&path, attribute, record.value_bytes(), XattrFlags::empty())?;
    }
    Ok(())
}

fn set_time(parent: BorrowedFd<'_>, name: &OsStr, seconds: u64) -> io::Result<()> {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests;
