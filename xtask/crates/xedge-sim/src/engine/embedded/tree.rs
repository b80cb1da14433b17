//! Copies of folders with owners, modes, times and links: content of fresh volumes, and whole roots where the file
//! system has no overlays.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// The attribute that gives programs capabilities.
const CAPABILITIES: &str = "security.capability";

/// Copies what is in `from` into `to`, which is there already and takes over owner and mode. Nobody else may be changing
/// `from`: names are opened one after the other.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    copy_folder(from, to, &mut HashMap::new())
}

fn copy_folder(from: &Path, to: &Path, links: &mut HashMap<u64, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_one(&entry.path(), &to.join(entry.file_name()), links)?;
    }
    attributes(&fs::metadata(from)?, from, to)
}

fn copy_one(from: &Path, to: &Path, links: &mut HashMap<u64, PathBuf>) -> io::Result<()> {
    let found = from.symlink_metadata()?;
    if found.is_dir() {
        fs::create_dir(to)?;
        return copy_folder(from, to, links);
    }
    if found.nlink() > 1 {
        if let Some(first) = links.get(&found.ino()) {
            return fs::hard_link(first, to);
        }
        links.insert(found.ino(), to.to_owned());
    }
    let kind = found.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        fs::copy(from, to)?;
    } else if kind.is_socket() {
        // Nobody listens on the copy of one.
        return Ok(());
    } else {
        let kind = FileType::from_raw_mode(found.mode());
        rustix::fs::mknodat(CWD, to, kind, Mode::from_raw_mode(0o600), found.rdev())?;
    }
    attributes(&found, from, to)
}

fn attributes(found: &Metadata, from: &Path, to: &Path) -> io::Result<()> {
    lchown(to, Some(found.uid()), Some(found.gid()))?;
    if !found.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    }
    if found.is_file() {
        let mut value = [0; 64];
        // Most files have none.
        if let Ok(length) = rustix::fs::lgetxattr(from, CAPABILITIES, &mut value[..]) {
            rustix::fs::lsetxattr(to, CAPABILITIES, &value[..length], XattrFlags::empty())?;
        }
    }
    let time = Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
