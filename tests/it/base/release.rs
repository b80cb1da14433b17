//! The chain to a bundle with images on a base: gate, push with the base's layers, bundle, verification.

use std::fs;

use super::made::{Made, push};
use crate::registry::place::{Look, Place};
use crate::registry::real::Real;
use crate::registry::stack::{IMAGE, Tiny};

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
    tiny.run(&["lock", "archive", IMAGE]).expect(0).says("has no packages");
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
}

#[track_caller]
fn is_released(tiny: &mut Tiny, real: &Real) {
    tiny.gate();
    let target = format!("{}/out", real.host());
    let released = tiny.run(&["release", "--stack", "tiny", "--registry", &target]).expect(0);
    let bundle = released.stdout.lines().find(|line| line.ends_with(".xedge")).unwrap().to_owned();
    tiny.run(&["verify", &bundle]).expect(0);
    Look::at(tiny, &Place::Named(target, None)).everything_is_readable();
}
