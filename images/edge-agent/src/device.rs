//! Who the device is, and what its owner settled for it (`device.json`). Does not look at the machine.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use xedge_bundle::statement::KeyStatus;
use xedge_model::stack::{NAME_RULE, is_board, is_name};
use xedge_model::{Digest, atomic};

use crate::{Error, Home, Result, sealed};

/// The file that tells the folder for volumes from another one at its place.
const MARK: &str = ".xedge-device";

/// `device.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// 32 hexadecimal digits that stay the same for the life of the installation.
    pub id: String,
    /// Its class, such as `pi-sd`; empty where none was given.
    pub class: String,
    /// The root that was pinned; `None` before it is enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
    /// Socket of the Engine that its containers are in, whatever other one is installed later; `None` before one answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What its class settles.
    #[serde(default)]
    pub settings: Settings,
}

/// The root that a person pinned. It also stands here so that a lost trust store is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pinned {
    /// Its digest.
    pub root: Digest,
    /// What kind of keys it has.
    pub status: KeyStatus,
}

/// What a device's class settles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Folder for the data of named volumes, such as an external disk; the Engine's own where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_root: Option<Utf8PathBuf>,
    /// Most bytes of memory that one service may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<u64>,
    /// Most billionths of a processor that one service may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_nano_cpus: Option<u64>,
    /// The board, where the firmware does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
}

impl Device {
    /// A device that is not enrolled yet. The id follows from the machine's (`/etc/machine-id`) without giving it away, or
    /// from `random` where the machine has none.
    pub fn new(machine_id: Option<&str>, random: &[u8; 16]) -> Self {
        let seed = match machine_id.map(str::trim).filter(|id| id.len() == 32) {
            Some(id) => [b"xedge device ", id.as_bytes()].concat(),
            None => [b"xedge random ", random.as_slice()].concat(),
        };
        Self { id: Digest::of(&seed).hex()[..32].to_owned(), ..Self::default() }
    }

    /// The device that this is.
    pub fn load(home: &Home) -> Result<Self> {
        Self::find(home)?.ok_or(Error::NotEnrolled)
    }

    /// The device that this is; `None` before it is enrolled.
    pub fn find(home: &Home) -> Result<Option<Self>> {
        sealed::read(&home.device())
    }

    /// Writes it down.
    pub fn save(&self, home: &Home) -> Result<()> {
        self.check()?;
        sealed::write(&home.device(), self)
    }

    /// Marks the folder for volumes as this device's, so that the empty folder below a disk that is not mounted is told from it.
    pub fn mark_volume_root(&self) -> Result<()> {
        let Some(folder) = &self.settings.volume_root else { return Ok(()) };
        if !folder.is_dir() {
            let reason = format!("{folder} is no folder: make it, or mount its disk");
            return Err(Error::Given { what: "the volume root".to_owned(), reason });
        }
        if self.has_volume_root() {
            return Ok(());
        }
        Ok(atomic::write(&folder.join(MARK), self.id.as_bytes(), 0o600)?)
    }

    /// Whether the folder for volumes, where there is one, is the one that was marked.
    pub fn has_volume_root(&self) -> bool {
        let mark = |folder: &Utf8PathBuf| std::fs::read(folder.join(MARK)).ok();
        self.settings
            .volume_root
            .as_ref()
            .is_none_or(|folder| mark(folder).is_some_and(|id| id == self.id.as_bytes()))
    }

    fn check(&self) -> Result<()> {
        let refuse = |what: &str, reason: String| Err(Error::Given { what: what.to_owned(), reason });
        if !self.class.is_empty() && !is_name(&self.class) {
            return refuse("the device class", format!("`{}`: {NAME_RULE}", self.class.escape_debug()));
        }
        let Settings { volume_root, max_memory, max_nano_cpus, board } = &self.settings;
        if let Some(folder) = volume_root.as_ref().filter(|folder| !is_plain_folder(folder)) {
            return refuse("the volume root", format!("`{folder}` is no absolute path without `..`"));
        }
        if max_memory.is_some_and(|bytes| bytes < 6 << 20) {
            return refuse("the memory limit", "the Engine gives no container less than 6 MiB".to_owned());
        }
        if *max_nano_cpus == Some(0) {
            return refuse("the processor limit", "it is 0".to_owned());
        }
        match board.as_ref().filter(|board| !is_board(board)) {
            Some(board) => {
                let reason =
                    format!("`{}` is not one of lower-case letters, digits and `-`", board.escape_debug());
                refuse("the board", reason)
            }
            None => Ok(()),
        }
    }
}

fn is_plain_folder(folder: &Utf8PathBuf) -> bool {
    use camino::Utf8Component::{Normal, RootDir};
    folder.is_absolute()
        && folder != "/"
        && folder.components().all(|part| matches!(part, Normal(_) | RootDir))
        && !folder.as_str().contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_the_machine_and_do_not_show_it() {
        let machine = "0123456789abcdef0123456789abcdef";
        let first = Device::new(Some(&format!("{machine}\n")), &[1; 16]);
        assert_eq!(first.id, Device::new(Some(machine), &[2; 16]).id);
        assert_eq!(first.id.len(), 32);
        assert_ne!(first.id, machine);
        for none in [None, Some(""), Some("uninitialized\n")] {
            assert_ne!(Device::new(none, &[1; 16]).id, Device::new(none, &[2; 16]).id);
        }
    }

    #[test]
    fn settings_that_could_do_harm_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(Utf8PathBuf::try_from(folder.path().to_owned()).unwrap());
        assert!(matches!(Device::load(&home).unwrap_err(), Error::NotEnrolled));
        let good = Device { class: "pi-sd".into(), ..Device::new(None, &[1; 16]) };
        good.save(&home).unwrap();
        assert_eq!(Device::load(&home).unwrap(), good);
        let refused = |change: &dyn Fn(&mut Device), part: &str| {
            let mut bad = good.clone();
            change(&mut bad);
            let error = bad.save(&home).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert_eq!(Device::load(&home).unwrap(), good);
        };
        refused(&|d| d.class = "../x".into(), "the device class");
        for path in ["data", "/", "/mnt/../etc", "/mnt/a\nb"] {
            refused(&|d| d.settings.volume_root = Some(path.into()), "the volume root");
        }
        refused(&|d| d.settings.max_memory = Some(1), "6 MiB");
        refused(&|d| d.settings.max_nano_cpus = Some(0), "processor");
        refused(&|d| d.settings.board = Some("Pi 4".into()), "the board");
    }
}
