//! The chain to a bundle with images on a base: gate, push with the base's layers, bundle, verification.

use std::fs;

use super::made::{Made, push};
use crate::registry::place::{Look, Place};
use crate::registry::real::Real;
use crate::registry::stack::{IMAGE, Tiny};
use crate::support::edit;

const PLATFORMS: &str = "platforms: [linux/amd64, linux/arm64]";

#[test]
fn a_stack_on_an_existing_image_is_released() {
    let (mut tiny, real) = (Tiny::new(), Real::open());
    // The broker of Debian's packages becomes a base in a registry, and the stack's image stands on it.
    tiny.run(&["build", IMAGE]).expect(0);
    let below = tiny.entry();
    push(&tiny.layout(), &real.host(), "site/broker", "2", below.index());
    let folder = tiny.bench().project().join("images/mqtt-broker");
    fs::remove_dir_all(folder.join("rootfs")).unwrap();
    fs::create_dir_all(folder.join("rootfs/etc")).unwrap();
    fs::write(folder.join("rootfs/etc/site"), "on top\n").unwrap();
    fs::remove_file(folder.join("image.lock.json")).unwrap();
    let define = |from: &str| {
        let text = format!("format: 1\nname: {IMAGE}\n{PLATFORMS}\nfrom: {from}\n");
        fs::write(folder.join("image.yaml"), text).unwrap();
    };
    define(&format!("{}/site/broker:2@{}", real.host(), below.index().digest));
    let locked = tiny.run(&["lock", IMAGE]).expect(0).stdout;
    assert_eq!(locked, format!("{IMAGE} {}/site/broker@{}\n", real.host(), below.index().digest));
    is_released(&mut tiny, &real);
    for (platform, image) in tiny.entry().platforms() {
        assert_eq!(image.layers()[..image.layers().len() - 1], *below.platform(*platform).unwrap().layers());
    }

    // The same broker as Docker's tools would have pushed it, with nothing on top: its manifests are released as they are.
    let made = Made::over(tiny.layout());
    let manifests: Vec<_> = below.platforms().values().map(|image| made.dockers(image.manifest())).collect();
    let index = made.index(manifests.clone());
    push(&made.layout, &real.host(), "site/docker", "2", &index);
    fs::remove_dir_all(folder.join("rootfs")).unwrap();
    define(&format!("{}/site/docker:2", real.host()));
    tiny.run(&["lock", IMAGE]).expect(0);
    is_released(&mut tiny, &real);
    let entry = tiny.entry();
    assert_eq!(
        entry.platforms().values().map(|image| image.manifest().clone()).collect::<Vec<_>>(),
        manifests
    );
    the_same_layer_by_two_words_is_refused(&tiny, &real);
}

/// Docker's manifest as it is, and an image on top of it, which is OCI's: no bundle can hold both.
fn the_same_layer_by_two_words_is_refused(tiny: &Tiny, real: &Real) {
    let folder = tiny.bench().project().join("images/top");
    fs::create_dir_all(&folder).unwrap();
    let more = "directories: [{path: /top, owner: 0, mode: \"0755\"}]\n";
    let text = format!("format: 1\nname: site/top\n{PLATFORMS}\nfrom: {}/site/docker:2\n{more}", real.host());
    fs::write(folder.join("image.yaml"), text).unwrap();
    tiny.run(&["lock", "site/top"]).expect(0);
    let compose = tiny.bench().project().join("templates/stacks/tiny/compose.yaml.j2");
    let service = "services:\n  top:\n    image: site/top:latest\n    networks: [tiny]\n";
    edit(&compose, "services:\n", service);
    let node =
        "  - {id: top, type: broker, implementation: docker, service: top, docker: {image: site/top}}\n";
    let scenario = tiny.bench().project().join("scenarios/tiny.yaml");
    edit(&scenario, "nodes:\n", &format!("nodes:\n{node}"));
    tiny.run(&["release", "--stack", "tiny", "--dry-run"])
        .expect(3)
        .says(&format!("failed to put site/top and {IMAGE} into one bundle"))
        .says("a label in its `config` is enough");
    // As the hint says; then nothing but the gate is missing.
    let broker = tiny.bench().project().join("images/mqtt-broker/image.yaml");
    edit(&broker, "format: 1\n", "format: 1\nconfig: {labels: {site: one}}\n");
    tiny.run(&["release", "--stack", "tiny", "--dry-run"]).expect(0);
}

#[track_caller]
fn is_released(tiny: &mut Tiny, real: &Real) {
    tiny.gate();
    let target = format!("{}/out", real.host());
    let released = tiny.run(&["release", "--stack", "tiny", "--registry", &target]).expect(0);
    let bundle = released.stdout.lines().last().unwrap().to_owned();
    tiny.run(&["verify", &bundle]).expect(0);
    Look::at(tiny, &Place::Named(target, None)).everything_is_readable();
}
