//! What is found on devices that are not ready.

use super::*;
use xedge_model::Failure as _;

const GOOD: &str = "Welcome to the device\nkernel=Linux\nmachine=aarch64\nuser=pi\ngroups=pi docker\nclock=1000\napt=yes\nsystemd=yes\n\
    root=sudo\ndocker=yes\nsocket=/var/run/docker.sock\nengine=20.10.24 arm64\nfree=900000\nmemory=yes\nend=yes\n";

fn needs() -> Needs {
    Needs { architectures: vec!["amd64".into(), "arm64".into()], ports: vec![1883], now: 1000 }
}

fn with(changes: &[(&str, Option<&str>)]) -> Vec<Finding> {
    let mut probed = Probed::parse(GOOD);
    for (name, value) in changes {
        match value {
            Some(value) => probed.facts.insert((*name).to_owned(), (*value).to_owned()),
            None => probed.facts.remove(*name),
        };
    }
    probed.findings(&needs())
}

fn one(changes: &[(&str, Option<&str>)]) -> Finding {
    let mut found = with(changes);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_good_device_has_no_problem() {
    assert_eq!(with(&[]), []);
    let probed = Probed::parse(GOOD);
    assert_eq!((probed.architecture(), probed.kernel_architecture()), (Some("arm64"), Some("arm64")));
    assert_eq!(probed.agent(), None);
}

#[test]
fn each_problem_has_its_command() {
    for (changes, what, mend, blocks) in [
        (
            &[("socket", None), ("docker", None), ("engine", None)][..],
            "no container Engine",
            "apt install docker.io",
            true,
        ),
        (&[("socket", None), ("engine", Some(""))], "does not answer", "systemctl enable --now docker", true),
        (&[("engine", Some(""))], "does not answer", "systemctl enable --now docker", true),
        (&[("socket", None), ("docker", None), ("podman", Some("yes"))], "Podman", "podman.socket", true),
        (&[("root", Some("password"))], "needs a password for sudo;", "/etc/sudoers.d/010-pi", true),
        (&[("root", Some("password")), ("groups", Some("pi"))], "not in the group docker", "sudoers", true),
        (&[("root", Some("none"))], "there is no sudo", "apt install sudo", true),
        (
            &[("machine", Some("armv7l")), ("engine", Some("20.10 arm"))],
            "architecture is arm,",
            "uname -m",
            true,
        ),
        (&[("engine", Some("20.10 arm"))], "architecture is arm,", "uname -m", true),
        (
            &[("machine", Some("armv6l")), ("engine", Some("20.10 arm"))],
            "architecture is armv6l,",
            "uname -m",
            true,
        ),
        (&[("kernel", Some("FreeBSD"))], "FreeBSD, not Linux", "uname", true),
        (&[("free", Some("1000"))], "only 1 MB of its disk", "df -h", true),
        (&[("noexec", Some("/var"))], "noexec", "remount,exec /var", true),
        (&[("unwritable", Some("/var/lib"))], "below /var/lib", "mount", true),
        (&[("memory", Some("no"))], "limits no memory", "cgroup_enable=memory cgroup_memory=1", true),
        (&[("memory", Some("no"))], "limits no memory", "GRUB_CMDLINE_LINUX", true),
        (
            &[("root", Some("password")), ("user", Some("a.b"))],
            "a.b needs",
            "tee /etc/sudoers.d/010-a_b",
            true,
        ),
        (&[("root", Some("none"))], "there is no sudo", "su - -c 'apt install sudo", true),
        (
            &[("socket", None), ("docker", Some("podman")), ("podman", Some("yes")), ("engine", None)],
            "Podman is installed",
            "podman.socket",
            true,
        ),
        (
            &[("memory", Some("no")), ("cmdline", Some("/boot/cmdline.txt"))],
            "limits no memory",
            "/boot/cmdline.txt && sudo reboot",
            true,
        ),
        (&[("clock", Some("2000"))], "1000 s ahead", "timedatectl", false),
        (&[("clock", Some("0"))], "1000 s behind", "timedatectl", false),
        (&[("firewall", Some("ufw"))], "port 1883", "sudo ufw allow 1883/tcp", false),
        (&[("firewall", Some("firewalld"))], "port 1883", "--add-port=1883/tcp", false),
    ] {
        let found = one(changes);
        assert!(found.what.contains(what), "{found:?} says `{what}`");
        assert!(found.mend.contains(mend), "{found:?} says `{mend}`");
        assert_eq!(found.blocks, blocks, "{found:?}");
    }
}

#[test]
fn a_release_for_32_bit_arm_goes_to_version_7_alone() {
    let needs = Needs { architectures: vec!["arm".into()], ..needs() };
    let board = |machine: &str| {
        let mut probed = Probed::parse(GOOD);
        probed.facts.extend([("machine".into(), machine.into()), ("engine".into(), "20.10 arm".into())]);
        probed
    };
    for (machine, agent) in [("armv7l", "arm"), ("armv8l", "arm"), ("aarch64", "arm64")] {
        // A 64-bit kernel below a 32-bit system takes the 64-bit agent.
        assert_eq!(board(machine).kernel_architecture(), Some(agent));
        assert_eq!(board(machine).findings(&needs), []);
    }
    let found = board("armv6l").findings(&needs);
    assert_eq!((found.len(), found[0].code), (1, Some(Code::Platform)), "{found:?}");
}

/// A machine of a test: programs in place of the real ones, before the script.
fn script(before: &str) -> Probed {
    let line = format!("{before}\n{SCRIPT}");
    let mut shell = std::process::Command::new("sh");
    let output = shell.args(["-c", &line, "sh", "/nonexistent", "/var/lib/xedge"]).output().expect("a shell");
    Probed::parse(&String::from_utf8_lossy(&output.stdout))
}

#[test]
fn podmans_program_of_dockers_name_is_podman() {
    let shim = "docker() { [ \"$1\" = --version ] && echo podman version 4.3.1; }; podman() { :; }";
    let probed = script(shim);
    assert_eq!(
        (probed.get("docker"), probed.get("engine"), probed.get("end")),
        (Some("podman"), None, Some("yes"))
    );
    let mut probed = Probed::parse(GOOD);
    probed.facts.extend([("docker".into(), "podman".into()), ("podman".into(), "yes".into())]);
    probed.facts.remove("engine");
    assert_eq!(probed.findings(&needs()), []);
}

#[test]
fn ports_of_what_is_installed_are_read_as_the_engine_shows_them() {
    let shown = "0.0.0.0:1883->1883/tcp, :::1883->1883/tcp 0.0.0.0:8000-8001->80-81/tcp, 127.0.0.1:9->9/tcp, [::1]:9->9/tcp, \
                 0.0.0.0:53->53/udp, 80/tcp";
    let mut probed = Probed::parse(GOOD);
    assert_eq!(probed.published(), Vec::<u16>::new());
    probed.facts.insert("published".into(), shown.into());
    assert_eq!(probed.published(), [1883, 8000, 8001]);
}

#[test]
fn what_may_not_run_programs_is_named_as_it_is_mounted() {
    let mounts = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(mounts.path(), "a / ext4 rw 0 0\nb /var ext4 rw,noexec 0 0\nc /var/libx ext4 rw 0 0\n")
        .expect("written");
    let text = SCRIPT.replace("/proc/mounts", mounts.path().to_str().expect("text"));
    let output = std::process::Command::new("sh")
        .args(["-c", &text, "sh", "/nonexistent", "/var/lib/xedge"])
        .output()
        .expect("a shell");
    assert_eq!(Probed::parse(&String::from_utf8_lossy(&output.stdout)).get("noexec"), Some("/var"));
}

#[test]
fn what_a_device_refuses_has_its_code_and_class() {
    for (changes, code, class) in [
        (&[("engine", Some("20.10 arm"))][..], "platform", Class::Integrity),
        (&[("engine", Some(""))], "no-engine", Class::Environment),
        (&[("memory", Some("no"))], "memory-limits", Class::Environment),
        (&[("free", Some("1000"))], "no-space", Class::Environment),
        (&[("free", Some("1000")), ("engine", Some("20.10 arm"))], "platform", Class::Integrity),
    ] {
        let error = Error::Unready { host: "rpi".into(), findings: with(changes) };
        assert_eq!((error.code(), error.class()), (Some(code), class), "{error}");
        assert!(error.to_string().contains(&format!(" [{code}]: `")), "{error}");
    }
    let error = Error::Unready { host: "rpi".into(), findings: with(&[("root", Some("none"))]) };
    assert_eq!((error.code(), error.class()), (None, Class::Environment));
}

#[test]
fn all_problems_come_at_once_and_what_blocks_first() {
    let found = with(&[
        ("clock", Some("2000")),
        ("memory", Some("no")),
        ("free", Some("1")),
        ("root", Some("password")),
        ("socket", None),
        ("docker", None),
        ("engine", None),
        ("firewall", Some("ufw")),
    ]);
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(found.iter().map(|f| f.blocks).collect::<Vec<_>>(), [true, true, true, true, false, false]);
}

#[test]
fn the_script_runs_in_any_posix_shell_and_tells_facts_of_this_machine() {
    let cancel = crate::Cancel::default();
    let local = crate::Local::new(&cancel);
    let place = Place::system();
    let probed = preflight(&local, &place).expect("this machine has a shell");
    assert_eq!(probed.get("kernel"), Some("Linux"));
    assert!(probed.kernel_architecture().is_some(), "{probed:?}");
    let clock: i64 = probed.get("clock").and_then(|clock| clock.parse().ok()).expect("a clock");
    assert!(clock > 1_600_000_000);
    assert!(probed.get("free").is_some_and(|free| free.parse::<u64>().is_ok()), "{probed:?}");
    assert!(matches!(probed.get("memory"), Some("yes" | "no")), "{probed:?}");
    assert!(matches!(probed.get("root"), Some("self" | "sudo" | "none" | "password")), "{probed:?}");
}
