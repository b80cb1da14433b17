//! Folders on a real disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{getegid, geteuid};

use super::Case;
use crate::home::{Home, StackHome};
use crate::plan::{MountFolder, write_mounts};

/// Folders as a plan has them, of the user who runs the test, since only root gives files away.
fn folders() -> (tempfile::TempDir, StackHome, Vec<MountFolder>) {
    let place = tempfile::tempdir().expect("a folder");
    let home =
        Home::new(Utf8PathBuf::from_path_buf(place.path().into()).expect("a plain path")).stack("edge");
    let compose = "services:\n  app:\n    image: x/app:1\n    volumes: [\"./app:/etc/app:ro\"]\n";
    let mut case =
        Case::new(compose).file("app/a.conf", "0600", "a\n").file("app/deep/down/b.conf", "0644", "b\n");
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    case.images.insert("app".into(), format!(r#"{{"config": {{"User": "{user}:{group}"}}}}"#).into_bytes());
    let folders = case.planned().mounts;
    (place, home, folders)
}

fn content(folder: &Utf8Path, path: &str) -> (String, u32) {
    let file = folder.join(path);
    let mode = fs::metadata(&file).expect("a file").permissions().mode() & 0o7777;
    (fs::read_to_string(file).expect("text"), mode)
}

#[test]
fn folders_are_written_whole_and_once() {
    let (_place, home, folders) = folders();
    let folder = home.mount(&folders[0].digest);
    // What a run before this one left behind.
    fs::create_dir_all(folder.with_extension("new").join("a.conf")).expect("a folder");
    write_mounts(&home, &folders).expect("written");
    assert_eq!(content(&folder, "a.conf"), ("a\n".to_owned(), 0o600));
    assert_eq!(content(&folder, "deep/down/b.conf"), ("b\n".to_owned(), 0o644));
    assert_eq!(fs::metadata(folder.join("deep")).expect("a folder").mode() & 0o7777, 0o755);
    let inode = |path: &str| fs::metadata(folder.join(path)).expect("a file").ino();
    let before = inode("a.conf");
    write_mounts(&home, &folders).expect("nothing to do");
    assert_eq!(inode("a.conf"), before, "what is right is not touched");
    let all = folder.parent().expect("a folder").read_dir_utf8().expect("readable").count();
    assert_eq!(all, 1, "nothing is left beside it");
}

#[test]
fn what_was_damaged_is_mended() {
    let (_place, home, folders) = folders();
    let folder = home.mount(&folders[0].digest);
    write_mounts(&home, &folders).expect("written");
    fs::write(folder.join("a.conf"), "x\n").expect("damaged");
    fs::set_permissions(folder.join("a.conf"), fs::Permissions::from_mode(0o666)).expect("opened");
    fs::remove_dir_all(folder.join("deep")).expect("removed");
    write_mounts(&home, &folders).expect("mended");
    assert_eq!(content(&folder, "a.conf"), ("a\n".to_owned(), 0o600));
    assert_eq!(content(&folder, "deep/down/b.conf"), ("b\n".to_owned(), 0o644));
}

#[test]
fn files_belong_to_the_user_of_the_image() {
    let (_place, home, mut folders) = folders();
    folders[0].owner = (1883, 7);
    let written = write_mounts(&home, &folders);
    if !geteuid().is_root() {
        written.expect_err("only root gives files away");
        return;
    }
    written.expect("written");
    let folder = home.mount(&folders[0].digest);
    for path in ["", "a.conf", "deep", "deep/down", "deep/down/b.conf"] {
        let found = fs::metadata(folder.join(path)).expect("it is there");
        assert_eq!((found.uid(), found.gid()), (1883, 7), "{path}");
    }
    std::os::unix::fs::chown(folder.join("a.conf"), Some(0), Some(0)).expect("root may");
    write_mounts(&home, &folders).expect("mended");
    assert_eq!(fs::metadata(folder.join("a.conf")).expect("it is there").uid(), 1883);
}
