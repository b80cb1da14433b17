//! The mounts of a service as volumes of the run: rendered files and secrets in fresh ones, named ones shared by the run's
//! containers, and nothing of this machine.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_config::passwd::secret_file;
use xedge_config::{Rendered, RenderedFile};
use xedge_model::compose::{MountSource, Service};
use xedge_model::stack::{RelPath, SECRETS_FOLDER, SecretKind, SecretReference};
use xedge_sim::{FilePlan, VolumePlan};

use super::with_samples;
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::secrets::{Values, salts};

/// Endings of paths that name a file; a volume in such a place would be a folder.
const FILES: [&str; 16] = [
    "sock", "conf", "cfg", "ini", "toml", "json", "yaml", "yml", "xml", "txt", "env", "pem", "crt", "key",
    "pid", "db",
];
/// Files of the host without such an ending that containers like to see.
const KNOWN_FILES: [&str; 4] = ["/etc/localtime", "/etc/timezone", "/etc/machine-id", "/etc/hostname"];

/// Whether a path of the host is left out, since a file stands there.
pub(super) fn is_file_of_host(path: &Utf8Path) -> bool {
    KNOWN_FILES.contains(&path.as_str()) || path.extension().is_some_and(|end| FILES.contains(&end))
}

/// The rendered file that a mount is about, where it is about one and not about a folder.
pub(super) fn single<'a>(rendered: &'a Rendered, source: &RelPath) -> Option<&'a RenderedFile> {
    rendered.files().iter().find(|file| file.path() == source.as_path())
}

/// The volumes of a service, without its secrets.
pub(super) fn volumes(rendered: &Rendered, service: &Service) -> Result<Vec<VolumePlan>> {
    let mut volumes: BTreeMap<Utf8PathBuf, VolumePlan> = BTreeMap::new();
    for mount in service.volumes.iter().map(|mount| &mount.value) {
        let plan = VolumePlan {
            mount_path: mount.target.to_string(),
            read_only: mount.read_only,
            ..VolumePlan::default()
        };
        let plan = match &mount.source {
            MountSource::Bind(source) if single(rendered, source).is_some() => continue,
            MountSource::Bind(source) => {
                VolumePlan { empty: true, files: files_below(rendered, source)?, ..plan }
            }
            MountSource::Volume(name) => VolumePlan { name: Some(name.clone()), ..plan },
            MountSource::Anonymous => plan,
            MountSource::Host { path, .. } if is_file_of_host(path) => continue,
            MountSource::Host { .. } => VolumePlan { empty: true, ..plan },
            MountSource::Tmpfs { .. } => continue,
        };
        volumes.insert(mount.target.clone(), plan);
    }
    for (source, target, _) in service.binds() {
        if let Some(file) = single(rendered, source) {
            add_single(rendered, file, target, &mut volumes)?;
        }
    }
    Ok(volumes.into_values().collect())
}

fn files_below(rendered: &Rendered, source: &RelPath) -> Result<Vec<FilePlan>> {
    let below = |file: &RenderedFile| {
        let path = file.path().strip_prefix(source.as_path()).ok()?;
        Some(planned(rendered, file, path.as_str()))
    };
    rendered.files().iter().filter_map(below).collect()
}

fn planned(rendered: &Rendered, file: &RenderedFile, path: &str) -> Result<FilePlan> {
    let bytes = with_samples(rendered, file.bytes())?;
    Ok(FilePlan { path: path.to_owned(), mode: file.mode(), uid: 0, gid: 0, bytes })
}

/// An engine mounts volumes at folders only, so a single file goes into the volume of its folder: the one that is there,
/// or a fresh one with what the image has there.
fn add_single(
    rendered: &Rendered,
    file: &RenderedFile,
    target: &Utf8Path,
    volumes: &mut BTreeMap<Utf8PathBuf, VolumePlan>,
) -> Result<()> {
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else { return Ok(()) };
    if folder == "/" {
        let reason = format!("`{target}` is a file in the root folder, where a run cannot put one");
        return Err(Error::BadFile { path: xedge_config::COMPOSE_FILE.into(), reason }.into());
    }
    let fresh = || VolumePlan { mount_path: folder.to_string(), ..VolumePlan::default() };
    let volume = volumes.entry(folder.to_owned()).or_insert_with(fresh);
    volume.files.push(planned(rendered, file, name)?);
    Ok(())
}

/// The service's secret files, made now and kept nowhere but in the run's volume.
pub(super) fn secrets(
    cx: &Context<'_>,
    rendered: &Rendered,
    service: &Service,
    values: &Values,
) -> Result<Option<VolumePlan>> {
    let mut files = Vec::new();
    for (name, target) in service.secret_targets() {
        let reference = rendered.secrets().iter().find(|reference| reference.name == name);
        let reference = reference.ok_or_else(|| Error::BadFile {
            path: "stack.yaml".into(),
            reason: format!("the secret `{name}` is mounted and not declared"),
        })?;
        let bytes = match values.files.get(name) {
            Some(bytes) if reference.kind == SecretKind::File => bytes.to_vec(),
            _ => secret_file(reference, &values.passwords, &salts(cx, reference)?)?,
        };
        let path = target.strip_prefix(SECRETS_FOLDER).unwrap_or(Utf8Path::new(name)).to_string();
        let owner = reference.owner;
        files.push(FilePlan { path, mode: SecretReference::MODE, uid: owner, gid: owner, bytes });
    }
    let volume = VolumePlan {
        mount_path: SECRETS_FOLDER.to_owned(),
        read_only: true,
        empty: true,
        files,
        ..VolumePlan::default()
    };
    Ok(Some(volume).filter(|volume| !volume.files.is_empty()))
}
