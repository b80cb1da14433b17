//! Files of the project that a scenario names: what it mounts, its scripts, and authorities of TLS. They are part of what
//! a run shows, so the scenario's digest covers them. Reads only, and nothing outside the project.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::Digest;
use xedge_model::scenario::{Mount, Node, Scenario, wrong};
use xedge_model::yaml::{Source, YamlError};
use xedge_sim::FilePlan;

use crate::commands::Context;
use crate::error::Result;
use crate::project::entries;

/// The most that one mount may hold: it goes through the Engine's API, and into memory.
const MOST: u64 = 64 << 20;

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    /// Digest of each file, by its path in the project.
    digests: BTreeMap<Utf8PathBuf, Digest>,
    /// Files of each mount, by node and place in the container.
    mounts: BTreeMap<(String, String), Vec<FilePlan>>,
    /// Certificates that models trust, by the path that the scenario gives.
    authorities: BTreeMap<String, Vec<u8>>,
}

impl Inputs {
    /// Reads every file that the scenario names.
    pub(super) fn read(cx: &Context<'_>, source: &Source, scenario: &Scenario) -> Result<Self> {
        let mut inputs = Self::default();
        for (index, node) in scenario.nodes.value.iter().enumerate() {
            inputs.read_node(cx, source, &index.to_string(), node)?;
        }
        Ok(inputs)
    }

    fn read_node(&mut self, cx: &Context<'_>, source: &Source, index: &str, node: &Node) -> Result<()> {
        let single = |path: &str, at: &[&str]| {
            let at = [&["nodes", index], at].concat();
            existing(cx, path).and_then(|path| read(&path)).map_err(|why| wrong(source, &at, why))
        };
        if let Some(script) = &node.script {
            let (bytes, _) = single(&script.value, &["script"])?;
            self.digests.insert(script.value.clone().into(), Digest::of(&bytes));
        }
        if let Some(tls) = &node.config.tls {
            let (bytes, _) = single(&tls.ca, &["config", "tls", "ca"])?;
            self.digests.insert(tls.ca.clone().into(), Digest::of(&bytes));
            self.authorities.insert(tls.ca.clone(), bytes);
        }
        for (number, mount) in mounts(node).filter(|(_, mount)| mount.is_of_project()) {
            let at = ["nodes", index, "docker", "volumes", &number.to_string()];
            let files = mounted(cx, mount).map_err(|why| -> YamlError { wrong(source, &at, why) })?;
            for file in &files {
                let path = Utf8Path::new(&mount.source).join(&file.path);
                self.digests.insert(path, Digest::of(&file.bytes));
            }
            self.mounts.insert((node.id.value.clone(), mount.target.clone()), files);
        }
        Ok(())
    }

    /// The files of a mount.
    pub(super) fn of(&self, node: &str, mount: &Mount) -> &[FilePlan] {
        self.mounts.get(&(node.to_owned(), mount.target.clone())).map_or(&[], Vec::as_slice)
    }

    /// Certificates that models trust, by the path that the scenario gives.
    pub(super) fn authorities(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.authorities
    }

    /// Every file with its digest.
    pub(crate) fn digests(&self) -> impl Iterator<Item = (&Utf8PathBuf, &Digest)> {
        self.digests.iter()
    }

    /// The digest of a scenario with these files; without any it is that of its text.
    pub(super) fn digest(&self, text: &str) -> Digest {
        use std::fmt::Write as _;
        let mut whole = text.to_owned();
        for (path, digest) in &self.digests {
            write!(whole, "\n{path} {digest}").expect("writing to a string cannot fail");
        }
        Digest::of(whole.as_bytes())
    }
}

/// The mounts of a node, numbered as they are written.
pub(super) fn mounts(node: &Node) -> impl Iterator<Item = (usize, &Mount)> {
    node.docker.iter().flat_map(|docker| &docker.value.volumes.0).enumerate()
}

/// A path that is there and in the project, wherever links lead.
fn existing(cx: &Context<'_>, path: &str) -> std::result::Result<Utf8PathBuf, String> {
    let root = cx.project.root();
    let real = |path: &Utf8Path| path.canonicalize_utf8().map_err(|error| error.to_string());
    let found = real(&root.join(path)).map_err(|error| format!("cannot read {path}: {error}"))?;
    if found.starts_with(real(root)?) { Ok(found) } else { Err(format!("{path} is outside of the project")) }
}

fn read(path: &Utf8Path) -> std::result::Result<(Vec<u8>, u32), String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.file_name().unwrap_or("it"));
    let meta = path.symlink_metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(format!("{} is no file", path.file_name().unwrap_or("it")));
    }
    if meta.len() > MOST {
        return Err(format!("{} has more than {} MiB", path.file_name().unwrap_or("it"), MOST >> 20));
    }
    Ok((std::fs::read(path).map_err(failed)?, meta.permissions().mode() & 0o7777))
}

/// A file, under the empty path, or every file below a folder.
fn mounted(cx: &Context<'_>, mount: &Mount) -> std::result::Result<Vec<FilePlan>, String> {
    let start = existing(cx, &mount.source)?;
    let mut files = Vec::new();
    let mut open = vec![start.clone()];
    let mut total = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() && !path.is_symlink() {
            open.extend(entries(&path).map_err(|error| error.chain().join(": "))?);
            continue;
        }
        let (bytes, mode) = read(&path)?;
        total += bytes.len() as u64;
        let path = path.strip_prefix(&start).unwrap_or(&path).to_string();
        files.push(FilePlan { path, mode, uid: 0, gid: 0, bytes });
        if total > MOST {
            return Err(format!("{} has more than {} MiB", mount.source, MOST >> 20));
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
