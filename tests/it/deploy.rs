//! `deploy` and `device` up to the point where a device answers: names, bundles, and a host that is not there or says nothing.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::support::{command, finish, here, root};

#[test]
fn names_that_are_more_than_names_never_reach_ssh() {
    for host in [
        "-oProxyCommand=touch x",
        "a;b",
        "$(reboot)",
        "a b",
        "%h",
        "`id`",
        "a|b",
        "user;x@host",
        "host:0",
        "",
    ] {
        for line in [&["device", "status"][..], &["deploy", "--bundle", "x.xedge"]] {
            // In one word, so that the name itself is judged.
            let named = format!("--host={host}");
            let line: Vec<&str> = line.iter().copied().chain([named.as_str()]).collect();
            here(&line).expect(3).says("host");
        }
    }
    here(&["device", "status", "--host", "rpi", "--user=-x"]).expect(3).says("names no device");
    here(&["deploy", "--host", "rpi", "--set", "site"]).expect(3).says("NAME=VALUE");
    here(&["device", "logs", "--host", "rpi", "--stack", "--purge"]).expect(3);
}

#[test]
fn a_bundle_that_is_not_there_is_named_before_anybody_is_called() {
    here(&["deploy", "--host", "127.0.0.1:1", "--bundle", "none.xedge", "--root", "none.json"])
        .expect(3)
        .says("none.json");
    here(&["deploy", "--host", "127.0.0.1:1", "--stack", "nosuch"])
        .expect(3)
        .says("cargo xtask release --stack nosuch");
}

#[test]
fn a_host_where_nothing_listens_is_the_environments_fault() {
    let ran = here(&["device", "status", "--host", "127.0.0.1:1"]).expect(1);
    ran.says("failed to connect to 127.0.0.1:1: nothing answers").says("ssh -p 1 127.0.0.1");
}

#[test]
fn ctrl_c_ends_a_host_that_says_nothing_and_leaves_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let temporary = tempfile::tempdir().unwrap();
    let mut asked = command(&root(), &["device", "status", "--host", &host]);
    asked.env("TMPDIR", temporary.path());
    let stopper = std::thread::spawn(move || {
        // ssh was started once it connects.
        let (_connection, _) = silent.accept().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let mut processes = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains("device status --host") && line.contains(&host)
        };
        let pid = processes.find(ours).expect("the command runs");
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::INT,
        )
        .unwrap();
        std::thread::sleep(Duration::from_millis(300));
    });
    let start = Instant::now();
    let ran = finish(asked).expect(130);
    stopper.join().unwrap();
    ran.says("stopped by Ctrl-C");
    assert!(start.elapsed() < Duration::from_secs(10), "it waited for the host");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "a folder is left");
}

/// Ctrl-C must find nobody waiting for a passphrase in the middle of a deployment.
#[test]
fn the_key_that_signs_measurements_opens_before_anybody_is_called() {
    let home = tempfile::tempdir().unwrap();
    let phrase = |name: &str, text: &str| {
        let file = home.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file.into_os_string().into_string().unwrap()
    };
    let (right, wrong) =
        (phrase("right", "the right one of a test"), phrase("wrong", "another one of a test"));
    let ran = |words: &[&str]| {
        let mut command = command(&root(), words);
        command.env("XEDGE_HOME", home.path());
        finish(command)
    };
    ran(&["keys", "init", "--production", "--passphrase-file", &right]).expect(0);
    let line = ["deploy", "--host", "127.0.0.1:1", "--bundle", "none.xedge"];
    let measured = [&line[..], &["--env", "staging"]].concat();
    let refused = ran(&measured).expect(3).says("nobody is at a terminal");
    assert!(!refused.stderr.contains("none.xedge"), "it went on: {}", refused.stderr);
    let refused = ran(&[&measured[..], &["--passphrase-file", &wrong]].concat()).expect(3);
    assert!(!refused.says("the passphrase is wrong").stderr.contains("none.xedge"), "it went on");
    // With the key it goes on to the bundle, and without measurements nothing is signed.
    ran(&[&measured[..], &["--passphrase-file", &right]].concat()).expect(3).says("none.xedge");
    ran(&[&measured[..], &["--dry-run"]].concat()).expect(3).says("none.xedge");
    ran(&line).expect(3).says("none.xedge");
}
