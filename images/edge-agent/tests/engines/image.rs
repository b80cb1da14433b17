//! Small images that are made on the spot: blobs in memory, as they come out of a bundle.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use xedge_agent::engine::{ImageLoad, LayerLoad};
use xedge_agent::{Engine, Result};
use xedge_model::Digest;

/// An image and its blobs.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) manifest: Digest,
    pub(crate) config: Vec<u8>,
    pub(crate) config_digest: Digest,
    pub(crate) layers: Vec<LayerLoad>,
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
}

/// A file of a layer: path, mode, owner, content; a path that ends in `/` is a folder.
pub(crate) type Entry<'a> = (&'a str, u32, u64, &'a [u8]);

impl Image {
    /// An image of these layers for this architecture, lowest first.
    pub(crate) fn new(architecture: &str, layers: &[&[Entry<'_>]], settings: &serde_json::Value) -> Self {
        let mut blobs = BTreeMap::new();
        let mut listed = Vec::new();
        for entries in layers {
            let plain = tar(entries);
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&plain).unwrap();
            let blob = gzip.finish().unwrap();
            let digest = Digest::of(&blob);
            let length = blob.len() as u64;
            listed.push(LayerLoad {
                digest: digest.clone(),
                length,
                diff_id: Digest::of(&plain),
                here: false,
            });
            blobs.insert(digest, blob);
        }
        let diff_ids: Vec<&Digest> = listed.iter().map(|layer| &layer.diff_id).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": settings,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config).unwrap();
        let config_digest = Digest::of(&config);
        let kind = |name: &str| format!("application/vnd.oci.image.{name}");
        let layers: Vec<_> = listed
            .iter()
            .map(|layer| {
                json!({"mediaType": kind("layer.v1.tar+gzip"), "digest": layer.digest, "size": layer.length})
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind("manifest.v1+json"), "layers": layers,
            "config": {"mediaType": kind("config.v1+json"), "digest": config_digest, "size": config.len()},
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let digest = Digest::of(&manifest);
        blobs.insert(digest.clone(), manifest);
        Self { manifest: digest, config, config_digest, layers: listed, blobs }
    }

    /// Loads it, leaving out the layers that are marked, and gives the layers that were asked for.
    pub(crate) fn load(&self, engine: &dyn Engine) -> (Result<String>, Vec<Digest>) {
        let asked = std::cell::RefCell::new(Vec::new());
        let open = |digest: &Digest| -> Result<Box<dyn Read + Send>> {
            asked.borrow_mut().push(digest.clone());
            Ok(Box::new(Cursor::new(self.blobs[digest].clone())))
        };
        let image = ImageLoad {
            manifest: &self.manifest,
            config: &self.config,
            config_digest: &self.config_digest,
            layers: &self.layers,
            open: &open,
        };
        let loaded = engine.load(&image);
        (loaded, asked.into_inner())
    }
}

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, owner, content) in entries {
        let mut header = tar::Header::new_ustar();
        let folder = path.ends_with('/');
        header.set_entry_type(if folder { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(*mode);
        header.set_uid(*owner);
        header.set_gid(*owner);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// The program that runs in the containers, for this machine, without a library beside it.
pub(crate) fn program() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/program.rs");
        let output = folder.path().join("program");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "target-feature=+crt-static",
            "-C",
            "strip=symbols",
            "-o",
        ]);
        assert!(rustc.arg(&output).arg(&source).status().unwrap().success());
        std::fs::read(output).unwrap()
    })
}

/// Bytes that no compression makes smaller, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| byte()).collect()
}
