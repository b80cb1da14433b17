//! What is new in a base image, in lines for people. Compares what it is made of, its packages and how it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use xedge_model::Digest;

use super::document::Manifest;
use super::{contents, read_layers};
use crate::config::{Execution, ImageConfig, NameSet};
use crate::{Blobs, Descriptor, Error};

/// What of a base image is compared.
#[derive(Clone, Debug)]
pub struct Look {
    layers: Vec<Descriptor>,
    config: ImageConfig,
    /// Versions by name, where they are known.
    packages: Option<BTreeMap<String, String>>,
}

impl Look {
    /// From a manifest and the bytes of its config.
    pub fn new(manifest: &Manifest, config: &[u8]) -> Result<Self, Error> {
        let config = super::config(&manifest.config.digest, config)?;
        Ok(Self { layers: manifest.layers.clone(), config, packages: None })
    }

    /// The same with the packages that its layers list, which are read through for that.
    pub fn with_packages(self, blobs: &Blobs) -> Result<Self, Error> {
        let found = contents(&read_layers(blobs, &self.layers, &self.config.rootfs.diff_ids)?);
        let versions = found.packages.into_iter().map(|package| (package.name, package.version));
        let packages = (!found.lists.is_empty()).then(|| versions.collect());
        Ok(Self { packages, ..self })
    }
}

/// One line per change.
pub fn changes(old: &Look, new: &Look) -> Vec<String> {
    let mut lines = Vec::new();
    if old.config.created != new.config.created {
        let shown = |time: &Option<String>| time.clone().unwrap_or_else(|| "unknown".to_owned());
        lines.push(format!("created {} -> {}", shown(&old.config.created), shown(&new.config.created)));
    }
    lines.extend(layers(&old.layers, &new.layers));
    if let (Some(old), Some(new)) = (&old.packages, &new.packages) {
        pairs(&mut lines, "package", old, new);
    }
    let (old, new) = (execution(&old.config), execution(&new.config));
    value(&mut lines, "user", old.user.as_ref(), new.user.as_ref());
    value(&mut lines, "entrypoint", old.entrypoint.as_ref(), new.entrypoint.as_ref());
    value(&mut lines, "command", old.cmd.as_ref(), new.cmd.as_ref());
    value(&mut lines, "workdir", old.working_dir.as_ref(), new.working_dir.as_ref());
    value(&mut lines, "stop signal", old.stop_signal.as_ref(), new.stop_signal.as_ref());
    value(&mut lines, "shell", old.shell.as_ref(), new.shell.as_ref());
    let test = |run: &Execution| run.healthcheck.as_ref().map(|check| check.test.clone());
    value(&mut lines, "health check", test(&old).as_ref(), test(&new).as_ref());
    pairs(&mut lines, "env", &env(&old), &env(&new));
    pairs(&mut lines, "port", &names(old.exposed_ports), &names(new.exposed_ports));
    pairs(&mut lines, "volume", &names(old.volumes), &names(new.volumes));
    pairs(&mut lines, "label", &old.labels.unwrap_or_default(), &new.labels.unwrap_or_default());
    lines
}

fn execution(config: &ImageConfig) -> Execution {
    config.config.clone().unwrap_or_default()
}

fn layers(old: &[Descriptor], new: &[Descriptor]) -> Option<String> {
    let digests = |layers: &[Descriptor]| layers.iter().map(|layer| layer.digest.clone()).collect();
    let (before, after): (BTreeSet<Digest>, BTreeSet<Digest>) = (digests(old), digests(new));
    let (added, gone) = (after.difference(&before).count(), before.difference(&after).count());
    let kept = before.intersection(&after).count();
    let bytes: u64 = new.iter().filter(|layer| !before.contains(&layer.digest)).map(|layer| layer.size).sum();
    (added + gone > 0).then(|| format!("layers: {kept} kept, {added} new ({bytes} bytes), {gone} gone"))
}

fn value<T: PartialEq + Debug>(lines: &mut Vec<String>, what: &str, old: Option<&T>, new: Option<&T>) {
    if old != new {
        let shown = |value: Option<&T>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"));
        lines.push(format!("{what} {} -> {}", shown(old), shown(new)));
    }
}

fn pairs(
    lines: &mut Vec<String>,
    what: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) {
    let all: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in all {
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old != new => lines.push(format!("{what} {name} {old} -> {new}")),
            (None, Some(new)) if new.is_empty() => lines.push(format!("{what} {name} (new)")),
            (None, Some(new)) => lines.push(format!("{what} {name} {new} (new)")),
            (Some(_), None) => lines.push(format!("{what} {name} (gone)")),
            _ => {}
        }
    }
}

fn env(run: &Execution) -> BTreeMap<String, String> {
    let pair = |line: &String| {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        (name.to_owned(), value.to_owned())
    };
    run.env.iter().flatten().map(pair).collect()
}

fn names(set: Option<NameSet>) -> BTreeMap<String, String> {
    set.unwrap_or_default().0.into_iter().map(|name| (name, String::new())).collect()
}
