//! A command beside a container's main process: its health check.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::container::Container;
use crate::engine::Attached;

/// Pause between two looks at the command.
const LOOK: Duration = Duration::from_millis(10);

/// Number of the next command, for the name of its file.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Exit code of a command, as the main process's user and with its environment; `None` if it does not end in time.
pub(super) fn exec(container: &Container, command: &[String], limit: Duration) -> io::Result<Option<i64>> {
    let file = container.folder.join(format!("exec-{}.json", NEXT.fetch_add(1, Ordering::Relaxed)));
    let pid = file.with_extension("pid");
    let mut process = container.process.clone();
    process["args"] = json!(command);
    fs::write(&file, process.to_string())?;
    let ended = run(container, &file, &pid, limit);
    for path in [&file, &pid] {
        // The container's folder may be gone by now.
        drop(fs::remove_file(path));
    }
    ended
}

/// Starts a command with its streams, as the main process's user and with its environment. It ends with its container.
pub(super) fn start(container: &Container, command: &[String]) -> io::Result<Child> {
    let file = container.folder.join(format!("exec-{}.json", NEXT.fetch_add(1, Ordering::Relaxed)));
    let mut process = container.process.clone();
    process["args"] = json!(command);
    fs::write(&file, process.to_string())?;
    let mut order = container.runtime.command(&container.folder);
    order.args(["exec", "--process", file.as_str(), &container.name]);
    order.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    container.runtime.spawn(order)
}

/// The streams of a command; its end is waited for in the background.
pub(super) fn attach(mut child: Child) -> io::Result<Attached> {
    let taken = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
    let ((input, output), errors) = taken.ok_or_else(|| io::Error::other("the runtime took the streams"))?;
    let attached = Attached {
        input: Box::new(ChildStdin::from_std(input)?),
        output: Box::new(ChildStdout::from_std(output)?),
        errors: Box::new(ChildStderr::from_std(errors)?),
    };
    thread::spawn(move || child.wait());
    Ok(attached)
}

fn run(container: &Container, file: &Utf8Path, pid: &Utf8Path, limit: Duration) -> io::Result<Option<i64>> {
    let begun = Instant::now();
    let mut order = container.runtime.command(&container.folder);
    order.args(["exec", "--process", file.as_str(), "--pid-file", pid.as_str(), &container.name]);
    order.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = container.runtime.spawn(order)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.code().unwrap_or(137).into()));
        }
        if begun.elapsed() >= limit {
            end(pid);
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Ends the command itself, which the runtime's end would leave.
fn end(pid_file: &Utf8Path) {
    let pid = fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse().ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may have ended by now.
        let _ = kill_process(pid, Signal::KILL);
    }
}
