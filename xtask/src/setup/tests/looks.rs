//! The probe on machines made of files, sockets and small scripts.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::{Failure, Platform};

use super::super::act::{self, Mode, Outcome, Talk};
use super::super::engine::{self, introduction};
use super::super::machine::{Engine, Family, Privilege, RustFrom, Trait};
use super::super::packages::{installed, origins, system_of};
use super::super::toolchain::{at_least, target_toolchain};
use super::super::{Error, Surroundings, binfmt, probe, python};

/// A folder that plays a machine: its files below `root`, its programs in `bin`.
pub(super) struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    pub(super) fn new() -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["root", "bin", "project"] {
            std::fs::create_dir(fake.path(name)).unwrap();
        }
        fake
    }

    pub(super) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    pub(super) fn file(&self, path: &str, text: &str) -> &Self {
        let file = self.path("root").join(path.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        self
    }

    fn python_tools(&self) -> &Self {
        let folder = python::FOLDER;
        for (name, version) in python::PINS {
            let record =
                format!("project/{folder}/lib/python3.11/site-packages/{name}-{version}.dist-info/RECORD");
            self.program(&record, "");
        }
        self.program(&format!("project/{folder}/bin/python"), "")
            .program(&format!("project/{folder}/bin/zizmor"), "")
    }

    /// Written by another process: a file that this one has open for writing while another test starts a program
    /// would be busy when it is run.
    fn program(&self, path: &str, script: &str) -> &Self {
        let file = self.path(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let sh = xshell::Shell::new().unwrap();
        let write = sh.cmd("sh").args(["-c", "cat >\"$0\" && chmod 755 \"$0\"", file.as_str()]).quiet();
        write.stdin(format!("#!/bin/sh\n{script}\n")).run().unwrap();
        self
    }

    /// `PATH` holds only the programs of the test, with the real shell.
    pub(super) fn around(&self) -> Surroundings {
        if !self.path("bin/sh").exists() {
            std::os::unix::fs::symlink("/bin/sh", self.path("bin/sh")).unwrap();
        }
        Surroundings {
            project: self.path("project"),
            root: self.path("root"),
            path: self.path("bin").into_string(),
            home: None,
            runtime_dir: None,
            docker_host: None,
            docker_context: None,
            docker_config: None,
            docker_tls: false,
            config: self.path("home/config.yaml"),
            mirror_named: true,
            cargo: None,
            wanted: Platform::USUAL.into(),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
        }
    }

    /// An Engine that gives one answer to each caller.
    fn engine(&self, answer: &'static [u8]) -> String {
        let socket = self.path("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 512];
                let _length = stream.read(&mut request).unwrap();
                let _sent = stream.write_all(answer);
            }
        });
        format!("unix://{socket}")
    }
}

/// An Engine that gives each question its own answer, and 404 to the others.
pub(super) fn answering(fake: &Fake, answers: Vec<(&'static str, String)>) -> String {
    let socket = fake.path("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).unwrap();
            let asked = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = asked.split(' ').nth(1).unwrap_or_default();
            let answer = match answers.iter().find(|(known, _)| *known == path) {
                Some((_, body)) => format!("HTTP/1.0 200 OK\r\n\r\n{body}"),
                None => "HTTP/1.0 404 Not Found\r\n\r\n{}".to_owned(),
            };
            let _sent = stream.write_all(answer.as_bytes());
        }
    });
    format!("unix://{socket}")
}

const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n\
    {\"Version\":\"20.10.24+dfsg1\",\"ApiVersion\":\"1.41\",\"Os\":\"linux\"}\n";

#[test]
fn an_engine_is_asked_over_its_socket() {
    let fake = Fake::new();
    let around = Surroundings { docker_host: Some(fake.engine(ANSWER)), ..fake.around() };
    let Engine::Up { at, product, version, from } = engine::look(&around) else { panic!() };
    assert_eq!(at, format!("unix://{}", fake.path("engine.sock")));
    assert_eq!((&*product, &*version, &*from), ("Docker", "20.10.24+dfsg1", "DOCKER_HOST"));
}

#[test]
fn a_socket_that_nobody_serves_is_not_an_engine() {
    let fake = Fake::new();
    fake.file("/var/run/docker.sock", "left over");
    assert_eq!(engine::look(&fake.around()), Engine::Absent);
    fake.program("bin/podman", "");
    assert_eq!(engine::look(&fake.around()), Engine::PodmanIdle);
    fake.file("/usr/sbin/dockerd", "");
    assert_eq!(engine::look(&fake.around()), Engine::Down);
    let host = "unix:///nowhere/docker.sock".to_owned();
    let around = Surroundings { docker_host: Some(host.clone()), ..fake.around() };
    assert_eq!(engine::look(&around), Engine::Elsewhere { at: host, from: "DOCKER_HOST".to_owned() });
}

#[test]
fn python_tools_of_another_version_are_missing() {
    let fake = Fake::new();
    assert!(!python::is_there(&fake.around()));
    fake.python_tools();
    assert!(python::is_there(&fake.around()));
    let (name, version) = python::PINS[0];
    let packages = fake.path("project").join(python::FOLDER).join("lib/python3.11/site-packages");
    std::fs::rename(
        packages.join(format!("{name}-{version}.dist-info")),
        packages.join(format!("{name}-0.dist-info")),
    )
    .unwrap();
    assert!(!python::is_there(&fake.around()));
}

#[test]
fn only_an_engines_whole_answer_counts() {
    assert_eq!(introduction(ANSWER).unwrap().version, "20.10.24+dfsg1");
    for length in 0..ANSWER.len() - 2 {
        assert_eq!(introduction(&ANSWER[..length]), None, "cut to {length} bytes");
    }
    for wrong in [
        &b"HTTP/1.0 500 Internal Server Error\r\n\r\n{\"Version\":\"1\",\"ApiVersion\":\"1\"}"[..],
        b"HTTP/1.0 200 OK\r\n\r\n{\"Version\":\"1\"}",
        b"HTTP/1.0 200 OK\r\n\r\n<html>",
        b"\xff\xfe\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        assert_eq!(introduction(wrong), None);
    }
}

#[test]
fn systems_are_told_apart_by_os_release() {
    let system = |text: &str| {
        let system = system_of(text);
        (system.family, system.major)
    };
    assert_eq!(system("ID=debian\nVERSION_ID=\"12\"\n"), (Family::Debian, Some(12)));
    assert_eq!(system("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n"), (Family::Ubuntu, Some(24)));
    assert_eq!(
        system("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=22\n"),
        (Family::Ubuntu, Some(22))
    );
    assert_eq!(system("ID=rocky\nID_LIKE='rhel centos fedora'\nVERSION_ID=9.4"), (Family::Fedora, Some(9)));
    assert_eq!(system("ID=arch\n"), (Family::Other, None));
    assert_eq!(system(""), (Family::Other, None));
    // Debian testing has no VERSION_ID, and a name that only begins like a key is another key.
    assert_eq!(system("VERSION_IDENT=9\nID=debian\n"), (Family::Debian, None));
}

#[test]
fn a_mirror_is_named_by_the_user_or_by_apt() {
    let fake = Fake::new();
    let named = |around: &Surroundings| probe(around).unwrap().has(Trait::DebianMirror);
    let silent = Surroundings { mirror_named: false, ..fake.around() };
    assert!(named(&fake.around()) && !named(&silent));
    let ubuntu = "deb http://ubuntu.example/ubuntu noble main\n";
    fake.file("/etc/apt/sources.list", ubuntu);
    assert!(!named(&silent));
    let debian = "deb http://m.example/debian bookworm main\n";
    fake.file("/etc/apt/sources.list.d/debian.list", debian);
    assert!(!named(&silent), "without the security archive a lock cannot be made");
    let security = "deb http://m.example/debian-security bookworm-security main\n";
    fake.file("/etc/apt/sources.list.d/security.list", security);
    assert!(named(&silent));
}

#[test]
fn packages_that_were_removed_are_not_installed() {
    let listing = "installed gpgv\nconfig-files rustc\nnot-installed docker.io\ninstalled libc6\n";
    assert_eq!(installed(listing).into_iter().collect::<Vec<_>>(), ["gpgv", "libc6"]);
}

#[test]
fn a_mirror_keeps_the_origin_of_its_archive() {
    let policy = " 500 http://mirror.example/debian bookworm/main amd64 Packages\n     \
                  release v=12.11,o=Debian,a=oldstable,n=bookworm,l=Debian,c=main,b=amd64\n     \
                  origin mirror.example\n";
    assert_eq!(origins(policy).into_iter().collect::<Vec<_>>(), ["Debian"]);
    assert!(origins("Package files:\n 100 /var/lib/dpkg/status\n     release a=now\n").is_empty());
}

const ENTRY: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POF\noffset 0\n\
    magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

#[test]
fn an_emulator_counts_where_containers_can_use_it() {
    assert!(binfmt::fits(ENTRY, Platform::LinuxArm64));
    assert!(!binfmt::fits(ENTRY, Platform::LinuxAmd64));
    assert!(!binfmt::fits(&ENTRY.replace("enabled", "disabled"), Platform::LinuxArm64));
    assert!(!binfmt::fits(&ENTRY.replace("POF", "PO"), Platform::LinuxArm64));
    assert!(!binfmt::fits(&ENTRY.replace("b700", "2800"), Platform::LinuxArm64), "32-bit ARM");
    let arm = "7f454c4601010100000000000000000002002800";
    let arm = ENTRY.replace("7f454c460201010000000000000000000200b700", arm);
    assert!(binfmt::fits(&arm, Platform::LinuxArmV7) && !binfmt::fits(&arm, Platform::LinuxArm64));
    assert!(!binfmt::fits(ENTRY, Platform::LinuxArmV7));
    for length in 0..ENTRY.find("b700").unwrap() {
        assert!(!binfmt::fits(&ENTRY[..length], Platform::LinuxArm64), "cut to {length} bytes");
    }
    let fake = Fake::new();
    assert!(!binfmt::starts(&fake.around(), Platform::LinuxArm64));
    fake.file("/proc/sys/fs/binfmt_misc/any-name", ENTRY);
    assert!(binfmt::starts(&fake.around(), Platform::LinuxArm64));
}

/// A Debian machine of scripts: dpkg knows rustc, apt knows Debian's archive.
fn debian() -> Fake {
    let fake = Fake::new();
    fake.file("/etc/os-release", "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian 12\"\n")
        .file("/proc/sys/kernel/osrelease", "6.1.0-37-amd64\n")
        .file("/proc/1/environ", "PATH=/bin\0container=lxc\0")
        .program("bin/id", "case $1 in -u) echo 1000;; *) echo users sudo;; esac")
        .program("bin/sudo", "exit 1")
        .program("bin/dpkg", "echo arm64")
        .program("bin/dpkg-query", "echo 'installed rustc'")
        .program("bin/apt-cache", "echo '     release v=12,o=Debian,a=stable'");
    fake
}

#[test]
fn a_machine_is_read_from_its_files_and_commands() {
    let machine = probe(&debian().around()).unwrap();
    assert_eq!((machine.system.family, machine.system.major), (Family::Debian, Some(12)));
    assert_eq!(machine.platform, Some(Platform::LinuxAmd64));
    assert_eq!(machine.privilege, Privilege::Sudo);
    assert_eq!(machine.traits.into_iter().collect::<Vec<_>>(), [Trait::Container, Trait::DebianMirror]);
    assert!(machine.packages.contains("rustc") && machine.foreign.contains("arm64"));
    assert!(machine.origins.contains("Debian") && machine.programs.is_empty());
    assert!(machine.linkers.is_empty() && machine.rust.is_empty() && machine.emulated.is_empty());
}

#[test]
fn wsl_macos_and_the_lack_of_sudo_are_seen() {
    let fake = debian();
    fake.file("/proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")
        .program("bin/id", "echo 1000");
    let machine = probe(&fake.around()).unwrap();
    assert!(machine.has(Trait::Wsl) && machine.privilege == Privilege::None);
    let mac = Surroundings { os: "macos".to_owned(), arch: "aarch64".to_owned(), ..fake.around() };
    let machine = probe(&mac).unwrap();
    assert_eq!((machine.system.family, machine.platform), (Family::MacOs, None));
    assert!(machine.packages.is_empty(), "macOS has no dpkg that counts");
}

/// Compilers of scripts: `rustc` on `PATH` has the amd64 library only, Debian's has arm64's and says `version`.
fn compilers(version: &str) -> Fake {
    let fake = Fake::new();
    let sysroot = fake.path("rustup");
    let rustc = format!("echo {sysroot}; echo {sysroot}/lib/rustlib/$6/lib");
    fake.program("bin/rustc", &rustc)
        .program("rustup/bin/rustc", "echo 'rustc 1.95.0 (59807616e 2026-04-14)'")
        .program("root/usr/bin/rustc", &format!("echo 'rustc {version} (ac68faa20 2026-05-25)'"))
        .file("/libc.a", "")
        .program("bin/cc", &format!("echo {}", fake.path("root/libc.a")))
        .program("bin/aarch64-linux-gnu-gcc", &format!("echo {}", fake.path("root/libc.a")))
        .file("/usr/lib/rustlib/aarch64-unknown-linux-gnu/lib/libstd-1.rlib", "");
    fake.program("rustup/lib/rustlib/x86_64-unknown-linux-gnu/lib/libstd-0.rlib", "");
    fake
}

#[test]
fn each_platform_gets_the_compiler_that_has_its_library() {
    let fake = compilers("1.96.0");
    let native = target_toolchain(Platform::LinuxAmd64, &fake.around()).unwrap();
    assert_eq!((native.from, native.linker.as_str()), (RustFrom::Path, "cc"));
    assert_eq!(native.rustc, fake.path("rustup/bin/rustc"));
    let cross = target_toolchain(Platform::LinuxArm64, &fake.around()).unwrap();
    assert_eq!((cross.from, cross.linker.as_str()), (RustFrom::Debian, "aarch64-linux-gnu-gcc"));
    assert_eq!(cross.version, "rustc 1.96.0 (ac68faa20 2026-05-25)");
    let env = cross.env(&["--remap-path-prefix=/a b=/c"]);
    assert_eq!(env["RUSTC"], fake.path("root/usr/bin/rustc").as_str());
    assert_eq!(env["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"], "aarch64-linux-gnu-gcc");
    assert_eq!(
        env["CARGO_ENCODED_RUSTFLAGS"],
        "-Ctarget-feature=+crt-static\u{1f}--remap-path-prefix=/a b=/c"
    );
}

#[test]
fn the_projects_own_target_is_preferred() {
    let fake = compilers("1.96.0");
    fake.program("rustup/lib/rustlib/aarch64-unknown-linux-gnu/lib/libstd-0.rlib", "");
    let cross = target_toolchain(Platform::LinuxArm64, &fake.around()).unwrap();
    assert_eq!((cross.from, cross.rustc), (RustFrom::Path, fake.path("rustup/bin/rustc")));
}

#[test]
fn what_cannot_build_says_how_to_get_it() {
    let fails = |fake: &Fake| {
        let error = target_toolchain(Platform::LinuxArm64, &fake.around()).unwrap_err();
        assert_eq!(error.class().exit_code(), 1);
        (error.hint().unwrap(), error)
    };
    let (hint, error) = fails(&compilers("1.85.0"));
    assert!(matches!(&error, Error::OldRust { found, .. } if found == "1.85.0"), "{error}");
    assert!(hint.contains("rustup target add aarch64-unknown-linux-gnu"));

    let fake = compilers("1.96.0");
    std::fs::remove_file(fake.path("root/usr/lib/rustlib/aarch64-unknown-linux-gnu/lib/libstd-1.rlib"))
        .unwrap();
    let (hint, error) = fails(&fake);
    assert!(matches!(error, Error::NoRustTarget { .. }) && hint.ends_with("`cargo xtask setup`"), "{error}");

    // A cross compiler without its static libc answers with the bare name.
    let fake = compilers("1.96.0");
    fake.program("bin/aarch64-linux-gnu-gcc", "echo libc.a");
    let (hint, error) = fails(&fake);
    assert!(matches!(error, Error::NoLinker { .. }) && hint.ends_with("`cargo xtask setup`"), "{error}");

    // What no machine gets unasked.
    let error = target_toolchain(Platform::LinuxArmV7, &fake.around()).unwrap_err();
    assert!(error.to_string().contains("armv7-unknown-linux-gnueabihf"), "{error}");
    assert_eq!(error.hint().unwrap(), "get it with `cargo xtask setup --platform linux/arm/v7`");
}

#[test]
fn the_compiler_of_32_bit_arm_is_the_one_with_hardware_floats() {
    let fake = compilers("1.96.0");
    fake.program("bin/arm-linux-gnueabihf-gcc", &format!("echo {}", fake.path("root/libc.a")))
        .file("/usr/lib/rustlib/armv7-unknown-linux-gnueabihf/lib/libstd-1.rlib", "");
    let cross = target_toolchain(Platform::LinuxArmV7, &fake.around()).unwrap();
    assert_eq!((cross.from, cross.linker.as_str()), (RustFrom::Debian, "arm-linux-gnueabihf-gcc"));
    let linker = "CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER";
    assert_eq!(cross.env(&[])[linker], "arm-linux-gnueabihf-gcc");
}

#[test]
fn versions_are_compared_as_numbers() {
    for (found, enough) in
        [("1.96.0", true), ("1.95.0", true), ("1.9.0", false), ("2.0.0", true), ("", false)]
    {
        assert_eq!(at_least(found, "1.95"), enough, "{found}");
    }
}

/// A Debian machine where root's apt-get plays the installation of gpgv, and everything else is there.
fn lacks_gpgv(fake: &Fake, apt_get: &str) -> Surroundings {
    let library = "rustup/lib/rustlib/aarch64-unknown-linux-gnu/lib/libstd-0.rlib";
    fake.program(library, "")
        .program("bin/id", "echo 0")
        .program("bin/cargo", "")
        .program("bin/docker-compose", "")
        .program("bin/docker-registry", "")
        .program("bin/htpasswd", "")
        .program("bin/openssl", "")
        .program("bin/podman", "")
        .program("bin/crun", "")
        .program("bin/ip", "")
        .program("root/usr/lib/podman/netavark", "")
        .program("root/usr/lib/podman/aardvark-dns", "")
        .program("bin/mosquitto_pub", "")
        .program("bin/mosquitto_sub", "")
        .program("bin/ssh", "")
        .program("bin/ssh-keygen", "")
        .program("bin/dpkg", "")
        .program("bin/dpkg-query", "")
        .program("bin/apt-cache", "")
        .program("bin/env", "shift; exec \"$@\"")
        .program("bin/apt-get", apt_get)
        .python_tools()
        .file("/etc/os-release", "ID=debian\nVERSION_ID=12\n")
        .file("/etc/ssl/certs/ca-certificates.crt", "")
        .file("/proc/sys/fs/binfmt_misc/qemu-aarch64", ENTRY);
    Surroundings { docker_host: Some(fake.engine(ANSWER)), ..fake.around() }
}

fn installs_gpgv(fake: &Fake) -> String {
    let gpgv = fake.path("bin/gpgv");
    format!("test $1 = update && exit 100; : >{gpgv}; /bin/chmod +x {gpgv}")
}

const QUIET: Talk<'static> = Talk { say: &|_| {}, confirm: &|_| panic!("nobody is to be asked") };

#[test]
fn setup_installs_once_and_then_has_nothing_to_do() {
    let fake = compilers("1.96.0");
    let around = lacks_gpgv(&fake, &installs_gpgv(&fake));
    // A source of packages that does not answer is a note: the installation itself decides.
    let Outcome::Done { notes } = act::setup(&around, Mode::Go, &QUIET).unwrap() else { panic!() };
    assert!(notes.iter().any(|note| note.contains("refresh the package lists")), "{notes:?}");
    assert_eq!(act::setup(&around, Mode::Go, &QUIET).unwrap(), Outcome::Complete);
}

#[test]
fn a_check_and_a_no_change_nothing() {
    let fake = compilers("1.96.0");
    let around = lacks_gpgv(&fake, &installs_gpgv(&fake));
    let error = act::setup(&around, Mode::Check, &QUIET).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }) && error.hint().unwrap().contains("cargo xtask setup"));
    let talk = Talk { say: &|_| {}, confirm: &|_| false };
    assert_eq!(act::setup(&around, Mode::Ask, &talk).unwrap(), Outcome::Declined);
    assert!(!fake.path("bin/gpgv").exists());
}

#[test]
fn a_command_that_fails_shows_its_last_lines_and_only_then() {
    let fake = compilers("1.96.0");
    let script = "test $1 = update && exit 0; i=0; while test $i -lt 50; do echo line $i >&2; i=$((i+1)); done; exit 100";
    let around = lacks_gpgv(&fake, script);
    let error = act::setup(&around, Mode::Go, &QUIET).unwrap_err();
    let Error::Command { code: 100, tail, .. } = &error else { panic!("{error}") };
    assert!(tail.starts_with("line 30\n") && tail.ends_with("line 49"), "{tail}");
    assert!(error.to_string().starts_with("failed to install packages: `env DEBIAN_FRONTEND"), "{error}");
}

#[test]
fn an_installation_that_says_yes_and_does_nothing_is_found_out() {
    let fake = compilers("1.96.0");
    let around = lacks_gpgv(&fake, "exit 0");
    let error = act::setup(&around, Mode::Go, &QUIET).unwrap_err();
    assert!(error.to_string().contains("gpgv is not installed"), "{error}");
}
