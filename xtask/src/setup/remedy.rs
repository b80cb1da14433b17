//! How each missing thing is got on each system, as commands. Pure; runs nothing.

use xedge_model::Platform;

use super::binfmt;
use super::machine::{Engine, Family, Machine, Privilege, Trait};
use super::need::{Need, has_runtime};
use super::python;

/// How one missing thing is got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remedy {
    /// Packages of the system's package manager.
    pub(super) packages: Vec<String>,
    /// Exact commands after the packages; a line that starts with `#` is advice.
    pub(super) then: Vec<String>,
    /// Whether this is a decision of the person, even where `setup` may install.
    pub(super) by_hand: bool,
}

impl Remedy {
    fn packages(names: &[&str]) -> Self {
        Self { packages: names.iter().map(|name| (*name).to_owned()).collect(), ..Self::default() }
    }

    fn then(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.then.extend(commands);
        self
    }

    fn by_hand(commands: impl IntoIterator<Item = String>) -> Self {
        Self { by_hand: true, ..Self::default() }.then(commands)
    }

    /// All commands of this remedy alone, as `doctor` shows them.
    pub(super) fn commands(&self, machine: &Machine) -> Vec<String> {
        let mut commands = prepare_commands(machine, &self.packages);
        commands.extend(install_command(machine, &self.packages));
        commands.extend(self.then.iter().cloned());
        commands
    }
}

/// How `need` is got on `machine`.
pub(super) fn remedy(machine: &Machine, need: Need) -> Remedy {
    match (need, machine.system.family) {
        (Need::Engine, _) => engine(machine),
        (Need::RustTarget(platform), Family::Debian) => debian_rust(machine, platform),
        (Need::RustTarget(platform), _) => Remedy::by_hand(rustup_target(machine, platform)),
        (Need::Linker(platform), family) => linker(machine, family, platform),
        (Need::Emulation(platform), family) => emulation(machine, family, platform),
        (Need::EnginePorts, _) => share_network(),
        (Need::PythonTools, family) => python_tools(machine, family),
        (Need::Registry | Need::Htpasswd | Need::Openssl, family) => test_program(need, family),
        (Need::Rustfmt, _) => component(machine, "rustfmt"),
        (Need::Clippy, _) => component(machine, "clippy"),
        (Need::Gpgv, Family::Debian | Family::Ubuntu) => Remedy::packages(&["gpgv"]),
        (Need::Gpgv, Family::Fedora) => Remedy::packages(&["gnupg2"]),
        (Need::Gpgv, Family::MacOs) => Remedy::packages(&["gnupg"]),
        (Need::Gpgv, Family::Other) => advice("gpgv (part of GnuPG)"),
        (Need::Certificates, Family::Other) => {
            advice("the certificates of public authorities (ca-certificates)")
        }
        (Need::Certificates, _) => Remedy::packages(&["ca-certificates"]),
        (Need::DebianMirror, _) => name_a_mirror(machine),
        (Need::Runtime, family) => runtime(machine, family),
        (Need::Ssh, Family::Debian | Family::Ubuntu) => Remedy::packages(&["openssh-client"]),
        (Need::Ssh, Family::Fedora) => Remedy::packages(&["openssh-clients"]),
        (Need::Ssh, Family::MacOs) => Remedy::packages(&["openssh"]),
        (Need::Ssh, Family::Other) => advice("ssh and ssh-keygen (OpenSSH's client)"),
        (Need::Podman, Family::Debian | Family::Ubuntu) => Remedy::packages(&PODMAN_PACKAGES),
        (Need::Podman, Family::Fedora) => Remedy::packages(&["podman", "netavark", "aardvark-dns"]),
        (Need::Podman, _) => advice("podman, netavark and aardvark-dns"),
        (Need::Compose, Family::Other) => advice("docker-compose"),
        (Need::Compose, _) => Remedy::packages(&["docker-compose"]),
        // Not `mosquitto`: on Debian and Ubuntu that starts a broker on port 1883.
        (Need::MqttClients, Family::Debian | Family::Ubuntu) => Remedy::packages(&["mosquitto-clients"]),
        (Need::MqttClients, Family::Fedora | Family::MacOs) => Remedy::packages(&["mosquitto"]),
        (Need::MqttClients, Family::Other) => advice("mosquitto_pub and mosquitto_sub"),
    }
}

fn advice(thing: &str) -> Remedy {
    Remedy::by_hand([format!("# install {thing} with this system's package manager")])
}

fn engine(machine: &Machine) -> Remedy {
    match &machine.engine {
        Engine::Up { .. } => Remedy::default(),
        Engine::Denied { at } => denied(machine, at),
        Engine::Elsewhere { at, from } => Remedy::by_hand([
            format!("# start the Engine at {at}, or use the one of this machine:"),
            forget(from).to_owned(),
        ]),
        Engine::Unusable { fix, .. } => Remedy::by_hand(fix.clone()),
        Engine::Down => Remedy::default().then(start_commands(machine)),
        Engine::PodmanIdle => Remedy::by_hand(start_podman(machine)),
        Engine::Absent => install_engine(machine),
    }
}

/// What makes the usual sockets count again.
fn forget(from: &str) -> &'static str {
    if from == "DOCKER_HOST" { "unset DOCKER_HOST" } else { "docker context use default" }
}

/// Who has Podman and no Docker chose it: no second Engine is installed, and where its socket is to be is their decision.
fn start_podman(machine: &Machine) -> Vec<String> {
    let own = machine.privilege == Privilege::Root;
    match (machine.system.family, machine.has(Trait::Systemd)) {
        (Family::MacOs, _) => {
            vec!["podman machine start".to_owned(), "# then set DOCKER_HOST as it says".to_owned()]
        }
        (_, true) if own => vec!["systemctl enable --now podman.socket".to_owned()],
        (_, true) => vec!["systemctl --user enable --now podman.socket".to_owned()],
        (_, false) => {
            let socket = if own { "/run/podman/podman.sock" } else { "$XDG_RUNTIME_DIR/podman/podman.sock" };
            vec![
                "# in a shell of its own, where it stays:".to_owned(),
                format!("mkdir -p \"$(dirname {socket})\" && podman system service --time 0 unix://{socket}"),
            ]
        }
    }
}

/// Podman's system-wide socket is root's alone; every user has one of their own instead.
fn denied(machine: &Machine, at: &str) -> Remedy {
    if at.contains("podman") {
        return Remedy::by_hand(["systemctl --user enable --now podman.socket".to_owned()]);
    }
    Remedy::by_hand(join_docker_group(machine))
}

fn install_engine(machine: &Machine) -> Remedy {
    let packages: &[&str] = match machine.system.family {
        Family::Debian | Family::Ubuntu => &["docker.io"],
        Family::Fedora => &["moby-engine"],
        Family::MacOs => &["colima"],
        Family::Other => return advice("Docker Engine or Podman"),
    };
    let mut remedy = Remedy::packages(packages);
    // The Engine refuses to start containers where the kernel enforces AppArmor and its parser is missing; docker.io
    // only recommends it.
    if machine.has(Trait::AppArmor) && !machine.programs.contains("apparmor_parser") {
        remedy.packages.push("apparmor".to_owned());
    }
    remedy.then(start_commands(machine))
}

/// Where this process runs is not ours to change.
fn share_network() -> Remedy {
    Remedy::by_hand(
        [
            "# in GitHub Actions: run the job on the runner itself, without `container:`",
            "# elsewhere: give this container the network of the Engine's machine: `docker run --network host …`",
        ]
        .map(str::to_owned),
    )
}

/// Which mirror to take is the person's choice, and no mirror's name stands in xedge.
fn name_a_mirror(machine: &Machine) -> Remedy {
    Remedy::by_hand([
        "# name a mirror near you for every project of this user, in place of HOST:".to_owned(),
        format!("printf 'format: 1\\ndebian_mirror: http://HOST/debian\\n' >'{}'", machine.config),
        "# or in this shell alone:".to_owned(),
        "export XEDGE_DEBIAN_MIRROR=http://HOST/debian".to_owned(),
    ])
}

/// Where runc is there, as with Docker's Engine, it will do.
fn runtime(machine: &Machine, family: Family) -> Remedy {
    let ip = if family == Family::Fedora { "iproute" } else { "iproute2" };
    let names = [("crun", has_runtime(machine)), (ip, machine.programs.contains("ip"))];
    let missing: Vec<&str> = names.into_iter().filter_map(|(name, there)| (!there).then_some(name)).collect();
    match family {
        Family::Other => advice(&missing.join(" and ")),
        _ => Remedy::packages(&missing),
    }
}

/// Podman with what it needs for networks, and for users without root.
const PODMAN_PACKAGES: [&str; 8] = [
    PODMAN_PACKAGE,
    "crun",
    "netavark",
    "aardvark-dns",
    "iptables",
    "uidmap",
    "slirp4netns",
    "fuse-overlayfs",
];

/// Debian's and Ubuntu's packages that bring services with them.
pub(super) const REGISTRY_PACKAGE: &str = "docker-registry";
pub(super) const PODMAN_PACKAGE: &str = "podman";

/// Stops the services that come with [`REGISTRY_PACKAGE`], and keeps them from the next start of the machine.
pub(super) fn stop_registry(machine: &Machine) -> String {
    machine.as_root(if machine.has(Trait::Systemd) {
        "systemctl disable --now docker-registry"
    } else {
        "sh -c 'service docker-registry stop; update-rc.d docker-registry disable'"
    })
}

/// The same for [`PODMAN_PACKAGE`], whose services only systemd starts.
pub(super) fn stop_podman(machine: &Machine) -> Option<String> {
    let services = "podman.socket podman.service podman-restart.service podman-auto-update.timer";
    machine.has(Trait::Systemd).then(|| machine.as_root(&format!("systemctl disable --now {services}")))
}

fn test_program(need: Need, family: Family) -> Remedy {
    match (need, family) {
        (Need::Registry, Family::Debian | Family::Ubuntu) => Remedy::packages(&[REGISTRY_PACKAGE]),
        (Need::Registry, _) => advice("the registry of CNCF Distribution, named docker-registry,"),
        (Need::Htpasswd, Family::Debian | Family::Ubuntu) => Remedy::packages(&["apache2-utils"]),
        (Need::Htpasswd, Family::Fedora) => Remedy::packages(&["httpd-tools"]),
        (Need::Htpasswd, Family::MacOs) => Remedy::packages(&["httpd"]),
        (_, Family::Other) => advice(&need.to_string()),
        (_, _) => Remedy::packages(&["openssl"]),
    }
}

fn python_tools(machine: &Machine, family: Family) -> Remedy {
    let packages: &[&str] = match family {
        _ if machine.has(Trait::PythonVenv) => &[],
        Family::Debian | Family::Ubuntu => &["python3-venv"],
        Family::Fedora => &["python3"],
        Family::MacOs => &["python"],
        Family::Other => {
            let advice = "# install Python 3 with this system's package manager, then".to_owned();
            return Remedy::by_hand([advice].into_iter().chain(python::commands()));
        }
    };
    Remedy::packages(packages).then(python::commands())
}

/// A member of the group `docker` is as good as root, so this is the person's own decision.
pub(super) fn join_docker_group(machine: &Machine) -> Vec<String> {
    vec![machine.as_root("usermod -aG docker \"$(id -un)\""), "# then log out and in again".to_owned()]
}

/// Starts an installed Engine.
pub(super) fn start_commands(machine: &Machine) -> Vec<String> {
    match (machine.system.family, machine.has(Trait::Systemd)) {
        (Family::MacOs, _) if machine.engine == Engine::Down => vec!["open -a Docker".to_owned()],
        (Family::MacOs, _) => vec!["colima start".to_owned()],
        (Family::Fedora, true) => vec![machine.as_root("systemctl enable --now docker")],
        (_, true) => vec![machine.as_root("systemctl start docker")],
        // Debian's init script raises the limit of open files first, and gives up where a container forbids it; the
        // daemon itself runs with what there is.
        (_, false) => vec![machine.as_root(&format!(
            "sh -c 'service docker start || {{ setsid dockerd >>{ENGINE_LOG} 2>&1 </dev/null & }}'"
        ))],
    }
}

/// Where the Engine writes where systemd does not collect it.
pub(super) const ENGINE_LOG: &str = "/var/log/docker.log";

fn linker(machine: &Machine, family: Family, platform: Platform) -> Remedy {
    let native = machine.platform == Some(platform);
    let names: &[&str] = match (family, native, platform) {
        (Family::Debian | Family::Ubuntu, true, _) => &["gcc", "libc6-dev"],
        (Family::Debian | Family::Ubuntu, false, Platform::LinuxArm64) => {
            &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]
        }
        (Family::Debian | Family::Ubuntu, false, Platform::LinuxArmV7) => {
            &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"]
        }
        (Family::Debian | Family::Ubuntu, false, Platform::LinuxAmd64) => {
            &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"]
        }
        (Family::Fedora, true, _) => &["gcc", "glibc-static"],
        (Family::MacOs, _, Platform::LinuxArm64) => {
            &["messense/macos-cross-toolchains/aarch64-unknown-linux-gnu"]
        }
        (Family::MacOs, _, Platform::LinuxArmV7) => {
            &["messense/macos-cross-toolchains/armv7-unknown-linux-gnueabihf"]
        }
        (Family::MacOs, _, Platform::LinuxAmd64) => {
            &["messense/macos-cross-toolchains/x86_64-unknown-linux-gnu"]
        }
        // Fedora's cross compilers come without a libc to link with.
        (Family::Fedora | Family::Other, _, _) => return in_a_container(platform),
    };
    Remedy::packages(names)
}

fn in_a_container(platform: Platform) -> Remedy {
    Remedy::by_hand([
        format!(
            "# this system has no packaged C compiler and static libc for {platform}: build in a Debian container,"
        ),
        "docker run --rm -it -v \"$PWD\":/work -w /work debian:12".to_owned(),
        "# and in there, after rustup (https://rustup.rs): cargo xtask setup".to_owned(),
    ])
}

/// Debian's own compiler, unless that would get in the way of another one.
///
/// rustc-web conflicts with Debian's packages `rustc` and `rustup`; a rustup from its own site lives below the home
/// folder and is no package. rustc-web brings `/usr/bin/rustc` and no cargo: nothing changes for a person whose `PATH`
/// has `~/.cargo/bin` first, and where it has not, the choice is theirs.
fn debian_rust(machine: &Machine, platform: Platform) -> Remedy {
    if machine.system.major.is_none_or(|major| major < 12) {
        return Remedy::by_hand(rustup_target(machine, platform));
    }
    let rival = ["rustc", "rustup"].into_iter().find(|name| machine.packages.contains(*name));
    match rival {
        Some("rustc") => Remedy::by_hand([
            "# Debian's package rustc is in the way of rustc-web and is not removed for you: either use rustup,".into(),
            format!("rustup target add {}", platform.rust_target()),
            "# or let rustc-web and cargo-web take its place:".into(),
            machine.as_root(&format!("apt-get install rustc-web cargo-web libstd-rust-web-dev:{}", platform.debian())),
        ]),
        Some(_) => Remedy::by_hand(rustup_target(machine, platform)),
        None if machine.has(Trait::UsrBinFirst) => Remedy::by_hand(
            ["# /usr/bin comes before your rustc in PATH, so Debian's rustc-web would hide it; use rustup:".to_owned()]
                .into_iter()
                .chain(rustup_target(machine, platform)),
        ),
        None if machine.platform == Some(platform) => Remedy::packages(&["rustc-web"]),
        None => {
            let library = format!("libstd-rust-web-dev:{}", platform.debian());
            Remedy::packages(&["rustc-web", &library])
        }
    }
}

fn rustup_target(machine: &Machine, platform: Platform) -> Vec<String> {
    let add = format!("rustup target add {}", platform.rust_target());
    if machine.has_rustup() {
        vec![add]
    } else {
        vec!["# install rustup (https://rustup.rs), then".to_owned(), add]
    }
}

fn emulation(machine: &Machine, family: Family, platform: Platform) -> Remedy {
    let package = match family {
        Family::Debian | Family::Ubuntu => "qemu-user-static",
        // Fedora's package is named for one emulator, and systemd registers it.
        Family::Fedora => match platform {
            Platform::LinuxAmd64 => "qemu-user-static-x86",
            Platform::LinuxArm64 => "qemu-user-static-aarch64",
            Platform::LinuxArmV7 => "qemu-user-static-arm",
        },
        Family::MacOs => return Remedy::default(),
        Family::Other => return advice("QEMU's static user-mode emulators (qemu-user-static)"),
    };
    let packages: &[&str] =
        if machine.programs.contains(binfmt::emulator(platform)) { &[] } else { &[package] };
    let register = if machine.has(Trait::Systemd) {
        vec![machine.as_root("systemctl restart systemd-binfmt")]
    } else {
        binfmt::register_commands(platform).iter().map(|command| machine.as_root(command)).collect()
    };
    Remedy::packages(packages).then(register)
}

fn component(machine: &Machine, name: &str) -> Remedy {
    if machine.has_rustup() {
        return Remedy::default().then([format!("rustup component add {name}")]);
    }
    match (machine.system.family, name) {
        (Family::Debian, "rustfmt") => Remedy::packages(&["rustfmt-web"]),
        _ => Remedy::by_hand([
            "# install rustup (https://rustup.rs), then".to_owned(),
            format!("rustup component add {name}"),
        ]),
    }
}

/// What must be done before `packages` can be installed; empty without packages.
pub(super) fn prepare_commands(machine: &Machine, packages: &[String]) -> Vec<String> {
    let apt = matches!(machine.system.family, Family::Debian | Family::Ubuntu);
    if packages.is_empty() || !apt {
        return Vec::new();
    }
    let mut commands: Vec<String> = Platform::ALL
        .into_iter()
        .map(Platform::debian)
        .filter(|arch| packages.iter().any(|name| name.ends_with(&format!(":{arch}"))))
        .filter(|arch| !machine.foreign.contains(*arch))
        .map(|arch| machine.as_root(&format!("dpkg --add-architecture {arch}")))
        .collect();
    commands.push(machine.as_root("apt-get update"));
    commands
}

/// The one command that installs `packages`; `None` without packages.
pub(super) fn install_command(machine: &Machine, packages: &[String]) -> Option<String> {
    if packages.is_empty() {
        return None;
    }
    let names = packages.join(" ");
    Some(match machine.system.family {
        // `--no-remove`: what this machine has is not ours to take away; a conflict is an error that says so.
        Family::Debian | Family::Ubuntu => machine.as_root(&format!(
            "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove \
             -o DPkg::Lock::Timeout=120 {names}"
        )),
        Family::Fedora => machine.as_root(&format!("dnf install -y {names}")),
        Family::MacOs => format!("brew install {names}"),
        Family::Other => format!("# install {names}"),
    })
}
