//! Control groups of containers: whether they can be had, whether one ran out of memory, and clearing up after a runtime
//! that was killed. Versions 1 and 2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

const MOUNT: &str = "/sys/fs/cgroup";
/// Version 2 beside version 1.
pub(super) const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// The group of a container, as the runtime takes it. At the top: a group for all of them would be removed by one run
/// while another makes its own.
pub(super) fn path(container: &str) -> String {
    format!("/{container}")
}

/// Whether groups can be made here: not in most containers, and not by everybody.
pub(super) fn usable() -> bool {
    let trial = |hierarchy: &PathBuf| {
        let group = hierarchy.join(format!("xedge-trial-{}", std::process::id()));
        let made = fs::create_dir(&group).is_ok();
        // Without it nothing can be removed.
        let _ = fs::remove_dir(&group);
        made
    };
    let hierarchies = hierarchies();
    !hierarchies.is_empty() && hierarchies.iter().all(trial)
}

/// Whether controllers are spread over both versions.
pub(super) fn is_mixed() -> bool {
    let beside = fs::read_to_string(Path::new(UNIFIED).join("cgroup.controllers"));
    beside.is_ok_and(|controllers| !controllers.trim().is_empty())
}

/// The one hierarchy of version 2, or those of version 1 that limits need.
fn hierarchies() -> Vec<PathBuf> {
    let mount = Path::new(MOUNT);
    if mount.join("cgroup.controllers").exists() {
        return vec![mount.to_owned()];
    }
    let needed = ["memory", "cpu", "pids", "devices"];
    needed.iter().map(|name| mount.join(name)).filter(|path| path.is_dir()).collect()
}

/// Every folder of a container's group.
fn groups(container: &str) -> Vec<PathBuf> {
    let mounts = fs::read_dir(MOUNT).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
    let below = |mount: PathBuf| mount.join(container);
    mounts.chain([PathBuf::from(MOUNT)]).map(below).filter(|group| group.is_dir()).collect()
}

/// Lets what is held in a container's group go on: a held process takes no signal.
pub(super) fn thaw(container: &str) {
    for group in groups(container) {
        for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            let file = group.join(file);
            if file.is_file() {
                // What cannot be thawed cannot be removed either, and that is told.
                let _ = fs::write(file, word);
            }
        }
    }
}

/// Ends what is still in a container's group and removes the group.
pub(super) fn remove(container: &str) -> io::Result<()> {
    thaw(container);
    for group in groups(container) {
        for attempt in 0.. {
            for pid in members(&group) {
                // One that is gone is fine.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            match remove_tree(&group) {
                Err(error) if group.is_dir() && attempt < 100 => drop(error),
                Err(error) if group.is_dir() => return Err(error),
                _ => break,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn members(group: &Path) -> Vec<rustix::process::Pid> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let pid = |line: &str| line.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    text.lines().filter_map(pid).collect()
}

/// The files of a group go with its folder.
fn remove_tree(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// Calls `tell` when a container runs out of memory; ends with its group.
///
/// With version 2 the group's counter is looked at instead, as long as the group is there.
pub(super) fn watch_memory(container: &str, tell: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let below = |hierarchy: &str| Path::new(MOUNT).join(hierarchy).join(container);
    let old = below("memory");
    let watch: Box<dyn FnOnce() -> bool + Send> = if old.is_dir() {
        let events = eventfd(0, EventfdFlags::CLOEXEC)?;
        let control = fs::File::open(old.join("memory.oom_control"))?;
        let numbers = {
            use std::os::fd::AsRawFd;
            format!("{} {}", events.as_raw_fd(), control.as_raw_fd())
        };
        fs::write(old.join("cgroup.event_control"), numbers)?;
        // The removal of the group is an event as well.
        Box::new(move || rustix::io::read(&events, &mut [0; 8]).is_ok() && old.is_dir())
    } else {
        let counter = below("").join("memory.events");
        Box::new(move || was_killed(&counter))
    };
    let thread = std::thread::Builder::new().name("memory".to_owned());
    thread
        .spawn(move || {
            if watch() {
                tell();
            }
        })
        .map(drop)
}

fn was_killed(counter: &Path) -> bool {
    while let Ok(text) = fs::read_to_string(counter) {
        if text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0")) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
