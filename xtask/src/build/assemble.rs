//! The content of an image as file trees: packages unpacked by rules of ours, users, folders, rootfs and payloads.
//!
//! Nothing is executed, so that any machine makes an image for any platform.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::BufReader;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_debian::deb::{self, Kind};
use xedge_model::image::{ImageDef, User};
use xedge_model::lock::LockedPackage;
use xedge_oci::{Node, Tree};

use crate::error::{Error, Result, read_bytes};
use crate::fetch::Store;
use crate::payload::Program;
use crate::project::entries;

/// Documentation and translations that no container reads; copyright files stay, licences ask for them.
const LEFT_OUT: [&str; 6] = [
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "usr/share/doc-base/",
];

/// Debian packages as one tree, and the date of the newest one in seconds since 1970.
pub(super) fn packages(store: &Store, packages: &[LockedPackage]) -> Result<(Tree, i64)> {
    let mut tree = Tree::new();
    let mut newest = 0;
    for package in packages {
        newest = newest.max(unpack(store, package, &mut tree)?);
    }
    if !packages.is_empty() {
        tree.merge_usr()?;
    }
    Ok((tree, newest))
}

fn unpack(store: &Store, package: &LockedPackage, tree: &mut Tree) -> Result<i64> {
    let file = BufReader::new(store.open(&package.sha256)?);
    let control = deb::read(&package.name, file, |entry| insert(tree, &package.name, entry))?;
    status(tree, package, &control)?;
    Ok(control.date_unix)
}

fn insert(tree: &mut Tree, package: &str, entry: deb::DataEntry<'_>) -> Result<()> {
    if is_left_out(&entry.path) {
        return Ok(());
    }
    let node = match entry.kind {
        Kind::Dir { mode } => Node::dir(mode),
        Kind::File { mode, size, reader } => {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(64 << 20));
            let failed = |source| Error::Read { path: Utf8Path::new(package).join(&entry.path), source };
            reader.read_to_end(&mut bytes).map_err(failed)?;
            Node::file(bytes, mode)
        }
        Kind::Symlink(target) => Node::symlink(target),
        Kind::Hardlink(target) => Node::hardlink(Utf8Path::new("/").join(target)),
    };
    Ok(tree.insert(Utf8Path::new("/").join(&entry.path), node.owned_by(entry.uid, entry.gid))?)
}

fn is_left_out(path: &Utf8Path) -> bool {
    let path = path.as_str();
    let is_doc =
        path.starts_with("usr/share/doc/") && path.matches('/').count() > 3 && !path.ends_with("/copyright");
    is_doc || LEFT_OUT.iter().any(|folder| path.starts_with(folder))
}

/// dpkg's record of one package, where vulnerability scanners of images without dpkg look for it.
fn status(tree: &mut Tree, package: &LockedPackage, control: &deb::DebControl) -> Result<()> {
    let folder = Utf8Path::new("/var/lib/dpkg/status.d");
    let mut text = control.control.trim_end().to_owned();
    text.push_str("\nStatus: install ok installed\n");
    tree.insert(folder.join(&package.name), Node::file(text.into_bytes(), 0o644))?;
    if let Some(sums) = &control.md5sums {
        let file = folder.join(format!("{}.md5sums", package.name));
        tree.insert(file, Node::file(sums.clone().into_bytes(), 0o644))?;
    }
    Ok(())
}

/// Users, folders and the files of `rootfs/`.
pub(super) fn files(def: &ImageDef, folder: &Utf8Path) -> Result<Tree> {
    let mut tree = Tree::new();
    if !def.users.is_empty() {
        tree.insert("/etc/passwd", Node::file(passwd(&def.users).into_bytes(), 0o644))?;
        tree.insert("/etc/group", Node::file(group(&def.users).into_bytes(), 0o644))?;
        tree.insert(
            "/etc/nsswitch.conf",
            Node::file(b"passwd: files\ngroup: files\nhosts: files dns\n".to_vec(), 0o644),
        )?;
    }
    for directory in &def.directories {
        tree.insert(&directory.path, Node::dir(directory.mode.0).owned_by(directory.owner, directory.owner))?;
    }
    for (path, file) in rootfs(folder)? {
        tree.insert(&path, Node::file(read_bytes(&file)?, mode_of(&file)?))?;
    }
    Ok(tree)
}

/// The static programs.
pub(super) fn programs(programs: &[Program]) -> Result<Tree> {
    let mut tree = Tree::new();
    for program in programs {
        tree.insert(&program.path, Node::file(read_bytes(&program.file)?, 0o755))?;
    }
    Ok(tree)
}

fn passwd(users: &[User]) -> String {
    let mut text = String::from("root:x:0:0:root:/root:/usr/sbin/nologin\n");
    for User { name, id, home } in users {
        writeln!(text, "{name}:x:{id}:{id}:{name}:{home}:/usr/sbin/nologin")
            .expect("writing to a string cannot fail");
    }
    text + "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
}

fn group(users: &[User]) -> String {
    let mut text = String::from("root:x:0:\n");
    for User { name, id, .. } in users {
        writeln!(text, "{name}:x:{id}:").expect("writing to a string cannot fail");
    }
    text + "nogroup:x:65534:\n"
}

/// The files of `rootfs/`: path in the image, file on this machine.
pub(super) fn rootfs(folder: &Utf8Path) -> Result<BTreeMap<Utf8PathBuf, Utf8PathBuf>> {
    let root = folder.join("rootfs");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            if entry.is_symlink() {
                return Err(Error::BadFile {
                    path: entry,
                    reason: "a symlink in rootfs/ is not supported".into(),
                }
                .into());
            }
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let below = entry.strip_prefix(&root).unwrap_or(&entry);
                found.insert(Utf8Path::new("/").join(below), entry.clone());
            }
        }
    }
    Ok(found)
}

/// Only the executable bit counts: the rest is the umask of whoever checked the file out.
pub(super) fn mode_of(file: &Utf8Path) -> Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    let meta = fs::metadata(file).map_err(|source| Error::Read { path: file.into(), source })?;
    Ok(if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 })
}
