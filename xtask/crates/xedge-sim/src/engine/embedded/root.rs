//! Paths below a folder that others filled: links are followed as if the folder were the root, and never out of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A folder that path resolution does not leave.
pub(super) struct Root {
    fd: OwnedFd,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: fs::open(path, flags, Mode::empty())? })
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut attempts = 0..100;
        loop {
            match fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                // Somebody renamed something, anywhere, while a `..` was resolved.
                Err(Errno::AGAIN) if attempts.next().is_some() => {}
                other => return other,
            }
        }
    }

    /// The folder at a path.
    pub(super) fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)?)
    }

    /// The folder at a path; it and its parents are made if they are missing.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        let Some((parent, name)) = path.parent().zip(path.file_name()) else {
            return self.folder(path);
        };
        let parent = self.make_folder(parent)?;
        fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
        // Whatever the umask of this process is.
        fs::chmodat(&parent, name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
        self.folder(path)
    }

    /// The content of a regular file; `None` if it is not there.
    pub(super) fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut file = match self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

/// The path under which this process reaches an open folder.
pub(super) fn path_of(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// A relative path of plain names, from one that an archive or an image names; `None` if it climbs with `..`.
pub(super) fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => return None,
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(plain)
}

/// What is at a name of a folder, without following a link; `None` if nothing is.
pub(super) fn kind_at(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<FileType>> {
    match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes what is at a name of a folder, with everything below; links are removed, not followed.
pub(super) fn remove_at(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match kind_at(parent, name)? {
        None => Ok(()),
        Some(FileType::Directory) => {
            for child in children(parent, name)? {
                let folder = open_at(parent, name)?;
                remove_at(folder.as_fd(), &child)?;
            }
            Ok(fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
        }
        Some(_) => Ok(fs::unlinkat(parent, name, AtFlags::empty())?),
    }
}

/// A folder at a name, which must not be a link.
pub(super) fn open_at(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(parent, name, flags, Mode::empty())?)
}

/// The names in a folder.
pub(super) fn children(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<std::ffi::OsString>> {
    use std::os::unix::ffi::OsStrExt;
    let mut names = Vec::new();
    for entry in Dir::read_from(open_at(parent, name)?)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort();
    Ok(names)
}
