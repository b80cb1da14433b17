//! What the machine lacks: room, memory, limits, a clock.

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::{Code, time};
use xedge_wire::EngineFacts;

use super::{Look, Needs, Obstacle};
use crate::facts::{Machine, MemoryLimits, Room};
use crate::trust::BUILD_TIME;
use crate::{Clock, Device, Home, Result, records};

/// What a compressed layer takes once it is unpacked, and what the Engine keeps of it on the way: an estimate from
/// gzipped Debian layers, which grow to 2.3 to 2.9 times their size.
const UNPACKED: u64 = 3;
/// What must stay free beyond what the release needs: for the journal, logs and the Engine's own files.
const SPARE: u64 = 64 << 20;
/// What the system itself needs of the memory.
const SYSTEM: u64 = 64 << 20;
/// Files that must stay free.
const SPARE_FILES: u64 = 2_000;
/// A clock that says more than this after the agent was made is wrong: 20 years.
const FAR: i64 = 20 * 365 * 86_400;

/// A clock that ran ahead. One that is behind does no harm ([`crate::TrustStore::now`]).
pub(crate) fn clock(clock: &dyn Clock) -> Option<Obstacle> {
    let now = clock.unix();
    (now > BUILD_TIME + FAR).then(|| {
        let reason = format!("the clock says {}, which cannot be", time::format(now));
        Obstacle::new(
            Code::Clock,
            reason,
            "set it: `sudo timedatectl set-ntp true`, or `sudo date -u -s 'YYYY-MM-DD HH:MM'`",
        )
    })
}

/// Memory that is promised and not there, or could not be limited.
pub(super) fn memory(
    look: &Look<'_>,
    stack: &str,
    engine: &EngineFacts,
    needs: &Needs,
) -> Result<Option<Obstacle>> {
    let limits: Vec<u64> = needs.services.values().filter_map(|service| service.memory).collect();
    if limits.is_empty() {
        return Ok(None);
    }
    if !engine.memory_limits {
        return Ok(Some(no_limits(look.machine)));
    }
    let total = look.machine.memory()?;
    let sum = limits.iter().fold(0_u64, |sum, limit| sum.saturating_add(*limit));
    let others = promised(look.home, stack)?;
    let needed = sum.saturating_add(others).saturating_add(SYSTEM);
    Ok((needed > total).then(|| {
        let others = match others {
            0 => String::new(),
            bytes => format!(", those of other stacks {},", mib(bytes)),
        };
        let reason = format!(
            "the services may use {} together{others} and the system needs {}, and the device has {}",
            mib(sum),
            mib(SYSTEM),
            mib(total)
        );
        let fix = "lower `mem_limit` in the stack, or the limit of the device: `xedge-agent enroll --root FILE --max-memory 128m`";
        Obstacle::new(Code::NoMemory, reason, fix)
    }))
}

/// Bytes of memory that the current releases of the device's other stacks may use.
fn promised(home: &Home, stack: &str) -> Result<u64> {
    let mut sum = 0_u64;
    for other in records::stacks(home)?.into_iter().filter(|other| other != stack) {
        let current = records::load_state(&home.stack(&other))?.current;
        let limits =
            current.iter().flat_map(|current| current.services.values()).filter_map(|one| one.memory);
        sum = limits.fold(sum, u64::saturating_add);
    }
    Ok(sum)
}

pub(crate) fn no_limits(machine: &Machine) -> Obstacle {
    let reason = match machine.memory_limits() {
        MemoryLimits::Available => "the kernel limits memory, but the Engine does not use it",
        MemoryLimits::TurnedOff => "the kernel's memory control group is turned off, so no limit would hold",
        MemoryLimits::Unknown => "the Engine cannot limit memory",
    };
    let fix = match (machine.memory_limits(), machine.boot_line()) {
        (MemoryLimits::Available, _) => "restart the Engine: `sudo systemctl restart docker`".to_owned(),
        (_, Some(file)) => format!(
            "add it to the one line of {file} and restart: `sudo sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' \
             {file} && sudo reboot`"
        ),
        (_, None) => "add `cgroup_enable=memory cgroup_memory=1` to the kernel's command line (GRUB: \
                      GRUB_CMDLINE_LINUX in /etc/default/grub, then `sudo update-grub`), and restart"
            .to_owned(),
    };
    Obstacle::new(Code::MemoryLimits, reason, fix)
}

/// Room for what has yet to come. Where store and Engine share a file system, their needs are added.
pub(super) fn disk(home: &Home, engine: &EngineFacts, needs: &Needs) -> Result<Vec<Obstacle>> {
    let images = needs.layers.saturating_mul(UNPACKED);
    let mut places: Vec<(Utf8PathBuf, Room, u64)> = Vec::new();
    let mut folders = vec![(home.root().to_owned(), needs.store)];
    if !engine.root.is_empty() && images > 0 {
        folders.push((Utf8PathBuf::from(&engine.root), images));
    }
    for (folder, bytes) in folders {
        let room = Machine::room(&folder)?;
        match places.iter_mut().find(|(_, other, _)| other.device == room.device) {
            Some((_, _, sum)) => *sum = sum.saturating_add(bytes),
            None => places.push((folder, room, bytes)),
        }
    }
    Ok(places.into_iter().filter_map(|(folder, room, bytes)| full(&folder, room, bytes)).collect())
}

/// Whether a folder has less room than must always stay free.
pub(crate) fn disk_of(folder: &Utf8Path) -> Result<Option<Obstacle>> {
    Ok(full(folder, Machine::room(folder)?, 0))
}

/// A folder for volumes that is not the one that was enrolled: its disk is not mounted.
pub(crate) fn volume_root(device: &Device) -> Option<Obstacle> {
    let folder = device.settings.volume_root.as_ref().filter(|_| !device.has_volume_root())?;
    let reason =
        format!("{folder}, where this device keeps its volumes, is not the folder that was enrolled");
    Some(Obstacle::new(Code::VolumeRoot, reason, format!("mount its disk: `sudo mount {folder}`")))
}

fn full(folder: &Utf8Path, room: Room, bytes: u64) -> Option<Obstacle> {
    let needed = bytes.saturating_add(SPARE);
    let fix = format!("make room: `xedge-agent gc`, `docker image prune --all`; `df -h {folder}` shows it");
    if room.free < needed {
        let reason = format!("{folder} has {} free, and {} are needed", mib(room.free), mib(needed));
        return Some(Obstacle::new(Code::NoSpace, reason, fix));
    }
    (room.files < SPARE_FILES).then(|| {
        let reason = format!("{folder} has room for {} more files, and {SPARE_FILES} are needed", room.files);
        Obstacle::new(
            Code::NoSpace,
            reason,
            format!("remove files: `df -i {folder}` shows how many there are"),
        )
    })
}

/// For people; what is needed is rounded up and what is there is small enough not to matter.
fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
