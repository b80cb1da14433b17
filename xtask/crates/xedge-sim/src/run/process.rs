//! Programs of this machine as nodes: started, watched and ended like containers, without an engine. What a program needs it
//! must find by itself; nothing of it is part of any evidence.
//!
//! A program leads a process group of its own, and a shell waits for the end of this process, however it comes: then it kills
//! that group. So nothing is left behind, also after SIGKILL.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Error;
use crate::engine::{Status, Usage};
use crate::plan::ProcessPlan;

/// Bytes of output that are kept of one program.
const KEPT: usize = 16 << 20;
/// How long a killed program may take to be gone.
const GONE: Duration = Duration::from_secs(5);
/// In which Linux tells CPU time under /proc, the same on every machine.
const TICKS: u64 = 100;
/// What the shell does: waits until this process lets go of its input, and kills the group.
const WATCHER: &str = r#"cat >/dev/null; kill -s KILL -- "-$1""#;

/// The programs of a run, by the name that a container in their place would have.
#[derive(Debug, Default)]
pub(super) struct Processes {
    programs: Mutex<BTreeMap<String, Arc<Program>>>,
}

/// One program, running or not.
#[derive(Debug)]
pub(super) struct Program {
    plan: ProcessPlan,
    port: u16,
    log: Arc<Mutex<Vec<u8>>>,
    now: Mutex<Option<Running>>,
}

/// A program that was started.
#[derive(Debug)]
struct Running {
    group: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
    paused: bool,
    /// Its end is what the shell waits for.
    _watcher: Child,
}

impl Processes {
    /// Takes a program in, and finds a port for it.
    pub(super) fn create(&self, name: &str, plan: &ProcessPlan) -> Result<(), Error> {
        let port = free_port().map_err(|error| failed("find a free port for", plan, error))?;
        let program = Program { plan: plan.clone(), port, log: Arc::default(), now: Mutex::new(None) };
        locked(&self.programs).insert(name.to_owned(), Arc::new(program));
        Ok(())
    }

    /// The program with this name, if it is one.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Program>> {
        locked(&self.programs).get(name).cloned()
    }

    /// Ends all of them.
    pub(super) async fn clear(&self) {
        let programs = std::mem::take(&mut *locked(&self.programs));
        for program in programs.into_values() {
            program.signal(Signal::KILL);
            program.gone(GONE).await;
        }
    }
}

impl Program {
    /// Starts it, also once more after it has ended.
    pub(super) fn start(&self) -> Result<(), Error> {
        let fill = |text: &String| text.replace("{port}", &self.port.to_string());
        let command: Vec<String> = self.plan.command.iter().map(fill).collect();
        let Some((program, arguments)) = command.split_first() else { return Ok(()) };
        let mut child = Command::new(program)
            .args(arguments)
            .envs(self.plan.env.iter().map(|(name, value)| (name, fill(value))))
            .current_dir(&self.plan.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("start", &self.plan, error))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let Some(group) = group else { return Ok(()) };
        let watcher = watch_over(group).map_err(|error| failed("watch over", &self.plan, error))?;
        let outputs = (child.stdout.take(), child.stderr.take());
        outputs.0.into_iter().for_each(|output| keep(output, self.log.clone()));
        outputs.1.into_iter().for_each(|output| keep(output, self.log.clone()));
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move { tell.send_replace(child.wait().await.ok()) });
        *locked(&self.now) = Some(Running { group, ended, paused: false, _watcher: watcher });
        Ok(())
    }

    /// Sends a signal to all of its group.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(running) = locked(&self.now).as_mut().filter(|running| running.ended.borrow().is_none()) {
            running.paused = signal == Signal::STOP || (running.paused && signal != Signal::CONT);
            // One that has just ended is as good.
            kill_process_group(running.group, signal).ok();
        }
    }

    /// Ends it with SIGTERM, and with SIGKILL after `grace`.
    pub(super) async fn stop(&self, grace: Duration) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        if !self.gone(grace).await {
            self.signal(Signal::KILL);
            self.gone(GONE).await;
        }
    }

    /// Whether it ends in time.
    async fn gone(&self, limit: Duration) -> bool {
        let Some(mut ended) = locked(&self.now).as_ref().map(|running| running.ended.clone()) else {
            return true;
        };
        timeout(limit, async { drop(ended.wait_for(Option::is_some).await) }).await.is_ok()
    }

    /// What a container would be said to be.
    pub(super) fn status(&self) -> Status {
        let now = locked(&self.now);
        let Some(running) = now.as_ref() else { return Status::default() };
        let ended = *running.ended.borrow();
        let code = ended.map_or(0, |status| status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(-1));
        Status {
            running: ended.is_none(),
            paused: running.paused,
            exit_code: i64::from(code),
            ..Status::default()
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// What it wrote; `tail` limits it to the last lines.
    pub(super) fn log(&self, tail: Option<usize>) -> Vec<u8> {
        let log = locked(&self.log).clone();
        let Some(lines) = tail else { return log };
        let ends = log.iter().enumerate().rev().skip(1).filter(|(_, byte)| **byte == b'\n');
        let from = ends.map(|(at, _)| at + 1).nth(lines.saturating_sub(1)).unwrap_or(0);
        log[from..].to_vec()
    }

    /// What its main process uses.
    pub(super) fn usage(&self) -> Option<Usage> {
        let pid = locked(&self.now).as_ref().filter(|r| r.ended.borrow().is_none())?.group.as_raw_nonzero();
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let status = read("status")?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = memory.trim().strip_suffix(" kB")?.parse().ok()?;
        let stat = read("stat")?;
        // The name in front can have anything in it, but ends with the last `)`.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Usage { memory_bytes: kib * 1_024, cpu_us: ticks * (1_000_000 / TICKS) })
    }
}

/// The shell that outlives this process.
fn watch_over(group: Pid) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", WATCHER, "sh", &group.as_raw_nonzero().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Collects what a program writes. One that writes without end fills no memory.
fn keep(mut output: impl AsyncRead + Send + Unpin + 'static, log: Arc<Mutex<Vec<u8>>>) {
    tokio::spawn(async move {
        let mut piece = vec![0; 8_192];
        while let Ok(count @ 1..) = output.read(&mut piece).await {
            let mut log = locked(&log);
            let room = KEPT.saturating_sub(log.len()).min(count);
            log.extend_from_slice(&piece[..room]);
        }
    });
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn failed(action: &'static str, plan: &ProcessPlan, source: io::Error) -> Error {
    let program = plan.command.first().cloned().unwrap_or_default();
    Error::Program { action, program, source }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Pid, Signal, test_kill_process};
    use tokio::time::sleep;

    use super::Processes;
    use crate::plan::ProcessPlan;

    fn shell(script: &str) -> ProcessPlan {
        let command = ["sh", "-c", script, "sh", "{port}"].map(str::to_owned).to_vec();
        ProcessPlan { command, env: [("PORT".to_owned(), "{port}".to_owned())].into(), folder: "/".into() }
    }

    /// Waits until the program has written a line with this in it.
    async fn heard(processes: &Processes, text: &str) -> String {
        loop {
            let log = String::from_utf8(processes.find("p").unwrap().log(None)).unwrap();
            if log.contains(text) {
                return log;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_program_gets_its_port_and_its_end_is_seen() {
        let processes = Processes::default();
        processes.create("p", &shell("echo $1; echo $PORT >&2; exit 3")).unwrap();
        let program = processes.find("p").unwrap();
        assert!(!program.status().running && processes.find("q").is_none());
        program.start().unwrap();
        assert!(program.gone(Duration::from_secs(20)).await);
        assert_eq!((program.status().running, program.status().exit_code), (false, 3));
        let port = program.address().port().to_string();
        while String::from_utf8_lossy(&program.log(None)).matches(&port).count() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(program.log(Some(1)), format!("{port}\n").into_bytes());
    }

    #[tokio::test]
    async fn it_ends_with_all_that_it_started() {
        let processes = Processes::default();
        processes.create("p", &shell("trap '' TERM; sleep 600 & echo child $!; wait; sleep 600")).unwrap();
        let program = processes.find("p").unwrap();
        program.start().unwrap();
        let log = heard(&processes, "child ").await;
        let child = log.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let child = Pid::from_raw(child).unwrap();
        assert!(test_kill_process(child).is_ok());
        assert!(program.usage().is_some_and(|usage| usage.memory_bytes > 0));
        program.signal(Signal::STOP);
        assert!(program.status().paused && program.status().running);
        program.signal(Signal::CONT);
        program.stop(Duration::from_millis(200)).await;
        assert_eq!((program.status().running, program.status().exit_code), (false, 137));
        while test_kill_process(child).is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn it_starts_again_at_the_same_port_and_a_missing_one_is_named() {
        let processes = Processes::default();
        processes.create("p", &shell("echo here; exec sleep 600")).unwrap();
        let program = processes.find("p").unwrap();
        let before = program.address();
        program.start().unwrap();
        heard(&processes, "here").await;
        program.signal(Signal::KILL);
        assert!(program.gone(Duration::from_secs(20)).await);
        program.start().unwrap();
        heard(&processes, "here\nhere").await;
        assert!(program.status().running && program.address() == before);
        processes.clear().await;
        assert!(!program.status().running && processes.find("p").is_none());

        let missing = ProcessPlan { command: vec!["no-such-program-anywhere".into()], ..shell("") };
        processes.create("m", &missing).unwrap();
        let error = processes.find("m").unwrap().start().unwrap_err();
        assert!(error.to_string().contains("failed to start no-such-program-anywhere"), "{error}");
    }
}
