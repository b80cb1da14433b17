//! A scenario's own settings of a container: limits, fresh volumes, mounted files of the project.

use camino::Utf8Path;
use xedge_model::scenario::{Node, Scenario};
use xedge_sim::{ContainerPlan, FilePlan, VolumePlan};

use super::inputs::{Inputs, mounts};

/// Gives a container the limits and volumes of its node.
pub(super) fn apply(node: &Node, inputs: &Inputs, plan: &mut ContainerPlan) {
    if let Some(limits) = &node.limits {
        plan.memory_bytes = limits.value.memory.and_then(|memory| i64::try_from(memory.0).ok());
        plan.nano_cpus = limits.value.cpus.map(nano);
        plan.pids_limit = limits.value.pids.map(i64::from);
    }
    for volume in node.volumes.values() {
        let path = volume.value.path.clone();
        match volume.value.size {
            // Services seldom run as root, and what is in memory has no owner before.
            Some(size) => drop(plan.tmpfs.insert(path, format!("size={},mode=1777", size.0))),
            None => plan.volumes.push(VolumePlan { mount_path: path, ..VolumePlan::default() }),
        }
    }
    for (_, mount) in mounts(node) {
        let volume = VolumePlan {
            mount_path: mount.target.clone(),
            read_only: mount.read_only,
            ..VolumePlan::default()
        };
        match inputs.of(&node.id.value, mount) {
            [] if !mount.is_of_project() => {
                plan.volumes.push(VolumePlan { name: Some(mount.source.clone()), ..volume });
            }
            [file] if file.path.is_empty() => single(plan, volume, file),
            files => plan.volumes.push(VolumePlan { empty: true, files: files.to_vec(), ..volume }),
        }
    }
}

/// Who signed the certificate that the broker shows: the models say whom they trust.
pub(super) fn authority(scenario: &Scenario, inputs: &Inputs) -> Option<Vec<u8>> {
    let named = scenario.nodes.value.iter().find_map(|node| node.config.tls.as_ref())?;
    inputs.authorities().get(&named.ca).cloned()
}

#[expect(clippy::cast_possible_truncation, reason = "at most 1024 CPUs, checked where they are read")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

/// An engine mounts volumes at folders only: a single file goes into a volume of its folder, with what the image has there.
fn single(plan: &mut ContainerPlan, volume: VolumePlan, file: &FilePlan) {
    let path = Utf8Path::new(&volume.mount_path);
    let (folder, name) = (path.parent().unwrap_or(path).to_string(), path.file_name().unwrap_or_default());
    let file = FilePlan { path: name.to_owned(), ..file.clone() };
    match plan.volumes.iter_mut().find(|other| other.mount_path == folder) {
        Some(other) => other.files.push(file),
        None => plan.volumes.push(VolumePlan {
            mount_path: folder,
            files: vec![file],
            read_only: false,
            ..volume
        }),
    }
}
