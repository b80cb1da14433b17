//! Secrets on a real file system.

use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8PathBuf;
use xedge_model::stack::SecretKind;

use super::*;
use crate::Home;

fn stack() -> (tempfile::TempDir, StackHome) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(Utf8PathBuf::try_from(folder.path().to_owned()).unwrap());
    (folder, home.stack("edge"))
}

/// A user that this process may give files to.
fn owner() -> u32 {
    let me = rustix::process::geteuid().as_raw();
    if me == 0 { 1883 } else { me }
}

fn declared(name: &str, owner: u32) -> SecretReference {
    SecretReference { name: name.into(), kind: SecretKind::File, users: vec![], owner }
}

#[test]
fn a_secret_is_its_owners_alone() {
    let (_folder, stack) = stack();
    let owner = owner();
    assert_eq!(missing(&stack, &[declared("b", owner), declared("a", owner)]).unwrap(), ["a", "b"]);
    assert_eq!(put(&stack, "a", owner, b"value").unwrap(), 1);
    let found = std::fs::metadata(stack.secret("a", 1)).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (owner, owner, 0o400));
    assert_eq!(std::fs::metadata(stack.secrets()).unwrap().mode() & 0o077, 0);
    assert_eq!(missing(&stack, &[declared("b", owner), declared("a", owner)]).unwrap(), ["b"]);
    assert_eq!(missing(&stack, &[declared("a", owner + 1)]).unwrap(), ["a"], "its reader cannot read it");
    std::fs::set_permissions(stack.secret("a", 1), std::fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(missing(&stack, &[declared("a", owner)]).unwrap(), ["a"], "everybody can read it");
}

#[test]
fn a_version_counts_changes_and_says_nothing_about_the_value() {
    let (_folder, stack) = stack();
    let owner = owner();
    assert_eq!(version(&stack, "a").unwrap(), 0);
    assert_eq!(put(&stack, "a", owner, b"one").unwrap(), 1);
    assert_eq!(put(&stack, "a", owner, b"one").unwrap(), 1);
    assert_eq!(put(&stack, "a", owner, b"two").unwrap(), 2);
    assert_eq!(put(&stack, "a", owner, b"one").unwrap(), 3);
    assert_eq!(version(&stack, "a").unwrap(), 3);
    assert_eq!(std::fs::read(stack.secret("a", 3)).unwrap(), b"one");
    let counters = std::fs::read_to_string(stack.secret_versions()).unwrap();
    assert!(!counters.contains("one") && !counters.contains(xedge_model::Digest::of(b"one").hex()));
}

/// The value is written before its number: after a power cut in between everything is as it was.
#[test]
fn a_cut_between_value_and_number_changes_nothing() {
    let (_folder, stack) = stack();
    let owner = owner();
    put(&stack, "a", owner, b"one").unwrap();
    let numbers = std::fs::read(stack.secret_versions()).unwrap();
    put(&stack, "a", owner, b"two").unwrap();
    std::fs::write(stack.secret_versions(), numbers).unwrap();
    assert_eq!(version(&stack, "a").unwrap(), 1);
    assert_eq!(missing(&stack, &[declared("a", owner)]).unwrap(), Vec::<String>::new());
    assert_eq!(put(&stack, "a", owner, b"three").unwrap(), 2);
    assert_eq!(std::fs::read(stack.secret("a", 1)).unwrap(), b"one", "whoever mounts it keeps it");
    assert_eq!(std::fs::read(stack.secret("a", 2)).unwrap(), b"three");
}

/// Another reader gets a file of its own; a container that was made before goes on with the one that it can read.
#[test]
fn another_owner_leaves_the_file_of_the_one_before() {
    let (_folder, stack) = stack();
    if rustix::process::geteuid().is_root() {
        assert_eq!(put(&stack, "a", 1883, b"value").unwrap(), 1);
        assert_eq!(put(&stack, "a", 1884, b"value").unwrap(), 2);
        let owners = [1, 2].map(|version| std::fs::metadata(stack.secret("a", version)).unwrap().uid());
        assert_eq!(owners, [1883, 1884]);
    }
}

#[test]
fn names_and_sizes_are_checked_and_values_never_shown() {
    let (_folder, stack) = stack();
    for name in ["", "../x", "a/b", ".hidden", "a\nb"] {
        let error = put(&stack, name, owner(), b"topsecret").unwrap_err().to_string();
        assert!(!error.contains("topsecret"), "{error}");
    }
    let error = put(&stack, "a", owner(), &vec![b'x'; MAX_BYTES + 1]).unwrap_err();
    assert!(matches!(error, Error::Given { .. }), "{error}");
    assert!(!stack.secrets().exists(), "nothing was written");
}

/// A link in place of the file must not lead a reader or writer elsewhere.
#[test]
fn a_link_is_no_secret() {
    let (folder, stack) = stack();
    let owner = owner();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, b"untouched").unwrap();
    std::fs::create_dir_all(stack.secrets()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, stack.secret("a", 1)).unwrap();
    assert_eq!(missing(&stack, &[declared("a", owner)]).unwrap(), ["a"]);
    put(&stack, "a", owner, b"value").unwrap();
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"untouched");
    assert_eq!(std::fs::read(stack.secret("a", 1)).unwrap(), b"value");
}
