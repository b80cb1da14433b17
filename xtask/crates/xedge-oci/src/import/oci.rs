//! The form of an OCI layout: `index.json` names indexes and manifests by digest (image-spec, image-layout.md).

use std::collections::{BTreeMap, BTreeSet};

use xedge_model::{Digest, Platform};

use super::contents::Contents;
use super::{Imported, Problem, finish, name};
use crate::descriptor::OciPlatform;
use crate::index::Index;
use crate::layout::{CONTAINERD_NAME, REF_NAME};
use crate::manifest::Manifest;
use crate::{Descriptor, Error};

/// Indexes in indexes that are followed.
const DEPTH: usize = 4;

/// Everything of `index.json` that has one name.
struct Named {
    names: BTreeSet<String>,
    roots: BTreeMap<Digest, Descriptor>,
}

/// The wanted image, for each platform that it has.
pub(super) fn images(contents: &Contents<'_>, wanted: Option<&str>) -> Result<Vec<Imported>, Error> {
    let index: Index = contents.json("index.json", "an OCI image index")?;
    let chosen = select(contents, group(index.manifests), wanted)?;
    let mut manifests = BTreeMap::new();
    for root in chosen.roots.into_values() {
        collect(contents, root, DEPTH, &mut manifests)?;
    }
    let (mut images, mut others) = (BTreeMap::<Platform, Imported>::new(), Vec::new());
    for manifest in manifests.into_values() {
        match image(contents, &manifest)? {
            Ok(imported) => {
                let platform = imported.platform;
                if images.insert(platform, imported).is_some() {
                    let platform = platform.to_string();
                    return Err(contents.problem(Problem::PlatformTwice { platform }));
                }
            }
            Err(other) => others.push(other),
        }
    }
    if images.is_empty() {
        return Err(contents.problem(Problem::Platform { found: others }));
    }
    let names: Vec<String> = chosen.names.into_iter().collect();
    Ok(images.into_values().map(|imported| imported.named(names.clone())).collect())
}

fn group(manifests: Vec<Descriptor>) -> Vec<Named> {
    let mut groups: BTreeMap<String, Named> = BTreeMap::new();
    for descriptor in manifests {
        let name = |key: &str| descriptor.annotations.get(key).cloned();
        let names: BTreeSet<String> = [name(CONTAINERD_NAME), name(REF_NAME)].into_iter().flatten().collect();
        let key = name(CONTAINERD_NAME).or_else(|| name(REF_NAME)).unwrap_or_default();
        let group =
            groups.entry(key).or_insert_with(|| Named { names: BTreeSet::new(), roots: BTreeMap::new() });
        group.names.extend(names);
        group.roots.insert(descriptor.digest.clone(), descriptor);
    }
    groups.into_values().collect()
}

/// Several names of the same thing are one image.
fn select(contents: &Contents<'_>, groups: Vec<Named>, wanted: Option<&str>) -> Result<Named, Error> {
    let called = |group: &Named| {
        let digests = group.roots.keys().map(Digest::to_string);
        let names = group.names.iter().cloned();
        names.chain(digests).next().unwrap_or_default()
    };
    let names: Vec<String> = groups.iter().map(called).collect();
    let is_wanted = |group: &Named| {
        wanted.is_none_or(|wanted| {
            let by_name = group.names.iter().any(|known| known == wanted || name::same(known, wanted));
            by_name || group.roots.keys().any(|digest| digest.as_str() == wanted)
        })
    };
    let mut found: Vec<Named> = groups.into_iter().filter(is_wanted).collect();
    let is_one = found.windows(2).all(|pair| pair[0].roots.keys().eq(pair[1].roots.keys()));
    match (found.pop(), wanted) {
        (Some(last), _) if is_one => Ok(last),
        (Some(_), _) => Err(contents.problem(Problem::Several { names })),
        (None, Some(wanted)) => {
            Err(contents.problem(Problem::NoSuchImage { wanted: wanted.to_owned(), names }))
        }
        (None, None) => {
            Err(contents.problem(Problem::NotAnArchive { why: "its index.json names no image".to_owned() }))
        }
    }
}

/// All manifests below a root. Engines save an index whole and only the platforms that they have.
fn collect(
    contents: &Contents<'_>,
    root: Descriptor,
    depth: usize,
    into: &mut BTreeMap<Digest, Descriptor>,
) -> Result<(), Error> {
    if !root.is_index() {
        into.insert(root.digest.clone(), root);
        return Ok(());
    }
    if depth == 0 {
        let (what, why) = (root.digest.to_string(), "indexes are nested too deep".to_owned());
        return Err(contents.problem(Problem::Inconsistent { what, why }));
    }
    let index: Index = contents.json(&blob(contents, &root)?, "an OCI image index")?;
    let listed = index.manifests.len();
    let there: Vec<Descriptor> =
        index.manifests.into_iter().filter(|child| contents.get(&path(&child.digest)).is_some()).collect();
    if there.is_empty() && listed > 0 {
        let what = format!("the manifests of {}", root.digest);
        return Err(contents.problem(Problem::Missing { what }));
    }
    there.into_iter().try_for_each(|child| collect(contents, child, depth - 1, into))
}

/// The image of a manifest, or the platform that it is for if we do not know it.
fn image(contents: &Contents<'_>, descriptor: &Descriptor) -> Result<Result<Imported, String>, Error> {
    let stated = descriptor.platform.as_ref();
    if let Some(stated) = stated.filter(|stated| stated.known().is_none()) {
        return Ok(Err(stated.to_string()));
    }
    let member = blob(contents, descriptor)?;
    if !descriptor.is_manifest() {
        return Err(contents.garbage(&member, "an image manifest", &descriptor.media_type));
    }
    let manifest: Manifest = contents.json(&member, "an image manifest")?;
    let config = blob(contents, &manifest.config)?;
    let layers: Vec<String> =
        manifest.layers.iter().map(|layer| blob(contents, layer)).collect::<Result<_, _>>()?;
    let done = finish::image(contents, &config, &layers, Some((descriptor, &manifest)))?;
    if let (Ok(imported), Some(stated)) = (&done, stated.and_then(OciPlatform::known))
        && imported.platform != stated
    {
        let why = format!("its config is for {}, its index says {stated}", imported.platform);
        return Err(contents.problem(Problem::Inconsistent { what: descriptor.digest.to_string(), why }));
    }
    Ok(done)
}

/// The member of a descriptor, after its length was compared; digests were when it was read.
fn blob(contents: &Contents<'_>, descriptor: &Descriptor) -> Result<String, Error> {
    let member = path(&descriptor.digest);
    let found = contents.require(&member)?.size;
    if found != descriptor.size {
        let problem = Problem::WrongSize { what: member, claimed: descriptor.size, found };
        return Err(contents.problem(problem));
    }
    Ok(member)
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
