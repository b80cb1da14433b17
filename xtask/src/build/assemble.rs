//! The content of an image as file trees: packages unpacked by rules of ours, users, folders, rootfs and payloads.
//!
//! Nothing is executed, so that any machine makes an image for any platform.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_debian::deb::{self, Kind};
use xedge_model::image::{ImageDef, User};
use xedge_model::lock::LockedPackage;
use xedge_oci::base::RootFs;
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

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
const NSSWITCH: &str = "/etc/nsswitch.conf";
const NSSWITCH_TEXT: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

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

/// Entries of a layer by absolute path, in the order in which they are put in.
pub(super) type Entries = Vec<(Utf8PathBuf, Node)>;

/// Users, folders and the files of `rootfs/`.
pub(super) fn files(def: &ImageDef, folder: &Utf8Path) -> Result<Tree> {
    let mut entries = users(&def.users);
    entries.extend(content(def, folder)?);
    tree(entries)
}

/// Entries as a tree of their own.
pub(super) fn tree(entries: Entries) -> Result<Tree> {
    let mut tree = Tree::new();
    for (path, node) in entries {
        tree.insert(path, node)?;
    }
    Ok(tree)
}

/// Folders and the files of `rootfs/`.
pub(super) fn content(def: &ImageDef, folder: &Utf8Path) -> Result<Entries> {
    let mut entries = Entries::new();
    for directory in &def.directories {
        let node = Node::dir(directory.mode.0).owned_by(directory.owner, directory.owner);
        entries.push((directory.path.clone(), node));
    }
    for (path, file) in rootfs(folder)? {
        let node = Node::file(read_bytes(&file)?, mode_of(&file)?);
        entries.push((path, node));
    }
    Ok(entries)
}

/// The static programs.
pub(super) fn programs(programs: &[Program]) -> Result<Entries> {
    let entry = |program: &Program| {
        let node = Node::file(read_bytes(&program.file)?, 0o755);
        Ok((program.path.clone(), node))
    };
    programs.iter().map(entry).collect()
}

/// The files that name users where there were none before.
fn users(users: &[User]) -> Entries {
    if users.is_empty() {
        return Entries::new();
    }
    let file = |path: &str, text: String| (Utf8PathBuf::from(path), Node::file(text.into_bytes(), 0o644));
    vec![file(PASSWD, passwd(users)), file(GROUP, group(users)), file(NSSWITCH, NSSWITCH_TEXT.to_owned())]
}

/// The base's files that name users, with those of the definition behind the base's own.
pub(super) fn users_on(base: &RootFs, wanted: &[User]) -> Result<Entries> {
    if wanted.is_empty() {
        return Ok(Entries::new());
    }
    let mut entries = Entries::new();
    for (path, node) in users(wanted) {
        let line = |user: &User| match path.as_str() {
            PASSWD => passwd_line(user),
            _ => group_line(user),
        };
        match base.file(path.as_str())? {
            Some(old) if path != NSSWITCH => {
                let text = String::from_utf8_lossy(old.content().unwrap_or_default()).into_owned();
                let content = extended(text, wanted, line)?.into_bytes();
                entries.push((path, Node::file(content, old.mode).owned_by(old.uid, old.gid)));
            }
            Some(_) => {}
            None => entries.push((path, node)),
        }
    }
    Ok(entries)
}

/// A user whom the base has under the same number stays as it is there.
fn extended(mut text: String, wanted: &[User], line: impl Fn(&User) -> String) -> Result<String> {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for user in wanted {
        let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let known = lines.find(|fields| fields.first() == Some(&user.name.as_str()));
        match known.and_then(|fields| fields.get(2).map(|id| (*id).to_owned())) {
            Some(found) if found == user.id.to_string() => {}
            Some(found) => {
                return Err(Error::UserTaken { name: user.name.clone(), id: user.id, found }.into());
            }
            None => text.push_str(&line(user)),
        }
    }
    Ok(text)
}

fn passwd_line(User { name, id, home }: &User) -> String {
    format!("{name}:x:{id}:{id}:{name}:{home}:/usr/sbin/nologin\n")
}

fn group_line(User { name, id, .. }: &User) -> String {
    format!("{name}:x:{id}:\n")
}

fn passwd(users: &[User]) -> String {
    let own: String = users.iter().map(passwd_line).collect();
    format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\n{own}nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
}

fn group(users: &[User]) -> String {
    let own: String = users.iter().map(group_line).collect();
    format!("root:x:0:\n{own}nogroup:x:65534:\n")
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
