//! A bundle as a plain image, for devices that fetch from a registry themselves: `xedge-releases/STACK:bundle-VERSION`.
//!
//! Its one layer holds the head of the bundle and all members but layers, which devices get from the images' own repositories.
//! No registry and no Engine needs to know anything new for that: logins, authorities and proxies are those of the Engine. Who
//! fetches it verifies it as a bundle; the tags prove nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use camino::Utf8Path;
use xedge_bundle::verify::Trust as Anchor;
use xedge_bundle::{Offer, member, read_offer, tar};
use xedge_model::image::RunConfig;
use xedge_oci::config::History;
use xedge_oci::manifest::{Notes, PlatformParts, write_platform};
use xedge_oci::{ImageEntry, Layout, Node, Tree, index, rfc3339, write_layer};
use xedge_registry::{BlobSource, PushImage, Tag, TagKind};
use xedge_sign::TIMESTAMP_LIFETIME;

use super::push::{LayoutBlobs, push_image, shown_on};
use super::{Registry, Trust, number};
use crate::build;
use crate::commands::Context;
use crate::error::{Error, Result};

/// How tags of such images begin; no version may.
pub(crate) const PREFIX: &str = "bundle-";
/// The longest tag of the distribution specification.
const LONGEST: usize = 128;
/// Where the image has the bundle's first bytes, to the end of `bundle.json`.
const HEAD: &str = "/head";
/// The folder of the members.
const MEMBERS: &str = "/members";

/// Pushes the bundle in this file as an image, and returns the reference that a device is told, if devices reach the registry at
/// all. What is there already is not sent again.
pub(super) async fn push(
    cx: &Context<'_>,
    registry: &Registry,
    trust: &Trust,
    file: &Utf8Path,
) -> Result<Option<String>> {
    let (layout, _held) = (build::layout(cx)?, build::hold(cx)?);
    let offer = offer(cx, trust, file)?;
    let entry = make(&layout, &offer, file)?;
    let manifest = offer.0.manifest();
    let version = format!("{PREFIX}{}", manifest.version);
    let named = [version, format!("{PREFIX}{}{}", number::PREFIX, manifest.seq), format!("{PREFIX}latest")];
    // A bundle that is stamped anew is the same release with other bytes, so all of them move.
    let tags = named.iter().filter(|tag| tag.len() <= LONGEST).map(|tag| Tag::new(tag, TagKind::Moving));
    let image = push_image(registry, &layout, &entry, &[], tags.collect::<xedge_registry::Result<_>>()?)?;
    let tag = image.tags.first().map_or_else(String::new, |tag| format!(":{}", tag.name()));
    let reference = format!("{}{tag}", registry.repository(entry.name())?);
    send(cx, registry, layout, image, entry.name().as_str()).await?;
    Ok(Some(reference).filter(|_| !registry.is_embedded()))
}

async fn send(
    cx: &Context<'_>,
    registry: &Registry,
    layout: Layout,
    image: PushImage,
    name: &str,
) -> Result<()> {
    let plan = registry.client.plan(image).await?;
    let source: Arc<dyn BlobSource> = Arc::new(LayoutBlobs(layout));
    let bar = cx.printer.bytes_bar(plan.upload_bytes(), name);
    let pushed = registry.client.push(&plan, &source, &shown_on(&bar)).await;
    bar.finish_and_clear();
    pushed?;
    Ok(())
}

/// What the file offers, and the length of its head.
fn offer(cx: &Context<'_>, trust: &Trust, file: &Utf8Path) -> Result<(Offer, u64)> {
    let mut opened = open(file)?;
    let anchor = Anchor { root: trust.root_bytes(), floor: None };
    let offer = read_offer(&mut opened, &anchor, cx.environment.now_unix())?;
    let head = opened.stream_position().map_err(|source| read_error(file, source))?;
    Ok((offer, head))
}

/// Writes the image into the layout, under no name. Its time is the stamp's, so the same bundle is the same image.
fn make(layout: &Layout, (offer, head): &(Offer, u64), file: &Utf8Path) -> Result<ImageEntry> {
    let manifest = offer.manifest();
    let created = rfc3339(offer.expires() - TIMESTAMP_LIFETIME);
    let layer = write_layer(&tree(offer, *head, file)?, layout.blobs())?;
    let run = RunConfig {
        // Nothing is ever started: an Engine makes no container without a command.
        command: vec![HEAD.to_owned()],
        labels: [("org.xedge.release".to_owned(), format!("{} {}", manifest.stack, manifest.seq))].into(),
        ..RunConfig::default()
    };
    let notes = Notes { title: format!("{} {}", manifest.stack, manifest.version), created, base: None };
    let history = [History {
        created: Some(notes.created.clone()),
        created_by: Some("xedge: the bundle without layers".to_owned()),
        ..History::default()
    }];
    let layers = [layer];
    let platforms: BTreeSet<_> = manifest.compatibility.platforms.iter().copied().collect();
    let write = |platform| {
        let parts = PlatformParts { platform, run: &run, layers: &layers, history: &history, notes: &notes };
        write_platform(layout.blobs(), &parts)
    };
    let manifests = platforms.into_iter().map(write).collect::<std::result::Result<_, _>>()?;
    let index = index::write_index(layout.blobs(), manifests, &notes)?;
    Ok(layout.entry(number::name(&manifest.stack)?, index)?)
}

/// Head and members as files. They were signed, and are hashed again by whoever takes them.
fn tree(offer: &Offer, head: u64, path: &Utf8Path) -> Result<Tree> {
    let mut file = open(path)?;
    let mut tree = Tree::new();
    tree.insert(Utf8Path::new(HEAD), Node::file(take(&mut file, head, path)?, 0o444))?;
    let plan = offer.plan();
    for name in plan.names().filter(|name| *name != member::BUNDLE) {
        let target = plan.target(name);
        skip(&mut file, tar::BLOCK as u64, path)?;
        if is_layer(name, &target.custom.kind) {
            skip(&mut file, target.length, path)?;
        } else {
            let bytes = take(&mut file, target.length, path)?;
            tree.insert(Utf8Path::new(MEMBERS).join(name), Node::file(bytes, 0o444))?;
        }
        skip(&mut file, tar::padding(target.length) as u64, path)?;
    }
    Ok(tree)
}

/// Whether a member is a layer of an image.
fn is_layer(name: &str, kind: &str) -> bool {
    let layers = ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];
    name.starts_with("blob.") && layers.iter().any(|prefix| kind.starts_with(prefix))
}

fn take(file: &mut File, length: u64, path: &Utf8Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(length).read_to_end(&mut bytes).map_err(|source| read_error(path, source))?;
    if read as u64 != length {
        return Err(read_error(path, io::ErrorKind::UnexpectedEof.into()).into());
    }
    Ok(bytes)
}

fn skip(file: &mut File, length: u64, path: &Utf8Path) -> Result<()> {
    let by = i64::try_from(length).map_err(|error| read_error(path, io::Error::other(error)))?;
    file.seek(SeekFrom::Current(by)).map_err(|source| read_error(path, source))?;
    Ok(())
}

fn open(path: &Utf8Path) -> Result<File> {
    Ok(File::open(path).map_err(|source| read_error(path, source))?)
}

fn read_error(path: &Utf8Path, source: io::Error) -> Error {
    Error::Read { path: path.to_owned(), source }
}
