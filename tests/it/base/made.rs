//! Base images that are made here, put into a real registry, and projects with an image on one.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use camino::Utf8Path;
use serde_json::{Value, json};
use tempfile::TempDir;
use xedge_model::image::RunConfig;
use xedge_model::{Digest, Platform};
use xedge_oci::config::History;
use xedge_oci::descriptor::{DOCKER_CONFIG, DOCKER_LAYER};
use xedge_oci::index::Index;
use xedge_oci::manifest::{Notes, PlatformParts, write_platform};
use xedge_oci::{Descriptor, ImageEntry, Layer, Layout, Node, Tree, write_layer};
use xedge_registry::{
    Blob, BlobSource, Client, Manifest, Progress, PushImage, Repository, Settings, Silent, Tag, TagKind,
    Target,
};

use crate::registry::real::Real;
use crate::support::{Ran, command, finish};

pub const CREATED: &str = "2024-03-01T12:00:00Z";

/// A program for amd64 that says `hello from the base` and ends: an ELF header, one segment, ten instructions.
pub fn hello() -> Vec<u8> {
    const TEXT: &[u8] = b"hello from the base\n";
    let mut code = vec![0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x8d, 0x35, 16, 0, 0, 0, 0xba];
    code.extend(u32::try_from(TEXT.len()).unwrap().to_le_bytes());
    code.extend([0x0f, 5, 0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 5]);
    code.extend(TEXT);
    let start = 0x0040_0000_u64;
    let size = 120 + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    elf.extend((start + 120).to_le_bytes());
    elf.extend(64_u64.to_le_bytes());
    elf.extend(0_u64.to_le_bytes());
    elf.extend(b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0");
    elf.extend(b"\x01\0\0\0\x05\0\0\0");
    for number in [0, start, start, size, size, 4096] {
        elf.extend(number.to_le_bytes());
    }
    elf.extend(code);
    elf
}

/// A layout in which base images are made.
pub struct Made {
    _folder: Option<TempDir>,
    pub layout: Layout,
}

impl Made {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open_or_create(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        Self { _folder: Some(folder), layout }
    }

    /// Over a layout that is there already.
    pub fn over(layout: Layout) -> Self {
        Self { _folder: None, layout }
    }

    /// A manifest as Docker's own tools write it.
    pub fn dockers(&self, manifest: &Descriptor) -> Descriptor {
        self.rewritten(manifest, |value| {
            value["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
            value["config"]["mediaType"] = DOCKER_CONFIG.into();
            for layer in value["layers"].as_array_mut().unwrap() {
                layer["mediaType"] = DOCKER_LAYER.into();
            }
            value.as_object_mut().unwrap().remove("annotations");
        })
    }

    /// A layer with a small system: users, a merged /usr, a folder of somebody's own.
    pub fn system(&self, version: &str) -> Layer {
        let mut tree = Tree::new();
        let mut put = |path: &str, node: Node| tree.insert(path, node).unwrap();
        put("/usr/lib/os-release", Node::file(b"ID=alpine\nVERSION_ID=3.20\n".to_vec(), 0o644));
        put("/etc/os-release", Node::symlink("../usr/lib/os-release"));
        put("/lib", Node::symlink("usr/lib"));
        put("/usr/bin/hello", Node::file(hello(), 0o755));
        put(
            "/etc/passwd",
            Node::file(b"root:x:0:0:root:/root:/bin/sh\nbase:x:500:500::/srv:/bin/sh".to_vec(), 0o644),
        );
        put("/etc/group", Node::file(b"root:x:0:\nbase:x:500:\n".to_vec(), 0o640));
        put("/srv", Node::dir(0o750).owned_by(500, 500));
        put("/srv/old", Node::file(b"old\n".to_vec(), 0o644));
        let apk =
            format!("P:musl\nV:{version}\nA:x86_64\nL:MIT\no:musl\nF:lib\n\nP:busybox\nV:1.36\nA:x86_64\n\n");
        put("/lib/apk/db/installed", Node::file(apk.into_bytes(), 0o644));
        write_layer(&tree, self.layout.blobs()).unwrap()
    }

    /// One platform's manifest over these layers.
    pub fn manifest(&self, platform: Platform, layers: &[Layer], run: &RunConfig) -> Descriptor {
        let notes = Notes { title: "base".into(), created: CREATED.into(), base: None };
        let history: Vec<History> = layers.iter().map(|_| History::step(CREATED, "by hand")).collect();
        let parts = PlatformParts { platform, run, layers, history: &history, notes: &notes };
        write_platform(self.layout.blobs(), &parts).unwrap()
    }

    /// An index over manifests, with an attestation as builders add it.
    pub fn index(&self, mut manifests: Vec<Descriptor>) -> Descriptor {
        let attestation = self.attestation();
        manifests.push(attestation);
        let bytes = serde_json::to_vec(&Index::new(manifests, [].into())).unwrap();
        self.layout.blobs().put(&bytes).unwrap();
        Descriptor::of(xedge_oci::descriptor::INDEX, &bytes)
    }

    fn attestation(&self) -> Descriptor {
        let empty = b"{}";
        self.layout.blobs().put(empty).unwrap();
        let kind = "application/vnd.in-toto+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": xedge_oci::descriptor::MANIFEST,
            "config": Descriptor::of(xedge_oci::descriptor::CONFIG, empty), "layers": [Descriptor::of(kind, empty)]});
        let bytes = serde_json::to_vec(&manifest).unwrap();
        self.layout.blobs().put(&bytes).unwrap();
        let unknown = json!({"architecture": "unknown", "os": "unknown"});
        let platform = Some(serde_json::from_value(unknown).unwrap());
        Descriptor { platform, ..Descriptor::of(xedge_oci::descriptor::MANIFEST, &bytes) }
    }

    /// The usual base, for both platforms.
    pub fn usual(&self, version: &str) -> Descriptor {
        let system = self.system(version);
        let run = usual_run(version);
        let manifests = Platform::USUAL.map(|platform| {
            let mut tree = Tree::new();
            tree.insert("/etc/platform", Node::file(platform.as_str().as_bytes(), 0o644)).unwrap();
            let own = write_layer(&tree, self.layout.blobs()).unwrap();
            self.manifest(platform, &[system.clone(), own], &run)
        });
        self.index(manifests.into())
    }

    /// Puts a document with all that it names into a registry under this tag.
    pub fn push(&self, real: &Real, name: &str, tag: &str, root: &Descriptor) {
        push(&self.layout, &format!("{}/base", real.host()), name, tag, root);
    }

    /// A document that was changed after it was made.
    pub fn rewritten(&self, document: &Descriptor, change: impl Fn(&mut Value)) -> Descriptor {
        let mut value: Value = serde_json::from_slice(&self.layout.blobs().read(document).unwrap()).unwrap();
        change(&mut value);
        let bytes = serde_json::to_vec(&value).unwrap();
        self.layout.blobs().put(&bytes).unwrap();
        let media_type = value["mediaType"].as_str().unwrap_or(&document.media_type).to_owned();
        Descriptor { platform: document.platform.clone(), ..Descriptor::of(&media_type, &bytes) }
    }

    /// Any bytes as a layer.
    pub fn layer(&self, bytes: &[u8], media_type: &str, diff_id: Digest) -> Layer {
        self.layout.blobs().put(bytes).unwrap();
        Layer { descriptor: Descriptor::of(media_type, bytes), diff_id }
    }
}

/// How the usual base runs.
pub fn usual_run(version: &str) -> RunConfig {
    RunConfig {
        entrypoint: vec!["/usr/bin/hello".into()],
        command: vec!["--base".into()],
        env: [("PATH".into(), "/usr/bin".into()), ("LEVEL".into(), "base".into())].into(),
        labels: [("org.opencontainers.image.version".into(), version.to_owned())].into(),
        expose: vec!["1883/tcp".into()],
        ..RunConfig::default()
    }
}

struct Blobs(Layout);

impl BlobSource for Blobs {
    fn open(&self, digest: &Digest) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.0.blobs().open(digest).map_err(std::io::Error::other)?))
    }
}

pub fn push(layout: &Layout, target: &str, name: &str, tag: &str, root: &Descriptor) {
    let repository: Repository =
        target.parse::<Target>().unwrap().repository(&name.parse().unwrap()).unwrap();
    let read = |descriptor: &Descriptor| Manifest {
        bytes: layout.blobs().read(descriptor).unwrap().into(),
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
    };
    let value = |manifest: &Manifest| serde_json::from_slice::<Value>(&manifest.bytes).unwrap();
    let index = read(root);
    let listed = value(&index)["manifests"].clone();
    let listed: Vec<Descriptor> = serde_json::from_value(listed).unwrap_or_default();
    let manifests: Vec<Manifest> = listed.iter().map(read).collect();
    let mut blobs = Vec::new();
    for manifest in manifests.iter().chain([&index]) {
        let value = value(manifest);
        let layers = value["layers"].as_array().cloned().unwrap_or_default();
        for named in layers.into_iter().chain(value.get("config").cloned()) {
            let named: Descriptor = serde_json::from_value(named).unwrap();
            blobs.push(Blob { digest: named.digest, size: named.size });
        }
    }
    let tags = vec![Tag::new(tag, TagKind::Moving).unwrap()];
    let image = PushImage { repository, index, manifests, blobs, tags, mount_from: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let source: Arc<dyn BlobSource> = Arc::new(Blobs(layout.clone()));
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    runtime.block_on(async {
        let client = Client::new(Settings::new("xedge-tests")).unwrap();
        let plan = client.plan(image).await.unwrap();
        client.push(&plan, &source, &silent).await.unwrap();
    });
}

/// A project with one image, `site/app`, and a data folder.
pub struct Project {
    folder: TempDir,
    home: TempDir,
}

impl Project {
    /// With this `from` and these further lines of image.yaml.
    pub fn new(from: &str, more: &str) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap(), home: tempfile::tempdir().unwrap() };
        fs::create_dir_all(project.image()).unwrap();
        fs::write(project.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        project.define(from, more);
        project
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The image's folder.
    pub fn image(&self) -> std::path::PathBuf {
        self.path().join("images/app")
    }

    pub fn define(&self, from: &str, more: &str) {
        let platforms =
            if more.contains("platforms:") { "" } else { "platforms: [linux/amd64, linux/arm64]\n" };
        let text = format!(
            "format: 1\nname: site/app\n{platforms}# what it stands on\nfrom: {from} # pinned\n{more}"
        );
        fs::write(self.image().join("image.yaml"), text).unwrap();
    }

    pub fn yaml(&self) -> String {
        fs::read_to_string(self.image().join("image.yaml")).unwrap()
    }

    pub fn lock(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.image().join("image.lock.json")).unwrap()).unwrap()
    }

    /// A file of rootfs/.
    pub fn file(&self, path: &str, text: &str) {
        let file = self.image().join("rootfs").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = command(self.path(), arguments);
        command.env("XEDGE_HOME", self.home());
        for name in ["XEDGE_REGISTRY", "XEDGE_CA", "XEDGE_PLAIN_HTTP", "HTTPS_PROXY", "https_proxy"] {
            command.env_remove(name);
        }
        command.env("DOCKER_CONFIG", self.home()).env("REGISTRY_AUTH_FILE", self.home().join("auth.json"));
        finish(command)
    }

    pub fn layout(&self) -> Layout {
        Layout::open(Utf8Path::from_path(&self.path().join("target/xedge/layout")).unwrap()).unwrap()
    }

    pub fn entry(&self) -> ImageEntry {
        self.layout().image(&"site/app".parse().unwrap()).unwrap()
    }

    pub fn sbom(&self, platform: Platform) -> Value {
        let file = format!("target/xedge/sbom/site_app.{}.spdx.json", platform.file_stem());
        serde_json::from_str(&fs::read_to_string(self.path().join(file)).unwrap()).unwrap()
    }
}
