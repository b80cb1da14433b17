//! What the processes of a container use, as the kernel tells it of each: for Engines that cannot read control groups, as
//! where the kernel counts no memory. Programs that were run in a container afterwards do not count.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second (`USER_HZ`), the same on every Linux.
const TICKS: u64 = 100;

/// What processes have used so far, and use now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Time on processors.
    pub(super) processor: Duration,
    /// Bytes of memory; what several share counts for each.
    pub(super) memory: u64,
}

/// Of the process `first` and all that descend from it. What ends in between counts no more.
pub(super) fn used(proc: &Path, first: u32) -> Used {
    let all: BTreeMap<u32, (u32, u64)> =
        numbers(proc).filter_map(|pid| Some((pid, stat(proc, pid)?))).collect();
    let mut sum = Used::default();
    let mut waiting: Vec<u32> = vec![first];
    while let Some(pid) = waiting.pop() {
        let Some((_, ticks)) = all.get(&pid) else { continue };
        sum.processor += Duration::from_millis(ticks * (1_000 / TICKS));
        sum.memory += resident(proc, pid).unwrap_or(0);
        waiting.extend(
            all.iter()
                .filter(|(child, (parent, _))| *parent == pid && **child != pid)
                .map(|(child, _)| *child),
        );
    }
    sum
}

fn numbers(proc: &Path) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Parent and ticks (proc(5), `stat`). The name in between may hold anything but ends at the last `)`.
fn stat(proc: &Path, pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((u32::try_from(number(1)?).ok()?, number(11)? + number(12)?))
}

fn resident(proc: &Path, pid: u32) -> Option<u64> {
    let text = fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_summed_and_strangers_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let proc = folder.path();
        for (pid, name, parent, ticks, kilobytes) in [
            (10, "app", 1, 5, 100),
            (11, "a) b (", 10, 7, 50),
            (12, "deep", 11, 1, 1),
            (20, "stranger", 1, 99, 999),
        ] {
            let process = proc.join(pid.to_string());
            fs::create_dir(&process).expect("a folder");
            let stat = format!("{pid} ({name}) S {parent} 0 0 0 0 0 0 0 0 0 {ticks} 2 0 0\n");
            fs::write(process.join("stat"), stat).expect("written");
            fs::write(process.join("status"), format!("Name:\tx\nVmRSS:\t    {kilobytes} kB\n"))
                .expect("written");
        }
        let sum = used(proc, 10);
        assert_eq!(sum, Used { processor: Duration::from_millis(190), memory: 151 * 1024 });
        assert_eq!(used(proc, 99), Used::default(), "gone");
    }

    #[test]
    fn this_very_process_uses_memory() {
        let used = used(Path::new("/proc"), std::process::id());
        assert!(used.memory > 100 * 1024, "{used:?}");
    }
}
