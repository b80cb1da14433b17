//! Layers on top of each other, and archives that try to get out.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::process::{getgid, getuid};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::{Content, Root, unpack};

/// An archive under construction; everything belongs to whoever runs the tests.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, path: &str, link: &str, mode: u32, bytes: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        // As it is: the crate's own setters refuse what these tests are about.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(mode);
        header.set_uid(getuid().as_raw().into());
        header.set_gid(getgid().as_raw().into());
        header.set_mtime(1_000_000_000);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    fn file(self, path: &str, text: &str) -> Self {
        self.entry(EntryType::Regular, path, "", 0o644, text.as_bytes())
    }

    fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, path, "", mode, b"")
    }

    fn link(self, path: &str, to: &str) -> Self {
        self.entry(EntryType::Symlink, path, to, 0o777, b"")
    }

    fn hard(self, path: &str, to: &str) -> Self {
        self.entry(EntryType::Link, path, to, 0o644, b"")
    }
}

/// A root, beside a file that nobody may touch.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("root")).unwrap();
        fs::create_dir_all(place.path().join("outside")).unwrap();
        fs::write(place.path().join("outside/precious"), "precious").unwrap();
        Self(place)
    }

    fn root(&self) -> std::path::PathBuf {
        self.0.path().join("root")
    }

    fn take(&self, tar: Tar) -> std::io::Result<()> {
        let bytes = tar.0.into_inner().unwrap();
        let unpacked = unpack(bytes.as_slice(), &Root::open(&self.root()).unwrap(), Content::Layer);
        let names: Vec<_> = fs::read_dir(self.0.path().join("outside")).unwrap().collect();
        assert_eq!(names.len(), 1, "something was put outside");
        assert_eq!(fs::read(self.0.path().join("outside/precious")).unwrap(), b"precious");
        unpacked
    }

    #[track_caller]
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.root().join(path).symlink_metadata().is_ok()
    }
}

#[test]
fn modes_times_and_links_are_kept() {
    let place = Place::new();
    let tar = Tar::new()
        .folder("./", 0o755)
        .folder("./etc/", 0o750)
        .entry(EntryType::Regular, "./etc/program", "", 0o4755, b"x")
        .link("etc/link", "/nowhere")
        .hard("etc/again", "./etc/program")
        .entry(EntryType::Fifo, "etc/pipe", "", 0o600, b"");
    place.take(tar).unwrap();
    let found = fs::metadata(place.root().join("etc/program")).unwrap();
    assert_eq!(
        (found.permissions().mode() & 0o7777, found.mtime(), found.nlink()),
        (0o4755, 1_000_000_000, 2)
    );
    let folder = fs::metadata(place.root().join("etc")).unwrap();
    assert_eq!((folder.permissions().mode() & 0o7777, folder.mtime()), (0o750, 1_000_000_000));
    assert_eq!(fs::read_link(place.root().join("etc/link")).unwrap(), Path::new("/nowhere"));
    assert!(place.has("etc/pipe"));
}

#[test]
fn whiteouts_remove_what_is_below_and_nothing_of_their_own_layer() {
    let place = Place::new();
    place
        .take(Tar::new().file("a/one", "1").file("a/two", "2").file("b/c/old", "o").file("kept", "k"))
        .unwrap();
    let upper = Tar::new()
        .file("a/.wh.one", "")
        .file("b/c/new", "n")
        // The order inside of a layer does not matter.
        .file("b/c/.wh..wh..opq", "")
        .file("a/three", "3")
        .file("a/.wh.three", "")
        .file(".wh.missing", "");
    place.take(upper).unwrap();
    assert!(!place.has("a/one") && !place.has("b/c/old") && !place.has("a/.wh.one"));
    assert_eq!((place.read("a/two"), place.read("a/three")), ("2".into(), "3".into()));
    assert_eq!((place.read("b/c/new"), place.read("kept")), ("n".into(), "k".into()));
}

#[test]
fn an_opaque_folder_keeps_only_its_own_layer() {
    let place = Place::new();
    place.take(Tar::new().file("d/sub/old", "o").file("d/file", "f").file("d/sub/deep/x", "x")).unwrap();
    place.take(Tar::new().folder("d", 0o755).file("d/sub/new", "n").file("d/.wh..wh..opq", "")).unwrap();
    assert_eq!(place.read("d/sub/new"), "n");
    assert!(!place.has("d/sub/old") && !place.has("d/file") && !place.has("d/sub/deep"));
}

#[test]
fn kinds_replace_each_other_and_folders_merge() {
    let place = Place::new();
    place.take(Tar::new().file("x/in", "1").file("y", "2").folder("z", 0o755).file("z/in", "3")).unwrap();
    place.take(Tar::new().file("x", "file").file("y/in", "folder").folder("z", 0o700)).unwrap_err();
    let place = Place::new();
    place.take(Tar::new().file("x/in", "1").file("y", "2").folder("z", 0o755).file("z/in", "3")).unwrap();
    place.take(Tar::new().file("x", "file").folder("y", 0o755).file("y/in", "f").folder("z", 0o700)).unwrap();
    assert_eq!(
        (place.read("x"), place.read("y/in"), place.read("z/in")),
        ("file".into(), "f".into(), "3".into())
    );
    assert_eq!(fs::metadata(place.root().join("z")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn links_of_lower_layers_are_followed_inside_of_the_root() {
    let place = Place::new();
    place.take(Tar::new().folder("usr/lib", 0o755).link("lib", "usr/lib").link("abs", "/usr/lib")).unwrap();
    place.take(Tar::new().file("lib/a", "a").file("abs/b", "b")).unwrap();
    assert_eq!((place.read("usr/lib/a"), place.read("usr/lib/b")), ("a".into(), "b".into()));
}

#[test]
fn nothing_gets_out() {
    for tar in [
        Tar::new().file("../outside/new", "x"),
        Tar::new().file("a/../../outside/new", "x"),
        Tar::new().link("up", "../outside").file("up/new", "x"),
        Tar::new().hard("mine", "../outside/precious"),
        Tar::new().link("up", "../outside").hard("mine", "up/precious"),
        Tar::new().file("../outside/.wh.precious", ""),
        Tar::new().link("up", "../outside").file("up/.wh.precious", ""),
        Tar::new().link("up", "../outside").file("up/.wh..wh..opq", ""),
        Tar::new().file("a/.wh...", ""),
        Tar::new().entry(EntryType::new(b'?'), "odd", "", 0o644, b""),
    ] {
        let place = Place::new();
        place.take(tar).unwrap_err();
        assert!(!place.has("mine"));
    }
    // An absolute path is one from the root, as for every other tool.
    let place = Place::new();
    place.take(Tar::new().file("/etc/x", "x")).unwrap();
    assert_eq!(place.read("etc/x"), "x");
}

#[test]
fn a_link_in_the_way_is_replaced_and_not_followed() {
    let place = Place::new();
    let precious = place.0.path().join("outside/precious");
    symlink(&precious, place.root().join("name")).unwrap();
    place.take(Tar::new().file("name", "mine")).unwrap();
    assert_eq!(place.read("name"), "mine");
    assert!(fs::symlink_metadata(place.root().join("name")).unwrap().is_file());
}

#[test]
fn a_name_that_fills_the_memory_is_refused() {
    for kind in [EntryType::XHeader, EntryType::GNULongName, EntryType::GNULongLink] {
        let long = vec![b'a'; 2 << 20];
        let tar = Tar::new().file("large", &"x".repeat(4 << 20)).entry(kind, "name", "", 0o644, &long);
        let bytes = tar.file("x", "").0.into_inner().unwrap();
        let place = Place::new();
        let root = Root::open(&place.0.path().join("root")).unwrap();
        let error = unpack(bytes.as_slice(), &root, Content::Layer).unwrap_err();
        assert!(error.to_string().contains("a name is too long"), "{kind:?}: {error}");
    }
}
