//! The OCI runtime's command line: crun, or runc. It decides nothing about containers.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use camino::Utf8Path;
use rustix::mount::{UnmountFlags, unmount};

use super::net::{apart, own_mounts};

/// Runtimes in the order in which they are taken.
const NAMES: [&str; 2] = ["crun", "runc"];

/// A runtime that was found.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    program: PathBuf,
    name: &'static str,
    version: String,
    /// Whether this process may make control groups.
    pub(super) cgroups: bool,
    /// crun refuses version 1 of them where version 2 beside it has controllers: it does not get to see those.
    hides_unified: bool,
}

impl Runtime {
    /// `crun` or `runc` in the folders of a search path, and in those for administrators: the first that takes the control
    /// groups as they are, else the first that is there. `only` names one of them.
    pub(super) fn find(path: &str, only: Option<&str>) -> Option<Self> {
        let folders: Vec<&str> = path.split(':').chain(["/usr/sbin", "/sbin"]).collect();
        let usable = super::cgroup::usable();
        let mixed = super::cgroup::is_mixed();
        let find = |name| {
            let program = folders.iter().map(|folder| Path::new(folder).join(name)).find(|p| p.is_file())?;
            let said = Command::new(&program).arg("--version").output().ok()?;
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            // `crun version 1.8.1` or `runc version 1.1.5+ds1`.
            let version = said.lines().next()?.rsplit(' ').next()?.to_owned();
            Some(Self { program, name, version, cgroups: usable, hides_unified: mixed && name == "crun" })
        };
        let mut found: Vec<Self> =
            NAMES.into_iter().filter(|name| only.is_none_or(|only| only == *name)).filter_map(find).collect();
        let best = found.iter().position(|runtime| !runtime.hides_unified).unwrap_or(0);
        (best < found.len()).then(|| found.swap_remove(best))
    }

    /// Name and version.
    pub(super) fn version(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// A command of the runtime for the container in a folder.
    pub(super) fn command(&self, folder: &Utf8Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(folder.join("runtime")).arg("--log").arg(folder.join("runtime.log"));
        if self.name == "crun" {
            command.args(["--cgroup-manager", if self.cgroups { "cgroupfs" } else { "disabled" }]);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a short command to its end.
    pub(super) fn ask(&self, folder: &Utf8Path, arguments: &[&str]) -> io::Result<Output> {
        let mut command = self.command(folder);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.spawn(command)?.wait_with_output()
    }

    /// Starts a command of the runtime.
    pub(super) fn spawn(&self, mut command: Command) -> io::Result<Child> {
        if !self.hides_unified {
            return command.spawn();
        }
        apart(move || {
            own_mounts()?;
            self.hide()?;
            command.spawn()
        })
    }

    /// Whether commands need mounts of their own.
    pub(super) fn needs_mounts(&self) -> bool {
        self.hides_unified
    }

    /// Takes away what the runtime must not see, from a thread with mounts of its own.
    pub(super) fn hide(&self) -> io::Result<()> {
        if self.hides_unified {
            unmount(super::cgroup::UNIFIED, UnmountFlags::DETACH)?;
        }
        Ok(())
    }

    /// Whether a process is still the runtime's, and has not become the container's program.
    pub(super) fn is_own(pid: u32) -> bool {
        let Ok(program) = std::fs::read_link(format!("/proc/{pid}/exe")) else { return false };
        let program = program.to_string_lossy();
        // They run from a copy in memory, so that no container can write to the program.
        program.contains("memfd:") || NAMES.iter().any(|name| program.ends_with(&format!("/{name}")))
    }
}

/// What a runtime wrote into its log, in one line; it may write the same more than once.
pub(super) fn problem(folder: &Utf8Path) -> String {
    let log = std::fs::read_to_string(folder.join("runtime.log")).unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines().map(message) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    // The C library writes it with a capital, Docker's runtimes without.
    lines.join("; ").replace("Exec format error", "exec format error")
}

/// The message of a log line: `2026-01-01T00:00:00.000000Z: message`, or `time="…" level=error msg="…"`.
fn message(line: &str) -> String {
    if let Some((_, rest)) = line.split_once("msg=") {
        return rest.trim_matches('"').replace("\\\"", "\"");
    }
    match line.split_once(": ") {
        Some((time, rest)) if time.ends_with('Z') => rest.to_owned(),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn messages_are_without_time_and_level() {
        let crun = "2026-11-24T08:00:00.123456Z: executable file `/x` not found in $PATH: No such file";
        assert_eq!(message(crun), "executable file `/x` not found in $PATH: No such file");
        let runc = r#"time="2026-11-24T08:00:00Z" level=error msg="exec: \"/x\": stat /x""#;
        assert_eq!(message(runc), r#"exec: "/x": stat /x"#);
        assert_eq!(message("plain"), "plain");
    }
}
