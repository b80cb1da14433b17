//! Archives as engines and builders write them, and ones that nobody should.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};
use xedge_model::Digest;

/// One member of an archive.
pub(super) enum Member {
    File(String, Vec<u8>),
    Link(EntryType, String, String),
}

pub(super) fn file(name: &str, bytes: impl Into<Vec<u8>>) -> Member {
    Member::File(name.to_owned(), bytes.into())
}

pub(super) fn symlink(name: &str, target: &str) -> Member {
    Member::Link(EntryType::Symlink, name.to_owned(), target.to_owned())
}

pub(super) fn hardlink(name: &str, target: &str) -> Member {
    Member::Link(EntryType::Link, name.to_owned(), target.to_owned())
}

/// A tar archive; names go in as they are, whatever they are.
pub(super) fn tar(members: &[Member]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for member in members {
        let (kind, name, link, bytes) = match member {
            Member::File(name, bytes) => (EntryType::Regular, name, "", bytes.as_slice()),
            Member::Link(kind, name, target) => (*kind, name, target.as_str(), &[][..]),
        };
        let mut header = Header::new_ustar();
        let ustar = header.as_ustar_mut().unwrap();
        ustar.name[..name.len()].copy_from_slice(name.as_bytes());
        ustar.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Compressed unlike we do it.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

pub(super) fn layer(word: &str) -> Vec<u8> {
    tar(&[file("etc/word", word), hardlink("etc/same", "etc/word"), symlink("bin", "/usr/bin")])
}

pub(super) fn config(architecture: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({"architecture": architecture, "os": "linux", "created": "2026-01-02T03:04:05Z",
        "config": {"Cmd": ["/x"]}, "container": "unknown to us", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    config.to_string().into_bytes()
}

/// The members of an archive of `docker save` up to version 24; the second layer is a link to the first.
pub(super) fn saved(tags: &[&str], config: &[u8], layers: &[Vec<u8>]) -> Vec<Member> {
    let hex = Digest::of(config).hex().to_owned();
    let name = |number: usize| format!("{number}/layer.tar");
    let mut members: Vec<Member> =
        layers.iter().enumerate().map(|(number, layer)| file(&name(number), layer.clone())).collect();
    let names: Vec<String> = (0..layers.len()).map(name).collect();
    members.push(file(&format!("{hex}.json"), config));
    let manifest = json!([{"Config": format!("{hex}.json"), "RepoTags": tags, "Layers": names}]);
    members.push(file("manifest.json", manifest.to_string()));
    members
}

pub(super) fn blob(bytes: &[u8]) -> Member {
    file(&format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes)
}

pub(super) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()})
}

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

pub(super) fn manifest(config: &[u8], media_type: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(media_type, layer)).collect();
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, config), "layers": layers})
        .to_string()
        .into_bytes()
}

pub(super) fn index(manifests: &[Value]) -> Vec<u8> {
    json!({"schemaVersion": 2, "manifests": manifests}).to_string().into_bytes()
}

/// The members of an OCI layout with one image of these layers.
pub(super) fn layout(
    architecture: &str,
    media_type: &str,
    layers: &[Vec<u8>],
    plain: &[Vec<u8>],
) -> Vec<Member> {
    let config = config(architecture, plain);
    let manifest = manifest(&config, media_type, layers);
    let mut members = vec![file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#)];
    members.push(file("index.json", index(&[descriptor(MANIFEST, &manifest)])));
    members.extend(layers.iter().map(|layer| blob(layer)));
    members.extend([blob(&config), blob(&manifest)]);
    members
}
