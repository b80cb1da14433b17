//! The plan as a table of machines, and the probe on machines made of files and small scripts.

mod discover;
mod elsewhere;
mod looks;
mod plans;

use std::collections::{BTreeMap, BTreeSet};

use xedge_model::Platform;

use super::machine::{Engine, Family, Machine, Privilege, RustFrom, System, Trait};

/// A machine with everything that xedge uses.
fn complete() -> Machine {
    Machine {
        system: System {
            family: Family::Debian,
            name: "Debian GNU/Linux 12 (bookworm)".into(),
            major: Some(12),
        },
        platform: Some(Platform::LinuxAmd64),
        wanted: Platform::USUAL.into(),
        privilege: Privilege::Root,
        traits: BTreeSet::from([
            Trait::Systemd,
            Trait::Certificates,
            Trait::Rustfmt,
            Trait::Clippy,
            Trait::PythonVenv,
            Trait::PythonTools,
            Trait::DebianMirror,
        ]),
        engine: up(),
        config: "/home/u/.local/share/xedge/config.yaml".to_owned(),
        packages: BTreeSet::new(),
        foreign: BTreeSet::new(),
        origins: BTreeSet::from(["Debian".to_owned()]),
        programs: [
            "aardvark-dns",
            "crun",
            "docker-compose",
            "docker-registry",
            "gpgv",
            "htpasswd",
            "ip",
            "netavark",
            "podman",
            "mosquitto_pub",
            "mosquitto_sub",
            "openssl",
            "rustup",
            "ssh",
            "ssh-keygen",
        ]
        .map(str::to_owned)
        .into_iter()
        .collect(),
        linkers: Platform::USUAL.into_iter().map(|platform| (platform, "cc".to_owned())).collect(),
        rust: Platform::USUAL.into_iter().map(|platform| (platform, RustFrom::Path)).collect(),
        emulated: Platform::USUAL.into_iter().collect(),
    }
}

fn up() -> Engine {
    Engine::Up {
        at: "/var/run/docker.sock".to_owned(),
        product: "Docker".to_owned(),
        version: "20.10.24".to_owned(),
        from: "the usual socket of Docker".to_owned(),
    }
}

/// A machine as its installer leaves it, with the rustup that runs us and root's rights.
fn fresh() -> Machine {
    Machine {
        engine: Engine::Absent,
        traits: BTreeSet::from([Trait::Systemd, Trait::Rustfmt, Trait::Clippy, Trait::DebianMirror]),
        programs: BTreeSet::from(["rustup".to_owned()]),
        linkers: BTreeMap::new(),
        rust: BTreeMap::from([(Platform::LinuxAmd64, RustFrom::Path)]),
        emulated: BTreeSet::new(),
        ..complete()
    }
}
