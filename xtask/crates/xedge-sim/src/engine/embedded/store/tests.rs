//! Archives become images only if they are what they say.

use camino::Utf8Path;
use serde_json::json;
use xedge_model::Digest;

use super::Store;

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive of one image with these layers, and its config; the layers lie before the manifest, in another order.
fn archive(layers: &[Vec<u8>], diff_ids: &[Digest]) -> (Vec<u8>, Digest) {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"User": "7"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = config.to_string().into_bytes();
    let names: Vec<String> = (0..layers.len()).map(|number| format!("blobs/sha256/{number}")).collect();
    let manifest = json!([{"Config": "config", "RepoTags": null, "Layers": names}]).to_string();
    let mut files: Vec<(&str, &[u8])> =
        names.iter().map(String::as_str).zip(layers.iter().map(Vec::as_slice)).rev().collect();
    files.push(("config", &config));
    files.push(("manifest.json", manifest.as_bytes()));
    (tar(&files), Digest::of(&config))
}

fn store(folder: &tempfile::TempDir) -> Store {
    Store::new(Utf8Path::from_path(folder.path()).unwrap().join("images"))
}

#[test]
fn an_image_is_named_by_the_config_whose_layers_were_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let plain =
        [tar(&[("etc/a", b"lower"), ("etc/b", b"b")]), tar(&[("etc/a", b"upper"), ("etc/.wh.b", b"")])];
    let ids = [Digest::of(&plain[0]), Digest::of(&plain[1])];
    let packed = [zipped(&plain[0]), zstd::encode_all(plain[1].as_slice(), 1).unwrap()];
    let (bytes, id) = archive(&packed, &ids);
    assert!(!store.has(&id));
    store.load(bytes.as_slice()).unwrap();
    assert!(store.has(&id));
    assert_eq!(std::fs::read(store.rootfs(&id).join("etc/a")).unwrap(), b"upper");
    assert!(!store.rootfs(&id).join("etc/b").exists());
    let config = store.config(&id).unwrap();
    assert_eq!((config.os.as_str(), config.config.user.as_deref()), ("linux", Some("7")));

    store.load(bytes.as_slice()).unwrap();
    assert_eq!(
        store.ids().unwrap(),
        std::slice::from_ref(&id),
        "a second load changes nothing, and nothing else is left"
    );
    std::fs::write(store.rootfs(&id).with_file_name("config.json"), "{}").unwrap();
    assert!(store.config(&id).unwrap_err().to_string().contains("was changed"));
    store.remove(&id).unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("images")).unwrap().count(), 0);
}

#[test]
fn a_layer_that_is_not_the_named_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let layer = tar(&[("a", b"a")]);
    let refused = |layers: &[Vec<u8>], ids: &[Digest], why: &str| {
        let (bytes, id) = archive(layers, ids);
        let error = store.load(bytes.as_slice()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(!store.has(&id));
        assert_eq!(std::fs::read_dir(folder.path().join("images")).unwrap().count(), 0, "something was left");
    };
    refused(std::slice::from_ref(&layer), &[Digest::of(b"another")], "its content is");
    refused(&[[layer.clone(), b"behind the end".to_vec()].concat()], &[Digest::of(&layer)], "its content is");
    refused(std::slice::from_ref(&layer), &[], "names 0 layers");
    refused(&[zipped(&layer)[..20].to_vec()], &[Digest::of(&layer)], "layer sha256:");
    refused(&[tar(&[("a/.wh..", b"")])], &[Digest::of(&tar(&[("a/.wh..", b"")]))], "entry `a/.wh..`");
    assert!(store.load(tar(&[("x", b"")]).as_slice()).unwrap_err().to_string().contains("no manifest.json"));
}

#[test]
fn what_a_killed_load_left_is_swept_and_a_running_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let images = folder.path().join("images");
    let running = format!(".staging-load-0-{}", std::process::id());
    // No process has that number.
    for name in [running.as_str(), ".staging-load-0-4194999"] {
        std::fs::create_dir_all(images.join(name)).unwrap();
    }
    store.sweep().unwrap();
    let left: Vec<_> = std::fs::read_dir(images).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [running.as_str()]);
}
