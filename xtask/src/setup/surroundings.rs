//! What a process is given by its surroundings, as values. Reads nothing itself.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::Platform;
use xshell::Shell;

use super::Error;
use crate::environment::Environment;
use crate::reach::Reach;

/// Everything that the probe and the commands take from outside; tests make their own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The project's root: rustup picks the pinned toolchain by it.
    pub project: Utf8PathBuf,
    /// Where the machine's files are read, `/` outside tests.
    pub root: Utf8PathBuf,
    /// `PATH`, folders separated by colons.
    pub path: String,
    /// `HOME`.
    pub home: Option<Utf8PathBuf>,
    /// `XDG_RUNTIME_DIR`, where rootless Engines put their sockets.
    pub runtime_dir: Option<Utf8PathBuf>,
    /// `DOCKER_HOST`, as it is.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`, which outranks the docker client's configuration.
    pub docker_context: Option<String>,
    /// `DOCKER_CONFIG`, the docker client's folder where it is not `~/.docker`.
    pub docker_config: Option<Utf8PathBuf>,
    /// Whether `DOCKER_TLS_VERIFY` is set: then `DOCKER_HOST` speaks TLS.
    pub docker_tls: bool,
    /// The user's `config.yaml`, whether or not it is there.
    pub config: Utf8PathBuf,
    /// Whether the environment or that file names a mirror of Debian's archive.
    pub mirror_named: bool,
    /// The cargo that runs us (`CARGO`), if one does.
    pub cargo: Option<Utf8PathBuf>,
    /// The platforms that this machine is to build for and simulate.
    pub wanted: BTreeSet<Platform>,
    /// `std::env::consts::OS`.
    pub os: String,
    /// `std::env::consts::ARCH`.
    pub arch: String,
}

impl Surroundings {
    /// Those of this process, for the project at `project`.
    pub fn of(environment: &Environment, project: &Utf8Path) -> Self {
        let path = |name: &str| environment.var(name).map(Utf8PathBuf::from);
        Self {
            project: project.to_owned(),
            root: Utf8PathBuf::from("/"),
            path: environment.var("PATH").unwrap_or_default().to_owned(),
            home: path("HOME"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            docker_host: environment.var("DOCKER_HOST").map(str::to_owned),
            docker_context: environment.var("DOCKER_CONTEXT").map(str::to_owned),
            docker_config: path("DOCKER_CONFIG"),
            docker_tls: environment.var("DOCKER_TLS_VERIFY").is_some(),
            config: crate::reach::file(environment),
            mirror_named: Reach::of(environment).is_ok_and(|reach| reach.mirror.is_some()),
            cargo: path("CARGO"),
            wanted: Platform::USUAL.into(),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }

    /// A shell in the project's root with this `PATH`, that speaks English and downloads no toolchain.
    pub(super) fn shell(&self) -> Result<Shell, Error> {
        let sh = Shell::new().map_err(Error::Shell)?;
        sh.change_dir(&self.project);
        sh.set_var("PATH", &self.path);
        sh.set_var("LC_ALL", "C");
        // A look must not change anything: without this, `rustc` of rustup fetches a pinned toolchain that is missing.
        sh.set_var("RUSTUP_AUTO_INSTALL", "0");
        Ok(sh)
    }

    /// The machine's file or folder with this absolute path.
    pub(super) fn file(&self, path: &str) -> Utf8PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The first program with this name on `PATH`. Relative folders of `PATH` are passed over.
    pub(super) fn which(&self, program: &str) -> Option<Utf8PathBuf> {
        self.folders().map(|folder| folder.join(program)).find(|file| is_program(file))
    }

    /// The absolute folders of `PATH`, in its order.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Utf8Path> {
        self.path.split(':').filter(|folder| folder.starts_with('/')).map(Utf8Path::new)
    }
}

fn is_program(file: &Utf8Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
