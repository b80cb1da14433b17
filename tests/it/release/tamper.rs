//! `verify` and `bundle`: what is not the released file, or not under the trusted root, is refused with a code.

use std::fs;

use camino::Utf8PathBuf;

use super::stack::{release, tiny};
use crate::sim::bench::Bench;

#[test]
fn verify_refuses_whatever_is_not_the_released_file() {
    let bench = tiny();
    release(&bench, &[]).expect(0);
    let bundle = bench.output("bundles/tiny-r1.xedge");
    let good = fs::read(&bundle).unwrap();
    let middle = good.len() / 2;

    let mut flipped = good.clone();
    flipped[middle] ^= 1;
    let longer = [&good[..], b"x"].concat();
    for (code, bytes) in [("truncated", &good[..middle]), ("trailing-bytes", &longer), ("digest", &flipped)] {
        changed_is_refused(&bench, code, bytes);
    }
    for at in [0, 5_000, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let file = written(&bench, &bytes);
        bench.run(&["verify", file.as_str()]).expect(6).says("hint: `cargo xtask bundle why ");
    }
    let missing = bench.home().join("no-such.xedge");
    bench.run(&["verify", missing.as_str()]).expect(3).says("hint: there is no such file");
    bench.run(&["bundle", "why", "no-such-code"]).expect(3).says("`no-such-code`");
    let why = bench.run(&["bundle", "why", bundle.as_str()]).expect(0);
    assert_eq!(why.stdout, "it is not refused\n");
    foreign_roots_are_refused(&bench, &bundle);
    inspect_warns(&bench, &bundle);
}

fn written(bench: &Bench, bytes: &[u8]) -> Utf8PathBuf {
    let file = bench.home().join("changed.xedge");
    fs::write(&file, bytes).unwrap();
    file
}

#[track_caller]
fn changed_is_refused(bench: &Bench, code: &str, bytes: &[u8]) {
    let file = written(bench, bytes);
    let ran = bench.run(&["verify", file.as_str()]).expect(6);
    assert_eq!(ran.stdout, "");
    ran.says(&format!("[{code}]")).says(&format!("hint: `cargo xtask bundle why {code}`"));
    let by_code = bench.run(&["bundle", "why", code]).expect(0).stdout;
    assert!(by_code.starts_with(&format!("{code}: ")), "{by_code}");
    let by_file = bench.run(&["bundle", "why", file.as_str()]).expect(0).stdout;
    assert!(by_file.ends_with(&by_code), "{by_file}");
    assert!(by_file.contains(&format!("[{code}]")), "{by_file}");
}

/// A root comes from this machine or is named, never from the file.
fn foreign_roots_are_refused(bench: &Bench, bundle: &Utf8PathBuf) {
    let other = Bench::beside(bench);
    let ran = other.run(&["verify", bundle.as_str()]).expect(6);
    ran.says("failed to find a trusted root").says("hint:").says("--root");

    let root = other.run(&["keys", "init"]).expect(0).stdout;
    let ran = other.run(&["verify", bundle.as_str()]).expect(6);
    ran.says("[root-unknown]");
    let ran = bench.run(&["verify", bundle.as_str(), "--root", root.trim()]).expect(6);
    ran.says("[root-unknown]").says("hint: `cargo xtask bundle why root-unknown`");

    let own = bench.home().join("trust/1.root.json");
    other.run(&["verify", bundle.as_str(), "--root", own.as_str()]).expect(0);
}

fn inspect_warns(bench: &Bench, bundle: &Utf8PathBuf) {
    let ran = bench
        .run(&["bundle", "inspect", bundle.as_str()])
        .expect(0)
        .says("warning: nothing of this was checked");
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown["bundle"]["stack"], "tiny");
    assert_eq!(shown["bundle"]["seq"], 1);
}
