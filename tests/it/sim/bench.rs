//! A place to run simulations in, with a data folder of its own, and what its runs left in the Engine.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use xedge_model::ImageName;
use xedge_oci::Layout;

use crate::support::{Ran, command, copy, edit, finish, here, root};

/// Every `sim` sweeps the whole Engine. Who looks at what a dead run left must be the only one for that long.
static ENGINE: RwLock<()> = RwLock::new(());

/// A broker, a sensor and a gateway for two seconds; long enough for evidence.
pub const SMALL: &str = "
simulation: {duration_s: 2, seed: 5}
nodes:
  - {id: broker, type: broker, implementation: docker, docker: {image: xedgesim/mosquitto}}
  - {id: sensor, type: sensor, implementation: model, config: {every: 200ms}}
  - {id: gateway, type: gateway, implementation: model}
";

#[expect(dead_code, reason = "held until the test ends")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
    Guest,
}

/// What runs the containers of a bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    Docker,
    Embedded,
}

/// A project and a data folder.
pub struct Bench {
    arm: Arm,
    project: PathBuf,
    home: TempDir,
    /// How names of scenarios begin whose outputs are removed from a project that is not a copy.
    visited: Vec<String>,
    /// Images that are removed from the Engine.
    images: Vec<ImageName>,
    _copy: Option<TempDir>,
    _turn: Turn,
}

impl Bench {
    /// A copy of this project, with the broker's image in its layout.
    pub fn new() -> Self {
        Self::with(shared())
    }

    /// The same, while no other test of this module runs.
    pub fn alone() -> Self {
        Self::with(Turn::Alone(ENGINE.write().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Another one for a test that has one already.
    pub fn beside(_first: &Self) -> Self {
        Self::with(Turn::Guest)
    }

    /// This project itself: compiling the gateway once more for a copy takes longer than all of these tests. Scenarios
    /// get names of their own, so that nobody's evidence is touched.
    pub fn here() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (visited, images) = (Vec::new(), Vec::new());
        Self { arm: Arm::Docker, project: root(), home, visited, images, _copy: None, _turn: shared() }
    }

    fn with(turn: Turn) -> Self {
        let copy = copy();
        copy_outputs(copy.path());
        let (project, home) = (copy.path().to_owned(), tempfile::tempdir().unwrap());
        let (visited, images) = (Vec::new(), Vec::new());
        Self { arm: Arm::Docker, project, home, visited, images, _copy: Some(copy), _turn: turn }
    }

    /// The same on another engine.
    pub fn on(mut self, arm: Arm) -> Self {
        self.arm = arm;
        self
    }

    /// Which engine that is.
    pub fn arm(&self) -> Arm {
        self.arm
    }

    /// The project's folder.
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// The data folder.
    pub fn home(&self) -> &Utf8Path {
        Utf8Path::from_path(self.home.path()).unwrap()
    }

    /// A folder or file of outputs.
    pub fn output(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.project.join("target/xedge").join(name)).unwrap()
    }

    /// Writes a scenario of the project.
    pub fn scenario(&self, name: &str, text: &str) {
        fs::write(self.project.join(format!("scenarios/{name}.yaml")), text).unwrap();
    }

    /// A shipped scenario, word for word, in a file whose name no other run has.
    pub fn shipped(&mut self, name: &str) -> String {
        let text = fs::read_to_string(root().join(format!("scenarios/{name}.yaml"))).unwrap();
        self.own(name, &text)
    }

    /// A scenario in a file whose name no other run has.
    pub fn own(&mut self, name: &str, text: &str) -> String {
        let mut alias = format!("it-{}-{name}", std::process::id());
        // Several tests run the same scenario at the same time.
        alias.extend(self.home.path().file_name().unwrap().to_string_lossy().chars().rev().take(4));
        let file = self.home().join(format!("{alias}.yaml"));
        fs::write(&file, text).unwrap();
        self.visited.push(alias);
        file.into_string()
    }

    /// Makes the broker's image another one, in name and in its development configuration.
    pub fn own_broker(&mut self, name: &str, from: &str, to: &str) {
        let folder = self.project.join("images/mqtt-broker");
        edit(&folder.join("image.yaml"), "name: xedgesim/mosquitto", &format!("name: {name}"));
        edit(&folder.join("rootfs/mosquitto/config/mosquitto.conf"), from, to);
        self.images.push(name.parse().unwrap());
    }

    /// Another image of the project, in a folder of this name, which is given.
    pub fn own_image(&mut self, folder: &str, name: &str, definition: &str) -> PathBuf {
        let folder = self.project.join("images").join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("image.yaml"), definition).unwrap();
        self.images.push(name.parse().unwrap());
        folder
    }

    /// A command with this data folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.project, arguments);
        command.env("XEDGE_HOME", self.home.path());
        command
    }

    /// Runs `sim`.
    pub fn sim(&self, arguments: &[&str]) -> Ran {
        finish(self.sim_command(arguments))
    }

    /// Runs any command.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    /// Starts `sim` and goes on.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.sim_command(arguments))
    }

    fn sim_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&[&["sim"], arguments].concat());
        if self.arm == Arm::Embedded {
            command.env("XEDGE_ENGINE", "embedded");
        }
        command
    }

    /// The report of a scenario's last run.
    pub fn report(&self, name: &str) -> Value {
        let text = fs::read(self.output(&format!("reports/{name}/report.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Where the evidence of a scenario is, if there is any.
    pub fn evidence(&self, name: &str) -> Utf8PathBuf {
        self.output(&format!("gates/{name}.dsse.json"))
    }

    /// Leaves something where evidence of an earlier run would be.
    pub fn pretend_evidence(&self, name: &str) {
        fs::create_dir_all(self.output("gates")).unwrap();
        fs::write(self.evidence(name), "{}").unwrap();
    }

    /// Everything in the Engine that runs with this data folder left there, as `KIND ID`.
    pub fn objects(&self) -> Vec<String> {
        if self.arm == Arm::Embedded {
            return self.embedded_objects();
        }
        let home = self.home.path().canonicalize().unwrap();
        let mut found = Vec::new();
        for (kind, arguments) in [
            ("container", &["ps", "--all", "--format", "{{.ID}} {{.Label \"xedge.lock\"}}"][..]),
            ("volume", &["volume", "ls", "--format", "{{.Name}} {{.Label \"xedge.lock\"}}"]),
            ("network", &["network", "ls", "--format", "{{.ID}} {{.Label \"xedge.lock\"}}"]),
        ] {
            for line in docker(arguments).lines() {
                let (id, lock) = line.split_once(' ').unwrap_or((line, ""));
                if Path::new(lock).starts_with(&home) {
                    found.push(format!("{kind} {id}"));
                }
            }
        }
        found
    }

    fn embedded_objects(&self) -> Vec<String> {
        let mut found = Vec::new();
        for kind in ["container", "volume", "network"] {
            let folder = self.home().join(format!("embedded/{kind}s"));
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                found.push(format!("{kind} {}", entry.file_name().display()));
            }
        }
        found
    }

    /// By digest, and only as far as it was built: this also runs when a test failed early.
    fn remove_image(&self, name: &ImageName) {
        let Ok(entry) = Layout::open(&self.output("layout")).and_then(|layout| layout.image(name)) else {
            return;
        };
        for image in entry.platforms().values() {
            let id = image.config_blob().digest.as_str();
            let _ = Command::new("docker").args(["image", "rm", "--force", id]).output();
        }
    }

    /// Waits until there is something of a run in the Engine.
    #[track_caller]
    pub fn wait_for_objects(&self, run: &mut Running) {
        while self.objects().is_empty() {
            assert!(run.is_going(), "the run ended with nothing in the Engine");
        }
    }

    fn remove_outputs(&self, name: &str) {
        for folder in ["reports", "gates"] {
            let entries = fs::read_dir(self.output(folder)).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)) {
                let path = entry.path();
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
    }

    /// Fails if a run with this data folder left something in the Engine, or a lock.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(self.objects(), [""; 0], "left in the Engine");
        let locks = fs::read_dir(self.home.path().join("runs")).map_or(0, Iterator::count);
        assert_eq!(locks, 0, "a lock file was left");
        if self.arm == Arm::Embedded {
            assert_eq!(self.processes(), [""; 0], "processes were left");
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!mounts.contains(self.home().as_str()), "mounts were left: {mounts}");
        }
    }

    /// Command lines of processes that the embedded engine started for this data folder.
    pub fn processes(&self) -> Vec<String> {
        let folder = self.home().join("embedded");
        let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
        let line =
            |path: PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
        all.filter_map(|path| line(path).ok()).filter(|line| line.contains(folder.as_str())).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if self.arm == Arm::Embedded {
            let _ = finish(self.command(&["gc"]));
        }
        let left = if self.arm == Arm::Docker { self.objects() } else { Vec::new() };
        for object in left {
            let (kind, id) = object.split_once(' ').unwrap();
            let force: &[&str] = if kind == "container" { &["--force", "--volumes"] } else { &[] };
            let _ = Command::new("docker").args([kind, "rm"]).args(force).arg(id).output();
        }
        for image in &self.images {
            self.remove_image(image);
        }
        for name in &self.visited {
            self.remove_outputs(name);
        }
    }
}

/// The name of the scenario in the one line that `sim` printed.
#[track_caller]
pub fn scenario_name(ran: &Ran) -> String {
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    ran.stdout.split(' ').next().unwrap().to_owned()
}

/// What Docker's own command line says.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("`docker` starts");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn shared() -> Turn {
    Turn::Shared(ENGINE.read().unwrap_or_else(PoisonError::into_inner))
}

/// Fetched packages and built images, so that a copy needs no network.
fn copy_outputs(project: &Path) {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| drop(here(&["build", "mqtt-broker"]).expect(0)));
    for folder in ["store", "layout", "inputs"] {
        let folder = Path::new("target/xedge").join(folder);
        copy_there(&root().join(&folder), &project.join(&folder));
    }
}

/// Copies a folder. Other tests build here: a temporary file may be gone before it is copied.
pub fn copy_there(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_there(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", entry.path().display());
        }
    }
}

/// A command that is going on.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    heard: String,
}

impl Running {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, heard: String::new() }
    }

    /// Waits for a line with this text.
    #[track_caller]
    pub fn until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "no `{text}` in:\n{}", self.heard);
            self.heard.push_str(&line);
        }
    }

    /// What the kernel says about it now; empty once it has ended.
    pub fn status(&self) -> String {
        fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default()
    }

    /// Whether it has not ended yet.
    pub fn is_going(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Ran {
        let mut stdout = String::new();
        self.stderr.read_to_string(&mut self.heard).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Ran { code, stdout, stderr: std::mem::take(&mut self.heard) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only has an effect when a test failed before the end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
