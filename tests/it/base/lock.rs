//! Locks of images on a base: a tag is pinned once, `--locked` takes nothing else, `lock --update` follows the tag.

use std::fs;

use super::made::{Made, Project};
use crate::registry::real::Real;

#[test]
fn a_tag_is_pinned_by_the_lock_and_moves_only_when_asked() {
    let (real, made) = (Real::open(), Made::new());
    let (old, new) = (made.usual("1.2.4"), made.usual("1.2.5"));
    made.push(&real, "system", "1", &old);
    let reference = format!("{}/base/system:1", real.host());
    let project = Project::new(&reference, "");
    project
        .run(&["build", "--locked"])
        .expect(3)
        .says(&format!("there is no lock, and {reference} has no digest"))
        .says("cargo xtask lock --update");
    let first = project.run(&["build"]).expect(0).stdout;
    let index = |project: &Project| project.lock()["platforms"]["linux/arm64"]["base"]["index"].clone();
    assert_eq!(index(&project), old.digest.as_str());
    project.run(&["lock", "--check"]).expect(0);

    made.push(&real, "system", "1", &new);
    assert_eq!(project.run(&["build"]).expect(0).stdout, first, "a moved tag changed a locked image");
    let ran = project.run(&["lock", "--update"]).expect(0);
    assert_eq!(index(&project), new.digest.as_str());
    assert!(project.yaml().contains(&format!("from: {reference} # pinned")), "{}", project.yaml());
    ran.says(&format!("{reference} moved: {} -> {}", old.digest, new.digest))
        .says("linux/amd64 label org.opencontainers.image.version 1.2.4 -> 1.2.5")
        .says("linux/amd64 package musl 1.2.4 -> 1.2.5\n")
        .says("linux/arm64 layers: 1 kept, 1 new");
    let ran = project.run(&["lock", "--update"]).expect(0);
    assert!(!ran.stderr.contains("moved"), "{}", ran.stderr);
}

#[test]
fn a_digest_is_fixed_until_an_update_writes_the_tags_new_one() {
    let (real, made) = (Real::open(), Made::new());
    let (old, new) = (made.usual("1.2.4"), made.usual("1.2.5"));
    made.push(&real, "system", "1", &old);
    let tagged = format!("{}/base/system:1", real.host());
    let project = Project::new(&format!("{tagged}@{}", old.digest), "# the end\n");
    project.run(&["build"]).expect(0);
    let before = project.yaml();
    project.run(&["lock", "--update"]).expect(0);
    assert_eq!(project.yaml(), before);

    made.push(&real, "system", "1", &new);
    project.run(&["lock"]).expect(0);
    project.run(&["lock", "--check"]).expect(0);
    assert_eq!(project.yaml(), before);
    project
        .run(&["lock", "--update"])
        .expect(0)
        .says(&format!("{tagged} moved: {} -> {}", old.digest, new.digest))
        .says("linux/amd64 label org.opencontainers.image.version 1.2.4 -> 1.2.5");
    assert_eq!(project.yaml(), before.replace(old.digest.as_str(), new.digest.as_str()));
    project.run(&["build", "--locked"]).expect(0);

    // Without a tag there is nothing to follow.
    project.define(&format!("{}/base/system@{}", real.host(), old.digest), "");
    let before = project.yaml();
    project.run(&["lock", "--update"]).expect(0);
    assert_eq!(project.yaml(), before);
    // A definition that asks for another base needs another lock.
    project.define(&format!("{tagged}@{}", new.digest), "");
    project.run(&["build", "--locked"]).expect(3).says("image.yaml asks for something else now");
}

#[test]
fn an_update_that_is_stopped_goes_on_with_the_new_digest() {
    let (real, made) = (Real::open(), Made::new());
    let (old, new) = (made.usual("1.2.4"), made.usual("1.2.5"));
    made.push(&real, "system", "1", &old);
    let project = Project::new(&format!("{}/base/system:1@{}", real.host(), old.digest), "");
    project.run(&["build"]).expect(0);
    made.push(&real, "system", "1", &new);
    // No file can take the place of a folder.
    let lock = project.image().join("image.lock.json");
    fs::remove_file(&lock).unwrap();
    fs::create_dir_all(lock.join("x")).unwrap();
    let ran = project.run(&["lock", "--update"]);
    assert_ne!(ran.code, 0, "{}", ran.stderr);
    fs::remove_dir_all(&lock).unwrap();
    project.run(&["build"]).expect(0);
    let base = &project.lock()["platforms"]["linux/amd64"]["base"];
    assert_eq!(base["index"], new.digest.as_str());
    project.run(&["build", "--locked"]).expect(0);
}

#[test]
fn what_is_damaged_in_the_store_is_fetched_again() {
    let (real, made) = (Real::open(), Made::new());
    let index = made.usual("1.2.5");
    made.push(&real, "system", "1", &index);
    let project = Project::new(&format!("{}/base/system:1@{}", real.host(), index.digest), "");
    project.run(&["lock"]).expect(0);
    let store = project.path().join("target/xedge/store/sha256");
    let base = made.layout.entry("base/system".parse().unwrap(), index).unwrap();
    let layer = &base.platforms().values().next().unwrap().layers()[0];
    let file = store.join(layer.digest.hex());
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    project.run(&["build"]).expect(6).says(layer.digest.as_str()).says("it was removed");
    project.run(&["build"]).expect(0);
}

#[test]
fn an_image_of_the_data_folder_needs_no_registry() {
    let made = Made::new();
    let index = made.usual("1.2.5");
    let reference = format!("imported/plc@{}", index.digest);
    let project = Project::new(&reference, "");
    project
        .run(&["build"])
        .expect(3)
        .says("failed to find imported/plc@sha256:")
        .says("it was not imported on this machine")
        .says("cargo xtask image import");
    assert!(!project.image().join("image.lock.json").exists());

    let store = project.home().join("registry/content");
    let store = xedge_registry::server::Store::open(camino::Utf8Path::from_path(&store).unwrap()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(xedge_registry::server::bind(0)).unwrap();
    let running = runtime.block_on(async { xedge_registry::server::serve(listener, store) }).unwrap();
    super::made::push(&made.layout, &running.address().to_string(), "imported/plc", "1", &index);
    drop(running);
    project.run(&["build"]).expect(0);
    project.run(&["lock", "--update"]).expect(0);
    project.run(&["build", "--locked"]).expect(0);
    let base = made.layout.entry("base/system".parse().unwrap(), index).unwrap();
    let digests = |entry: &xedge_oci::ImageEntry| -> Vec<_> {
        entry.platforms().values().map(|image| image.manifest().digest.clone()).collect()
    };
    assert_eq!(digests(&project.entry()), digests(&base));
}

#[test]
fn an_archive_keeps_what_the_registry_loses() {
    let (mut real, made) = (Real::open(), Made::new());
    let index = made.usual("1.2.5");
    made.push(&real, "system", "1", &index);
    let project = Project::new(&format!("{}/base/system:1@{}", real.host(), index.digest), "");
    let first = project.run(&["build"]).expect(0).stdout;
    let kept = project.run(&["lock", "archive"]).expect(0).stdout;
    let base = made.layout.entry("base/system".parse().unwrap(), index).unwrap();
    let manifests = base.platforms().values().map(|image| &image.manifest().digest);
    let expected: Vec<String> = manifests.map(|digest| format!("embedded/xedge-bases@{digest}")).collect();
    assert_eq!(kept.lines().collect::<Vec<_>>(), expected);
    assert_eq!(project.run(&["lock", "archive"]).expect(0).stdout, kept);

    let host = real.host();
    real.stop();
    let forget = || fs::remove_dir_all(project.path().join("target")).unwrap();
    forget();
    assert_eq!(project.run(&["build", "--locked"]).expect(0).stdout, first);
    forget();
    fs::remove_dir_all(project.home().join("registry")).unwrap();
    project
        .run(&["build", "--locked"])
        .expect(1)
        .says(&format!("failed to reach http://{host}/v2/base/system"));
}
