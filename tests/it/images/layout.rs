//! What a build leaves behind: an OCI layout by the specification, SBOMs, and images with nothing in them that is not named.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::{Value, json};
use xedge_model::Digest;

use crate::support::{here, root};

pub const BROKER: &str = "xedgesim/mosquitto";
pub const GATEWAY: &str = "xedgesim/gateway";

/// Builds the images that are assembled; those from a Dockerfile have another digest wherever they are built.
pub const ASSEMBLE: &[&str] = &["build", "gateway", "mqtt-broker"];

/// Both of them, built once: what the command printed.
pub fn built() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| here(ASSEMBLE).expect(0).stdout)
}

/// Index digest of an image in what `build` printed.
pub fn index_of(stdout: &str, name: &str) -> String {
    let found = stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('@'));
    found.unwrap_or_else(|| panic!("{name} is not in\n{stdout}")).to_owned()
}

/// The layout of a project.
pub struct Layout(PathBuf);

impl Layout {
    pub fn of(project: &Path) -> Self {
        Self(project.join("target/xedge/layout"))
    }

    pub fn path(&self, digest: &str) -> PathBuf {
        self.0.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }

    /// A blob by its descriptor; it must have the digest and size that the descriptor says.
    pub fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = fs::read(self.path(digest)).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), digest);
        assert_eq!(descriptor["size"], bytes.len(), "{descriptor}");
        bytes
    }

    /// A JSON blob by its descriptor.
    pub fn json(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&self.blob(descriptor)).unwrap()
    }

    /// The descriptor of an image's index.
    pub fn find(&self, digest: &str) -> Value {
        let index: Value = serde_json::from_slice(&fs::read(self.0.join("index.json")).unwrap()).unwrap();
        let all = index["manifests"].as_array().unwrap();
        all.iter().find(|entry| entry["digest"] == digest).unwrap_or_else(|| panic!("{index}")).clone()
    }

    /// The manifests of an image by architecture.
    pub fn manifests(&self, digest: &str) -> BTreeMap<String, Value> {
        let index = self.json(&self.find(digest));
        let all = index["manifests"].as_array().unwrap().iter();
        all.map(|entry| (entry["platform"]["architecture"].as_str().unwrap().to_owned(), self.json(entry)))
            .collect()
    }
}

/// What a tool prints when it is fed with `input`.
pub fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        let writer = scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output
    });
    assert!(output.status.success(), "{program} failed");
    output.stdout
}

/// Records, SBOMs and when they were written.
fn written(project: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let folders = ["inputs", "sbom"].map(|name| project.join("target/xedge").join(name));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().map(Result::unwrap));
    entries.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect()
}

#[test]
fn both_images_build_and_a_second_build_makes_nothing_again() {
    let lines: Vec<&str> = built().lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, name) in lines.iter().zip([GATEWAY, BROKER]) {
        let hex = line.strip_prefix(name).and_then(|rest| rest.strip_prefix("@sha256:")).unwrap();
        assert!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
    }
    let before = written(&root());
    assert!(before.len() >= 8, "{before:?}");
    assert_eq!(here(ASSEMBLE).expect(0).stdout, built());
    assert_eq!(written(&root()), before);
}

#[test]
fn one_image_can_be_called_by_folder_or_by_name() {
    let line = format!("{BROKER}@{}\n", index_of(built(), BROKER));
    assert_eq!(here(&["build", "mqtt-broker"]).expect(0).stdout, line);
    assert_eq!(here(&["build", BROKER]).expect(0).stdout, line);
}

#[test]
fn index_manifests_and_configs_are_valid() {
    let layout = Layout::of(&root());
    for name in [BROKER, GATEWAY] {
        let descriptor = layout.find(&index_of(built(), name));
        let reference = format!("{name}:latest");
        assert_eq!(descriptor["annotations"]["org.opencontainers.image.ref.name"], reference);
        assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.index.v1+json");
        let index = layout.json(&descriptor);
        check_head(&index, "application/vnd.oci.image.index.v1+json", name);
        let entries = index["manifests"].as_array().unwrap();
        let platforms: Vec<&Value> = entries.iter().map(|entry| &entry["platform"]).collect();
        let (amd64, arm64) = (
            json!({"architecture": "amd64", "os": "linux"}),
            json!({"architecture": "arm64", "os": "linux", "variant": "v8"}),
        );
        assert_eq!(platforms, [&amd64, &arm64]);
        for entry in entries {
            assert_eq!(entry["mediaType"], "application/vnd.oci.image.manifest.v1+json");
            let manifest = layout.json(entry);
            check_head(&manifest, "application/vnd.oci.image.manifest.v1+json", name);
            check_config(&layout, &manifest, &entry["platform"]);
        }
    }
}

/// What index and manifest have in common.
#[track_caller]
fn check_head(document: &Value, media_type: &str, name: &str) {
    assert_eq!(document["schemaVersion"], 2);
    assert_eq!(document["mediaType"], media_type);
    let annotations = &document["annotations"];
    assert_eq!(annotations["org.opencontainers.image.title"], name);
    check_time(&annotations["org.opencontainers.image.created"]);
}

/// RFC 3339, in UTC.
#[track_caller]
fn check_time(time: &Value) {
    let shape: String =
        time.as_str().unwrap().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{time}");
}

#[track_caller]
fn check_config(layout: &Layout, manifest: &Value, platform: &Value) {
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let config = layout.json(&manifest["config"]);
    for key in ["architecture", "os", "variant"] {
        assert_eq!(config[key], platform[key], "{key}");
    }
    assert_eq!(config["created"], manifest["annotations"]["org.opencontainers.image.created"]);
    assert_eq!(config["rootfs"]["type"], "layers");
    let layers = manifest["layers"].as_array().unwrap();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let history = config["history"].as_array().unwrap();
    assert!(!layers.is_empty());
    assert_eq!((layers.len(), layers.len()), (diff_ids.len(), history.len()));
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        let tar = piped("gzip", &["-dc"], &layout.blob(layer));
        assert_eq!(*diff_id, Digest::of(&tar).to_string());
    }
}

#[test]
fn the_broker_image_says_how_it_is_run() {
    let layout = Layout::of(&root());
    for (architecture, manifest) in layout.manifests(&index_of(built(), BROKER)) {
        let run = &layout.json(&manifest["config"])["config"];
        assert_eq!(run["User"], "1883:1883", "{architecture}");
        assert_eq!(run["ExposedPorts"], json!({"1883/tcp": {}}));
        assert_eq!(run["Entrypoint"][0], "/usr/sbin/mosquitto");
        assert_eq!(run["Healthcheck"]["Test"][0], "CMD", "a health check through a shell");
    }
}

/// The SBOM of an image's platform, and its packages by name but for the image itself.
fn sbom(name: &str, architecture: &str) -> (Value, BTreeMap<String, Value>) {
    let file = format!("target/xedge/sbom/{}.linux-{architecture}.spdx.json", name.replace('/', "_"));
    let document: Value = serde_json::from_slice(&fs::read(root().join(file)).unwrap()).unwrap();
    let all = document["packages"].as_array().unwrap().iter();
    let named = all.map(|package| (package["name"].as_str().unwrap().to_owned(), package.clone()));
    let others = named.filter(|(called, _)| called != name).collect();
    (document, others)
}

#[track_caller]
fn check_sbom(document: &Value, manifest: &str) {
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    assert_eq!(document["dataLicense"], "CC0-1.0");
    assert_eq!(document["SPDXID"], "SPDXRef-DOCUMENT");
    check_time(&document["creationInfo"]["created"]);
    let text = document["documentNamespace"].as_str().unwrap();
    assert!(text.ends_with(manifest.strip_prefix("sha256:").unwrap()), "{text} is not about {manifest}");
    let packages = document["packages"].as_array().unwrap();
    let ids: Vec<&Value> = packages.iter().map(|package| &package["SPDXID"]).collect();
    let (mut described, mut contained) = (0, 0);
    for relation in document["relationships"].as_array().unwrap() {
        assert!(ids.contains(&&relation["relatedSpdxElement"]), "{relation}");
        match relation["relationshipType"].as_str().unwrap() {
            "DESCRIBES" => described += 1,
            "CONTAINS" => contained += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((described, contained), (1, packages.len() - 1));
}

/// The digest of one platform's manifest.
fn manifest_digest(name: &str, architecture: &str) -> String {
    let layout = Layout::of(&root());
    let index = layout.json(&layout.find(&index_of(built(), name)));
    let mut all = index["manifests"].as_array().unwrap().iter();
    let entry = all.find(|entry| entry["platform"]["architecture"] == architecture).unwrap();
    entry["digest"].as_str().unwrap().to_owned()
}

fn purl(package: &Value) -> &str {
    let reference = &package["externalRefs"][0];
    assert_eq!(reference["referenceType"], "purl");
    reference["referenceLocator"].as_str().unwrap()
}

#[test]
fn the_brokers_sbom_names_exactly_the_locked_packages() {
    let text = fs::read_to_string(root().join("images/mqtt-broker/image.lock.json")).unwrap();
    let lock: Value = serde_json::from_str(&text).unwrap();
    for architecture in ["amd64", "arm64"] {
        let (document, packages) = sbom(BROKER, architecture);
        check_sbom(&document, &manifest_digest(BROKER, architecture));
        let locked = lock["platforms"][format!("linux/{architecture}")]["packages"].as_array().unwrap();
        assert_eq!(locked.len(), packages.len());
        for package in locked {
            let listed = &packages[package["name"].as_str().unwrap()];
            assert_eq!(listed["versionInfo"], package["version"]);
            let hex = package["sha256"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            assert_eq!(listed["checksums"][0]["checksumValue"], hex);
        }
        let version = packages["mosquitto"]["versionInfo"].as_str().unwrap().replace('+', "%2B");
        let wanted = format!("pkg:deb/debian/mosquitto@{version}?arch={architecture}");
        assert!(purl(&packages["mosquitto"]).starts_with(&wanted), "{}", packages["mosquitto"]);
    }
}

#[test]
fn the_gateways_sbom_names_its_crates_and_no_tool_of_ours() {
    let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for architecture in ["amd64", "arm64"] {
        built();
        let (document, packages) = sbom(GATEWAY, architecture);
        check_sbom(&document, &manifest_digest(GATEWAY, architecture));
        for name in ["gateway", "rumqttc-v4-next", "serde_json", "tokio", "toml"] {
            let version = packages[name]["versionInfo"].as_str().unwrap();
            assert!(
                text.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")),
                "{name} {version}"
            );
            let version = version.replace('+', "%2B");
            assert_eq!(purl(&packages[name]), format!("pkg:cargo/{name}@{version}"));
        }
        for name in ["xtask", "bollard", "clap", "xedge-model"] {
            assert!(!packages.contains_key(name), "{name} is not in the image");
        }
    }
}

/// Every path in the layers of an image's platform.
fn paths(layout: &Layout, manifest: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let list = piped("tar", &["-tzf", "-"], &layout.blob(layer));
        found.extend(
            String::from_utf8(list).unwrap().lines().map(|path| path.trim_end_matches('/').to_owned()),
        );
    }
    found
}

#[test]
fn there_is_no_shell_in_any_image() {
    let layout = Layout::of(&root());
    for name in [BROKER, GATEWAY] {
        for (architecture, manifest) in layout.manifests(&index_of(built(), name)) {
            for path in paths(&layout, &manifest) {
                let file = path.rsplit('/').next().unwrap();
                let shells = ["sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "perl", "python3"];
                assert!(!shells.contains(&file), "{name} {architecture} has {path}");
            }
        }
    }
}

#[test]
fn the_gateway_image_is_one_static_program() {
    let layout = Layout::of(&root());
    for (architecture, machine) in [("amd64", 62), ("arm64", 183)] {
        let manifest = &layout.manifests(&index_of(built(), GATEWAY))[architecture];
        let mut paths = paths(&layout, manifest);
        paths.retain(|path| !["etc", "usr", "usr/bin"].contains(&path.trim_start_matches("./")));
        let wanted = ["etc/group", "etc/nsswitch.conf", "etc/passwd", "usr/bin/gateway"];
        let found: Vec<&str> = paths.iter().map(|path| path.trim_start_matches("./")).collect();
        assert_eq!(found, wanted);
        let layer = layout.blob(manifest["layers"].as_array().unwrap().last().unwrap());
        check_static(&piped("tar", &["-xzOf", "-", &paths[3]], &layer), machine);
    }
}

/// A little-endian number in an ELF file.
fn number(elf: &[u8], at: usize, bytes: usize) -> usize {
    elf[at..at + bytes].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
}

/// A program for this machine that no loader has to start and that names no library.
#[track_caller]
fn check_static(elf: &[u8], machine: usize) {
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01", "no 64-bit little-endian ELF file");
    assert_eq!(number(elf, 18, 2), machine);
    let (start, size, count) = (number(elf, 32, 8), number(elf, 54, 2), number(elf, 56, 2));
    assert!(count > 0);
    for header in (0..count).map(|index| start + index * size) {
        let (kind, offset, length) =
            (number(elf, header, 4), number(elf, header + 8, 8), number(elf, header + 32, 8));
        // PT_INTERP names a loader; PT_DYNAMIC may be there for relocation, and DT_NEEDED in it names a library.
        assert_ne!(kind, 3, "it needs a loader");
        if kind == 2 {
            let needed = (0..length / 16).any(|entry| number(elf, offset + entry * 16, 8) == 1);
            assert!(!needed, "it needs a library");
        }
    }
}
