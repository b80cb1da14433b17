//! Numbers and versions: neither ever comes to stand for something else.

use std::fs;

use super::stack::{
    Printed, TEMPLATE, assert_verified, numbers, record, records, release, tags_folder, tiny, traces,
};
use crate::sim::bench::Bench;
use crate::support::edit;

#[test]
fn a_version_is_never_moved() {
    let bench = tiny();
    release(&bench, &["--version", "1.0.0"]).expect(0);
    an_image_tag_that_names_something_else_is_left(&bench);
    a_configuration_does_not_take_the_version_of_another(&bench);
}

/// As if somebody had pushed another image as 1.2.3.
fn an_image_tag_that_names_something_else_is_left(bench: &Bench) {
    let tags = tags_folder(bench, "xedgesim/mosquitto");
    let own = fs::read_to_string(tags.join("1.0.0")).unwrap();
    let signature = fs::read_dir(&tags).unwrap().map(Result::unwrap).map(|entry| entry.path());
    let signature =
        signature.into_iter().find(|path| path.extension().is_some_and(|end| end == "sig")).unwrap();
    fs::copy(&signature, tags.join("1.2.3")).unwrap();
    let other = fs::read_to_string(&signature).unwrap();
    let before = traces(bench);
    let ran = release(bench, &["--version", "1.2.3"]).expect(3);
    ran.says(own.trim()).says(other.trim()).says("hint: a version is never moved");
    assert_eq!(traces(bench), before);
    fs::remove_file(tags.join("1.2.3")).unwrap();
}

/// The images are the same, so their tags do not tell.
fn a_configuration_does_not_take_the_version_of_another(bench: &Bench) {
    let bundle = fs::read(bench.output("bundles/tiny-1.0.0.xedge")).unwrap();
    let template = bench.project().join(TEMPLATE);
    edit(&template, "max_connections 9", "max_connections 10");
    bench.sim(&["tiny"]).expect(0);
    let before = traces(bench);
    let ran = release(bench, &["--version", "1.0.0"]).expect(3).says("hint: a version is never moved");
    let digests =
        ran.stderr.lines().find(|line| line.starts_with("error:")).unwrap().matches("sha256:").count();
    assert_eq!(digests, 2, "{}", ran.stderr);
    assert_eq!(traces(bench), before);

    release(bench, &["--version", "1.0.1"]).expect(0);
    assert_verified(bench, "1.0.1", 2);
    assert_eq!(fs::read(bench.output("bundles/tiny-1.0.0.xedge")).unwrap(), bundle);
}

#[test]
fn a_number_stays_with_its_release_when_record_or_registry_are_lost() {
    let bench = tiny();
    let first = Printed::of(&release(&bench, &[]).expect(0));
    let content = record(&bench, 1)["content"].clone();

    fs::remove_dir_all(bench.home().join("registry")).unwrap();
    let ran = release(&bench, &[]).expect(0).says("unchanged: release 1 of tiny");
    assert_eq!(Printed::of(&ran), first);
    assert_eq!(numbers(&bench), ["seq-1"]);

    forget(&bench);
    assert_eq!(Printed::of(&release(&bench, &[]).expect(0)), first);
    assert_eq!(record(&bench, 1)["content"], content);
    assert_eq!(numbers(&bench), ["seq-1"]);
    assert_verified(&bench, "r1", 1);

    forget(&bench);
    let tag = tags_folder(&bench, "xedge-releases/tiny").join("seq-1");
    let taken = fs::read(&tag).unwrap();
    edit(&bench.project().join(TEMPLATE), "max_connections 9", "max_connections 10");
    release(&bench, &[]).expect(0);
    assert_eq!(records(&bench), ["2.json"]);
    assert_eq!(numbers(&bench), ["seq-1", "seq-2"]);
    assert_eq!(fs::read(&tag).unwrap(), taken);
    assert_verified(&bench, "r2", 2);
    assert_verified(&bench, "r1", 1);
}

fn forget(bench: &Bench) {
    fs::remove_dir_all(bench.home().join("releases")).unwrap();
}
