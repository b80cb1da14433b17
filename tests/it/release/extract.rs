//! `bundle extract`: a bundle taken apart for work by hand.

use std::fs;
use std::process::Command;

use super::stack::{release, tiny};

#[test]
fn a_bundle_comes_apart_into_what_was_released() {
    let bench = tiny();
    release(&bench, &[]).expect(0);
    let bundle = "target/xedge/bundles/tiny-r1.xedge";
    let extract = |out: &str, more: &[&str]| {
        let line = ["bundle", "extract", bundle, "--platform", "linux/amd64", "--out", out];
        bench.run(&[&line[..], more].concat())
    };
    extract("apart", &[]).expect(0).says("RUNBOOK.md");
    let apart = bench.project().join("apart");

    // The archive is the very one that `image save` makes of the image that was released.
    bench.run(&["image", "save", "mqtt-broker", "--platform", "linux/amd64", "-o", "saved.tar"]).expect(0);
    let saved = fs::read(bench.project().join("saved.tar")).unwrap();
    assert!(fs::read(apart.join("images/xedgesim.mosquitto.tar")).unwrap() == saved, "another archive");

    bench.run(&["render", "--stack", "tiny"]).expect(0);
    let rendered = bench.output("rendered").join("tiny.production");
    for file in ["compose.yaml", "mosquitto/mosquitto.conf"] {
        let found = fs::read(apart.join("tiny").join(file)).unwrap();
        assert_eq!(found, fs::read(rendered.join(file)).unwrap(), "{file}");
    }
    let mut compose = Command::new("docker-compose");
    compose.args(["-f", "tiny/compose.yaml", "config", "-q"]).current_dir(&apart);
    let compose = compose.output().unwrap();
    assert!(compose.status.success(), "{}", String::from_utf8_lossy(&compose.stderr));

    // The id that the page tells a person to compare is the one of the image.
    let inspected = bench.run(&["image", "inspect", "mqtt-broker"]).expect(0);
    let inspected: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    let id = inspected["platforms"]["linux/amd64"]["config"].as_str().unwrap();
    let page = fs::read_to_string(apart.join("RUNBOOK.md")).unwrap();
    assert!(page.contains(&format!("        {id}\n")), "{page}");
    assert!(page.contains("docker load --input images/xedgesim.mosquitto.tar"), "{page}");

    extract("apart", &[]).expect(3).says("it is there already");
    extract("other", &["--set", "site=x"]).expect(3).says("`site` is not one of this stack");
    let mut bytes = fs::read(bench.project().join(bundle)).unwrap();
    let last = bytes.len() - 2048;
    bytes[last] ^= 1;
    fs::write(bench.project().join(bundle), bytes).unwrap();
    extract("other", &[]).expect(6);
    assert!(!bench.project().join("other").exists());
    let left: Vec<_> =
        fs::read_dir(bench.project()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".extract-")), "{left:?}");
}
