//! Images that somebody built elsewhere: from the Engine, from archives and layouts, into the embedded registry.

use std::fs;
use std::path::PathBuf;

use xedge_model::ImageDef;
use xedge_model::yaml::Source;

use super::{Bench, architecture, docker, exists, native, unique};
use crate::images::layout::index_of;
use crate::support::edit;

/// A bench, and an image of it that is in the Engine under a name of its own.
fn loaded(word: &str) -> (Bench, Tagged) {
    let bench = Bench::empty();
    let name = unique(word);
    bench.assembled(&name);
    bench.run(&["build", "--load", &name]).expect(0);
    (bench, Tagged(format!("{name}:latest")))
}

/// An image in the Engine that is removed at the end.
struct Tagged(String);

impl Drop for Tagged {
    fn drop(&mut self) {
        let _ = docker(&["rmi", &self.0]);
    }
}

impl Bench {
    fn store(&self, name: &str) -> PathBuf {
        self.home.path().join("registry/content/repositories/imported").join(name)
    }

    fn save(&self, tag: &str) -> String {
        let file = self.path("saved.tar");
        let file = file.to_str().unwrap().to_owned();
        docker(&["save", "--output", &file, tag]).unwrap();
        file
    }
}

#[test]
fn engine_file_and_packed_file_give_the_same_digest_and_a_definition_that_stands() {
    let (bench, tag) = loaded("imported");
    let first = bench.run(&["image", "import", "--from-engine", &tag.0, "--name", "other"]).expect(0).stdout;
    let index = index_of(&first, "other");
    let file = bench.path("images/other/image.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("\nfrom: imported/other@{index}\n")), "{text}");
    let def = ImageDef::parse(&Source::new("image.yaml", text.clone())).unwrap();
    assert_eq!(def.platforms.value.iter().map(|platform| platform.as_str()).collect::<Vec<_>>(), [native()]);
    let hex = index.strip_prefix("sha256:").unwrap();
    assert!(exists(&bench.store("other").join("_manifests").join(hex)), "the store has no {index}");

    edit(&file, "format: 1", "# mine\nformat: 1");
    edit(&file, &format!("from: imported/other@{index}"), "from: imported/other # why");
    let saved = bench.save(&tag.0);
    let import = |file: &str| bench.alone(&["image", "import", file, "--name", "other"]).expect(0).stdout;
    assert_eq!(import(&saved), first);
    let edited = fs::read_to_string(&file).unwrap();
    assert!(edited.contains("# mine\nformat: 1"), "{edited}");
    assert!(edited.contains(&format!("from: imported/other@{index} # why\n")), "{edited}");
    let packed = crate::images::layout::piped("gzip", &["-c", &saved], b"");
    fs::write(bench.path("saved.tar.gz"), packed).unwrap();
    assert_eq!(import("saved.tar.gz"), first);
}

#[test]
fn several_files_are_one_image_for_several_platforms() {
    let bench = Bench::empty();
    bench.assembled("own");
    bench.alone(&["build", "own"]).expect(0);
    let save = |platform: &str, file: &str| {
        bench.alone(&["image", "save", "own", "--platform", platform, "--output", file]).expect(0);
    };
    save("linux/amd64", "a.tar");
    save("linux/arm64", "b.tar");
    let both = bench.alone(&["image", "import", "a.tar", "b.tar", "--name", "x"]).expect(0).stdout;
    let turned = bench.alone(&["image", "import", "b.tar", "a.tar", "--name", "x"]).expect(0).stdout;
    assert_eq!(both, turned);
    let folder = bench.path("target/xedge/layout");
    let folder = folder.to_str().unwrap();
    let from_layout =
        bench.alone(&["image", "import", folder, "--image", "own", "--name", "x"]).expect(0).stdout;
    assert_eq!(from_layout, both);
    let text = fs::read_to_string(bench.path("images/x/image.yaml")).unwrap();
    assert!(text.contains("platforms: [linux/amd64, linux/arm64]"), "{text}");
    let one = bench.alone(&["image", "import", "a.tar", "--name", "x"]).expect(3);
    one.says("what was imported is for linux/amd64 and not for linux/arm64");
    assert_eq!(fs::read_to_string(bench.path("images/x/image.yaml")).unwrap(), text);
    let json = bench.alone(&["image", "import", "a.tar", "--name", "y", "--format", "json"]).expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["reference"].as_str().unwrap().starts_with("imported/y@sha256:"), "{json}");
}

#[test]
fn archives_that_lie_are_refused_and_leave_nothing() {
    let (bench, tag) = loaded("lying");
    let saved = bench.save(&tag.0);
    let good = fs::read(&saved).unwrap();
    // The content of the only file in the image's layer, which is plain in an archive of the Engine.
    let name = tag.0.strip_suffix(":latest").unwrap();
    let content = (0..good.len()).step_by(512).find(|at| good[*at..].starts_with(name.as_bytes())).unwrap();
    let lie = |bytes: &[u8], code: i32, says: &str| {
        fs::write(&saved, bytes).unwrap();
        let ran =
            bench.alone(&["image", "import", &saved, "--name", "bad"]).expect(code).says(says).says("hint: ");
        assert_eq!(ran.stdout, "");
        assert!(!exists(&bench.path("images/bad")) && !exists(&bench.store("bad")));
    };
    lie(&good[..good.len() / 2], 6, "damaged or cut off");
    lie(b"no archive", 6, "damaged or cut off");
    lie(&[b'x'; 2048], 3, "no image archive");
    let mut bad = good.clone();
    bad[content] ^= 1;
    lie(&bad, 6, "layer.tar, unpacked, has digest sha256:");

    for (arguments, says) in [
        (&["image", "import", "--from-engine", "nobody/has:this", "--name", "bad"][..], "nobody/has:this"),
        (&["image", "import", "missing.tar", "--name", "bad"], "missing.tar"),
        (&["image", "import", &saved, "--name", "a/b"], "a/b"),
        (&["image", "import", &saved, "--name", name], "is not an imported one"),
        (&["image", "import", &saved], "--name"),
    ] {
        fs::write(&saved, &good).unwrap();
        bench.run(arguments).expect(3).says(says);
    }
}

/// What was imported is built from the data folder alone: with no network, and with the layers that were imported.
#[test]
fn an_imported_image_is_built_with_the_layers_that_it_came_with() {
    let bench = Bench::empty();
    bench.assembled("own");
    let own = bench.alone(&["build", "own"]).expect(0).stdout;
    bench.alone(&["image", "save", "own", "--platform", native(), "--output", "a.tar"]).expect(0);
    bench.alone(&["image", "import", "a.tar", "--name", "other"]).expect(0);
    let other = bench.alone(&["build", "other"]).expect(0).stdout;
    let layers = |stdout: &str, name: &str| bench.built(stdout, name, architecture()).0["layers"].clone();
    assert_eq!(layers(&other, "other"), layers(&own, "own"));
}
