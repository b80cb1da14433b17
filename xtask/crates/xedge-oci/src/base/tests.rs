//! Bases: what is read of them, what is refused, and what comes on top.

use camino::Utf8PathBuf;
use serde_json::json;
use xedge_model::image::RunConfig;
use xedge_model::{Class, Digest, Failure, Platform};

use super::{Document, Look, RootFs, changes, contents, document, merged, read_layers};
use crate::config::ImageConfig;
use crate::descriptor::{CONFIG, DOCKER_CONFIG, INDEX, LAYER, MANIFEST};
use crate::sample::{folder, path};
use crate::tarball::{self, Entry};
use crate::{Blobs, Descriptor, Error, Layer, Node, Tree, write_layer};

/// A plain layer of empty files with these names; a final `/` makes a folder, ` -> ` a symbolic link.
fn layer(blobs: &Blobs, names: &[&str]) -> Layer {
    let mut tar = tar::Builder::new(Vec::new());
    for name in names {
        let entry = match name.split_once(" -> ") {
            Some((name, target)) => {
                Entry { link: target, kind: tar::EntryType::Symlink, ..Entry::file(name, 0) }
            }
            None if name.ends_with('/') => Entry::folder(name),
            None => Entry::file(name, 0),
        };
        tarball::append(&mut tar, &entry, &b""[..]).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    blobs.put(&bytes).unwrap();
    let descriptor = Descriptor::of("application/vnd.oci.image.layer.v1.tar", &bytes);
    Layer { diff_id: descriptor.digest.clone(), descriptor }
}

fn read(blobs: &Blobs, layers: &[Layer]) -> Result<RootFs, Error> {
    let descriptors: Vec<_> = layers.iter().map(|layer| layer.descriptor.clone()).collect();
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    read_layers(blobs, &descriptors, &diff_ids)
}

/// Where a file put at this path lands, with everything that the layer holds for it.
fn lands(root: &RootFs, at: &str) -> Result<Vec<String>, Error> {
    let layer = root.layer(&[(Utf8PathBuf::from(at), Node::file(*b"x", 0o644))])?;
    Ok(layer.iter().map(|(path, _)| path.to_string()).collect())
}

#[test]
fn deletions_take_away_what_lies_below_and_nothing_else() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let lower = layer(&blobs, &["a/", "a/gone", "a/kept", "b/", "b/old/", "b/old/x", "c/x", "d"]);
    // The deletion stands behind what the same layer brings under that name.
    let upper =
        layer(&blobs, &["a/.wh.gone", "b/new", "b/.wh..wh..opq", ".wh.c", "d/", ".wh..wh.plnk/1", "c/y"]);
    let root = read(&blobs, &[lower, upper]).unwrap();
    let is_dir = |path: &str| matches!(lands(&root, &format!("{path}/f")), Ok(list) if list.len() > 1);
    assert!(is_dir("/a") && is_dir("/b") && is_dir("/d"));
    for (path, there) in [
        ("/a/kept", true),
        ("/a/gone", false),
        ("/b/new", true),
        ("/b/old/x", false),
        ("/c/x", false),
        ("/c/y", true),
    ] {
        // A folder can only come where no file is.
        let layer = root.layer(&[(path.into(), Node::dir(0o755))]);
        assert_eq!(layer.is_err(), there, "{path}");
    }
}

#[test]
fn content_goes_where_links_lead_and_never_out() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let names = [
        "usr/lib/",
        "lib -> usr/lib",
        "out -> ../../../../etc",
        "abs -> /usr",
        "round -> a/round",
        "a -> .",
        "f",
        "etc/",
        "link -> f",
    ];
    let root = read(&blobs, &[layer(&blobs, &names)]).unwrap();
    let check = |at: &str, expected: &[&str]| assert_eq!(lands(&root, at).unwrap(), expected, "{at}");
    check("/lib/x", &["/usr", "/usr/lib", "/usr/lib/x"]);
    check("/abs/lib/x", &["/usr", "/usr/lib", "/usr/lib/x"]);
    check("/out/x", &["/etc", "/etc/x"]);
    check("/new/x", &["/new", "/new/x"]);
    // A file takes a link's place.
    check("/link", &["/link"]);
    let why = |at: &str| lands(&root, at).unwrap_err().to_string();
    assert!(why("/round/x").contains("in a circle"), "{}", why("/round/x"));
    assert!(why("/f/x").contains("`/f` is a file already"), "{}", why("/f/x"));
    assert!(why("/etc").contains("`/etc` is a folder already"), "{}", why("/etc"));
    assert!(why("/a/../x").contains("`..`"), "{}", why("/a/../x"));
}

#[test]
fn folders_of_the_base_keep_owner_and_mode() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let mut tree = Tree::new();
    tree.insert("/srv/own", Node::dir(0o2750).owned_by(7, 8)).unwrap();
    tree.insert("/etc/passwd", Node::file(*b"root", 0o640).owned_by(0, 9)).unwrap();
    let mut root = read(&blobs, &[write_layer(&tree, &blobs).unwrap()]).unwrap();
    let own = root.layer(&[("/srv/own/x/y".into(), Node::file(*b"", 0o600))]).unwrap();
    assert_eq!(own.get("/srv/own"), Some(&Node::dir(0o2750).owned_by(7, 8)));
    assert_eq!(own.get("/srv/own/x"), Some(&Node::dir(0o755)));
    let asked = root.layer(&[("/srv/own".into(), Node::dir(0o700).owned_by(1, 1))]).unwrap();
    assert_eq!(asked.get("/srv/own"), Some(&Node::dir(0o700).owned_by(1, 1)));
    root.put(&asked);
    let above = root.layer(&[("/srv/own/z".into(), Node::file(*b"", 0o600))]).unwrap();
    assert_eq!(
        above.get("/srv/own"),
        Some(&Node::dir(0o700).owned_by(1, 1)),
        "a layer of ours was forgotten"
    );
    assert_eq!(root.file("/etc/passwd").unwrap(), Some(Node::file(*b"root", 0o640).owned_by(0, 9)));
    assert_eq!(root.file("/etc/group").unwrap(), None);
}

#[test]
fn layers_are_what_the_config_says_and_damage_is_told_from_malice() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let good = layer(&blobs, &["a"]);
    let lying = Layer { diff_id: Digest::of(b"other"), ..good.clone() };
    let error = read(&blobs, &[lying]).unwrap_err();
    assert!(matches!(&error, Error::LyingLayer { found, .. } if *found == good.diff_id), "{error}");
    assert_eq!(error.class(), Class::Integrity);
    for name in ["../a", "a/../b", "/a", "x/.wh..."] {
        let error = read(&blobs, &[layer(&blobs, &[name])]).unwrap_err();
        assert!(matches!(&error, Error::UnsafeLayer { name: found, .. } if found == name), "{name}: {error}");
        assert_eq!(error.class(), Class::Input);
    }
    read(&blobs, &[layer(&blobs, &["./", "./a", "b/./c"])]).unwrap();
    let file = blobs.path(&good.descriptor.digest);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = read(&blobs, &[good]).unwrap_err();
    assert!(matches!(error, Error::CorruptBlob { .. }), "{error}");
}

#[test]
fn a_name_that_fills_the_memory_is_refused() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    for kind in [tar::EntryType::XHeader, tar::EntryType::GNULongName] {
        for (size, is_fine) in [(600_000, true), (2 << 20, false)] {
            let mut tar = tar::Builder::new(Vec::new());
            // A large file before it leaves no room for it.
            tarball::append(&mut tar, &Entry::file("large", 8 << 20), &vec![0; 8 << 20][..]).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            let record = format!("{size} path={}\n", "a".repeat(usize::try_from(size).unwrap() - 15));
            let name = record.bytes().chain(std::iter::repeat(b'a')).take(usize::try_from(size).unwrap());
            tar.append(&header, name.collect::<Vec<u8>>().as_slice()).unwrap();
            tarball::append(&mut tar, &Entry::file("x", 0), &b""[..]).unwrap();
            let bytes = tar.into_inner().unwrap();
            blobs.put(&bytes).unwrap();
            let descriptor = Descriptor::of("application/vnd.oci.image.layer.v1.tar", &bytes);
            let layer = Layer { diff_id: descriptor.digest.clone(), descriptor };
            let found = read(&blobs, &[layer]).map(drop);
            let is_refused = matches!(&found, Err(Error::BrokenLayer { source, .. }) if source.to_string().contains("too long"));
            assert_eq!(is_refused, !is_fine, "{kind:?} of {size}: {found:?}");
        }
    }
}

#[test]
fn packages_are_those_that_dpkg_and_apk_list() {
    let dir = folder();
    let blobs = Blobs::at(path(&dir));
    let of = |files: &[(&str, &str)]| {
        let mut tree = Tree::new();
        for (path, text) in files {
            tree.insert(path, Node::file(text.as_bytes(), 0o644)).unwrap();
        }
        contents(&read(&blobs, &[write_layer(&tree, &blobs).unwrap()]).unwrap())
    };
    let purls = |files: &[(&str, &str)]| -> Vec<String> {
        of(files).packages.into_iter().map(|package| package.purl).collect()
    };
    let status = "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u4\nArchitecture: amd64\nSource: glibc (2.36-9)\nDescription: x\n more: y\n\n\
                  Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n";
    let ubuntu = [("/var/lib/dpkg/status", status), ("/etc/os-release", "NAME=\"Ubuntu\"\nID=ubuntu\n")];
    assert_eq!(purls(&ubuntu), ["pkg:deb/ubuntu/libc6@2.36-9%2Bdeb12u4?arch=amd64"]);
    assert_eq!(of(&ubuntu).packages[0].source.as_deref(), Some("glibc 2.36-9"));
    let distroless = [
        ("/var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\nArchitecture: amd64\n"),
        ("/var/lib/dpkg/status.d/base.md5sums", "Package: no\nVersion: 1\n"),
    ];
    assert_eq!(purls(&distroless), ["pkg:deb/debian/base-files@12?arch=amd64"]);
    let alpine = [("/lib/apk/db/installed", "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:aarch64\nL:MIT\no:musl\n\n")];
    assert_eq!(purls(&alpine), ["pkg:apk/alpine/musl@1.2.5-r0?arch=aarch64"]);
    assert_eq!(of(&alpine).lists, ["/lib/apk/db/installed"]);
    assert!(of(&[("/bin/x", "")]).lists.is_empty());
}

#[test]
fn documents_are_an_index_or_an_image() {
    let digest = Digest::of(b"x");
    let parse = |value: serde_json::Value| document(&digest, value.to_string().as_bytes());
    let config = json!({"mediaType": CONFIG, "digest": digest, "size": 1});
    let layers = json!([{"mediaType": LAYER, "digest": digest, "size": 1}]);
    let manifest = parse(json!({"schemaVersion": 2, "config": config, "layers": layers})).unwrap();
    assert!(matches!(manifest, Document::Manifest(manifest) if manifest.media_type == MANIFEST));
    let entry = |os: &str, architecture: &str, variant: Option<&str>, text: &str| {
        let mut platform = json!({"os": os, "architecture": architecture});
        if let Some(variant) = variant {
            platform["variant"] = variant.into();
        }
        json!({"mediaType": MANIFEST, "digest": Digest::of(text.as_bytes()), "size": 1, "platform": platform})
    };
    let manifests = json!([
        entry("unknown", "unknown", None, "attestation"),
        entry("linux", "arm64", None, "no variant"),
        entry("linux", "arm64", Some("v8"), "v8"),
        entry("linux", "arm", Some("v7"), "v7"),
        entry("windows", "amd64", None, "windows"),
    ]);
    let index = parse(json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})).unwrap();
    let Document::Index(named) = index else { panic!("no index") };
    assert_eq!(named.platform(Platform::LinuxArm64).unwrap().digest, Digest::of(b"v8"));
    assert_eq!(named.platform(Platform::LinuxAmd64), None);
    assert_eq!(named.shown(), ["linux/arm/v7", "linux/arm64", "linux/arm64/v8", "windows/amd64"]);
    for (wrong, why) in [
        (json!({"schemaVersion": 1}), "version 1"),
        (json!({"schemaVersion": 2}), "neither"),
        (json!({"schemaVersion": 2, "manifests": [], "config": config, "layers": layers}), "neither"),
        (json!("x"), "no index or manifest"),
        (
            json!({"schemaVersion": 2, "config": {"mediaType": "application/x", "digest": digest, "size": 1}, "layers": []}),
            "no image",
        ),
        (
            json!({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "digest": "sha512:00", "size": 1}]}),
            "sha512:00",
        ),
    ] {
        let error = parse(wrong).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.class(), Class::Input);
    }
    let docker = json!({"mediaType": DOCKER_CONFIG, "digest": digest, "size": 1});
    assert!(parse(json!({"schemaVersion": 2, "config": docker, "layers": layers})).is_ok());
}

fn config(value: &serde_json::Value) -> ImageConfig {
    let all = json!({"created": "2024-01-01T00:00:00Z", "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []}, "config": value});
    serde_json::from_value(all).unwrap()
}

#[test]
fn settings_replace_add_or_leave_what_the_base_says() {
    let base = config(&json!({"User": "1", "Env": ["PATH=/bin", "A=1"], "Entrypoint": ["/e"], "Cmd": ["c"],
        "Labels": {"a": "1", "b": "2"}, "Volumes": {"/v": {}}, "Shell": ["/bin/ash", "-c"], "WorkingDir": "/w",
        "Healthcheck": {"Test": ["CMD-SHELL", "x"], "StartInterval": 5}}));
    assert_eq!(merged(&base, &RunConfig::default()), base.config.clone().unwrap());
    let run = RunConfig {
        command: vec!["d".into()],
        env: [("A".into(), "2".into()), ("Z".into(), "=".into())].into(),
        labels: [("b".into(), "3".into())].into(),
        volumes: vec!["/u".into()],
        ..RunConfig::default()
    };
    let found = json!(merged(&base, &run));
    assert_eq!(found["Env"], json!(["PATH=/bin", "A=2", "Z=="]));
    assert_eq!((&found["Entrypoint"], &found["Cmd"]), (&json!(["/e"]), &json!(["d"])));
    assert_eq!(found["Labels"], json!({"a": "1", "b": "3"}));
    assert_eq!(found["Volumes"], json!({"/u": {}, "/v": {}}));
    assert_eq!((&found["Shell"], &found["User"]), (&json!(["/bin/ash", "-c"]), &json!("1")));
    assert_eq!(found["Healthcheck"]["StartInterval"], 5);
    let run = RunConfig { entrypoint: vec!["/f".into()], ..RunConfig::default() };
    let found = json!(merged(&base, &run));
    assert_eq!((&found["Entrypoint"], found.get("Cmd")), (&json!(["/f"]), None));
}

#[test]
fn changes_are_a_line_each() {
    let look = |value: serde_json::Value, layers: &[&str]| {
        let layers = layers.iter().map(|layer| Descriptor::of(LAYER, layer.as_bytes())).collect();
        let config = serde_json::to_vec(&config(&value)).unwrap();
        let manifest = super::Manifest {
            media_type: MANIFEST.to_owned(),
            config: Descriptor::of(CONFIG, &config),
            layers,
        };
        Look::new(&manifest, &config).unwrap()
    };
    let old = look(
        json!({"Env": ["A=1", "B=1"], "Entrypoint": ["/a"], "ExposedPorts": {"80/tcp": {}}}),
        &["1", "2"],
    );
    let new = look(
        json!({"Env": ["A=2", "C=1"], "User": "5", "Entrypoint": ["/a"], "ExposedPorts": {"81/tcp": {}}}),
        &["1", "33"],
    );
    assert_eq!(
        changes(&old, &new),
        [
            "layers: 1 kept, 1 new (2 bytes), 1 gone",
            "user none -> \"5\"",
            "env A 1 -> 2",
            "env B (gone)",
            "env C 1 (new)",
            "port 80/tcp (gone)",
            "port 81/tcp (new)",
        ]
    );
    assert!(changes(&old, &old).is_empty());
}

#[test]
fn a_file_is_taken_over_by_link_or_by_copy() {
    use std::os::unix::fs::MetadataExt;
    let dir = folder();
    let blobs = Blobs::at(&path(&dir).join("layout"));
    let file = path(&dir).join("file");
    std::fs::write(&file, "content").unwrap();
    let descriptor = Descriptor::of(LAYER, b"content");
    blobs.adopt(&file, &descriptor).unwrap();
    let inode = |path: &camino::Utf8Path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&file), inode(&blobs.path(&descriptor.digest)));
    blobs.adopt(&file, &descriptor).unwrap();
    blobs.verify(&descriptor).unwrap();
    assert_eq!(blobs.list().unwrap().len(), 1);
    let other = Descriptor::of(LAYER, b"content of another length");
    let error = blobs.adopt(&file, &other).unwrap_err();
    assert!(matches!(error, Error::CorruptBlob { .. }), "{error}");
    assert!(!blobs.path(&other.digest).exists());
    blobs.verify(&descriptor).unwrap();
}
