//! Deployments to a device: a real Engine behind a real SSH server, which can be switched off at any moment.

mod ssh;
mod stand;

use std::ops::Deref;
use std::path::Path;

use tempfile::TempDir;

use self::stand::{Board, Stand};

/// A device for one test, with the folder of its keys.
struct Device {
    stand: Stand,
    _folder: TempDir,
}

impl Device {
    fn start(board: &Board) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
        let stand = Stand::start(xtask, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path(), board);
        Self { stand, _folder: folder }
    }
}

impl Deref for Device {
    type Target = Stand;

    fn deref(&self) -> &Stand {
        &self.stand
    }
}

/// What all other tests here stand on.
#[test]
fn the_stand_is_a_device() {
    let device = Device::start(&Board::default());
    assert_eq!(device.run("docker info --format '{{.Driver}}'"), "overlay2\n");
    device.run("docker volume create kept && sync");
    device.cut_power();
    device.boot();
    assert_eq!(device.run("docker volume ls --quiet"), "kept\n");
}

#[test]
fn a_small_disk_is_full_where_it_should_be() {
    let device = Device::start(&Board { disk_mib: Some(200), ..Board::default() });
    assert_eq!(device.run("docker info --format '{{.Driver}}'"), "overlay2\n");
    let full = device.try_run("fallocate -l 300M /var/lib/xedge/big");
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left"), "{full:?}");
    device.run("rm /var/lib/xedge/big && echo kept >/var/lib/xedge/small && sync");
    device.cut_power();
    device.boot();
    assert_eq!(device.run("cat /var/lib/xedge/small"), "kept\n");
}
