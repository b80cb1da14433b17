//! `bundle extract`: a bundle taken apart for work by hand.

use std::fs;
use std::process::Command;

use super::stack::{TEMPLATE, names, release, tiny};
use crate::support::edit;

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

    // Without Compose: units and a script, and the page says what to type.
    assert_eq!(names(&apart.join("quadlet")), ["tiny-broker.container", "tiny-tiny.network"]);
    let script = fs::read_to_string(apart.join("tiny/run.sh")).unwrap();
    assert!(script.contains("--volume=\"$here\"/mosquitto:/mosquitto/config:ro \\\n"), "{script}");
    let unit = fs::read_to_string(apart.join("quadlet/tiny-broker.container")).unwrap();
    assert!(unit.contains("Volume=/etc/xedge/tiny/mosquitto:/mosquitto/config:ro\n"), "{unit}");
    assert!(page.contains("    device$ systemctl start tiny-broker.service\n"), "{page}");
    assert!(page.contains("This stack keeps nothing in volumes.\n"), "{page}");

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

/// The gate runs what ships: evidence counts for one configuration, and so for one class of devices.
#[test]
fn a_release_is_of_one_class_of_devices() {
    let bench = tiny();
    edit(&bench.project().join(TEMPLATE), "max_connections 9", "max_connections {{ connections }}");
    let environment = bench.project().join("templates/environments/production.yaml");
    let values =
        fs::read_to_string(&environment).unwrap().replace("values:\n", "values:\n  connections: 9\n");
    fs::write(&environment, values + "classes:\n  pi-sd: {values: {connections: 4}}\n").unwrap();

    let printed = release(&bench, &["--env", "production--pi-sd"]).expect(0).stdout;
    let config = printed.lines().nth(1).unwrap();
    assert!(config.starts_with("tiny.production--pi-sd@sha256:"), "{printed}");
    assert_eq!(names(bench.output("gates").as_std_path()).len(), 1);
    let bundle = "target/xedge/bundles/tiny-r1.xedge";
    bench.run(&["bundle", "extract", bundle, "--platform", "linux/amd64", "--out", "apart"]).expect(0);
    let conf = fs::read_to_string(bench.project().join("apart/tiny/mosquitto/mosquitto.conf")).unwrap();
    assert!(conf.ends_with("max_connections 4\n"), "{conf}");

    // Another class is another configuration, which no evidence speaks of yet.
    let again = release(&bench, &["--env", "production"]).expect(0).stdout;
    assert_ne!(again.lines().nth(1), printed.lines().nth(1));
    assert_eq!(names(bench.output("gates").as_std_path()).len(), 2);
}
