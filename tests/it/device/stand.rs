//! A device to deploy to: an Engine and an SSH server in a container that can be switched off, and how to reach it.
//!
//! It knows nothing of what is deployed. Everything it makes bears its name and goes when it is dropped.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use xedge_oci::Layout;

/// Says that a container, volume or network is a stand's, and of which process: `PID.START`.
const LABEL: &str = "xedge-test.stand";

/// Everything that an Engine inside of an Engine needs; some hosts cannot give `--privileged`.
const CAPABILITIES: [&str; 13] = [
    "SYS_ADMIN",
    "NET_ADMIN",
    "SYS_PTRACE",
    "SYS_MODULE",
    "SYS_RAWIO",
    "MKNOD",
    "SYSLOG",
    "NET_RAW",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "LINUX_IMMUTABLE",
    "SYS_NICE",
    "SYS_TIME",
];

/// How long a device may take to boot before that is a failure.
const BOOT: Duration = Duration::from_mins(1);

/// What a device is given.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Ports of the device that this machine reaches; 22 is always among them.
    pub ports: Vec<u16>,
    /// A disk of so many MiB instead of all that this machine has.
    pub disk_mib: Option<u32>,
    /// Memory of so many MiB.
    pub memory_mib: Option<u32>,
    /// Not removed by other test processes, and not when dropped.
    pub keep: bool,
}

/// A device that is switched on.
#[derive(Debug)]
pub struct Stand {
    name: String,
    folder: PathBuf,
    ports: Vec<(u16, u16)>,
    keep: bool,
}

impl Stand {
    /// A new device that nobody ever logged in to. `folder` takes its key and SSH settings, `scratch` the image's project.
    pub fn start(xtask: &Path, scratch: &Path, folder: &Path, board: &Board) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let image = image(xtask, scratch);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("xedge-test-{}-{number}", std::process::id());
        let ports = [22].iter().chain(&board.ports).map(|inner| (*inner, free_port())).collect();
        let stand = Self { name, folder: folder.to_owned(), ports, keep: board.keep };
        stand.create(&image, board);
        stand.write_ssh();
        stand.boot();
        stand
    }

    /// The device that an earlier process left on with `keep`.
    #[cfg_attr(test, expect(dead_code, reason = "for devices that are brought up by hand"))]
    pub fn kept(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("name")).expect("a folder that `up` was given");
        let name = text.trim().to_owned();
        Self { name, folder: folder.to_owned(), ports: Vec::new(), keep: true }
    }

    fn create(&self, image: &str, board: &Board) {
        let label =
            format!("{LABEL}={}", if board.keep { "kept".to_owned() } else { whose(std::process::id()) });
        let name = &self.name;
        docker(&["network", "create", "--label", &label, name]);
        let mut arguments: Vec<String> =
            ["create", "--name", name, "--hostname", "device", "--network", name].map(str::to_owned).to_vec();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--label", label.clone());
        for capability in CAPABILITIES {
            option("--cap-add", capability.to_owned());
        }
        for setting in ["seccomp=unconfined", "systempaths=unconfined", "apparmor=unconfined"] {
            option("--security-opt", setting.to_owned());
        }
        // Version 1 of control groups can only be mounted whole from the host's namespace.
        option("--cgroupns", "host".to_owned());
        option("--tmpfs", "/run:exec,mode=755".to_owned());
        let all = [("docker", "/var/lib/docker"), ("xedge", "/var/lib/xedge"), ("disk", "/disk")];
        let volumes = if board.disk_mib.is_some() { &all[2..] } else { &all[..2] };
        for (volume, at) in volumes {
            docker(&["volume", "create", "--label", &label, &format!("{name}-{volume}")]);
            option("--volume", format!("{name}-{volume}:{at}"));
        }
        for (inner, outer) in &self.ports {
            option("--publish", format!("127.0.0.1:{outer}:{inner}"));
        }
        if let Some(mib) = board.memory_mib {
            option("--memory", format!("{mib}m"));
        }
        if let Some(mib) = board.disk_mib {
            option("--env", format!("DISK_MIB={mib}"));
            option("--device", "/dev/loop-control".to_owned());
            option("--device-cgroup-rule", "b 7:* rmw".to_owned());
        }
        arguments.push(image.to_owned());
        docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// A key, a client's settings with the device's own key, and `bin/ssh`, which uses them whoever calls it.
    fn write_ssh(&self) {
        let (folder, key) = (&self.folder, self.folder.join("key"));
        fs::create_dir_all(folder.join("bin")).expect("a folder");
        fs::write(folder.join("name"), &self.name).expect("a written file");
        for (name, options) in [("key", &[][..]), ("host_key", &["-C", "device"])] {
            let _ = fs::remove_file(folder.join(name));
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.join(name))
                .args(options)
                .status();
            assert!(made.expect("`ssh-keygen` starts: `cargo xtask setup`").success(), "no key was made");
        }
        let public = fs::read(folder.join("key.pub")).expect("a key");
        self.put("/etc/ssh/authorized_keys", &public, 0o644);
        for (name, mode) in [("host_key", 0o600), ("host_key.pub", 0o644)] {
            let to = format!("/etc/ssh/ssh_{}", name.replace("_key", "_ed25519_key"));
            self.put(&to, &fs::read(folder.join(name)).expect("a key"), mode);
        }
        let (port, known) = (self.port(22), folder.join("known_hosts"));
        let public = fs::read_to_string(folder.join("host_key.pub")).expect("a key");
        fs::write(&known, format!("[127.0.0.1]:{port} {public}")).expect("a written file");
        let config = format!(
            "Host device\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n",
            key.display(),
            known.display()
        );
        fs::write(folder.join("config"), config).expect("a written file");
        let ssh = which("ssh");
        let wrapper =
            format!("#!/bin/sh\nexec {} -F '{}' \"$@\"\n", ssh.display(), folder.join("config").display());
        write_program(&folder.join("bin/ssh"), &wrapper);
    }

    /// A file of the device, whether it is on or off.
    pub fn put(&self, path: &str, content: &[u8], mode: u32) {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, path.trim_start_matches('/'), content).expect("memory");
        let archive = archive.into_inner().expect("memory");
        let mut copy = Command::new("docker")
            .args(["cp", "-", &format!("{}:/", self.name)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("`docker` starts");
        copy.stdin.take().expect("a pipe").write_all(&archive).expect("the Engine reads");
        assert!(copy.wait().expect("it ends").success(), "{path} was not copied");
    }

    /// The name by which SSH knows it.
    #[expect(clippy::unused_self, reason = "whose name it is")]
    pub fn host(&self) -> &'static str {
        "device"
    }

    /// Where its SSH settings (`config`), key (`key`), `known_hosts` and `bin/ssh` are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port of this machine behind which one of the device's is.
    pub fn port(&self, inner: u16) -> u16 {
        let found = self.ports.iter().find(|(of_device, _)| *of_device == inner);
        found.expect("a port that the board was given").1
    }

    /// `ssh` to the device as one of its users: `root`, `pi` (docker group, sudo) or `guest` (neither).
    pub fn ssh(&self, user: &str) -> Command {
        let mut command = Command::new(self.folder.join("bin/ssh"));
        command.args(["-l", user, self.host()]).stdin(Stdio::null());
        command
    }

    /// Runs a shell command on the device over SSH.
    pub fn try_run(&self, line: &str) -> Output {
        self.ssh("root").arg(line).output().expect("`ssh` starts")
    }

    /// The same; fails unless the command worked, and gives what it wrote.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let output = self.try_run(line);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{line}` on the device: {}\n{talk}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// As if the plug was pulled: nothing gets the time to say goodbye.
    pub fn cut_power(&self) {
        docker(&["kill", &self.name]);
    }

    /// Switches it on and waits for its Engine.
    pub fn boot(&self) {
        docker(&["start", &self.name]);
        self.wait_for_engine();
    }

    /// Waits until SSH and the Engine answer.
    pub fn wait_for_engine(&self) {
        let start = Instant::now();
        loop {
            let output = self.try_run("docker version --format '{{.Server.Version}}'");
            if output.status.success() {
                return;
            }
            if start.elapsed() > BOOT {
                let log =
                    Command::new("docker").args(["logs", &self.name]).output().expect("`docker` starts");
                let engine = Command::new("docker")
                    .args(["exec", &self.name, "tail", "-n", "20", "/var/log/dockerd.log"])
                    .output()
                    .expect("`docker` starts");
                let texts = [&output.stderr, &log.stdout, &log.stderr, &engine.stdout];
                let texts = texts.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                panic!("the device did not boot within {BOOT:?}:\n{}", texts.join("\n"));
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// Switches it off for good.
    pub fn remove(&self) {
        remove(&self.name);
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if !self.keep {
            self.remove();
        }
    }
}

fn remove(name: &str) {
    let quiet = |arguments: &[&str]| drop(Command::new("docker").args(arguments).output());
    quiet(&["rm", "--force", "--volumes", name]);
    for volume in ["docker", "xedge", "disk"] {
        quiet(&["volume", "rm", &format!("{name}-{volume}")]);
    }
    quiet(&["network", "rm", name]);
}

/// Removes what test processes left that were killed.
fn sweep() {
    let filter = format!("label={LABEL}");
    let format = format!("{{{{.Name}}}} {{{{.Label \"{LABEL}\"}}}}");
    for line in docker(&["network", "ls", "--filter", &filter, "--format", &format]).lines() {
        let (name, owner) = line.split_once(' ').unwrap_or((line, ""));
        let process = owner.split('.').next().and_then(|id| id.parse().ok());
        if process.is_some_and(|id| whose(id) != owner) {
            remove(name);
        }
    }
}

/// A process by number and start, since numbers come again.
fn whose(process: u32) -> String {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in brackets may hold spaces.
    let start = line.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)).unwrap_or("gone");
    format!("{process}.{start}")
}

/// The image of the device, built by xedge from Debian packages and loaded into the Engine: its id.
fn image(xtask: &Path, scratch: &Path) -> String {
    let project = scratch.join("board-project");
    let folder = project.join("images/board");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/it/device/board");
    fs::create_dir_all(&project).expect("a folder");
    // One at a time: other tests of this or another process may want it as well.
    let lock = fs::File::create(project.join("lock")).expect("a file");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    fs::write(project.join("Cargo.toml"), "[workspace]\n").expect("a written file");
    fs::create_dir_all(&folder).expect("a folder");
    let copied = Command::new("cp").arg("-rT").arg(&source).arg(&folder).status();
    assert!(copied.expect("`cp` starts").success(), "the board was not copied");
    let platform = format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let xtask = |arguments: &[&str]| {
        Command::new(xtask)
            .current_dir(&project)
            .args(arguments)
            .env("XEDGE_HOME", project.join("home"))
            .env_remove("XEDGE_PROJECT")
            .output()
            .expect("`xtask` starts")
    };
    let build = || xtask(&["build", "board", "--platform", &platform, "--load"]);
    let mut ran = build();
    if !ran.status.success() {
        // Packages of an old lock are no longer on the mirror.
        let _ = fs::remove_file(folder.join("image.lock.json"));
        ran = build();
    }
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let layout = project.join("target/xedge/layout");
    let layout =
        Layout::open(Utf8Path::from_path(&layout).expect("UTF-8")).expect("the layout that was built");
    let name = "xedge-test/board".parse().expect("a name");
    let entry = layout.image(&name).expect("the image that was built");
    let platform = platform.parse().expect("a platform");
    entry.platforms()[&platform].config_blob().digest.to_string()
}

#[track_caller]
fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("`docker` starts");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A port that nobody listens on now. It stays the device's over restarts, which one that the Engine picks would not.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    // Not what another stand put there.
    let ours = |folder: &PathBuf| folder.with_file_name("known_hosts").is_file();
    let mut folders = std::env::split_paths(&path).filter(|folder| !ours(folder));
    let found = folders.find_map(|folder| Some(folder.join(program)).filter(|file| file.is_file()));
    found.unwrap_or_else(|| panic!("`{program}` is not installed: `cargo xtask setup`"))
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("a written file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("rights");
}
