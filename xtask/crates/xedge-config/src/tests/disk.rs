//! Tests of writing and of comparing with what is there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use xedge_model::{Class, Failure};

use super::{production, simulation};
use crate::{Drift, Record, Written};

/// A folder to write into, which is not there yet, and what keeps its parent alive.
fn folder() -> (TempDir, Utf8PathBuf) {
    let parent = TempDir::new().unwrap();
    let folder = Utf8Path::from_path(parent.path()).unwrap().join("deep/edge");
    (parent, folder)
}

fn names(folder: &Utf8Path) -> Vec<String> {
    let mut names: Vec<String> =
        folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_is_made_kept_and_replaced() {
    let (_parent, folder) = folder();
    assert_eq!(production().write_to(&folder).unwrap(), Written::Created);
    assert_eq!(names(&folder), ["compose.yaml", "gateway", "mosquitto", "rendered.json"]);
    assert_eq!(production().write_to(&folder).unwrap(), Written::Unchanged);
    assert_eq!(simulation().write_to(&folder).unwrap(), Written::Replaced);
    assert_eq!(simulation().check(&folder).unwrap(), []);
    assert_eq!(names(folder.parent().unwrap()), ["edge"], "nothing is left beside it");
    let record: Record =
        serde_json::from_str(&fs::read_to_string(folder.join("rendered.json")).unwrap()).unwrap();
    assert_eq!(record, simulation().record());
    assert_eq!(&record.digest, simulation().digest());
}

#[test]
fn an_empty_folder_may_be_filled() {
    let (_parent, folder) = folder();
    fs::create_dir_all(&folder).unwrap();
    assert_eq!(production().write_to(&folder).unwrap(), Written::Replaced);
}

#[test]
fn other_peoples_folders_and_files_stay() {
    let refused = |prepare: &dyn Fn(&Utf8Path), part: &str| {
        let (_parent, folder) = folder();
        prepare(&folder);
        let before = names(folder.parent().unwrap());
        let error = production().write_to(&folder).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.class(), Class::Input);
        assert_eq!(names(folder.parent().unwrap()), before);
    };
    let make = |folder: &Utf8Path| fs::create_dir_all(folder).unwrap();
    refused(&|f| (make(f), fs::write(f.join("thesis.txt"), "x").unwrap()).1, "no valid rendered.json");
    refused(&|f| (make(f), fs::write(f.join("rendered.json"), "{}").unwrap()).1, "no valid rendered.json");
    refused(&|f| (make(f.parent().unwrap()), fs::write(f, "x").unwrap()).1, "it is not a folder");
    refused(
        &|f| {
            simulation().write_to(f).unwrap();
            fs::write(f.join("mosquitto/notes.txt"), "mine").unwrap();
        },
        "mosquitto/notes.txt in it is not from rendering",
    );
    let elsewhere = TempDir::new().unwrap();
    refused(&|f| (make(f.parent().unwrap()), symlink(elsewhere.path(), f).unwrap()).1, "it is not a folder");
}

#[test]
fn every_difference_on_disk_is_listed() {
    let (_parent, folder) = folder();
    let rendered = production();
    let all = rendered.check(&folder).unwrap();
    assert_eq!(all.len(), 4, "nothing is there: {all:?}");
    assert!(all.iter().all(|drift| matches!(drift, Drift::Missing(_))));
    rendered.write_to(&folder).unwrap();

    fs::write(folder.join("compose.yaml"), "services: {}\n").unwrap();
    fs::set_permissions(folder.join("gateway/gateway.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::remove_file(folder.join("mosquitto/mosquitto.conf")).unwrap();
    fs::write(folder.join("extra"), "").unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    let found: Vec<String> = rendered.check(&folder).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "mosquitto/mosquitto.conf is missing",
            "compose.yaml has changed",
            "gateway/gateway.toml has mode 0666 instead of 0644",
            "extra is not part of it",
        ]
    );
    // What is missing can be put back; what was added by hand is not thrown away.
    assert!(
        rendered.write_to(&folder).unwrap_err().to_string().contains("extra in it is not from rendering")
    );
    fs::remove_file(folder.join("extra")).unwrap();
    assert_eq!(rendered.write_to(&folder).unwrap(), Written::Replaced);
    assert_eq!(rendered.check(&folder).unwrap(), []);
}

#[test]
fn a_link_to_the_right_bytes_is_still_a_change() {
    let (parent, folder) = folder();
    let rendered = production();
    rendered.write_to(&folder).unwrap();
    let elsewhere = parent.path().join("copy");
    fs::rename(folder.join("compose.yaml"), &elsewhere).unwrap();
    symlink(&elsewhere, folder.join("compose.yaml")).unwrap();
    assert_eq!(rendered.check(&folder).unwrap(), [Drift::Changed("compose.yaml".into())]);
}

#[test]
fn changed_files_of_ours_are_put_right() {
    let (_parent, folder) = folder();
    production().write_to(&folder).unwrap();
    fs::write(folder.join("mosquitto/mosquitto.conf"), "allow_anonymous true\n").unwrap();
    assert_eq!(production().write_to(&folder).unwrap(), Written::Replaced);
    assert_eq!(production().check(&folder).unwrap(), []);
}

#[test]
fn containers_can_read_the_folders() {
    let (_parent, folder) = folder();
    production().write_to(&folder).unwrap();
    for path in [folder.clone(), folder.join("mosquitto"), folder.join("gateway")] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755, "{path}");
    }
}
