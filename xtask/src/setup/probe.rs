//! Looks at the machine: files, sockets and outside commands with nothing on their standard input. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use xedge_model::Platform;
use xshell::Shell;

use super::machine::{Engine, Family, Machine, Privilege, RustFrom, System, Trait};
use super::{Error, Surroundings, binfmt, engine, loopback, packages, python, toolchain};

/// The programs whose presence a plan depends on.
const PROGRAMS: [&str; 17] = [
    "aardvark-dns",
    "apparmor_parser",
    "crun",
    "docker-compose",
    "docker-registry",
    "gpgv",
    "htpasswd",
    "ip",
    "mosquitto_pub",
    "mosquitto_sub",
    "netavark",
    "openssl",
    "podman",
    "runc",
    "rustup",
    "ssh",
    "ssh-keygen",
];

/// Where programs lie beside the folders of `PATH`: the system's own, which are not on every user's, and those that
/// Podman starts (Debian and Fedora).
const OTHER_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/lib/podman", "/usr/libexec/podman"];

/// Where TLS libraries look for the certificates of public authorities (Debian and Fedora).
const CERTIFICATES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Looks at everything that a plan depends on.
pub fn probe(around: &Surroundings) -> Result<Machine, Error> {
    let sh = around.shell()?;
    let system = system(around);
    let dpkg = matches!(system.family, Family::Debian | Family::Ubuntu);
    let ask = |command: &[&str]| if dpkg { output(&sh, command).unwrap_or_default() } else { String::new() };
    let platform = native(around);
    let engine = engine(around);
    let mut traits = traits(around, &sh, system.family);
    if matches!(&engine, Engine::Up { at, .. } if loopback::is_elsewhere(around, at)) {
        traits.insert(Trait::EngineElsewhere);
    }
    Ok(Machine {
        platform,
        wanted: around.wanted.clone(),
        privilege: privilege(around, &sh),
        traits,
        engine,
        config: around.config.to_string(),
        packages: packages::installed(&ask(&["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"])),
        foreign: ask(&["dpkg", "--print-foreign-architectures"])
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        origins: packages::origins(&ask(&["apt-cache", "policy"])),
        programs: programs(around),
        linkers: linkers(around, &sh, platform),
        rust: rust(around, &sh),
        emulated: around
            .wanted
            .iter()
            .copied()
            .filter(|platform| binfmt::starts(around, *platform))
            .collect(),
        system,
    })
}

/// Only the state of the container engine: for waiting until it answers.
pub(super) fn engine(around: &Surroundings) -> Engine {
    engine::look(around)
}

/// The standard output of a command that ended well.
pub(super) fn output(sh: &Shell, command: &[&str]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = sh.cmd(program).args(arguments).quiet().ignore_status().output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn system(around: &Surroundings) -> System {
    if around.os == "macos" {
        return System { family: Family::MacOs, name: "macOS".to_owned(), major: None };
    }
    let text = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|file| read(around, file));
    packages::system_of(&text.unwrap_or_default())
}

/// The platform of native containers and native builds.
pub(super) fn native(around: &Surroundings) -> Option<Platform> {
    Platform::of_machine(&around.arch).filter(|_| around.os == "linux")
}

fn privilege(around: &Surroundings, sh: &Shell) -> Privilege {
    if output(sh, &["id", "-u"]).is_some_and(|id| id.trim() == "0") {
        return Privilege::Root;
    }
    // `sudo -n` fails both for who needs a password and for who may do nothing; the groups tell these apart.
    let groups = output(sh, &["id", "-Gn"]).unwrap_or_default();
    let member = groups.split_whitespace().any(|group| ["sudo", "wheel", "admin"].contains(&group));
    let may = around.which("sudo").is_some() && (member || output(sh, &["sudo", "-n", "true"]).is_some());
    if may { Privilege::Sudo } else { Privilege::None }
}

pub(super) fn is_container(around: &Surroundings) -> bool {
    let marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|file| around.file(file).exists());
    marked
        || read(around, "/proc/1/environ")
            .is_some_and(|env| env.split('\0').any(|v| v.starts_with("container=")))
}

fn programs(around: &Surroundings) -> BTreeSet<String> {
    let found = |name: &str| {
        around.which(name).is_some()
            || OTHER_FOLDERS.iter().any(|folder| around.file(folder).join(name).exists())
    };
    let mut programs: BTreeSet<String> =
        PROGRAMS.iter().filter(|name| found(name)).map(|name| (*name).to_owned()).collect();
    let described = around.wanted.iter().copied().filter(|platform| binfmt::is_described(around, *platform));
    programs.extend(described.map(|platform| binfmt::emulator(platform).to_owned()));
    programs
}

fn linkers(around: &Surroundings, sh: &Shell, native: Option<Platform>) -> BTreeMap<Platform, String> {
    let linker = |platform| toolchain::static_linker(around, sh, platform, native == Some(platform));
    around.wanted.iter().copied().filter_map(|platform| Some((platform, linker(platform)?))).collect()
}

fn rust(around: &Surroundings, sh: &Shell) -> BTreeMap<Platform, RustFrom> {
    let from = |platform| match toolchain::path_rustc(sh, platform) {
        Some(_) => Some(RustFrom::Path),
        None => toolchain::debian_rustc(around, sh, platform).is_ok().then_some(RustFrom::Debian),
    };
    around.wanted.iter().copied().filter_map(|platform| Some((platform, from(platform)?))).collect()
}

fn traits(around: &Surroundings, sh: &Shell, family: Family) -> BTreeSet<Trait> {
    // macOS keeps the certificates in its keychain.
    let certificates = family == Family::MacOs || CERTIFICATES.iter().any(|file| around.file(file).exists());
    [
        (Trait::Systemd, around.file("/run/systemd/system").is_dir()),
        (Trait::Wsl, says(around, "/proc/sys/kernel/osrelease", "microsoft")),
        (Trait::Container, is_container(around)),
        (Trait::AppArmor, says(around, "/sys/module/apparmor/parameters/enabled", "y")),
        (Trait::Certificates, certificates),
        (Trait::UsrBinFirst, hidden_by_usr_bin(around)),
        (Trait::Rustfmt, output(sh, &["cargo", "fmt", "--version"]).is_some()),
        (Trait::Clippy, output(sh, &["cargo", "clippy", "--version"]).is_some()),
        (Trait::PythonVenv, output(sh, &["python3", "-c", "import ensurepip, venv"]).is_some()),
        (Trait::PythonTools, python::is_there(around)),
        (Trait::DebianMirror, around.mirror_named || apt_names_a_mirror(around)),
    ]
    .into_iter()
    .filter_map(|(name, holds)| holds.then_some(name))
    .collect()
}

/// Whether packages of every pocket can be fetched from apt's own sources.
fn apt_names_a_mirror(around: &Surroundings) -> bool {
    let Ok(mirrors) = crate::locks::apt_mirrors(&around.root) else { return false };
    ["stable", "stable-security"].iter().all(|pocket| mirrors.pocket_url(pocket).is_some())
}

/// Whether the rustc in use comes from a folder that stands behind `/usr/bin` in `PATH`.
fn hidden_by_usr_bin(around: &Surroundings) -> bool {
    let place = |wanted: &str| around.folders().position(|folder| folder == wanted);
    let rustc = around.which("rustc");
    match (
        rustc.as_ref().and_then(|file| file.parent()).and_then(|folder| place(folder.as_str())),
        place("/usr/bin"),
    ) {
        (Some(rustc), Some(usr_bin)) => usr_bin < rustc,
        _ => false,
    }
}

pub(super) fn read(around: &Surroundings, path: &str) -> Option<String> {
    // Not every file of /proc is UTF-8.
    fs::read(around.file(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn says(around: &Surroundings, path: &str, word: &str) -> bool {
    read(around, path).is_some_and(|text| text.to_lowercase().contains(word))
}
