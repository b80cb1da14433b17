//! A bundle in a file, of the agent's own forge, that the agent can install.

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use xedge_bundle::manifest::{Manifest, Probe};
use xedge_bundle::member;
use xedge_bundle::statement::KeyStatus;
use xedge_deploy::{BundleFile, Error};
use xedge_model::Digest;
use xedge_model::stack::config_digest;

use crate::forge::{Forge, NOW, state};

const COMPOSE: &str = "services:
  broker:
    image: xedgesim/broker
    restart: unless-stopped
    volumes:
      - ./broker:/etc/broker:ro
";

/// A release.
pub struct Release {
    pub file: BundleFile,
    pub root: Vec<u8>,
    _folder: TempDir,
}

impl Release {
    /// Release `seq` around a layer; its configuration says `number`.
    pub fn new(seq: u64, layer: &[u8], number: u32) -> Self {
        Self::write(&forge(seq, layer, number))
    }

    /// The same of production keys.
    pub fn production(seq: u64) -> Self {
        let mut forge = forge(seq, &[1; 10], 1);
        forge.set_status(KeyStatus::Production);
        Self::write(&forge)
    }

    /// A bundle with one other byte.
    pub fn damaged(at: usize) -> Result<BundleFile, Error> {
        let forge = forge(1, &vec![3; 50_000], 1);
        let mut bytes = forge.parts().tar();
        bytes[at] ^= 1;
        let (_folder, path) = place(&bytes);
        BundleFile::open(&path, &forge.trusted(), NOW, &mut ())
    }

    fn write(forge: &Forge) -> Self {
        let (folder, path) = place(&forge.parts().tar());
        let root = forge.trusted();
        let file = BundleFile::open(&path, &root, NOW, &mut ()).unwrap();
        Self { file, root, _folder: folder }
    }
}

fn place(bytes: &[u8]) -> (TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap().join("edge.xedge");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn forge(seq: u64, layer: &[u8], number: u32) -> Forge {
    let mut forge = Forge::new();
    forge.replace_layer(layer);
    let conf = format!("listener {number}\n# site @{{site}}\n");
    forge.members.retain(|name, _| !name.starts_with("config."));
    let manifest: &mut Manifest = &mut forge.manifest;
    for file in &mut manifest.config.files {
        let text = if file.path == "compose.yaml" { COMPOSE } else { conf.as_str() };
        file.digest = Digest::of(text.as_bytes());
        forge.members.insert(member::config(&file.digest), ("config".to_owned(), text.as_bytes().to_vec()));
    }
    let config = &mut manifest.config;
    // The user of this process: another one may only give files away as root.
    for secret in &mut config.secrets {
        secret.owner = rustix::process::getuid().as_raw();
    }
    config.digest = config_digest("edge", &config.files, &config.secrets, &config.device_values);
    manifest.seq = seq;
    manifest.version = format!("1.0.{seq}");
    manifest.probes = vec![Probe::Command { service: "broker".into(), command: vec!["true".into()] }];
    (manifest.settle_s, manifest.start_s) = (0, 5);
    forge.statement = state(&forge.manifest);
    forge
}
