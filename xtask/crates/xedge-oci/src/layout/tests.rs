//! Layouts: names, damage of every kind of blob, and what a clean-up removes.

use std::fs;

use camino::Utf8Path;
use xedge_model::{Class, Failure, Platform};

use super::{Collected, Layout, full_reference};
use crate::descriptor::INDEX;
use crate::sample::{folder, layout, name, path, write_image};
use crate::{Descriptor, Error};

fn flip(file: &Utf8Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn two_folders_have_the_same_bytes() {
    let (a, b) = (folder(), folder());
    let (a, b) = (layout(&a), layout(&b));
    assert_eq!(fs::read(a.index_path()).unwrap(), fs::read(b.index_path()).unwrap());
    assert_eq!(a.blobs().list().unwrap(), b.blobs().list().unwrap());
}

/// A change of this digest changes every image: say so in the changelog.
#[test]
fn golden_image() {
    let dir = folder();
    let image = layout(&dir).image(&name("xedgesim/sample")).unwrap();
    assert_eq!(
        image.index().digest.as_str(),
        "sha256:5fda23e1a35a347d561f452ab1ec5440cb973e18592ed1c532637be0aeada7a4"
    );
    let arm64 = image.platform(Platform::LinuxArm64).unwrap();
    assert_eq!(
        arm64.manifest().digest.as_str(),
        "sha256:1fe850644bfe672dc4dfb8fd063f73d34ee5449e4893f18e99cf3ce751fc950f"
    );
}

#[test]
fn the_order_of_platforms_does_not_matter() {
    let dir = folder();
    let layout = Layout::open_or_create(path(&dir)).unwrap();
    let forth = write_image(&layout, &[Platform::LinuxAmd64, Platform::LinuxArm64], "x").unwrap();
    let back = write_image(&layout, &[Platform::LinuxArm64, Platform::LinuxAmd64], "x").unwrap();
    assert_eq!(forth, back);
}

#[test]
fn an_image_is_read_back_whole() {
    let dir = folder();
    let layout = layout(&dir);
    let image = layout.image(&name("xedgesim/sample")).unwrap();
    assert_eq!(image.platforms().keys().copied().collect::<Vec<_>>(), Platform::USUAL);
    let amd64 = image.platform(Platform::LinuxAmd64).unwrap();
    assert_eq!((amd64.layers().len(), amd64.diff_ids().len()), (1, 1));
    assert_eq!(amd64.created(), Some(crate::sample::CREATED));
    assert_eq!(amd64.size(), amd64.manifest().size + amd64.config_blob().size + amd64.layers()[0].size);
    assert_eq!(amd64.annotations()["org.opencontainers.image.title"], "sample");
    assert_eq!(layout.images().unwrap(), [image]);
}

#[test]
fn each_kind_of_damage_is_found_and_named() {
    let intact = folder();
    let image = layout(&intact).image(&name("xedgesim/sample")).unwrap();
    let arm64 = image.platform(Platform::LinuxArm64).unwrap();
    for blob in [image.index(), arm64.manifest(), arm64.config_blob(), &arm64.layers()[0]] {
        for damage in [flip as fn(&Utf8Path), truncate, remove] {
            let dir = folder();
            let layout = layout(&dir);
            assert_eq!(layout.verify_image(image.name()).unwrap().blobs, 7);
            let file = layout.blobs().path(&blob.digest);
            damage(&file);
            let error = layout.verify_image(image.name()).unwrap_err();
            assert_eq!(error.class(), Class::Integrity, "{error}");
            let text = error.to_string();
            assert!(text.contains(blob.digest.as_str()) && text.contains(file.as_str()), "{text}");
        }
    }
}

fn truncate(file: &Utf8Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
}

fn remove(file: &Utf8Path) {
    fs::remove_file(file).unwrap();
}

#[test]
fn every_single_byte_counts() {
    let dir = folder();
    let layout = layout(&dir);
    let image = name("xedgesim/sample");
    for (digest, _) in layout.blobs().list().unwrap() {
        let file = layout.blobs().path(&digest);
        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            fs::write(&file, bad).unwrap();
            assert_eq!(
                layout.verify_image(&image).unwrap_err().class(),
                Class::Integrity,
                "{file} byte {at}"
            );
        }
        fs::write(&file, good).unwrap();
    }
    layout.verify_image(&image).unwrap();
}

#[test]
fn setting_a_name_again_replaces_it() {
    let dir = folder();
    let layout = layout(&dir);
    let index = write_image(&layout, &[Platform::LinuxAmd64], "second").unwrap();
    layout.set_image(&name("xedgesim/sample"), index.clone()).unwrap();
    layout.set_image(&name("another"), index.clone()).unwrap();
    let images = layout.images().unwrap();
    assert_eq!(
        images.iter().map(|image| image.name().as_str()).collect::<Vec<_>>(),
        ["another", "xedgesim/sample"]
    );
    assert_eq!(images[1].index(), &index);
    let error = images[1].platform(Platform::LinuxArm64).unwrap_err();
    let expected =
        "failed to find platform linux/arm64 of image `xedgesim/sample`: it was built for linux/amd64";
    assert_eq!(error.to_string(), expected);
    assert!(layout.remove_image(&name("another")).unwrap());
    assert!(!layout.remove_image(&name("another")).unwrap());
}

#[test]
fn a_name_is_not_set_on_blobs_that_are_missing() {
    let dir = folder();
    let layout = layout(&dir);
    let lost = Descriptor::of(INDEX, b"{}");
    let error = layout.set_image(&name("lost"), lost).unwrap_err();
    assert!(matches!(error, Error::MissingBlob { .. }));
    assert!(layout.image(&name("lost")).is_err());
}

#[test]
fn an_unknown_name_gets_a_hint() {
    let dir = folder();
    let layout = layout(&dir);
    let hint = |text| {
        let error = layout.image(&name(text)).unwrap_err();
        assert_eq!(error.class(), Class::Input);
        error.hint().unwrap()
    };
    let near = "did you mean `xedgesim/sample`? To build it: `cargo xtask build xedgesim/sample`";
    assert_eq!(hint("xedgesim/sampel"), near);
    assert_eq!(hint("gateway"), "build it first: `cargo xtask build gateway`");
}

#[test]
fn garbage_and_missing_files_are_input_errors() {
    let dir = folder();
    layout(&dir);
    let check = |file: &str, content: &str, message: &str| {
        let path = path(&dir).join(file);
        let good = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = Layout::open(path.parent().unwrap()).unwrap_err();
        assert_eq!(error.class(), Class::Input);
        assert!(error.to_string().contains(message), "{error}");
        fs::write(&path, good).unwrap();
    };
    check("index.json", "garbage", "index.json as an OCI image index");
    check("index.json", "{\"schemaVersion\":2,\"manifests\":[{}]}", "index.json as an OCI image index");
    check("oci-layout", "", "oci-layout as an OCI layout marker");
    check("oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}", "its version is `2.0.0`, known is 1");
    fs::remove_file(path(&dir).join("oci-layout")).unwrap();
    let error = Layout::open(path(&dir)).unwrap_err();
    assert!(error.to_string().ends_with("there is no oci-layout"));
    assert!(Layout::open_or_create(path(&dir)).unwrap().image(&name("xedgesim/sample")).is_ok());
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let dir = folder();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let dir = path(&dir);
            scope.spawn(move || {
                let layout = Layout::open_or_create(dir).unwrap();
                let index = write_image(&layout, &[Platform::LinuxAmd64], &number.to_string()).unwrap();
                layout.set_image(&name(&format!("image{number}")), index).unwrap();
            });
        }
    });
    let layout = Layout::open(path(&dir)).unwrap();
    let images = layout.images().unwrap();
    assert_eq!(images.len(), 8);
    for image in images {
        layout.verify_image(image.name()).unwrap();
    }
}

#[test]
fn one_name_for_two_images_is_refused() {
    let dir = folder();
    let layout = layout(&dir);
    let mut list = layout.index().unwrap();
    list.manifests.push(list.manifests[0].clone());
    fs::write(layout.index_path(), serde_json::to_vec(&list).unwrap()).unwrap();
    assert!(matches!(layout.image(&name("xedgesim/sample")), Err(Error::NamedTwice { .. })));
}

#[test]
fn documents_that_do_not_fit_together_are_refused() {
    let dir = folder();
    let layout = layout(&dir);
    let image = layout.image(&name("xedgesim/sample")).unwrap();
    let amd64 = image.platform(Platform::LinuxAmd64).unwrap().manifest().clone();
    let arm64 = image.platform(Platform::LinuxArm64).unwrap().manifest().clone();
    let refuse = |manifests: Vec<Descriptor>, why: &str| {
        let bytes = crate::manifest::to_json(&crate::index::Index::new(manifests, [].into()));
        layout.blobs().put(&bytes).unwrap();
        layout.set_image(&name("odd"), Descriptor::of(INDEX, &bytes)).unwrap();
        let error = layout.image(&name("odd")).unwrap_err();
        assert!(error.to_string().ends_with(why), "{error}");
    };
    let swapped = Descriptor { platform: arm64.platform, ..amd64.clone() };
    refuse(vec![swapped], "its config is not for linux/arm64, as the index says");
    refuse(vec![amd64.clone(), amd64.clone()], "it has linux/amd64 twice");

    let file = fs::read(layout.blobs().path(&amd64.digest)).unwrap();
    let mut manifest: crate::manifest::Manifest = serde_json::from_slice(&file).unwrap();
    manifest.layers.clear();
    let bytes = crate::manifest::to_json(&manifest);
    layout.blobs().put(&bytes).unwrap();
    let bare = Descriptor { platform: amd64.platform, ..Descriptor::of(crate::descriptor::MANIFEST, &bytes) };
    refuse(vec![bare], "it has 0 layers, its config has 1");
}

#[test]
fn gc_keeps_what_is_reached() {
    let dir = folder();
    let layout = layout(&dir);
    assert_eq!(layout.gc().unwrap(), Collected::default());
    let index = write_image(&layout, &[Platform::LinuxAmd64], "second").unwrap();
    layout.blobs().put(b"forgotten").unwrap();
    let (before, bytes_before) = totals(&layout);
    layout.set_image(&name("xedgesim/sample"), index).unwrap();
    let collected = layout.gc().unwrap();
    let (after, bytes_after) = totals(&layout);
    assert_eq!((before, after), (7 + 4 + 1, 4));
    assert_eq!(collected, Collected { blobs: before - after, bytes: bytes_before - bytes_after });
    layout.verify_image(&name("xedgesim/sample")).unwrap();
}

fn totals(layout: &Layout) -> (u64, u64) {
    let blobs = layout.blobs().list().unwrap();
    (blobs.len() as u64, blobs.iter().map(|(_, size)| size).sum())
}

#[test]
fn gc_removes_nothing_when_a_document_is_damaged() {
    let dir = folder();
    let layout = layout(&dir);
    layout.blobs().put(b"forgotten").unwrap();
    flip(&layout.blobs().path(&layout.image(&name("xedgesim/sample")).unwrap().index().digest));
    let before = totals(&layout);
    assert_eq!(layout.gc().unwrap_err().class(), Class::Integrity);
    assert_eq!(totals(&layout), before);
}

#[test]
fn images_of_other_tools_are_kept_and_not_listed() {
    let dir = folder();
    let layout = layout(&dir);
    let foreign = layout.blobs().put(b"foreign").unwrap();
    let mut list = layout.index().unwrap();
    list.manifests.push(Descriptor::new("text/plain", foreign.clone(), 7));
    fs::write(layout.index_path(), serde_json::to_vec(&list).unwrap()).unwrap();
    let index = write_image(&layout, &[Platform::LinuxAmd64], "second").unwrap();
    layout.set_image(&name("another"), index).unwrap();
    layout.gc().unwrap();
    assert_eq!(layout.images().unwrap().len(), 2);
    assert_eq!(layout.blobs().size(&foreign).unwrap(), Some(7));
}

#[test]
fn names_get_the_host_that_docker_assumes() {
    let check = |text, full: &str| assert_eq!(full_reference(&name(text)), full);
    check("mosquitto", "docker.io/library/mosquitto:latest");
    check("xedgesim/mosquitto", "docker.io/xedgesim/mosquitto:latest");
    check("ghcr.io/o/n", "ghcr.io/o/n:latest");
    check("localhost/n", "localhost/n:latest");
}
