//! What is built: nothing of the base is packed again, and what comes on top changes nothing else.

use std::fs;
use std::process::Command;

use serde_json::Value;
use xedge_model::Platform;
use xedge_oci::descriptor::{CONFIG, LAYER, MANIFEST};

use super::made::{CREATED, Made, Project};
use crate::registry::real::Real;

const ON_TOP: &str = r#"
users:
  - {name: app, id: 1000, home: /}
  - {name: base, id: 500, home: /}
directories:
  - {path: /var/lib/app, owner: 1000, mode: "0750"}
config:
  user: "1000:1000"
  env: {LEVEL: app, MORE: "1"}
  expose: [9000/tcp]
  labels: {org.opencontainers.image.title: app}
"#;

#[test]
fn content_comes_on_top_and_the_base_stays_as_it_is() {
    let (real, made) = (Real::open(), Made::new());
    let index = made.usual("1.2.5");
    made.push(&real, "system", "1", &index);
    let reference = format!("{}/base/system:1@{}", real.host(), index.digest);
    let project = Project::new(&reference, ON_TOP);
    project.file("lib/app.conf", "below a link\n");
    project.file("srv/new", "in a folder of somebody's own\n");
    let first = project.run(&["build"]).expect(0);

    let entry = project.entry();
    let base = made.layout.entry("base/system".parse().unwrap(), index.clone()).unwrap();
    for platform in Platform::USUAL {
        let (ours, theirs) = (entry.platform(platform).unwrap(), base.platform(platform).unwrap());
        assert_eq!(&ours.layers()[..2], theirs.layers(), "the base's layers are others now");
        assert_eq!(ours.layers().len(), 3);
        assert_eq!(&ours.diff_ids()[..2], theirs.diff_ids());
        assert_eq!(ours.created(), Some(CREATED));
        let notes = ours.annotations();
        let note = |name: &str| notes[&format!("org.opencontainers.image.base.{name}")].clone();
        assert_eq!(note("name"), format!("{}/base/system:1", real.host()));
        assert_eq!(note("digest"), theirs.manifest().digest.to_string());
        let run = ours.config().config.clone().unwrap();
        assert_eq!(run.entrypoint, Some(vec!["/usr/bin/hello".to_owned()]));
        assert_eq!(run.cmd, Some(vec!["--base".to_owned()]));
        assert_eq!(run.env.unwrap(), ["LEVEL=app", "PATH=/usr/bin", "MORE=1"]);
        assert_eq!(run.exposed_ports.unwrap().0.len(), 2);
        assert_eq!(run.labels.unwrap().len(), 2);
        assert_eq!(ours.config().history.as_ref().unwrap().len(), 3);
        project.layout().verify_image(entry.name()).unwrap();
    }
    let index_notes: Value =
        serde_json::from_slice(&project.layout().blobs().read(entry.index()).unwrap()).unwrap();
    assert_eq!(index_notes["annotations"]["org.opencontainers.image.base.digest"], index.digest.as_str());
    assert_eq!(index_notes["manifests"].as_array().unwrap().len(), 2, "an attestation came along");

    // Another project, another folder, nothing kept: the same bytes.
    let again = Project::new(&reference, ON_TOP);
    again.file("lib/app.conf", "below a link\n");
    again.file("srv/new", "in a folder of somebody's own\n");
    assert_eq!(again.run(&["build"]).expect(0).stdout, first.stdout);
    // The registry is gone: what is here is not asked for again.
    drop(real);
    assert_eq!(project.run(&["build", "--locked"]).expect(0).stdout, first.stdout);
    fs::remove_dir_all(project.path().join("target/xedge/inputs")).unwrap();
    assert_eq!(project.run(&["build", "--locked"]).expect(0).stdout, first.stdout);

    the_sbom_names_the_base(&project);
    the_engine_runs_it(&project);
}

fn the_sbom_names_the_base(project: &Project) {
    let sbom = project.sbom(Platform::LinuxAmd64);
    let packages = sbom["packages"].as_array().unwrap();
    let purl = |package: &Value| package["externalRefs"][0]["referenceLocator"].as_str().unwrap().to_owned();
    let base = packages.iter().find(|package| purl(package).starts_with("pkg:oci/system@sha256:")).unwrap();
    assert!(purl(base).contains("?arch=amd64&repository_url=127.0.0.1:"), "{}", purl(base));
    let comment = base["comment"].as_str().unwrap();
    assert!(comment.starts_with("Layers sha256:") && comment.contains("/lib/apk/db/installed"), "{comment}");
    let musl =
        packages.iter().find(|package| purl(package) == "pkg:apk/alpine/musl@1.2.5?arch=x86_64").unwrap();
    assert_eq!(
        (&musl["licenseDeclared"], &musl["sourceInfo"]),
        (&"MIT".into(), &"built package from: musl 1.2.5".into())
    );
}

/// Loads it under a name of its own, looks at its files, runs it, and takes it away again.
fn the_engine_runs_it(project: &Project) {
    let archive = project.path().join("app.tar");
    project
        .run(&["image", "save", "app", "--output", archive.to_str().unwrap(), "--platform", "linux/amd64"])
        .expect(0);
    let docker = |arguments: &[&str]| {
        let output = Command::new("docker").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    docker(&["load", "--input", archive.to_str().unwrap()]);
    let id = project.entry().platform(Platform::LinuxAmd64).unwrap().config_blob().digest.to_string();
    let container = docker(&["create", &id]).trim().to_owned();
    let said = docker(&["start", "--attach", &container]);
    let tar = project.path().join("files.tar");
    docker(&["export", "--output", tar.to_str().unwrap(), &container]);
    docker(&["rm", &container]);
    docker(&["image", "rm", "site/app:latest"]);
    assert_eq!(said, "hello from the base\n");

    let listed = Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&tar).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = |end: &str| {
        let found = listed.lines().find(|line| line.ends_with(end));
        found.unwrap_or_else(|| panic!("no `{end}` in\n{listed}")).split_whitespace().collect::<Vec<_>>()[..2]
            .join(" ")
    };
    assert_eq!(line(" srv/"), "drwxr-x--- 500/500", "a folder of the base has changed hands");
    assert_eq!(line(" var/lib/app/"), "drwxr-x--- 1000/1000");
    assert_eq!(line(" etc/group"), "-rw-r----- 0/0");
    for there in [" srv/old", " srv/new", " usr/lib/app.conf", " usr/lib/apk/db/installed", " lib -> usr/lib"]
    {
        line(there);
    }
    let file = |path: &str| {
        let output = Command::new("tar").args(["-xOf"]).arg(&tar).arg(path).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(
        file("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nbase:x:500:500::/srv:/bin/sh\napp:x:1000:1000:app:/:/usr/sbin/nologin\n"
    );
    assert_eq!(file("etc/group"), "root:x:0:\nbase:x:500:\napp:x:1000:\n");
}

#[test]
fn with_nothing_added_the_manifests_are_the_bases_own() {
    let (real, made) = (Real::open(), Made::new());
    let index = made.usual("1.2.5");
    made.push(&real, "system", "1", &index);
    let project = Project::new(&format!("{}/base/system:1@{}", real.host(), index.digest), "");
    project.run(&["build"]).expect(0);
    let base = made.layout.entry("base/system".parse().unwrap(), index).unwrap();
    for platform in Platform::USUAL {
        assert_eq!(
            project.entry().platform(platform).unwrap().manifest(),
            base.platform(platform).unwrap().manifest()
        );
    }
    // A setting that says what the base says already changes nothing; another one does, and packs no layer.
    let reference = project.yaml().lines().find_map(|line| line.strip_prefix("from: ")).unwrap().to_owned();
    let reference = reference.trim_end_matches(" # pinned").to_owned();
    project.define(&reference, "config: {env: {LEVEL: base}}\n");
    project.run(&["build"]).expect(0);
    let amd64 = |entry: xedge_oci::ImageEntry| entry.platform(Platform::LinuxAmd64).unwrap().clone();
    assert_eq!(amd64(project.entry()).manifest(), amd64(base.clone()).manifest());
    project.define(&reference, "config: {entrypoint: [/usr/bin/other]}\n");
    project.run(&["build"]).expect(0);
    let changed = amd64(project.entry());
    assert_ne!(changed.manifest(), amd64(base.clone()).manifest());
    assert_eq!(changed.layers(), amd64(base).layers());
    assert_eq!(changed.config().config.as_ref().unwrap().cmd, None, "arguments for another program stayed");
}

#[test]
fn dockers_own_manifests_stay_or_become_ocis() {
    let (real, made) = (Real::open(), Made::new());
    let system = made.system("1.2.5");
    let manifest = made.manifest(Platform::LinuxAmd64, &[system], &super::made::usual_run("1"));
    let docker = made.dockers(&manifest);
    made.push(&real, "docker", "1", &docker);
    let reference = format!("{}/base/docker:1", real.host());
    let project = Project::new(&reference, "platforms: [linux/amd64]\n");
    project.run(&["build"]).expect(0);
    let built = project.entry().platform(Platform::LinuxAmd64).unwrap().clone();
    assert_eq!(built.manifest().digest, docker.digest);
    assert_eq!(built.manifest().media_type, docker.media_type);
    assert_eq!(project.lock()["platforms"]["linux/amd64"]["base"]["index"], docker.digest.as_str());

    project.file("etc/app.conf", "x\n");
    project.run(&["build"]).expect(0);
    let built = project.entry().platform(Platform::LinuxAmd64).unwrap().clone();
    assert_eq!(
        (built.manifest().media_type.as_str(), built.config_blob().media_type.as_str()),
        (MANIFEST, CONFIG)
    );
    assert_eq!(built.layers()[0].media_type, LAYER);
    assert_eq!(built.layers().len(), 2);
}
