//! The chain to a bundle with an image on a base: gate, push with the base's layers, bundle, verification.

use std::fs;

use crate::registry::place::Place;
use crate::registry::real::Real;
use crate::registry::stack::{IMAGE, Tiny};

#[test]
fn a_stack_on_an_existing_image_is_released() {
    let (mut tiny, real) = (Tiny::new(), Real::open());
    // The broker of Debian's packages becomes a base in a registry, and the stack's image stands on it.
    tiny.run(&["build", IMAGE]).expect(0);
    let below = tiny.entry();
    super::made::push(&tiny.layout(), &real.host(), "site/broker", "2", below.index());
    let folder = tiny.bench().project().join("images/mqtt-broker");
    fs::remove_dir_all(folder.join("rootfs")).unwrap();
    fs::create_dir_all(folder.join("rootfs/etc")).unwrap();
    fs::write(folder.join("rootfs/etc/site"), "on top\n").unwrap();
    let from = format!("{}/site/broker:2@{}", real.host(), below.index().digest);
    let text = format!("format: 1\nname: {IMAGE}\nplatforms: [linux/amd64, linux/arm64]\nfrom: {from}\n");
    fs::write(folder.join("image.yaml"), text).unwrap();
    fs::remove_file(folder.join("image.lock.json")).unwrap();
    tiny.run(&["lock", IMAGE]).expect(0);
    tiny.run(&["lock", "archive", IMAGE]).expect(0).says("has no packages");

    tiny.gate();
    let place = Place::Named(format!("{}/out", real.host()), None);
    let released = tiny.run(&["release", "--stack", "tiny", "--registry", &format!("{}/out", real.host())]).expect(0);
    let bundle = released.stdout.lines().find(|line| line.ends_with(".xedge")).unwrap().to_owned();
    tiny.run(&["verify", &bundle]).expect(0);
    let look = crate::registry::place::Look::at(&tiny, &place);
    look.everything_is_readable();
}
