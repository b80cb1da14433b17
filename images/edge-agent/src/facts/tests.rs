//! Machines as folders of files, in the form in which their kernels write them.

use std::net::{IpAddr, Ipv4Addr};

use super::*;

fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    (folder, Machine::at(root))
}

#[test]
fn boards_have_general_and_special_names() {
    let check = |model: &str, names: &[&str]| {
        let (_folder, machine) = machine(&[("proc/device-tree/model", &format!("{model}\0"))]);
        let board = machine.board();
        assert_eq!(board.name, model);
        assert_eq!(board.names, names);
    };
    check(
        "Raspberry Pi 4 Model B Rev 1.4",
        &["raspberry-pi-4-model-b-rev-1-4", "raspberry-pi-4-model-b", "raspberry-pi-4", "raspberry-pi"],
    );
    check("Raspberry Pi 5 Rev 1.0", &["raspberry-pi-5-rev-1-0", "raspberry-pi-5", "raspberry-pi"]);
    check("FriendlyElec NanoPi R5S", &["friendlyelec-nanopi-r5s"]);
}

#[test]
fn a_pc_has_its_makers_name_and_no_sample_text() {
    let (_folder, pc) = machine(&[
        ("sys/class/dmi/id/sys_vendor", "Intel(R) Client Systems\n"),
        ("sys/class/dmi/id/product_name", "NUC11ATKC4\n"),
    ]);
    assert_eq!(pc.board().names, ["intel-r-client-systems-nuc11atkc4", "intel-r-client-systems-nuc11atkc"]);
    let (_folder, nobody) = machine(&[
        ("sys/class/dmi/id/sys_vendor", "To Be Filled By O.E.M.\n"),
        ("sys/class/dmi/id/product_name", "Default string\n"),
    ]);
    assert_eq!(nobody.board(), Board::default());
}

#[test]
fn memory_is_read_strictly() {
    let text = "MemTotal:         944264 kB\nMemFree:           97120 kB\nMemAvailable:     512000 kB\n";
    let (_folder, pi) = machine(&[("proc/meminfo", text)]);
    assert_eq!(pi.memory().unwrap(), 944_264 * 1024);
    assert_eq!(pi.memory_available().unwrap(), 512_000 * 1024);
    for bad in ["", "MemTotal: much\n", "MemTotal: 5 MB\n"] {
        let (_folder, machine) = machine(&[("proc/meminfo", bad)]);
        assert!(machine.memory().is_err(), "{bad}");
    }
}

#[test]
fn a_memory_control_group_that_is_turned_off_is_seen_in_both_hierarchies() {
    const OFF: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t9\t1\t1\nmemory\t0\t64\t0\n";
    let (_folder, pi) = machine(&[("proc/cgroups", OFF)]);
    assert_eq!(pi.memory_limits(), MemoryLimits::TurnedOff);
    let (_folder, fine) = machine(&[("proc/cgroups", &OFF.replace("64\t0", "64\t1"))]);
    assert_eq!(fine.memory_limits(), MemoryLimits::Available);
    let (_folder, pi) = machine(&[("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")]);
    assert_eq!(pi.memory_limits(), MemoryLimits::TurnedOff);
    let (_folder, fine) = machine(&[("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n")]);
    assert_eq!(fine.memory_limits(), MemoryLimits::Available);
    let (_folder, nothing) = machine(&[]);
    assert_eq!(nothing.memory_limits(), MemoryLimits::Unknown);
}

#[test]
fn room_is_asked_where_the_folder_would_be() {
    let (folder, _machine) = machine(&[]);
    let root = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
    let here = Machine::room(&root).unwrap();
    let there = Machine::room(&root.join("not/yet")).unwrap();
    assert!(here.free > 0 && there.device == here.device);
}

#[test]
fn listeners_are_read_from_the_kernels_tables() {
    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    let tcp = format!(
        "{HEAD}   0: 00000000:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17 1\n   \
         1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18 1\n   \
         2: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 19 1\n"
    );
    let tcp6 = format!(
        "{HEAD}   0: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 \
         00:00000000 00000000     0        0 20 1\n"
    );
    let (_folder, machine) = machine(&[("proc/net/tcp", &tcp), ("proc/net/tcp6", &tcp6)]);
    let found: Vec<(u16, IpAddr)> =
        machine.listeners().iter().map(|listener| (listener.port, listener.address)).collect();
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(found, [(1883, all), (80, local), (8080, local)], "established ones do not listen");
}

/// A real socket of this very process, found through the real /proc.
#[test]
fn the_holder_of_a_port_is_found() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let machine = Machine::real();
    let listeners = machine.listeners();
    let mine = listeners.iter().find(|listener| listener.port == port).expect("it listens");
    assert!(mine.collides(None) && mine.collides(Some("127.0.0.1".parse().unwrap())));
    assert!(!mine.collides(Some("127.0.0.2".parse().unwrap())));
    let holders = machine.holders(&[mine]);
    assert_eq!(mine.holder(&holders).expect("it is ours").pid, std::process::id());
    drop(socket);
    assert!(!machine.listeners().iter().any(|listener| listener.port == port));
}

#[test]
fn the_unit_of_a_process_is_its_service() {
    assert_eq!(ports::unit("0::/system.slice/mosquitto.service\n").as_deref(), Some("mosquitto.service"));
    let nested = "12:memory:/system.slice/system-getty.slice/getty@tty1.service\n";
    assert_eq!(ports::unit(nested).as_deref(), Some("getty@tty1.service"));
    assert_eq!(ports::unit("0::/user.slice/user-0.slice/session-1.scope\n"), None);
}
