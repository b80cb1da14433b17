//! What a tree takes, refuses and moves.

use xedge_model::{Class, Failure};

use super::{Node, Tree};
use crate::Error;

fn file(text: &str) -> Node {
    Node::file(text.as_bytes(), 0o644)
}

fn tree(nodes: &[(&str, Node)]) -> Tree {
    let mut tree = Tree::new();
    for (path, node) in nodes {
        tree.insert(path, node.clone()).unwrap();
    }
    tree
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path.as_str()).collect()
}

#[test]
fn paths_are_normalised_and_parents_are_made() {
    let tree = tree(&[("//a/./b//c/", file("c")), ("/", Node::dir(0o755)), ("/a-b", file(""))]);
    assert_eq!(paths(&tree), ["/a", "/a/b", "/a/b/c", "/a-b"]);
    assert_eq!(tree.get("/a/b"), Some(&Node::dir(0o755)));
}

#[test]
fn hostile_paths_are_refused() {
    let long = format!("/{}", "x".repeat(256));
    let deep = "/abcdefg".repeat(512);
    for path in [
        "",
        "a",
        "./a",
        "../a",
        "/a/../b",
        "/..",
        "/a\0b",
        "/.wh.a",
        "/a/.wh..wh..opq",
        "/.wh.a/b",
        &long,
        &deep,
    ] {
        let error = Tree::new().insert(path, file("")).unwrap_err();
        assert!(matches!(error, Error::UnsafePath { .. }), "{path:?}: {error}");
        assert_eq!(error.class(), Class::Input);
        assert!(!error.to_string().contains('\0'));
    }
    for target in ["", "a\0"] {
        assert!(Tree::new().insert("/l", Node::symlink(target)).is_err());
    }
    assert!(Tree::new().insert("/l", Node::hardlink("../f")).is_err());
    assert!(Tree::new().insert("/l", Node::hardlink("/l")).is_err());
    assert!(Tree::new().insert("/", file("")).is_err());
}

#[test]
fn later_wins_within_its_kind() {
    let replaced = tree(&[
        ("/f", file("old")),
        ("/f", file("new")),
        ("/d/x", file("")),
        ("/d", Node::dir(0o700).owned_by(7, 8)),
        ("/l", file("")),
        ("/l", Node::symlink("f")),
    ]);
    assert_eq!(replaced.get("/f").unwrap().content(), Some(&b"new"[..]));
    assert_eq!(replaced.get("/d"), Some(&Node::dir(0o700).owned_by(7, 8)));
    assert_eq!(paths(&replaced), ["/d", "/d/x", "/f", "/l"]);
}

#[test]
fn kinds_that_clash_are_named_with_both_paths() {
    let check = |first: (&str, Node), second: (&str, Node), message: &str| {
        let mut tree = tree(&[first]);
        let before = tree.clone();
        let error = tree.insert(second.0, second.1).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(tree, before);
    };
    check(
        ("/a/b", file("")),
        ("/a", file("")),
        "failed to put the file `/a` into a layer: `/a` is a folder already",
    );
    check(
        ("/a", file("")),
        ("/a/b/c", file("")),
        "failed to put the file `/a/b/c` into a layer: `/a` is a file already",
    );
    check(
        ("/a", Node::symlink("/etc")),
        ("/a/passwd", file("")),
        "failed to put the file `/a/passwd` into a layer: `/a` is a symbolic link already",
    );
    check(
        ("/a", Node::symlink("b")),
        ("/a", Node::dir(0o755)),
        "failed to put the folder `/a` into a layer: `/a` is a symbolic link already",
    );
}

#[test]
fn modes_keep_twelve_bits() {
    let tree = tree(&[("/s", Node::file(*b"", 0o104_755))]);
    assert_eq!(tree.get("/s").unwrap().mode, 0o4755);
}

#[test]
fn merging_moves_entries_and_leaves_links() {
    let mut merged = tree(&[
        ("/bin/sh", file("sh")),
        ("/bin/dash", Node::hardlink("/bin/sh")),
        ("/lib/x86_64-linux-gnu/libc.so.6", file("libc")),
        ("/lib64/ld.so", Node::symlink("/lib/x86_64-linux-gnu/libc.so.6")),
        ("/usr/lib/x86_64-linux-gnu/libm.so.6", file("libm")),
        ("/usr/sbin/tool", file("tool")),
        ("/libexec/x", file("")),
    ]);
    merged.merge_usr().unwrap();
    assert_eq!(merged.get("/bin"), Some(&Node::symlink("usr/bin")));
    assert_eq!(merged.get("/sbin"), Some(&Node::symlink("usr/sbin")));
    assert_eq!(merged.get("/lib64"), Some(&Node::symlink("usr/lib64")));
    assert_eq!(merged.get("/lib32"), None);
    assert_eq!(merged.get("/usr/bin/dash"), Some(&Node::hardlink("/usr/bin/sh")));
    assert_eq!(merged.get("/usr/lib/x86_64-linux-gnu/libc.so.6"), Some(&file("libc")));
    assert!(merged.get("/libexec/x").is_some() && merged.get("/bin/sh").is_none());
    let again = merged.clone();
    merged.merge_usr().unwrap();
    assert_eq!(merged, again);
}

#[test]
fn merging_takes_the_same_file_twice_and_refuses_two_files() {
    let mut same = tree(&[("/lib/a", file("a")), ("/usr/lib/a", file("a")), ("/lib", Node::dir(0o755))]);
    same.merge_usr().unwrap();
    assert_eq!(paths(&same), ["/lib", "/usr", "/usr/lib", "/usr/lib/a"]);

    let other_mode = Node::file(*b"a", 0o755);
    for other in [file("b"), other_mode, Node::symlink("/etc/a"), Node::dir(0o755)] {
        let mut two = tree(&[("/lib/a", file("a")), ("/usr/lib/a", other)]);
        let before = two.clone();
        let error = two.merge_usr().unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to move `/lib/a` to `/usr/lib/a`: something else is there already"
        );
        assert_eq!(two, before);
    }
}

#[test]
fn merging_drops_links_from_one_side_to_the_other() {
    for (link, target) in [("/bin/a", "/usr/bin/a"), ("/bin/a", "../usr/bin/a")] {
        let mut tree = tree(&[(link, Node::symlink(target)), ("/usr/bin/a", file("a"))]);
        tree.merge_usr().unwrap();
        assert_eq!(tree.get("/usr/bin/a"), Some(&file("a")));
    }
    for target in ["/bin/a", "../../bin/a"] {
        let mut tree = tree(&[("/usr/bin/a", Node::symlink(target)), ("/bin/a", file("a"))]);
        tree.merge_usr().unwrap();
        assert_eq!(tree.get("/usr/bin/a"), Some(&file("a")));
    }
}

#[test]
fn after_the_merge_entries_follow_the_links() {
    let mut merged = tree(&[("/usr/bin/a", file("a"))]);
    merged.merge_usr().unwrap();
    merged.insert("/bin/b", file("b")).unwrap();
    merged.insert("/bin", Node::dir(0o755)).unwrap();
    merged.insert("/usr/bin/c", Node::hardlink("/bin/b")).unwrap();
    assert_eq!(paths(&merged), ["/bin", "/usr", "/usr/bin", "/usr/bin/a", "/usr/bin/b", "/usr/bin/c"]);
    assert_eq!(merged.get("/usr/bin/c"), Some(&Node::hardlink("/usr/bin/b")));
}

#[test]
fn a_package_may_bring_the_link_after_another_brought_the_folder() {
    let mut late = tree(&[("/bin/a", file("a")), ("/bin", Node::symlink("/usr/bin/"))]);
    assert_eq!(paths(&late), ["/bin", "/usr", "/usr/bin", "/usr/bin/a"]);
    assert!(late.insert("/sbin", Node::symlink("elsewhere")).is_ok());
    assert!(late.insert("/sbin/x", file("")).is_err());
}

#[test]
fn removing_takes_what_is_below() {
    let mut tree = tree(&[("/a/b", file("")), ("/a/c/d", file("")), ("/a-b", file(""))]);
    assert!(tree.remove("/a") && !tree.remove("/a"));
    assert_eq!(paths(&tree), ["/a-b"]);
}
