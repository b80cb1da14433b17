//! Bases that cannot be used: each with its class, its names and what to do.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use xedge_model::image::RunConfig;
use xedge_model::{Digest, Platform};
use xedge_oci::descriptor::LAYER;
use xedge_oci::{Descriptor, Layer};

use super::made::{Made, Project};
use crate::registry::real::Real;
use crate::registry::refused::{PASSWORD, USER};
use crate::support::{edit, place, told};

const AMD64: &str = "platforms: [linux/amd64]\n";

#[test]
fn a_missing_platform_is_named_with_those_that_are_there() {
    let (real, made) = (Real::open(), Made::new());
    let manifest = made.manifest(Platform::LinuxAmd64, &[made.system("1")], &RunConfig::default());
    let other = made.rewritten(&manifest, |_| {});
    let other = Descriptor {
        platform: Some(
            serde_json::from_str(r#"{"os":"linux","architecture":"arm","variant":"v7"}"#).unwrap(),
        ),
        ..other
    };
    let index = made.index(vec![manifest.clone(), other]);
    made.push(&real, "half", "1", &index);
    made.push(&real, "single", "1", &manifest);
    for (name, has) in [("half", "linux/amd64, linux/arm/v7"), ("single", "linux/amd64")] {
        let project = Project::new(&format!("{}/base/{name}:1", real.host()), "");
        let ran = project.run(&["build"]).expect(3);
        ran.says(&format!("{name}:1 for linux/arm64: it is for {has}\n"))
            .says("hint: take linux/arm64 out of `platforms`");
        assert!(!project.image().join("image.lock.json").exists(), "a lock that cannot be met was written");
    }
}

#[test]
fn what_is_no_reference_is_refused_with_its_place() {
    for (from, why) in [
        ("Upper/case", "its name has lower-case parts"),
        ("h.example/x@sha256:12", "behind `@` belongs `sha256:`"),
        ("\"x:a b\"", "a tag has letters"),
        ("https://h.example/x", "it is written without"),
    ] {
        let project = Project::new(from, "");
        let text = project.yaml();
        let name = from.trim_matches('"');
        let message = format!("`{name}` is not an image reference: {why}");
        let ran = project.run(&["build"]).expect(3).says(&message);
        let at = place(&text, &format!("from: |{from}"));
        let first = told("images/app/image.yaml", &text, at, "").lines().next().unwrap().to_owned();
        assert!(ran.stderr.contains(first.trim_end()), "{first} is not in\n{}", ran.stderr);
    }
}

#[test]
fn registries_that_do_not_answer_or_want_a_password() {
    let real = Real::with_password(USER, PASSWORD);
    let host = real.host();
    let project = Project::new(&format!("{host}/x:1"), "");
    project
        .run(&["build"])
        .expect(3)
        .says(&format!("failed to get access to {host}/x"))
        .says(&format!("hint: cargo xtask registry login {host}"));
    project.define("127.0.0.1:9/x:1", "");
    project.run(&["build"]).expect(1).says("failed to reach http://127.0.0.1:9/v2/x/manifests/1");
    let real = Real::open();
    project.define(&format!("{}/x:1", real.host()), "");
    project.run(&["build"]).expect(3).says(&format!("failed to find {}/x:1", real.host()));
}

/// An entry with any name, which no tool would write.
fn tar(name: &str) -> Vec<u8> {
    let mut header = tar_header(name);
    header.resize(512, 0);
    header.extend([0; 1024]);
    header
}

fn tar_header(name: &str) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(b"00000000000\0");
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn layers_that_lie_or_lead_outside_are_refused_even_with_nothing_on_top() {
    let (real, made) = (Real::open(), Made::new());
    let project = Project::new("x", AMD64);
    let refused = |name: &str, layer: Layer, class: i32, words: &[&str]| {
        let digest = layer.descriptor.digest.clone();
        let manifest = made.manifest(Platform::LinuxAmd64, &[layer], &RunConfig::default());
        made.push(&real, name, "1", &manifest);
        project.define(&format!("{}/base/{name}:1", real.host()), AMD64);
        let mut ran = project.run(&["build"]).expect(class).says(digest.as_str());
        for word in words {
            ran = ran.says(word);
        }
        let built = project.layout().image(&"site/app".parse().unwrap());
        assert!(built.is_err(), "{name}: an image was made all the same");
    };
    for (name, entry, why) in [
        ("up", "etc/../../outside", "it contains `..`"),
        ("root", "/etc/passwd", "it is absolute"),
        ("gone", "etc/.wh...", "it deletes a folder by a name that is none"),
    ] {
        let plain = tar(entry);
        let layer = made.layer(&gzip(&plain), LAYER, Digest::of(&plain));
        refused(name, layer, 3, &[entry, why, "hint: whoever made the image"]);
    }
    let plain = tar("etc/fine");
    let lie = Digest::of(b"another content");
    let layer = made.layer(&gzip(&plain), LAYER, lie.clone());
    refused("lies", layer, 6, &[lie.as_str(), Digest::of(&plain).as_str()]);
    let layer = made.layer(b"neither gzip nor tar", LAYER, lie.clone());
    refused("broken", layer, 3, &["as an archive", "because: "]);
    let layer = made.layer(&gzip(&plain)[..20], LAYER, lie.clone());
    refused("cut", layer, 3, &["as an archive", "because: "]);
    for (name, media_type, why) in [
        ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd", "Engine 20.10 does not read zstd"),
        ("foreign", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "may not be passed on"),
        ("strange", "application/x-strange", "not known"),
    ] {
        let layer = made.layer(&gzip(&plain), media_type, Digest::of(&plain));
        refused(name, layer, 3, &[media_type, why, "hint: "]);
    }
}

#[test]
fn what_clashes_with_the_base_is_refused() {
    let (real, made) = (Real::open(), Made::new());
    let index = made.usual("1");
    made.push(&real, "system", "1", &index);
    let reference = format!("{}/base/system:1@{}", real.host(), index.digest);
    let project = Project::new(&reference, "users: [{name: base, id: 501, home: /}]\n");
    project
        .run(&["build"])
        .expect(3)
        .says("failed to add the user base with the number 501: in the base image it has the number 500")
        .says("hint: give it that number");
    project.define(&reference, "directories: [{path: /etc/passwd, owner: 0, mode: \"0755\"}]\n");
    project.run(&["build"]).expect(3).says("`/etc/passwd` is a file already");
    project.define(&reference, "");
    project.file("srv/old/below", "x");
    project.run(&["build"]).expect(3).says("`/srv/old` is a file already");
    fs::remove_dir_all(project.image().join("rootfs")).unwrap();
    project.file("srv", "x");
    project.run(&["build"]).expect(3).says("`/srv` is a folder already");
}

#[test]
fn a_lock_that_names_another_manifest_than_the_base_has_is_refused() {
    let (real, made) = (Real::open(), Made::new());
    let index = made.usual("1");
    made.push(&real, "system", "1", &index);
    let project = Project::new(&format!("{}/base/system:1@{}", real.host(), index.digest), "");
    project.run(&["lock"]).expect(0);
    // The other platform's manifest: it is there, and its config says what it is for.
    let manifest = |platform: &str| {
        project.lock()["platforms"][platform]["base"]["manifest"].as_str().unwrap().to_owned()
    };
    edit(&project.image().join("image.lock.json"), &manifest("linux/amd64"), &manifest("linux/arm64"));
    project.run(&["build", "--locked"]).expect(3).says("its config is not for linux/amd64");
}
