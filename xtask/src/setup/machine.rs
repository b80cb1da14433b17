//! What the probe saw, as plain data. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use xedge_model::Platform;

/// The facts about this machine that a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The operating system.
    pub system: System,
    /// The platform of native containers; `None` where nothing runs natively (macOS, other architectures).
    pub platform: Option<Platform>,
    /// The platforms that it is to build for and simulate.
    pub wanted: BTreeSet<Platform>,
    /// What we may change.
    pub privilege: Privilege,
    /// What is true of it.
    pub traits: BTreeSet<Trait>,
    /// The container engine.
    pub engine: Engine,
    /// Debian packages that are installed, by name without architecture.
    pub packages: BTreeSet<String>,
    /// `dpkg`'s foreign architectures.
    pub foreign: BTreeSet<String>,
    /// The user's `config.yaml`, whether or not it is there.
    pub config: String,
    /// Origins of the apt lists, such as `Debian`; empty where they were never fetched.
    pub origins: BTreeSet<String>,
    /// The programs that were looked for and found on `PATH`.
    pub programs: BTreeSet<String>,
    /// C compilers that can link a static program, by the platform that they link for.
    pub linkers: BTreeMap<Platform, String>,
    /// Whose Rust compiler has a standard library for each platform.
    pub rust: BTreeMap<Platform, RustFrom>,
    /// Foreign platforms whose programs the kernel starts, also in containers.
    pub emulated: BTreeSet<Platform>,
}

/// What may be true of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trait {
    /// systemd is the running init.
    Systemd,
    /// It is the Windows Subsystem for Linux.
    Wsl,
    /// It is itself a container.
    Container,
    /// The kernel enforces `AppArmor`: the Engine then needs `apparmor_parser`.
    AppArmor,
    /// Certificates of public authorities are where TLS looks for them.
    Certificates,
    /// A `/usr/bin/rustc` would hide the rustc in use, by the order of `PATH`.
    UsrBinFirst,
    /// `cargo fmt` works.
    Rustfmt,
    /// `cargo clippy` works.
    Clippy,
    /// `python3` can make virtual environments.
    PythonVenv,
    /// The project has the Python tools of its tests, in the pinned versions.
    PythonTools,
    /// A mirror of Debian's archive is named, by the user or by apt's sources.
    DebianMirror,
    /// The Engine publishes ports on another loopback than ours.
    EngineElsewhere,
}

/// The operating system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct System {
    /// Which commands it understands.
    pub family: Family,
    /// The name for people, `PRETTY_NAME` of os-release.
    pub name: String,
    /// The major version, where there is one.
    pub major: Option<u32>,
}

/// Systems by their package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Debian itself: the only system that `setup` changes.
    Debian,
    /// Ubuntu and others with apt.
    Ubuntu,
    /// Fedora and others with dnf.
    Fedora,
    /// macOS with Homebrew.
    MacOs,
    /// Everything else.
    Other,
}

/// What we may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privilege {
    /// Everything.
    Root,
    /// Everything through sudo, which may ask for a password at the terminal.
    Sudo,
    /// Our own files.
    None,
}

/// The state of the container engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Engine {
    /// It answers.
    Up {
        /// Socket or address.
        at: String,
        /// `Docker` or `Podman`.
        product: String,
        /// Its version, such as `20.10.24`.
        version: String,
        /// Why this one: who named it, or which usual socket it is.
        from: String,
    },
    /// There is one, but this user may not speak to it.
    Denied {
        /// The socket.
        at: String,
    },
    /// Somebody named a place that does not answer.
    Elsewhere {
        /// Socket or address.
        at: String,
        /// Who named it.
        from: String,
    },
    /// What is named cannot be read, or is reached in a way that xedge does not speak.
    Unusable {
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: Vec<String>,
    },
    /// It is installed and does not run.
    Down,
    /// Podman is installed, nothing of Docker's is, and no socket of Podman's answers.
    PodmanIdle,
    /// There is none.
    Absent,
}

/// Whose compiler builds for a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RustFrom {
    /// The rustc on `PATH`: with rustup, the toolchain that the project pins.
    Path,
    /// Debian's `/usr/bin/rustc`.
    Debian,
}

impl Machine {
    /// Whether this is true of it.
    pub fn has(&self, what: Trait) -> bool {
        self.traits.contains(&what)
    }

    /// Whether rustup manages the Rust in use.
    pub fn has_rustup(&self) -> bool {
        self.programs.contains("rustup")
    }

    /// Whether `setup` may install packages here itself; elsewhere it names the commands.
    pub fn is_ours_to_change(&self) -> bool {
        let suite =
            self.system.family == Family::Debian && self.system.major.is_some_and(|major| major >= 12);
        // No lists yet is a fresh machine; lists without Debian's are somebody else's archive under Debian's name.
        let archive = self.origins.is_empty() || self.origins.contains("Debian");
        suite && archive && !self.has(Trait::Wsl) && self.privilege != Privilege::None
    }

    /// Whether the kernel is Linux, so that containers share it.
    pub fn is_linux(&self) -> bool {
        self.system.family != Family::MacOs
    }

    /// The wanted platforms that are not this machine's own.
    pub fn foreign_platforms(&self) -> impl Iterator<Item = Platform> + '_ {
        self.wanted.iter().copied().filter(|platform| Some(*platform) != self.platform)
    }

    /// The command as this user must type it for it to run as root.
    pub fn as_root(&self, command: &str) -> String {
        match self.privilege {
            Privilege::Root => command.to_owned(),
            Privilege::Sudo | Privilege::None => format!("sudo {command}"),
        }
    }
}
