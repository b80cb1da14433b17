//! What the machine is: board, memory, disk, kernel. Reads /proc and /sys below a folder that tests choose; changes nothing,
//! and takes nothing for certain that firmware says.

mod ports;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::stack::board_name;
use xedge_wire::{DeviceFacts, EngineFacts};

pub use ports::{Holder, Listener, Protocol};

use crate::{Clock, Device, Error, Home, Result, TrustStore};

/// The machine, through its file systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    root: Utf8PathBuf,
}

/// The board as its firmware names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Board {
    /// For people: `Raspberry Pi 4 Model B Rev 1.4`; empty where nothing says it.
    pub name: String,
    /// Every name by which a release may ask for it, the most general last: `raspberry-pi-4-model-b-rev-1-4`,
    /// `raspberry-pi-4-model-b`, `raspberry-pi-4`, `raspberry-pi`.
    pub names: Vec<String>,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are free for this program.
    pub free: u64,
    /// Files that can still be made; `u64::MAX` where the file system has no such limit.
    pub files: u64,
    /// Which file system it is: two folders on one share its room.
    pub device: u64,
}

/// Whether the kernel can limit memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimits {
    /// It can.
    Available,
    /// It was turned off at boot, as Raspberry Pi OS does.
    TurnedOff,
    /// Nothing says.
    Unknown,
}

impl Machine {
    /// The machine that this program runs on.
    pub fn real() -> Self {
        Self::at("/")
    }

    /// A machine whose `/proc`, `/sys` and `/etc` lie below `root`.
    pub fn at(root: impl Into<Utf8PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A file of the machine, by its absolute path.
    fn path(&self, absolute: &str) -> Utf8PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The text of a small file, without the zero bytes that device trees end strings with; `None` where it is not there.
    fn text(&self, absolute: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(absolute)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned())
    }

    /// The machine's own id, which is never shown.
    pub fn machine_id(&self) -> Option<String> {
        self.text("/etc/machine-id")
    }

    /// The board. A device tree's `model` counts more than DMI.
    pub fn board(&self) -> Board {
        let name = self.text("/proc/device-tree/model").or_else(|| self.dmi()).unwrap_or_default();
        let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        let names = board_names(&name);
        Board { name, names }
    }

    fn dmi(&self) -> Option<String> {
        let field =
            |name: &str| self.text(&format!("/sys/class/dmi/id/{name}")).filter(|text| is_named(text));
        let parts: Vec<String> = [field("sys_vendor"), field("product_name")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// Bytes of memory.
    pub fn memory(&self) -> Result<u64> {
        self.meminfo("MemTotal")
    }

    /// Bytes of memory that could be had without swapping.
    pub fn memory_available(&self) -> Result<u64> {
        self.meminfo("MemAvailable")
    }

    fn meminfo(&self, field: &str) -> Result<u64> {
        let path = self.path("/proc/meminfo");
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.and_then(|kib| kib.checked_mul(1024)).ok_or_else(|| Error::Read {
            path,
            source: std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("it has no usable `{field}`"),
            ),
        })
    }

    /// Go's word for the architecture that this program was made for.
    pub fn architecture() -> &'static str {
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }

    /// The highest temperature that a sensor has, in thousandths of a degree; `None` where there is no sensor.
    pub fn temperature(&self) -> Option<i64> {
        let zones = self.path("/sys/class/thermal").read_dir_utf8().ok()?;
        let read = |zone: Utf8PathBuf| std::fs::read_to_string(zone.join("temp")).ok()?.trim().parse().ok();
        zones.flatten().filter_map(|zone| read(zone.into_path())).max()
    }

    /// Kernel release.
    pub fn kernel(&self) -> String {
        self.text("/proc/sys/kernel/osrelease").unwrap_or_default()
    }

    /// Room where a folder is, or would be.
    pub fn room(folder: &Utf8Path) -> Result<Room> {
        use std::os::unix::fs::MetadataExt as _;
        let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Utf8Path::new("/"));
        let failed = |source| Error::Read { path: there.to_owned(), source };
        let found = rustix::fs::statvfs(there.as_std_path()).map_err(|error| failed(error.into()))?;
        let files = if found.f_files == 0 { u64::MAX } else { found.f_favail };
        let device = there.metadata().map_err(failed)?.dev();
        Ok(Room { free: found.f_bavail.saturating_mul(found.f_frsize), files, device })
    }

    /// Whether the kernel can limit memory: its control group may be built in and still be turned off.
    pub fn memory_limits(&self) -> MemoryLimits {
        if let Some(controllers) = self.text("/sys/fs/cgroup/cgroup.controllers") {
            let has = controllers.split_whitespace().any(|name| name == "memory");
            return if has { MemoryLimits::Available } else { MemoryLimits::TurnedOff };
        }
        let Some(table) = self.text("/proc/cgroups") else { return MemoryLimits::Unknown };
        let line = table.lines().find(|line| line.split_whitespace().next() == Some("memory"));
        match line.and_then(|line| line.split_whitespace().last()) {
            Some("1") => MemoryLimits::Available,
            _ => MemoryLimits::TurnedOff,
        }
    }

    /// Whether it starts like a Raspberry Pi, from a `cmdline.txt`, and where that file is.
    pub fn boot_line(&self) -> Option<Utf8PathBuf> {
        ["/boot/firmware/cmdline.txt", "/boot/cmdline.txt"]
            .into_iter()
            .find(|path| self.path(path).is_file())
            .map(Utf8PathBuf::from)
    }
}

/// Everything about a device that its host is told. A device that is not enrolled has no id and no root.
pub fn device_facts(
    home: &Home,
    machine: &Machine,
    clock: &dyn Clock,
    engine: Option<EngineFacts>,
) -> Result<DeviceFacts> {
    let (trust, device) = match TrustStore::open(home) {
        Ok(trust) => (Some(trust), Device::load(home)?),
        Err(Error::NotEnrolled) => (None, Device::default()),
        Err(error) => return Err(error),
    };
    Ok(DeviceFacts {
        id: device.id,
        class: device.class,
        board: device.settings.board.unwrap_or_else(|| machine.board().name),
        architecture: Machine::architecture().to_owned(),
        kernel: machine.kernel(),
        status: trust.as_ref().map(|trust| trust.status().as_str().to_owned()),
        root: trust.as_ref().map(TrustStore::fingerprint),
        engine,
        clock: clock.unix(),
        memory: machine.memory()?,
        free_disk: Machine::room(home.root())?.free,
    })
}

/// The board's name, and what is left of it without `Rev …`, without `Model …`, and without its last number.
fn board_names(name: &str) -> Vec<String> {
    let mut all = vec![board_name(name)];
    let without = |text: &str, word: &str| text.split(word).next().unwrap_or(text).trim().to_owned();
    let model = without(name, " Rev ");
    let board = without(&model, " Model ");
    let family = board.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
    all.extend([board_name(&model), board_name(&board), board_name(family)]);
    all.dedup();
    all.retain(|name| !name.is_empty());
    all
}

/// Whether a field of DMI says something; many boards leave the maker's sample text in.
fn is_named(text: &str) -> bool {
    const SAMPLES: [&str; 5] =
        ["", "to be filled by o.e.m.", "default string", "system manufacturer", "none"];
    !SAMPLES.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
