//! What a container uses of memory and CPU, from the control group files of this machine. Versions 1 and 2; it asks no engine.

use std::fs;
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/cgroup";

/// What a container uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Memory in use now, without file pages that the kernel can drop at once.
    pub memory_bytes: u64,
    /// CPU time since it was started, in microseconds.
    pub cpu_us: u64,
}

/// What the group of a process uses; `None` where the files are not to be had here, or the process is not of `container`.
///
/// An engine elsewhere has process numbers of its own: only a group with the container's name is believed.
pub(super) fn of_process(pid: i64, container: &str) -> Option<Usage> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    of_groups(&groups, container, Path::new(MOUNT))
}

/// What a group at the top of each hierarchy uses.
pub(super) fn of_name(container: &str) -> Option<Usage> {
    let below = |controller: &str| Path::new(MOUNT).join(controller).join(container);
    Sources { memory: below("memory"), cpu: below("cpuacct"), unified: below("") }.read()
}

fn of_groups(groups: &str, container: &str, mount: &Path) -> Option<Usage> {
    let lines = || groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let of = |controller: &str| {
        let mut found = lines().filter(|(names, _)| names.split(',').any(|name| name == controller));
        found.find(|(_, path)| path.contains(container)).map(|(_, path)| path.trim_start_matches('/'))
    };
    let at = |controller: &str| of(controller).map(|path| mount.join(controller).join(path));
    let unified = of("").map(|path| mount.join(path)).unwrap_or_default();
    let (memory, cpu) = (at("memory").unwrap_or_default(), at("cpuacct").unwrap_or_default());
    Sources { memory, cpu, unified }.read()
}

/// Folders of one group.
struct Sources {
    memory: PathBuf,
    cpu: PathBuf,
    unified: PathBuf,
}

impl Sources {
    fn read(&self) -> Option<Usage> {
        let (memory_bytes, cpu_us) = if self.memory.join("memory.usage_in_bytes").is_file() {
            let used = number(&self.memory.join("memory.usage_in_bytes"))?;
            let idle = field(&self.memory.join("memory.stat"), "total_inactive_file").unwrap_or(0);
            (used.saturating_sub(idle), number(&self.cpu.join("cpuacct.usage"))? / 1_000)
        } else {
            let used = number(&self.unified.join("memory.current"))?;
            let idle = field(&self.unified.join("memory.stat"), "inactive_file").unwrap_or(0);
            (used.saturating_sub(idle), field(&self.unified.join("cpu.stat"), "usage_usec")?)
        };
        // A container that runs uses memory: 0 is a file that counts nothing.
        Some(Usage { memory_bytes, cpu_us }).filter(|usage| usage.memory_bytes > 0)
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Usage, of_groups};

    fn write(mount: &Path, file: &str, text: &str) {
        let path = mount.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn both_versions_are_read_and_droppable_pages_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let mount = dir.path();
        write(mount, "memory/docker/abc/memory.usage_in_bytes", "5000\n");
        write(mount, "memory/docker/abc/memory.stat", "inactive_file 1\ntotal_inactive_file 2000\n");
        write(mount, "cpuacct/docker/abc/cpuacct.usage", "7000000\n");
        let old = "9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/elsewhere\n";
        assert_eq!(of_groups(old, "abc", mount), Some(Usage { memory_bytes: 3_000, cpu_us: 7_000 }));
        assert_eq!(of_groups(old, "xyz", mount), None, "the process of another container");

        write(mount, "libpod/def/memory.current", "900\n");
        write(mount, "libpod/def/memory.stat", "anon 5\ninactive_file 100\n");
        write(mount, "libpod/def/cpu.stat", "usage_usec 42\nuser_usec 1\n");
        assert_eq!(
            of_groups("0::/libpod/def\n", "def", mount),
            Some(Usage { memory_bytes: 800, cpu_us: 42 })
        );
        write(mount, "libpod/def/memory.current", "0\n");
        assert_eq!(of_groups("0::/libpod/def\n", "def", mount), None, "a file that counts nothing");
    }
}
