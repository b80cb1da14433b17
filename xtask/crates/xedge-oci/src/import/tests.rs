//! Archives that are taken over, with the digests they must get, and archives that must not be.

mod make;
mod refused;

use std::fs;
use std::io::{self, Read};

use xedge_model::{Digest, Platform};

use super::{Imported, archive, folder};
use crate::descriptor::LAYER as GZIP_LAYER;
use crate::manifest::Manifest;
use crate::sample::{self, folder as temporary, path};
use crate::{Blobs, Error, Layout};
use make::{
    Member, blob, config, descriptor, file, gzip, index, layer, layout, manifest, saved, symlink, tar,
};

fn import(members: &[Member]) -> Result<(tempfile::TempDir, Vec<Imported>), Error> {
    import_bytes(&tar(members), None)
}

fn import_bytes(bytes: &[u8], wanted: Option<&str>) -> Result<(tempfile::TempDir, Vec<Imported>), Error> {
    let dir = temporary();
    let imported = archive("x.tar", bytes, wanted, &Blobs::at(path(&dir)))?;
    Ok((dir, imported))
}

#[track_caller]
fn one(members: &[Member]) -> (tempfile::TempDir, Imported) {
    let (dir, mut all) = import(members).unwrap();
    assert_eq!(all.len(), 1);
    (dir, all.remove(0))
}

fn manifest_of(dir: &tempfile::TempDir, imported: &Imported) -> Manifest {
    serde_json::from_slice(&Blobs::at(path(dir)).read(&imported.manifest).unwrap()).unwrap()
}

#[test]
fn every_form_of_the_same_image_gives_the_same_manifest() {
    let layers = [layer("one"), layer("two")];
    let old = saved(&["a/b:1"], &config("amd64", &layers), &layers);
    let (dir, first) = one(&old);
    let read = manifest_of(&dir, &first);
    assert_eq!(read.config.digest, Digest::of(&config("amd64", &layers)), "the config's bytes changed");
    assert!(read.layers.iter().all(|layer| layer.media_type == GZIP_LAYER));
    assert_eq!((first.platform, first.names.join(" ")), (Platform::LinuxAmd64, "a/b:1".to_owned()));
    assert_eq!(first.created.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert!(first.layers.iter().all(|layer| layer.newest == 1_700_000_000));

    let (_dir, from_layout) = one(&layout("amd64", make::LAYER, &layers, &layers));
    assert_eq!(from_layout.manifest, first.manifest);
    let mut mixed = layout("amd64", make::LAYER, &layers, &layers);
    let newer = r#"[{"Config": "blobs/sha256/0", "RepoTags": null, "Layers": ["blobs/sha256/1"]}]"#;
    mixed.push(file("manifest.json", newer));
    assert_eq!(one(&mixed).1.manifest, first.manifest);
    let (_dir, packed) = import_bytes(&gzip(&tar(&old)), None).unwrap();
    assert_eq!(packed[0].manifest, first.manifest);
}

#[test]
fn a_layout_in_our_form_keeps_its_manifest_and_layers() {
    let plain = [layer("one")];
    let packed = [gzip(&plain[0])];
    let (dir, imported) = one(&layout("arm64", GZIP_LAYER, &packed, &plain));
    let wanted = manifest(&config("arm64", &plain), GZIP_LAYER, &packed);
    assert_eq!(imported.manifest.digest, Digest::of(&wanted));
    assert_eq!(manifest_of(&dir, &imported).layers[0].digest, Digest::of(&packed[0]));
    assert_eq!(imported.platform, Platform::LinuxArm64);
}

#[test]
fn docker_types_become_ours_and_the_layers_stay() {
    let plain = [layer("one")];
    let packed = [gzip(&plain[0])];
    let (dir, imported) =
        one(&layout("amd64", "application/vnd.docker.image.rootfs.diff.tar.gzip", &packed, &plain));
    let layers = manifest_of(&dir, &imported).layers;
    assert_eq!((layers[0].media_type.as_str(), &layers[0].digest), (GZIP_LAYER, &Digest::of(&packed[0])));
}

#[test]
fn what_we_save_comes_back_with_its_digest_from_archive_and_folder() {
    let dir = temporary();
    let ours = sample::layout(&dir);
    let entry = ours.image(&sample::name("xedgesim/sample")).unwrap();
    for platform in Platform::USUAL {
        let mut bytes = Vec::new();
        crate::archive::save(&ours, &entry, platform, crate::archive::Tag::Latest, &mut bytes).unwrap();
        let (_dir, back) = import_bytes(&bytes, Some("xedgesim/sample")).unwrap();
        assert_eq!(back[0].manifest.digest, entry.platform(platform).unwrap().manifest().digest);
    }
    let other = temporary();
    let back = folder(path(&dir), None, &Blobs::at(path(&other))).unwrap();
    let platforms: Vec<Platform> = back.iter().map(|imported| imported.platform).collect();
    assert_eq!(platforms, Platform::USUAL);
    let layout = Layout::open_or_create(path(&other)).unwrap();
    assert!(back.iter().all(|imported| layout.has_all(&imported.manifest).unwrap()));
}

#[test]
fn a_layer_that_is_a_link_to_another_is_found() {
    let layers = [layer("one"), layer("one")];
    let mut members = saved(&["a:1"], &config("amd64", &layers), &layers);
    members[1] = symlink("1/layer.tar", "../0/layer.tar");
    let (dir, imported) = one(&members);
    let read = manifest_of(&dir, &imported);
    assert_eq!(read.layers[0], read.layers[1]);
}

#[test]
fn an_index_gives_every_platform_that_is_known_and_there() {
    let image = |architecture: &str| {
        let layers = vec![layer(architecture)];
        let config = config(architecture, &layers);
        (manifest(&config, make::LAYER, &layers), config, layers)
    };
    let (amd64, arm64) = (image("amd64"), image("arm64"));
    let on = |bytes: &[u8], os: &str, architecture: &str| {
        let mut entry = descriptor(make::MANIFEST, bytes);
        entry["platform"] = serde_json::json!({"os": os, "architecture": architecture});
        entry
    };
    let attestation = br#"{"schemaVersion": 2}"#.to_vec();
    let list = index(&[
        on(&amd64.0, "linux", "amd64"),
        on(&arm64.0, "linux", "arm64"),
        on(&attestation, "unknown", "unknown"),
        on(b"not saved", "linux", "s390x"),
    ]);
    let index_type = "application/vnd.oci.image.index.v1+json";
    let mut members = vec![file("index.json", index(&[descriptor(index_type, &list)]))];
    members.extend([blob(&list), blob(&attestation)]);
    for (manifest, config, layers) in [&amd64, &arm64] {
        members.extend([blob(manifest), blob(config), blob(&layers[0])]);
    }
    let (_dir, all) = import(&members).unwrap();
    let platforms: Vec<Platform> = all.iter().map(|imported| imported.platform).collect();
    assert_eq!(platforms, [Platform::LinuxAmd64, Platform::LinuxArm64]);
}

#[test]
fn of_several_images_the_named_one_is_taken() {
    let image = |word: &str| {
        let layers = vec![layer(word)];
        (config("amd64", &layers), layers)
    };
    let ((one, one_layers), (two, two_layers)) = (image("one"), image("two"));
    let hex = |bytes: &[u8]| Digest::of(bytes).hex().to_owned();
    let entry = |config: &[u8], tag: &str, layer: &str| serde_json::json!({"Config": format!("{}.json", hex(config)), "RepoTags": [tag], "Layers": [layer]});
    let list = serde_json::json!([entry(&one, "a/one:latest", "1.tar"), entry(&two, "a/two:2", "2.tar")]);
    let bytes = tar(&[
        file("1.tar", one_layers[0].clone()),
        file("2.tar", two_layers[0].clone()),
        file(&format!("{}.json", hex(&one)), one.clone()),
        file(&format!("{}.json", hex(&two)), two.clone()),
        file("manifest.json", list.to_string()),
    ]);
    for (wanted, config) in [("a/one", &one), ("docker.io/a/two:2", &two), (Digest::of(&two).as_str(), &two)]
    {
        let (dir, found) = import_bytes(&bytes, Some(wanted)).unwrap();
        assert_eq!(manifest_of(&dir, &found[0]).config.digest, Digest::of(config), "{wanted}");
    }
    let said = import_bytes(&bytes, None).unwrap_err().to_string();
    assert!(said.contains("several images: a/one:latest, a/two:2"), "{said}");
    let said = import_bytes(&bytes, Some("a/three")).unwrap_err().to_string();
    assert!(said.contains("no image `a/three`, but a/one:latest, a/two:2"), "{said}");
}

/// A layer far bigger than the memory that the test would get if it were held: only its reader knows how big it is.
#[test]
fn a_big_layer_passes_through() {
    const SIZE: u64 = 64 << 20;
    let mut header = tar::Header::new_ustar();
    header.set_path("big").unwrap();
    header.set_size(SIZE);
    header.set_mode(0o644);
    header.set_cksum();
    let plain = || {
        io::Cursor::new(header.as_bytes().to_vec())
            .chain(io::repeat(0).take(SIZE))
            .chain(io::repeat(0).take(1024))
    };
    let dir = temporary();
    let blobs = Blobs::at(path(&dir));
    let Ok(stored) = super::intake::store(plain(), &blobs) else { panic!("it was not read") };
    assert_eq!(stored.size, SIZE + 1536);
    let super::intake::What::Layer(unpacked) = stored.what else { panic!("{stored:?}") };
    assert!(unpacked.descriptor.size < SIZE / 100);
    assert_eq!(unpacked.diff_id, stored.digest);
    assert_eq!(fs::read_dir(path(&dir).join("blobs/sha256")).unwrap().count(), 1);
}
