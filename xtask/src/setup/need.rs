//! What xedge needs of a machine, which of it is missing, and what that blocks: the text of `doctor`. Pure.

use std::fmt;

use serde::{Serialize, Serializer};
use xedge_model::Platform;

use super::machine::{Engine, Machine, Trait};
use super::python;
use super::remedy::remedy;

/// One thing that xedge uses on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A container engine that answers.
    Engine,
    /// Ports of the engine that are open on this machine's loopback.
    EnginePorts,
    /// `gpgv`.
    Gpgv,
    /// Certificates of public authorities.
    Certificates,
    /// A C compiler and a static libc for a platform.
    Linker(Platform),
    /// A Rust compiler and standard library for a platform.
    RustTarget(Platform),
    /// An emulator for a foreign platform, registered with the kernel.
    Emulation(Platform),
    /// A mirror of Debian's archive: one that the user named, or one of apt's.
    DebianMirror,
    /// crun or runc, and `ip`: what the embedded engine works with.
    Runtime,
    /// `ssh` and `ssh-keygen`.
    Ssh,
    /// Podman with its network programs.
    Podman,
    /// `docker-compose`.
    Compose,
    /// `mosquitto_pub` and `mosquitto_sub`.
    MqttClients,
    /// `docker-registry`.
    Registry,
    /// `htpasswd`.
    Htpasswd,
    /// `openssl`.
    Openssl,
    /// Python programs that read what we sign, and that audit the workflow files.
    PythonTools,
    /// `cargo fmt`.
    Rustfmt,
    /// `cargo clippy`.
    Clippy,
}

/// One thing that is missing, for `doctor` and for the error of a `setup` that could not get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is missing, by a stable name.
    pub need: Need,
    /// What is wrong, as a sentence without a full stop.
    pub what: String,
    /// What it is for.
    pub why: String,
    /// The exact commands that mend it, in order; a line that starts with `#` is advice.
    pub fix: Vec<String>,
    /// The xedge commands that fail without it.
    pub blocks: Vec<String>,
    /// What works without it.
    pub without: String,
    /// Whether xedge's own work can do without it.
    pub optional: bool,
}

impl Need {
    /// Everything that `machine` should have.
    fn all(machine: &Machine) -> Vec<Need> {
        let mut needs = vec![Need::Engine, Need::EnginePorts, Need::Gpgv, Need::Certificates];
        needs.extend(machine.wanted.iter().copied().map(Need::Linker));
        needs.extend(machine.wanted.iter().copied().map(Need::RustTarget));
        // Engines outside Linux run a virtual machine of their own, with emulators that do not show here.
        if machine.is_linux() {
            needs.extend(machine.foreign_platforms().map(Need::Emulation));
        }
        needs.extend([Need::DebianMirror, Need::Ssh]);
        // Both work with the kernel of this machine.
        if machine.is_linux() {
            needs.extend([Need::Runtime, Need::Podman]);
        }
        needs.extend([Need::Compose, Need::MqttClients, Need::Registry, Need::Htpasswd, Need::Openssl]);
        needs.extend([Need::PythonTools, Need::Rustfmt, Need::Clippy]);
        needs
    }

    /// What `machine` lacks, the needed before the optional.
    pub fn missing(machine: &Machine) -> Vec<Need> {
        let mut missing: Vec<Need> =
            Self::all(machine).into_iter().filter(|need| !need.is_met(machine)).collect();
        missing.sort_by_key(|need| need.is_optional());
        missing
    }

    /// Whether `machine` has it.
    pub fn is_met(self, machine: &Machine) -> bool {
        match self {
            Need::Engine => matches!(machine.engine, Engine::Up { .. }),
            Need::EnginePorts => !machine.has(Trait::EngineElsewhere),
            Need::Gpgv => machine.programs.contains("gpgv"),
            Need::Certificates => machine.has(Trait::Certificates),
            Need::Linker(platform) => machine.linkers.contains_key(&platform),
            Need::RustTarget(platform) => machine.rust.contains_key(&platform),
            Need::Emulation(platform) => machine.emulated.contains(&platform),
            Need::DebianMirror => machine.has(Trait::DebianMirror),
            Need::Runtime => has_runtime(machine) && machine.programs.contains("ip"),
            Need::Ssh => ["ssh", "ssh-keygen"].iter().all(|p| machine.programs.contains(*p)),
            Need::Podman => {
                ["podman", "netavark", "aardvark-dns"].iter().all(|p| machine.programs.contains(*p))
            }
            Need::Compose => machine.programs.contains("docker-compose"),
            Need::MqttClients => {
                ["mosquitto_pub", "mosquitto_sub"].iter().all(|p| machine.programs.contains(*p))
            }
            Need::Registry => machine.programs.contains("docker-registry"),
            Need::Htpasswd => machine.programs.contains("htpasswd"),
            Need::Openssl => machine.programs.contains("openssl"),
            Need::PythonTools => machine.has(Trait::PythonTools),
            Need::Rustfmt => machine.has(Trait::Rustfmt),
            Need::Clippy => machine.has(Trait::Clippy),
        }
    }

    /// Whether xedge's own work can do without it.
    pub fn is_optional(self) -> bool {
        match self {
            Need::Engine
            | Need::EnginePorts
            | Need::Gpgv
            | Need::Certificates
            | Need::Linker(_)
            | Need::RustTarget(_) => false,
            Need::Emulation(_)
            | Need::DebianMirror
            | Need::Runtime
            | Need::Ssh
            | Need::Rustfmt
            | Need::Clippy => true,
            _ => self.is_for_tests(),
        }
    }

    /// Whether only the tests use it.
    fn is_for_tests(self) -> bool {
        matches!(
            self,
            Need::Podman
                | Need::Compose
                | Need::MqttClients
                | Need::Registry
                | Need::Htpasswd
                | Need::Openssl
                | Need::PythonTools
        )
    }

    /// What is wrong when it is missing.
    fn what(self, machine: &Machine) -> String {
        match self {
            Need::Engine => engine_trouble(machine),
            Need::EnginePorts => {
                "this is a container with a network of its own: the Engine publishes ports on another loopback".to_owned()
            }
            Need::Gpgv => "gpgv is not installed".to_owned(),
            Need::Certificates => "the certificates of public authorities are not installed".to_owned(),
            Need::Linker(platform) => format!("no C compiler links static programs for {platform}"),
            Need::RustTarget(platform) => format!("no Rust compiler builds for {platform}"),
            Need::Emulation(platform) => format!("containers for {platform} do not run"),
            Need::DebianMirror => "no mirror of Debian's archive is named".to_owned(),
            Need::Runtime => "the embedded engine lacks crun or runc, or `ip`".to_owned(),
            Need::Ssh => "ssh and ssh-keygen are not installed".to_owned(),
            Need::Podman => "podman, netavark or aardvark-dns is not installed".to_owned(),
            Need::Compose => "docker-compose is not installed".to_owned(),
            Need::MqttClients => "mosquitto_pub and mosquitto_sub are not installed".to_owned(),
            Need::Registry => "docker-registry is not installed".to_owned(),
            Need::Htpasswd => "htpasswd is not installed".to_owned(),
            Need::Openssl => "openssl is not installed".to_owned(),
            Need::PythonTools => format!("the Python tools are not in {}", python::FOLDER),
            Need::Rustfmt => "cargo fmt does not work".to_owned(),
            Need::Clippy => "cargo clippy does not work".to_owned(),
        }
    }

    /// What it is for.
    pub fn why(self) -> &'static str {
        match self {
            Need::Engine => "simulation runs the images under test in it",
            Need::EnginePorts => {
                "simulation reaches containers through ports that the Engine opens on loopback"
            }
            Need::Gpgv => "Debian's package index is trusted only after its signature was checked",
            Need::Certificates => "mirrors and registries are reached over TLS",
            Need::Linker(_) => {
                "Rust payloads are linked statically, so that the device's libc does not matter"
            }
            Need::RustTarget(_) => "the gateway and the agent are Rust programs, built for every platform",
            Need::Emulation(_) => {
                "a release is simulated for every platform, emulated where it cannot be native"
            }
            Need::DebianMirror => {
                "images are made of Debian's packages, and apt on this machine has none of them"
            }
            Need::Runtime => "simulation runs containers with them where no Engine answers",
            Need::Ssh => "devices are reached over it, with the settings, keys and jump hosts of this user",
            Need::Podman => "the tests compare its verdicts with those of Docker's Engine",
            Need::Compose => "the tests give rendered Compose files to it",
            Need::MqttClients => "the tests speak to the broker with them",
            Need::Registry => "the tests push to it, as to a registry that is not ours",
            Need::Htpasswd => "the tests make the password file of a registry with it",
            Need::Openssl => "the tests read keys and make certificates with it",
            Need::PythonTools => {
                "the tests read signed metadata with TUF's reference implementation, and audit the workflow files"
            }
            Need::Rustfmt | Need::Clippy => "the lint job of CI runs it",
        }
    }

    /// The xedge commands that fail without it.
    fn blocks(self) -> Vec<String> {
        let platform_build = |platform: Platform| format!("build --platform {platform} (Rust payloads)");
        match self {
            Need::Engine => ["sim --engine docker", "build (dockerfile images)", "build --load", "release"]
                .map(str::to_owned)
                .to_vec(),
            Need::EnginePorts => ["sim", "release"].map(str::to_owned).to_vec(),
            Need::Gpgv => ["lock", "build (without a lock that can be met)"].map(str::to_owned).to_vec(),
            Need::Certificates => ["lock", "push", "release"].map(str::to_owned).to_vec(),
            Need::Linker(platform) | Need::RustTarget(platform) => {
                vec![platform_build(platform), "release".into()]
            }
            Need::DebianMirror => ["lock", "build (Debian packages)"].map(str::to_owned).to_vec(),
            Need::Runtime => vec!["sim --engine embedded".to_owned()],
            Need::Ssh => ["deploy", "device", "ci device"].map(str::to_owned).to_vec(),
            Need::Emulation(platform) => vec![format!("sim: the probe of {platform} images")],
            Need::Rustfmt | Need::Clippy => vec!["ci lint".to_owned()],
            Need::Podman
            | Need::Compose
            | Need::MqttClients
            | Need::Registry
            | Need::Htpasswd
            | Need::Openssl
            | Need::PythonTools => vec!["ci test".to_owned()],
        }
    }

    /// What works without it.
    pub fn without(self) -> &'static str {
        match self {
            Need::Engine => "build, lock, render and image",
            Need::EnginePorts => "build, also with --load, lock, render and image",
            Need::Gpgv => {
                "builds from a lock whose packages are in the store, and everything after the build"
            }
            Need::Certificates => "mirrors over plain http and registries on this machine",
            Need::Linker(_) | Need::RustTarget(_) => "the other platforms, and images without Rust payloads",
            Need::Emulation(_) => {
                "builds for every platform (nothing of an image is run for them); the gate records `not simulated`"
            }
            Need::DebianMirror => {
                "builds whose packages are in the store or in an archive, and all after the build"
            }
            Need::Runtime => "all of xedge, with an Engine",
            Need::Ssh => "everything up to the bundle, which a device also takes from a folder or a registry",
            Need::Podman
            | Need::Compose
            | Need::MqttClients
            | Need::Registry
            | Need::Htpasswd
            | Need::Openssl
            | Need::PythonTools => "all of xedge; only its own tests use it",
            Need::Rustfmt => "all of xedge; only `cargo xtask ci lint` uses it",
            Need::Clippy => {
                "all of xedge; only `cargo xtask ci lint` uses it, and Debian has none of the version of rustc-web"
            }
        }
    }
}

/// Whether a program is there that starts containers from an OCI bundle.
pub(super) fn has_runtime(machine: &Machine) -> bool {
    ["crun", "runc"].iter().any(|name| machine.programs.contains(*name))
}

fn engine_trouble(machine: &Machine) -> String {
    match &machine.engine {
        Engine::Up { at, .. } => format!("the Engine is at {at}"),
        Engine::Denied { at } => format!("this user may not speak to the Engine at {at}"),
        Engine::Elsewhere { at, from } => format!("no Engine answers at {at}, which {from} names"),
        Engine::Unusable { problem, .. } => problem.clone(),
        Engine::Down => "the container Engine is installed but does not run".to_owned(),
        Engine::PodmanIdle => "Podman is installed, and its socket does not answer".to_owned(),
        Engine::Absent => "no container Engine is installed".to_owned(),
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Engine => f.write_str("engine"),
            Need::EnginePorts => f.write_str("engine-ports"),
            Need::Gpgv => f.write_str("gpgv"),
            Need::Certificates => f.write_str("certificates"),
            Need::Linker(platform) => write!(f, "linker-{}", platform.debian()),
            Need::RustTarget(platform) => write!(f, "rust-target-{}", platform.debian()),
            Need::Emulation(platform) => write!(f, "emulation-{}", platform.debian()),
            Need::DebianMirror => f.write_str("debian-mirror"),
            Need::Runtime => f.write_str("oci-runtime"),
            Need::Ssh => f.write_str("ssh"),
            Need::Podman => f.write_str("podman"),
            Need::Compose => f.write_str("compose"),
            Need::MqttClients => f.write_str("mqtt-clients"),
            Need::Registry => f.write_str("registry"),
            Need::Htpasswd => f.write_str("htpasswd"),
            Need::Openssl => f.write_str("openssl"),
            Need::PythonTools => f.write_str("python-tools"),
            Need::Rustfmt => f.write_str("rustfmt"),
            Need::Clippy => f.write_str("clippy"),
        }
    }
}

impl Serialize for Need {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Everything that is wrong with `machine`, the needed before the optional, each with the commands that mend it.
pub fn doctor(machine: &Machine) -> Vec<Problem> {
    Need::missing(machine).into_iter().map(|need| problem(machine, need)).collect()
}

/// One missing need, told in full.
pub(super) fn problem(machine: &Machine, need: Need) -> Problem {
    Problem {
        need,
        what: need.what(machine),
        why: need.why().to_owned(),
        fix: remedy(machine, need).commands(machine),
        blocks: need.blocks(),
        without: need.without().to_owned(),
        optional: need.is_optional(),
    }
}

/// The problems for a person, each with the commands to type.
pub fn render_problems(problems: &[Problem]) -> String {
    let mut lines = Vec::new();
    for problem in problems {
        let optional = if problem.optional { " (optional)" } else { "" };
        lines.push(format!("- {}{optional}", problem.what));
        lines.push(format!("  why: {}", problem.why));
        lines.extend(problem.fix.iter().map(|command| format!("    {command}")));
        lines.push(format!("  blocks: {}", problem.blocks.join(", ")));
        lines.push(format!("  works without it: {}", problem.without));
    }
    lines.push(String::new());
    lines.join("\n")
}
