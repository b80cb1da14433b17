//! Folders that containers mount: chosen from the signed files, named by all that is in them, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::Digest;
use xedge_model::atomic::{self, WriteError};

use super::{MountFile, MountFolder, refused};
use crate::Result;
use crate::home::StackHome;

/// Permission bits of folders.
const FOLDER_MODE: u32 = 0o755;
/// What somebody who is neither owner nor in the group needs.
const OTHERS_READ: u32 = 0o004;

/// The files below `source`, or that file by itself; then its name in the folder is given too.
pub(super) fn select(
    service: &str,
    files: &BTreeMap<Utf8PathBuf, MountFile>,
    source: &Utf8Path,
    user: Option<(u32, u32)>,
) -> Result<(MountFolder, Option<Utf8PathBuf>)> {
    let alone = files.get(source);
    let chosen: Vec<MountFile> = match alone {
        Some(file) => vec![MountFile { path: name(&file.path), ..file.clone() }],
        None => files
            .values()
            .filter_map(|file| {
                let path = file.path.strip_prefix(source).ok()?.to_owned();
                Some(MountFile { path, ..file.clone() })
            })
            .collect(),
    };
    if chosen.is_empty() {
        let reason = format!("it mounts `./{source}`, and no file of the configuration is there");
        return Err(refused(service, &reason, super::NEWER));
    }
    let closed = chosen.iter().find(|file| file.mode & OTHERS_READ == 0);
    if let (None, Some(file)) = (user, closed) {
        let reason = format!("its user has a name and no number, so nobody can give it `{}`", file.path);
        return Err(refused(service, &reason, "write `user: \"UID:GID\"`, in the stack or the image"));
    }
    let owner = user.unwrap_or((0, 0));
    let file = alone.map(|file| name(&file.path));
    Ok((MountFolder { digest: digest(owner, &chosen), owner, files: chosen }, file))
}

fn name(path: &Utf8Path) -> Utf8PathBuf {
    path.file_name().unwrap_or_default().into()
}

fn digest(owner: (u32, u32), files: &[MountFile]) -> Digest {
    let files: Vec<(&Utf8Path, u32, Digest)> =
        files.iter().map(|file| (file.path.as_path(), file.mode, Digest::of(&file.bytes))).collect();
    Digest::of(&serde_json::to_vec(&(owner, files)).expect("tuples, numbers and text"))
}

/// Writes the folders that are not there yet, whole or not at all. Those that are there are compared with what they must be
/// and mended file by file: a running container sees either content, never half of one.
pub fn write_mounts(home: &StackHome, folders: &[MountFolder]) -> Result<()> {
    for folder in folders {
        let path = home.mount(&folder.digest);
        if path.is_dir() {
            mend(&path, folder)?;
        } else {
            make(&path, folder)?;
        }
    }
    Ok(())
}

fn make(path: &Utf8Path, folder: &MountFolder) -> Result<()> {
    let beside = path.with_extension("new");
    let written = || -> io::Result<()> {
        if beside.exists() {
            fs::remove_dir_all(&beside)?;
        }
        // Until everything in it is as it must be, nobody else looks into it.
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        DirBuilder::new().mode(0o700).create(&beside)?;
        for file in &folder.files {
            for parent in parents(&file.path) {
                let parent = beside.join(parent);
                if !parent.is_dir() {
                    make_folder(&parent, folder.owner)?;
                }
            }
            write_file(&beside.join(&file.path), file, folder.owner)?;
        }
        make_folder(&beside, folder.owner)?;
        for folder in folders_of(folder) {
            File::open(beside.join(folder))?.sync_all()?;
        }
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    written().map_err(|source| WriteError::new(path, source).into())
}

/// A new file, which nobody but this program can read before it has its owner and its mode.
fn write_file(path: &Utf8Path, file: &MountFile, owner: (u32, u32)) -> io::Result<()> {
    let mut to = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    to.write_all(&file.bytes)?;
    let now = to.metadata()?;
    if (now.uid(), now.gid()) != owner {
        fchown(&to, Some(owner.0), Some(owner.1))?;
    }
    to.set_permissions(Permissions::from_mode(file.mode))?;
    to.sync_all()
}

/// The folders between a mounted folder and one of its files, outermost first; never the folder itself.
fn parents(file: &Utf8Path) -> Vec<&Utf8Path> {
    let mut all: Vec<&Utf8Path> = file.ancestors().skip(1).filter(|path| !path.as_str().is_empty()).collect();
    all.reverse();
    all
}

fn folders_of(folder: &MountFolder) -> Vec<&Utf8Path> {
    let mut all: Vec<&Utf8Path> = folder.files.iter().flat_map(|file| parents(&file.path)).collect();
    all.push(Utf8Path::new(""));
    all.sort();
    all.dedup();
    all.reverse();
    all
}

fn make_folder(path: &Utf8Path, owner: (u32, u32)) -> io::Result<()> {
    fs::create_dir_all(path)?;
    own(path, owner)?;
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
}

/// Only a privileged agent may give something away; where it is the owner already, there is nothing to do.
fn own(path: &Utf8Path, owner: (u32, u32)) -> io::Result<()> {
    let now = fs::symlink_metadata(path)?;
    if (now.uid(), now.gid()) == owner { Ok(()) } else { chown(path, Some(owner.0), Some(owner.1)) }
}

fn mend(folder: &Utf8Path, should: &MountFolder) -> Result<()> {
    for file in &should.files {
        let path = folder.join(&file.path);
        if is_right(&path, file, should.owner) {
            continue;
        }
        for parent in parents(&file.path) {
            let parent = folder.join(parent);
            make_folder(&parent, should.owner).map_err(|source| WriteError::new(&parent, source))?;
        }
        atomic::write_with(&path, file.mode, |beside| {
            io::Write::write_all(beside, &file.bytes)?;
            fchown(&*beside, Some(should.owner.0), Some(should.owner.1))
        })?;
    }
    Ok(())
}

fn is_right(path: &Utf8Path, file: &MountFile, owner: (u32, u32)) -> bool {
    let Ok(now) = fs::symlink_metadata(path) else { return false };
    now.is_file()
        && now.mode() & 0o7777 == file.mode
        && (now.uid(), now.gid()) == owner
        && now.len() == file.bytes.len() as u64
        && fs::read(path).is_ok_and(|bytes| bytes == file.bytes)
}
