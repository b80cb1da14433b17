//! `push` to each kind of registry: the same steps with the same outcome, whatever is behind the address.

use std::process::Command;

use xedge_model::{Digest, Platform};

use super::cut;
use super::place::{Look, Place, Serving};
use super::real::Real;
use super::refused::{ENCODED, PASSWORD, USER, login};
use super::stack::{IMAGE, Tiny};
use crate::sim::bench::docker;
use crate::support::Ran;

const TAGGED: [&str; 4] = ["--version", "1.0", "--tag", "latest"];

/// A gate run takes much longer than all the rest, so its evidence serves for all steps.
#[test]
fn gated_images_come_to_every_kind_of_registry() {
    let mut tiny = Tiny::new();
    let real = [Real::open(), Real::with_password(USER, PASSWORD), Real::with_tls(USER, PASSWORD)];
    let places = [
        Place::Embedded,
        Place::Named(format!("{}/site", real[0].host()), None),
        Place::Named(format!("{}/site", real[1].host()), None),
        Place::Named(format!("{}/site", real[2].far_host()), real[2].ca().map(Into::into)),
    ];
    login(&tiny, &real[1].host(), PASSWORD, &[]).expect(0);
    login(&tiny, &real[2].far_host(), PASSWORD, &["--ca", real[2].ca().unwrap().to_str().unwrap()]).expect(0);

    without_evidence_nothing_is_sent(&tiny, &places[1]);
    tiny.gate();
    for place in &places {
        it_is_planned_pushed_and_read_back(&tiny, place);
    }
    cut::a_cut_connection_leaves_nothing_half(&tiny);
    the_engine_pulls_it(&tiny);

    let first = tiny.entry().index().digest.clone();
    tiny.change();
    tiny.gate();
    assert_ne!(tiny.entry().index().digest, first, "the image did not change");
    for place in &places {
        a_version_is_never_moved(&tiny, place, &first);
    }
}

fn without_evidence_nothing_is_sent(tiny: &Tiny, place: &Place) {
    let ran = tiny.push(place, &TAGGED).expect(6);
    assert_eq!(ran.stdout, "");
    ran.says("no evidence of the scenario tiny").says("hint: run the gate: `cargo xtask sim tiny`");
    assert_eq!(Look::at(tiny, place).tags(), [""; 0]);
}

fn it_is_planned_pushed_and_read_back(tiny: &Tiny, place: &Place) {
    let index = tiny.entry().index().digest.clone();
    {
        let look = Look::at(tiny, place);
        let plan = quiet(tiny.push(place, &[&TAGGED[..], &["--plan"]].concat()).expect(0));
        the_plan_names_everything(tiny, place, &plan.stdout);
        assert_eq!(look.tags(), [""; 0], "a plan has set tags");
        assert_eq!(look.manifest(index.as_str()), None, "a plan has put the index");
        assert_eq!(tiny.push(place, &[&TAGGED[..], &["--plan"]].concat()).expect(0).stdout, plan.stdout);
    }

    let ran = quiet(tiny.push(place, &TAGGED).expect(0));
    assert_eq!(ran.stdout, format!("{}@{index}\n", place.repository()));
    let ran = ran.says(&format!("{IMAGE}: "));
    assert!(requests(&ran) > 2, "{}", ran.stderr);
    let look = Look::at(tiny, place);
    what_is_there_is_what_was_built(tiny, place, &look);
    let tags = look.tags();

    let again = quiet(tiny.push(place, &TAGGED).expect(0));
    assert_eq!(again.stdout, ran.stdout);
    assert!(!again.stderr.contains("uploaded"), "{}", again.stderr);
    // One for a challenge that is answered; the image has two tags.
    assert!(requests(&again) <= 2 + 2, "{}", again.stderr);
    assert_eq!(look.tags(), tags);
    let plan = tiny.push(place, &[&TAGGED[..], &["--plan"]].concat()).expect(0).stdout;
    assert!(plan.lines().all(|line| line.ends_with(" there")), "{plan}");
}

#[track_caller]
fn the_plan_names_everything(tiny: &Tiny, place: &Place, plan: &str) {
    let (entry, repository) = (tiny.entry(), place.repository());
    let mut expected = vec![
        format!("{repository} manifest {} put", entry.index().digest),
        format!("{repository} tag 1.0 set"),
        format!("{repository} tag latest set"),
    ];
    for image in entry.platforms().values() {
        expected.push(format!("{repository} manifest {} put", image.manifest().digest));
        for blob in image.layers().iter().chain([image.config_blob()]) {
            expected.push(format!("{repository} blob {} upload {} bytes", blob.digest, blob.size));
        }
    }
    // A layer that both platforms have is listed once.
    expected.sort();
    expected.dedup();
    let mut lines: Vec<&str> = plan.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, expected);
}

#[track_caller]
fn what_is_there_is_what_was_built(tiny: &Tiny, place: &Place, look: &Look) {
    let (layout, entry) = (tiny.layout(), tiny.entry());
    let index = layout.blobs().read(entry.index()).unwrap();
    for reference in [entry.index().digest.as_str(), "1.0", "latest"] {
        assert_eq!(look.manifest(reference).as_ref(), Some(&index), "{reference}");
    }
    let mut tags = vec!["1.0".to_owned(), "latest".to_owned()];
    let images = entry.platforms().values();
    for image in images.clone() {
        let manifest = image.manifest();
        assert_eq!(look.manifest(manifest.digest.as_str()), Some(layout.blobs().read(manifest).unwrap()));
        for blob in image.layers().iter().chain([image.config_blob()]) {
            assert_eq!(look.blob(&blob.digest).len() as u64, blob.size);
        }
    }
    for subject in images.map(xedge_oci::PlatformImage::manifest).chain([entry.index()]) {
        let stand_in = format!("sha256-{}", subject.digest.hex());
        tags.push(format!("{stand_in}.sig"));
        // Debian's registry has no API that lists referrers, and the embedded one has.
        if !matches!(place, Place::Embedded) {
            tags.push(stand_in);
        }
    }
    tags.sort();
    assert_eq!(look.tags(), tags);
    look.everything_is_readable();
}

fn a_version_is_never_moved(tiny: &Tiny, place: &Place, first: &Digest) {
    let second = tiny.entry().index().digest.clone();
    let before = Look::at(tiny, place).tags();
    let ran = quiet(tiny.push(place, &TAGGED).expect(3));
    assert_eq!(ran.stdout, "");
    // It is served only while it is looked at: its name has another port each time.
    ran.says(&format!("{IMAGE}:1.0: it names {first} already, not {second}"))
        .says("hint: a version is never moved: choose a new one");
    let look = Look::at(tiny, place);
    assert_eq!(look.tags(), before);
    assert_eq!(look.manifest(second.as_str()), None, "the new index is there");
    for tag in ["1.0", "latest"] {
        assert_eq!(Digest::of(&look.manifest(tag).unwrap()), *first, "{tag} was moved");
    }
    drop(look);

    quiet(tiny.push(place, &["--version", "1.1", "--tag", "latest"]).expect(0));
    let look = Look::at(tiny, place);
    for (tag, digest) in [("1.0", first), ("1.1", &second), ("latest", &second)] {
        assert_eq!(Digest::of(&look.manifest(tag).unwrap()), *digest, "{tag}");
    }
    look.everything_is_readable();
}

fn the_engine_pulls_it(tiny: &Tiny) {
    let entry = tiny.entry();
    let serving = Serving::start(tiny);
    let reference = Pulled(format!("{}/{IMAGE}@{}", serving.address, entry.index().digest));
    docker(&["pull", "--quiet", &reference.0]);
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &reference.0]);
    let platform = Platform::of_machine(std::env::consts::ARCH).unwrap();
    assert_eq!(id.trim(), entry.platform(platform).unwrap().config_blob().digest.as_str());
    let (code, said) = serving.interrupt();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("serving on loopback until interrupted"), "{said}");
}

/// A reference in the Engine that goes when the test ends.
struct Pulled(String);

impl Drop for Pulled {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", &self.0]).output();
    }
}

/// The number in the line about requests.
#[track_caller]
fn requests(ran: &Ran) -> u64 {
    let number = ran.stderr.lines().find_map(|line| line.strip_suffix(" requests"));
    number.unwrap_or_else(|| panic!("no number of requests in:\n{}", ran.stderr)).parse().unwrap()
}

/// Fails if the password is in what was said, as it is or as it is sent.
#[track_caller]
pub fn quiet(ran: Ran) -> Ran {
    for secret in [PASSWORD, ENCODED] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "a password was printed");
    }
    ran
}
