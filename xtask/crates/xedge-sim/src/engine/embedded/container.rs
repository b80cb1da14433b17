//! One container: a thread starts it, waits for its end and starts it again where its policy says so.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rustix::mount::{MountFlags, mount};
use serde_json::Value;
use xedge_model::Digest;

use super::forward::Forwarder;
use super::net::{Joined, apart, own_mounts};
use super::root::{Root, plain};
use super::runtime::{Runtime, problem};
use super::{cgroup, locked};
use crate::engine::Status;
use crate::plan::RestartPolicy;

/// Pause before a container is started again; doubled each time up to the other, as the Engine does it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// After this long, a container counts as having run.
const RAN: Duration = Duration::from_secs(10);
/// Pause between two looks at a container that is starting.
const LOOK: Duration = Duration::from_millis(5);
/// How long a killed container has to be gone.
const GONE: Duration = Duration::from_secs(10);

/// What never changes of a container.
pub(super) struct Container {
    pub(super) name: String,
    pub(super) folder: Utf8PathBuf,
    pub(super) image: Digest,
    pub(super) runtime: Runtime,
    /// Our own program, which is its forwarders.
    pub(super) program: PathBuf,
    pub(super) joined: Joined,
    /// Folder below its own that is never written; `None` where the root is a copy.
    pub(super) lower: Option<Utf8PathBuf>,
    pub(super) workdir: String,
    /// Ports to publish, one entry for each time.
    pub(super) ports: Vec<u16>,
    pub(super) restart: RestartPolicy,
    pub(super) stop_signal: String,
    pub(super) limits_memory: bool,
    pub(super) health_check: Option<Vec<String>>,
    /// A process beside the main one, without arguments.
    pub(super) process: Value,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

/// What changes of it.
#[derive(Debug, Default)]
pub(super) struct State {
    phase: Phase,
    /// Whether somebody asked for its end.
    unwanted: bool,
    restarts: i64,
    exit_code: i64,
    oom_killed: bool,
    /// Whether its processes are held.
    pub(super) paused: bool,
    error: String,
    addresses: Vec<(u16, SocketAddr)>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Created,
    Starting,
    Running,
    /// Between its end and another start.
    Waiting,
    Ended,
}

impl Container {
    /// Starts it, and returns once its program runs or could not be run.
    pub(super) fn start(self: &Arc<Self>) -> Result<(), String> {
        let mut state = locked(&self.state);
        if matches!(state.phase, Phase::Starting | Phase::Running | Phase::Waiting) {
            return Ok(());
        }
        *state = State { phase: Phase::Starting, ..State::default() };
        let this = self.clone();
        let thread = thread::Builder::new().name(self.name.clone()).spawn(move || this.supervise());
        state.thread = Some(thread.map_err(|error| error.to_string())?);
        let state = self.wait(state, None, |state| state.phase != Phase::Starting);
        if state.phase == Phase::Ended && !state.error.is_empty() {
            return Err(state.error.clone());
        }
        Ok(())
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        limit: Option<Duration>,
        until: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let still = |state: &mut State| !until(state);
        if let Some(limit) = limit {
            let waited = self.changed.wait_timeout_while(state, limit, still);
            return waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
        self.changed.wait_while(state, still).unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut locked(&self.state));
        self.changed.notify_all();
    }

    /// The thread's work: one start after the other.
    fn supervise(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let ended = self.run();
            if begun.elapsed() >= RAN {
                pause = FIRST_PAUSE;
            }
            let mut state = locked(&self.state);
            state.addresses.clear();
            let failed = ended.is_err();
            match ended {
                Ok(code) => state.exit_code = code,
                Err(error) => {
                    state.exit_code = 127;
                    state.error = error;
                }
            }
            if failed || state.unwanted || !self.starts_again(&state) {
                state.phase = Phase::Ended;
                drop(state);
                self.changed.notify_all();
                return;
            }
            state.phase = Phase::Waiting;
            self.changed.notify_all();
            let mut state = self.wait(state, Some(pause), |state| state.unwanted);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if state.unwanted {
                state.phase = Phase::Ended;
                drop(state);
                self.changed.notify_all();
                return;
            }
            state.restarts += 1;
        }
    }

    fn starts_again(&self, state: &State) -> bool {
        match self.restart {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure(most) => {
                state.exit_code != 0 && (most == 0 || state.restarts < i64::from(most))
            }
        }
    }

    /// From its start to its end; the error is about one that could not be run.
    fn run(&self) -> Result<i64, String> {
        let mut child = self.spawn().map_err(|error| error.to_string())?;
        let running = self.until_running(&mut child);
        let published = running.and_then(|runs| Ok((runs, if runs { self.publish()? } else { Vec::new() })));
        let (running, forwarders) = match published {
            Ok(published) => published,
            Err(error) => {
                self.clear_runtime();
                // The container is gone, and the runtime with it or now.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error.to_string());
            }
        };
        if running {
            self.change(|state| {
                state.phase = Phase::Running;
                state.addresses = forwarders.iter().map(|f| (f.port, f.address)).collect();
            });
        }
        let ended = child.wait().map_err(|error| error.to_string())?;
        drop(forwarders);
        let code = ended.code().unwrap_or_else(|| 128 + ended.signal().unwrap_or(0));
        let problem = problem(&self.folder);
        self.clear_runtime();
        if !running && !problem.is_empty() {
            return Err(problem);
        }
        if code != 0 {
            locked(&self.state).error = problem;
        }
        Ok(code.into())
    }

    /// Starts the runtime on a thread whose mounts nobody else sees: they go with the last process that sees them.
    fn spawn(&self) -> io::Result<Child> {
        self.clear_runtime();
        fs::write(self.folder.join("runtime.log"), "")?;
        let log = File::options().append(true).create(true).open(self.folder.join("log"))?;
        let mut command = self.runtime.command(&self.folder);
        command.args(["run", "--bundle", self.folder.as_str(), "--pid-file", self.pid_file().as_str()]);
        command.arg(&self.name).stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
        // An interrupt at the terminal is for the run, which stops its containers in order.
        command.process_group(0);
        apart(move || {
            let rootfs = self.folder.join("rootfs");
            if self.lower.is_some() || self.runtime.needs_mounts() {
                own_mounts()?;
                self.runtime.hide()?;
            }
            if let Some(lower) = &self.lower {
                overlay(lower.as_std_path(), self.folder.as_std_path())?;
            }
            let workdir = plain(Path::new(&self.workdir)).ok_or_else(|| {
                io::Error::other(format!("the working folder {} climbs with `..`", self.workdir))
            })?;
            Root::open(rootfs.as_std_path())?.make_folder(&workdir)?;
            command.spawn()
        })
    }

    fn pid_file(&self) -> Utf8PathBuf {
        self.folder.join("pid")
    }

    /// What an earlier start may have left.
    fn clear_runtime(&self) {
        drop(fs::remove_file(self.pid_file()));
        if self.folder.join("runtime").join(&self.name).exists() {
            // One that is not there is as well.
            drop(self.runtime.ask(&self.folder, &["delete", "--force", &self.name]));
        }
    }

    /// Whether the container's program runs; not, if the runtime ended before.
    fn until_running(&self, child: &mut Child) -> io::Result<bool> {
        loop {
            if child.try_wait()?.is_some() {
                return Ok(false);
            }
            let pid = fs::read_to_string(self.pid_file()).ok().and_then(|text| text.trim().parse().ok());
            if pid.is_some_and(|pid| !Runtime::is_own(pid)) {
                return Ok(true);
            }
            thread::sleep(LOOK);
        }
    }

    fn publish(self: &Container) -> io::Result<Vec<Forwarder>> {
        let Some((to, bridge)) = &self.joined.first else { return Ok(Vec::new()) };
        let network = bridge.path();
        let start = |port: &u16| Forwarder::start(&self.program, &network, *to, *port);
        self.ports.iter().map(start).collect()
    }

    /// Has the kernel's word when memory runs out.
    pub(super) fn watch_memory(self: &Arc<Self>) {
        if !self.limits_memory {
            return;
        }
        let this = Arc::downgrade(self);
        let tell = move || {
            if let Some(this) = this.upgrade() {
                this.change(|state| state.oom_killed = true);
            }
        };
        // A container that has ended already has nothing to watch.
        drop(cgroup::watch_memory(&self.name, tell));
    }

    /// Ends it with a signal, and with SIGKILL after `grace`.
    pub(super) fn stop(&self, grace: Duration) -> Result<(), String> {
        let signal = self.stop_signal.clone();
        self.end(&signal, grace)?;
        self.end("KILL", GONE)?;
        let state = locked(&self.state);
        if has_ended(&state) {
            return Ok(());
        }
        Err(format!("its program is still there {} s after SIGKILL", GONE.as_secs()))
    }

    /// It is not started again.
    pub(super) fn unwanted(&self) {
        self.change(|state| state.unwanted = true);
    }

    fn end(&self, signal: &str, limit: Duration) -> Result<(), String> {
        self.unwanted();
        // A held process takes no signal; one that cannot be freed is ended with its control group.
        drop(self.unpause());
        let begun = Instant::now();
        let mut sent = false;
        loop {
            let state = locked(&self.state);
            // A signal is for a program that runs: one that is just starting gets it then.
            let ready = !sent && state.phase == Phase::Running;
            let left = limit.saturating_sub(begun.elapsed());
            let pause = if sent { left } else { left.min(Duration::from_millis(20)) };
            let state = if ready { state } else { self.wait(state, Some(pause), has_ended) };
            if has_ended(&state) || begun.elapsed() >= limit {
                return Ok(());
            }
            drop(state);
            if ready {
                let asked = self.runtime.ask(&self.folder, &["kill", &self.name, signal]);
                asked.map_err(|error| format!("the runtime cannot be run: {error}"))?;
                sent = true;
            }
        }
    }

    /// Ends it at once, and its thread. What is left of it can be removed then.
    pub(super) fn destroy(&self) -> Result<(), String> {
        let stopped = self.end("KILL", GONE);
        if !has_ended(&locked(&self.state)) {
            drop(self.runtime.ask(&self.folder, &["delete", "--force", &self.name]));
            drop(cgroup::remove(&self.name));
            drop(self.wait(locked(&self.state), Some(GONE), has_ended));
        }
        let thread = locked(&self.state).thread.take();
        if has_ended(&locked(&self.state)) {
            // A panic in it was reported where it happened.
            drop(thread.map(thread::JoinHandle::join));
        }
        stopped
    }

    pub(super) fn status(&self) -> Status {
        let state = locked(&self.state);
        Status {
            image: self.image.to_string(),
            // As the Engine has it: one that waits to be started again counts as running.
            running: matches!(state.phase, Phase::Starting | Phase::Running | Phase::Waiting),
            restarting: state.phase == Phase::Waiting,
            paused: state.paused,
            restarts: state.restarts,
            exit_code: state.exit_code,
            oom_killed: state.oom_killed,
            error: state.error.clone(),
            health_check: self.health_check.clone(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        locked(&self.state).phase == Phase::Running
    }

    pub(super) fn addresses(&self, port: u16) -> Vec<SocketAddr> {
        let state = locked(&self.state);
        let mut all: Vec<SocketAddr> =
            state.addresses.iter().filter(|(of, _)| *of == port).map(|(_, address)| *address).collect();
        all.sort();
        all
    }
}

fn has_ended(state: &State) -> bool {
    matches!(state.phase, Phase::Created | Phase::Ended)
}

/// Puts a container's own layer over the image's files.
fn overlay(lower: &Path, folder: &Path) -> io::Result<()> {
    let options = overlay_options(lower, folder)
        .ok_or_else(|| io::Error::other("overlays cannot have `:`, `,` or `\\` in their paths"))?;
    let options = std::ffi::CString::new(options)?;
    let mut attempts = 0..100;
    loop {
        let target = folder.join("rootfs");
        match mount("overlay", &target, "overlay", MountFlags::empty(), Some(options.as_c_str())) {
            // The mount of the run before is being taken apart.
            Err(rustix::io::Errno::BUSY) if attempts.next().is_some() => {
                thread::sleep(Duration::from_millis(20));
            }
            other => return Ok(other?),
        }
    }
}

fn overlay_options(lower: &Path, folder: &Path) -> Option<String> {
    let (lower, folder) = (lower.to_str()?, folder.to_str()?);
    let plain = |path: &str| !path.contains([':', ',', '\\']);
    (plain(lower) && plain(folder))
        .then(|| format!("lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work"))
}

/// Whether overlays can be mounted over this image in this folder.
pub(super) fn has_overlays(lower: &Path, folder: &Path) -> bool {
    let tried = apart(|| {
        own_mounts()?;
        overlay(lower, folder)
    });
    tried.is_ok()
}
