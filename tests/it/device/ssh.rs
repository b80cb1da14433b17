//! The way to a device: host keys that are unknown or changed, users without rights, and a line that goes dead.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_deploy::{
    Cancel, Error, Host, Needs, Place, Refused, Ssh, Transport as _, persist, preflight, run,
};
use xedge_model::{Class, Failure as _};

use super::Device;
use super::stand::{Board, HOST};

fn ssh(device: &Device, user: &str) -> Ssh {
    let host: Host = format!("{user}@{HOST}").parse().unwrap();
    let config = Utf8Path::from_path(device.folder()).unwrap().join("config");
    Ssh::new(host, Some(&config), &Cancel::default()).unwrap()
}

/// Any program of the device, called as the agent is.
fn id() -> Place {
    Place { program: Utf8PathBuf::from("/usr/bin/id"), ..Place::system() }
}

#[test]
fn the_way_to_a_device() {
    let device = Device::start(&Board::default());
    users_are_root_by_themselves_or_by_sudo_and_others_learn_what_they_lack(&device);
    a_line_that_goes_dead_is_made_anew(&device);
    a_host_that_is_not_known_for_sure_is_not_talked_to(&device);
}

fn users_are_root_by_themselves_or_by_sudo_and_others_learn_what_they_lack(device: &Device) {
    for user in ["root", "pi"] {
        let mut ssh = ssh(device, user);
        ssh.connect().unwrap();
        let found = preflight(&ssh, &Place::system()).unwrap().findings(&Needs::default());
        let blocking: Vec<_> = found.into_iter().filter(|finding| finding.blocks).collect();
        assert_eq!(blocking, [], "{user}");
        assert_eq!(run(&ssh, &id(), &["-u"], &[], "ask who it is").unwrap().text, "0\n", "{user}");
    }
    let mut guest = ssh(device, "guest");
    guest.connect().unwrap();
    let found = preflight(&guest, &Place::system()).unwrap().findings(&Needs::default());
    let rights = found.iter().find(|finding| finding.what.contains("guest")).unwrap();
    assert!(rights.blocks && rights.mend.contains("sudoers.d/010-guest"), "{rights:?}");
    assert!(rights.what.contains("not in the group docker"), "{rights:?}");
    let absent = run(&guest, &Place::system(), &["status"], &[], "ask for its status");
    assert!(matches!(absent, Err(Error::NoAgent { .. })), "{absent:?}");
}

/// Nobody gets in afterwards.
fn a_host_that_is_not_known_for_sure_is_not_talked_to(device: &Device) {
    let (known, key) = (device.folder().join("known_hosts"), device.folder().join("key"));
    let right = fs::read_to_string(&known).unwrap();
    let place = right.split(' ').next().unwrap();
    let other = fs::read_to_string(key.with_extension("pub")).unwrap();
    let changed = format!("{place} {other}");
    for (text, why) in [("", Refused::UnknownKey), (changed.as_str(), Refused::ChangedKey)] {
        fs::write(&known, text).unwrap();
        let error = ssh(device, "root").connect().unwrap_err();
        assert!(matches!(&error, Error::Connect { why: found, .. } if *found == why), "{error}");
        assert_eq!(error.class(), Class::Integrity);
        assert!(error.hint().unwrap().contains("ssh "), "{:?}", error.hint());
        assert_eq!(fs::read_to_string(&known).unwrap(), text, "nothing is learnt by itself");
    }
    fs::write(&known, right).unwrap();
    device.put("/etc/ssh/authorized_keys", b"", 0o644);
    let error = ssh(device, "root").connect().unwrap_err();
    assert!(matches!(&error, Error::Connect { why: Refused::Denied, .. }), "{error}");
    assert!(error.hint().unwrap().contains("ssh-copy-id"), "{:?}", error.hint());
}

/// The device is what all other tests stand on, too: its Engine has disks of its own, and they outlive a power cut.
fn a_line_that_goes_dead_is_made_anew(device: &Device) {
    assert_eq!(device.run("docker info --format '{{.Driver}}'"), "overlay2\n");
    device.run("docker volume create kept && sync");
    let mut ssh = ssh(device, "root");
    ssh.connect().unwrap();
    device.cut_power();
    device.boot();
    assert_eq!(device.run("docker volume ls --quiet"), "kept\n");
    let mut tries = 0;
    let output = persist(&mut ssh, &Cancel::default(), &xedge_deploy::WAITS, &mut (), &mut |ssh, _| {
        tries += 1;
        run(ssh, &id(), &["-u"], &[], "ask who it is")
    });
    assert_eq!(output.unwrap().text, "0\n");
    assert!(tries <= 3, "{tries}");
}
