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
    let found = std::fs::metadata(stack.secret("a")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (owner, owner, 0o400));
    assert_eq!(std::fs::metadata(stack.secrets()).unwrap().mode() & 0o077, 0);
    assert_eq!(missing(&stack, &[declared("b", owner), declared("a", owner)]).unwrap(), ["b"]);
    assert_eq!(missing(&stack, &[declared("a", owner + 1)]).unwrap(), ["a"], "its reader cannot read it");
    std::fs::set_permissions(stack.secret("a"), std::fs::Permissions::from_mode(0o444)).unwrap();
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
    assert_eq!(std::fs::read(stack.secret("a")).unwrap(), b"one");
    let counters = std::fs::read_to_string(stack.secret_versions()).unwrap();
    assert!(!counters.contains("one") && !counters.contains(xedge_model::Digest::of(b"one").hex()));
}

/// The number is written before the value: a power cut in between costs a container, never an old value in a new one.
#[test]
fn a_cut_between_number_and_value_is_mended_by_giving_it_again() {
    let (_folder, stack) = stack();
    let owner = owner();
    put(&stack, "a", owner, b"one").unwrap();
    std::fs::remove_file(stack.secret("a")).unwrap();
    assert_eq!(missing(&stack, &[declared("a", owner)]).unwrap(), ["a"]);
    assert_eq!(put(&stack, "a", owner, b"one").unwrap(), 2);
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
    std::os::unix::fs::symlink(&elsewhere, stack.secret("a")).unwrap();
    assert_eq!(missing(&stack, &[declared("a", owner)]).unwrap(), ["a"]);
    put(&stack, "a", owner, b"value").unwrap();
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"untouched");
    assert_eq!(std::fs::read(stack.secret("a")).unwrap(), b"value");
}
