//! Evidence from elsewhere: only what is about this configuration and signed by this gate counts.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use super::stack::{SIMULATED, TEMPLATE, assert_verified, release, tiny, traces, write_stack};
use crate::sim::bench::Bench;
use crate::support::edit;

#[test]
fn only_good_evidence_from_a_folder_lets_a_release_through() {
    let bench = tiny();
    bench.run(&["keys", "init"]).expect(0);
    bench.sim(&["tiny"]).expect(0);
    let good = fs::read(bench.evidence("tiny")).unwrap();
    // What is in the folder counts, not what this machine ran.
    fs::remove_file(bench.evidence("tiny")).unwrap();

    let empty = folder(&bench, "empty");
    refused(&bench, &empty, &["no evidence of the scenario tiny", "cargo xtask sim tiny"]);
    every_flipped_byte_is_refused(&bench, &good);
    let foreign = folder(&bench, "foreign");
    fs::write(foreign.join("tiny.dsse.json"), evidence_of_another_machine(&bench)).unwrap();
    refused(&bench, &foreign, &["is valid for a trusted key", "no evidence of the scenario tiny"]);

    let nested = folder(&bench, "nested");
    let deep = nested.join("shard-1/gates");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("tiny.dsse.json"), &good).unwrap();
    let template = bench.project().join(TEMPLATE);
    edit(&template, "max_connections 9", "max_connections 10");
    refused(&bench, &nested, &["it is about ", "no evidence of the scenario tiny"]);
    edit(&template, "max_connections 10", "max_connections 9");
    let ran = release(&bench, &["--evidence", nested.as_str()]).expect(0);
    assert!(!ran.stderr.contains(SIMULATED), "{}", ran.stderr);
    assert!(!bench.evidence("tiny").exists(), "a run left evidence");
    assert_verified(&bench, "r1", 1);
}

fn folder(bench: &Bench, name: &str) -> Utf8PathBuf {
    let folder = bench.home().join("elsewhere").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[track_caller]
fn refused(bench: &Bench, folder: &Utf8Path, texts: &[&str]) {
    let before = traces(bench);
    let mut ran = release(bench, &["--evidence", folder.as_str()]).expect(6);
    assert_eq!(ran.stdout, "");
    assert!(!ran.stderr.contains(SIMULATED), "{}", ran.stderr);
    for text in texts {
        ran = ran.says(text);
    }
    // Nothing was sent, signed or written.
    assert_eq!(traces(bench), before);
}

/// Begin, middle and end; that every byte counts is tried in `sim/signed.rs`.
fn every_flipped_byte_is_refused(bench: &Bench, good: &[u8]) {
    let flipped = folder(bench, "flipped");
    for at in [good.len() / 8, good.len() / 2, good.len() - 40] {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        fs::write(flipped.join("tiny.dsse.json"), bytes).unwrap();
        refused(bench, &flipped, &["no evidence of the scenario tiny"]);
    }
}

fn evidence_of_another_machine(bench: &Bench) -> Vec<u8> {
    let other = Bench::beside(bench);
    write_stack(&other);
    other.sim(&["tiny"]).expect(0);
    fs::read(other.evidence("tiny")).unwrap()
}
