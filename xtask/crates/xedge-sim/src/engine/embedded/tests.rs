//! Small parts of the engine; whole runs are integration tests.

use camino::Utf8Path;
use xedge_model::Digest;

use super::last;
use super::objects::{Objects, Record};
use crate::engine::{Kind, Labels};

#[test]
fn the_tail_of_a_log_is_whole_lines() {
    assert_eq!(last(b"a\nb\nc\n", 2), b"b\nc\n");
    assert_eq!(last(b"a\nb\nc", 1), b"c");
    assert_eq!(last(b"a\nb\n", 9), b"a\nb\n");
    assert_eq!(last(b"a\n", 0), b"");
    assert_eq!(last(b"", 3), b"");
}

#[test]
fn objects_are_found_by_label_and_containers_come_first() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::new(Utf8Path::from_path(dir.path()).unwrap().join("embedded"));
    assert!(objects.labelled("xedge.run").unwrap().is_empty());
    let record = |run: &str| Record {
        labels: Labels::from([("xedge.run".to_owned(), run.to_owned())]),
        image: Some(Digest::of(b"")),
    };
    for (kind, name, run) in [
        (Kind::Network, "n", "1"),
        (Kind::Volume, "v", "1"),
        (Kind::Container, "c", "1"),
        (Kind::Container, "d", "2"),
    ] {
        objects.make(kind, name, &record(run)).unwrap();
    }
    let found = |label: &str| -> Vec<String> {
        objects.labelled(label).unwrap().into_iter().map(|object| object.id).collect()
    };
    assert_eq!(found("xedge.run=1"), ["c", "v", "n"]);
    assert_eq!(found("xedge.run"), ["c", "d", "v", "n"]);
    assert!(found("xedge.host").is_empty());
    objects.make(Kind::Volume, "v", &record("1")).unwrap_err();
    for name in ["", ".", "../x", "a/b"] {
        objects.make(Kind::Volume, name, &record("1")).unwrap_err();
    }
    objects.remove(Kind::Container, "c").unwrap();
    objects.remove(Kind::Container, "c").unwrap();
    assert_eq!(found("xedge.run=1"), ["v", "n"]);
}
