//! A Podman service of a test's own: its socket, images, containers and settings are in a folder that goes with it.

use std::fs;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Podman as it is on machines where neither systemd nor a higher limit of open files is to be had.
const SETTINGS: &str = "
[containers]
default_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]
[engine]
cgroup_manager = \"cgroupfs\"
events_logger = \"file\"
lock_type = \"file\"
";

/// A running service.
pub(crate) struct Podman {
    folder: TempDir,
    service: Child,
}

impl Podman {
    /// Starts one, and waits until it listens.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("podman-").tempdir().unwrap();
        fs::write(folder.path().join("containers.conf"), settings()).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = podman(folder.path());
        command.args(["system", "service", "--time", "0"]).arg(address(folder.path()));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let service = command.spawn().expect("`podman` starts: get it with `cargo xtask setup`");
        let mut podman = Self { folder, service };
        podman.wait();
        podman
    }

    fn wait(&mut self) {
        while !self.listens() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(self.service.try_wait().unwrap().is_none(), "Podman's service ended:\n{log}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn listens(&self) -> bool {
        let stream = UnixStream::connect(self.folder.path().join("podman.sock"));
        stream.is_ok_and(|stream| stream.shutdown(Shutdown::Both).is_ok())
    }

    /// Where it answers, for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        address(self.folder.path())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // What a test that failed left runs on without the service.
        let _ = podman(self.folder.path()).args(["rm", "--all", "--force", "--time", "0"]).output();
        let _ = podman(self.folder.path()).args(["network", "prune", "--force"]).output();
        let _ = kill_process(Pid::from_child(&self.service), Signal::TERM);
        let _ = self.service.wait();
    }
}

/// The runtime that Docker's Engine brings, where there is one: Debian's crun refuses some mixtures of control groups.
fn settings() -> String {
    let runc = ["/usr/bin/runc", "/usr/sbin/runc"].iter().any(|file| Path::new(file).exists());
    let runtime = if runc { "runc" } else { "crun" };
    format!("{SETTINGS}runtime = \"{runtime}\"\n")
}

fn address(folder: &Path) -> String {
    format!("unix://{}/podman.sock", folder.display())
}

/// A command on what is in this folder, and on nothing else.
fn podman(folder: &Path) -> Command {
    let below = |name: &str| folder.join(name);
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", below("containers.conf"));
    // Without the variables of a Podman elsewhere; a plain copy of files works on every file system.
    command.env_remove("CONTAINER_HOST").args(["--storage-driver", "vfs"]);
    command.arg("--root").arg(below("root")).arg("--runroot").arg(below("run"));
    command.arg("--tmpdir").arg(below("tmp")).arg("--network-config-dir").arg(below("networks"));
    command
}
