//! What must not be taken over: lies, cuts, names that lead out, and what is no image. Each with its class.

use std::fs;

use xedge_model::{Class, Digest, Failure};

use super::make::{Member, blob, config, file, gzip, hardlink, layer, layout, saved, symlink, tar};
use super::{GZIP_LAYER, import, import_bytes, make};
use crate::Blobs;
use crate::sample::{folder as temporary, path};

#[track_caller]
fn refused(members: &[Member], class: Class, says: &str) {
    refused_bytes(&tar(members), class, says);
}

#[track_caller]
fn refused_bytes(bytes: &[u8], class: Class, says: &str) {
    let error = import_bytes(bytes, None).expect_err("it was taken over");
    let text = error.to_string();
    assert!(text.starts_with("failed to import x.tar: ") && !text.ends_with('.'), "{text}");
    assert!(text.contains(says), "{text}");
    assert_eq!(error.class(), class, "{text}");
}

fn image(layers: &[Vec<u8>]) -> Vec<Member> {
    saved(&["a:1"], &config("amd64", layers), layers)
}

#[test]
fn lies_about_digests_and_sizes() {
    let mut members = image(&[layer("one")]);
    members[0] = file("0/layer.tar", layer("two"));
    refused(&members, Class::Integrity, "layer 0/layer.tar, unpacked, has digest sha256:");

    let hex = Digest::of(b"other").hex().to_owned();
    let mut members = image(&[layer("one")]);
    members[1] = file(&format!("{hex}.json"), config("amd64", &[layer("one")]));
    members[2] = file(
        "manifest.json",
        format!(r#"[{{"Config": "{hex}.json", "RepoTags": [], "Layers": ["0/layer.tar"]}}]"#),
    );
    refused(&members, Class::Integrity, "the archive says sha256:");

    let plain = [layer("one")];
    let mut members = layout("amd64", make::LAYER, &plain, &plain);
    members.push(file(&format!("blobs/sha256/{hex}"), "nobody names this blob"));
    refused(&members, Class::Integrity, &hex);

    let packed = [gzip(&plain[0])];
    refused(&layout("amd64", GZIP_LAYER, &packed, &[layer("two")]), Class::Integrity, "unpacked, has digest");

    let mut members = layout("amd64", make::LAYER, &plain, &plain);
    let Member::File(_, text) = &mut members[1] else { panic!() };
    *text = String::from_utf8(text.clone()).unwrap().replace(r#""size":"#, r#""size":1"#).into_bytes();
    refused(&members, Class::Integrity, "bytes, the archive says 1");
}

#[test]
fn what_is_named_and_not_there() {
    let mut members = image(&[layer("one")]);
    members.remove(0);
    refused(&members, Class::Integrity, "it names 0/layer.tar, which is not in it");
    let plain = [layer("one")];
    let mut members = layout("amd64", make::LAYER, &plain, &plain);
    members.remove(2);
    refused(&members, Class::Integrity, "which is not in it");
}

/// Wherever it is cut, it is refused, and the folder of the blobs holds only whole ones.
#[test]
fn archives_that_are_cut_off() {
    for bytes in [tar(&image(&[layer("one"), layer("two")])), gzip(&tar(&image(&[layer("one")])))] {
        // What follows the first empty block of the end mark is only padding.
        let end = if bytes.starts_with(&[0x1f, 0x8b]) { bytes.len() - 200 } else { bytes.len() - 1024 };
        for cut in (0..end).step_by(97).chain([511, 512, 513, 1024, end]).filter(|cut| *cut <= end) {
            let dir = temporary();
            let blobs = Blobs::at(path(&dir));
            let error =
                super::archive("x.tar", &bytes[..cut], None, &blobs).expect_err("half of it was taken over");
            assert!(matches!(error.class(), Class::Integrity | Class::Input), "{cut}: {error}");
            for entry in fs::read_dir(path(&dir).join("blobs/sha256")).into_iter().flatten() {
                let entry = entry.unwrap();
                let digest = Digest::of(&fs::read(entry.path()).unwrap());
                assert_eq!(entry.file_name().to_str().unwrap(), digest.hex());
            }
        }
    }
}

#[test]
fn names_that_lead_out_of_the_archive() {
    let with = |member: Member| {
        let mut members = image(&[layer("one")]);
        members.insert(0, member);
        members
    };
    for member in [
        file("../evil", "x"),
        file("/etc/evil", "x"),
        file("a/../../evil", "x"),
        symlink("0/evil", "../../../etc/passwd"),
        symlink("0/evil", "/etc/passwd"),
        hardlink("0/evil", "../etc/passwd"),
    ] {
        refused(&with(member), Class::Integrity, "the archive has \"");
    }
}

#[test]
fn names_that_lead_out_of_the_image() {
    for entry in [
        file("../evil", "x"),
        file("/etc/evil", "x"),
        file("etc/../../evil", "x"),
        hardlink("etc/evil", "../../shadow"),
        symlink("../evil", "x"),
    ] {
        let layers = [tar(&[file("etc/good", "x"), entry])];
        refused(&image(&layers), Class::Integrity, "layer 0/layer.tar has \"");
        refused(&layout("amd64", GZIP_LAYER, &[gzip(&layers[0])], &layers), Class::Integrity, "has \"");
    }
    // These are harmless: unpackers resolve them below the image's root.
    let fine = [tar(&[file("./etc/a", "x"), symlink("etc/b", "../../../x"), hardlink("etc/c", "/etc/a")])];
    import(&image(&fine)).unwrap();
}

#[test]
fn layers_that_are_none() {
    refused(
        &image(&[b"text".to_vec()]),
        Class::Input,
        "layer 0/layer.tar is no tar archive: it has no tar header",
    );
    let mut broken = layer("one");
    broken[1024 + 3] ^= 1;
    refused(&image(&[broken]), Class::Input, "checksum");
    let zstd = [vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0]];
    refused(&image(&zstd), Class::Input, "compressed with zstd");
    let mut packed = gzip(&layer("one"));
    packed.truncate(packed.len() - 9);
    refused(&layout("amd64", GZIP_LAYER, &[packed], &[layer("one")]), Class::Input, "is no tar archive");
}

#[test]
fn what_is_no_archive_and_what_says_too_much() {
    refused_bytes(b"", Class::Integrity, "damaged or cut off");
    refused_bytes(&[b'x'; 4096], Class::Input, "no image archive: a header's checksum is wrong");
    refused_bytes(&[0x28, 0xb5, 0x2f, 0xfd, 0], Class::Input, "unpack it first");
    refused(&[file("hello", "x")], Class::Input, "neither manifest.json nor index.json");
    refused(&[file("manifest.json", "[]")], Class::Input, "names no image");
    refused(&[file("manifest.json", "{")], Class::Input, "manifest.json is not a list of saved images");
    let mut members = image(&[layer("one")]);
    members.push(file("manifest.json", "[]"));
    refused(&members, Class::Input, "it has `manifest.json` twice");
    refused(&[symlink("manifest.json", "manifest.json")], Class::Input, "neither manifest.json");
}

#[test]
fn platforms_that_are_not_known() {
    let layers = [layer("one")];
    refused(&saved(&[], &config("riscv64", &layers), &layers), Class::Input, "it is for linux/riscv64");
    refused(&layout("s390x", make::LAYER, &layers, &layers), Class::Input, "it is for linux/s390x");
    let config = config("amd64", &[layer("one"), layer("two")]);
    refused(&saved(&[], &config, &layers), Class::Input, "it has 2 layers, the manifest 1");
    refused(&[file("index.json", make::index(&[])), blob(b"x")], Class::Input, "names no image");
}
