//! The system's ssh as transport: the user's configuration, agent, jump hosts and known hosts. Answers no question, and takes no
//! key of a host that is not known.
//!
//! One connection serves all commands: a first ssh, child of this process, holds it and a socket in a private folder. Its
//! remote end is a `cat` on our pipe, so that it ends with us however we end.

use std::process::Command;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::cancel::Cancel;
use crate::error::{Error, Refused, Result, last_line};
use crate::host::Host;
use crate::process::{Ended, Process};
use crate::transport::{Transport, words};

const MARKER: &str = "xedge-connected";
/// What holds on the way too: a jump host answers no question and is known, or it is not passed.
const ON_THE_WAY: [&str; 3] = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=15"];
/// How many jump hosts may lie behind each other.
const MOST_JUMPS: u32 = 8;
/// What no user's configuration changes. `-T`: no terminal, since the streams are data.
const OPTIONS: [&str; 12] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ControlPersist=no",
    "ForwardX11=no",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "PermitLocalCommand=no",
    // Layers are compressed.
    "Compression=no",
];

/// A device behind ssh.
#[derive(Debug)]
pub struct Ssh {
    host: Host,
    shown: String,
    config: Option<Utf8PathBuf>,
    cancel: Cancel,
    sockets: TempDir,
    master: Option<Process>,
    /// The way through jump hosts, where there are any.
    proxy: Option<String>,
}

impl Ssh {
    /// A device; nothing is connected yet. `config` takes the place of the user's own configuration of ssh.
    pub fn new(host: Host, config: Option<&Utf8Path>, cancel: &Cancel) -> Result<Self> {
        let made = tempfile::Builder::new().prefix("xedge-ssh-").tempdir();
        let sockets =
            made.map_err(|source| Error::Spawn { program: "ssh: a folder for its socket".into(), source })?;
        let shown = host.to_string();
        Ok(Self {
            host,
            shown,
            config: config.map(Utf8Path::to_owned),
            cancel: cancel.clone(),
            sockets,
            master: None,
            proxy: None,
        })
    }

    /// The ssh command that a person would type.
    fn typed(&self) -> String {
        self.host.typed(self.config.as_deref())
    }

    /// Turns `ProxyJump` of the user's configuration into a command, since `ssh -J` would ask questions and learn keys.
    fn find_proxy(&mut self) -> Result<()> {
        let jump = Self::jump(self.destination(&self.shown))?;
        self.proxy = jump.map(|hops| self.proxy(&hops, 0)).transpose()?;
        Ok(())
    }

    /// The jump hosts that the configuration names for a destination, in ssh's own form.
    fn jump(destination: Vec<String>) -> Result<Option<String>> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-G").args(destination).stdin(std::process::Stdio::null());
        let output = ssh.output().map_err(|source| Error::Spawn { program: "ssh".into(), source })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let named = text.lines().find_map(|line| line.strip_prefix("proxyjump "));
        Ok(named.filter(|jump| *jump != "none").map(str::to_owned))
    }

    /// The command that reaches `%h` and `%p` through these hops, the last one nearest to it.
    fn proxy(&self, hops: &str, depth: u32) -> Result<String> {
        let (before, last) =
            hops.rsplit_once(',').map_or((None, hops), |(before, last)| (Some(before), last));
        let destination = self.destination(last);
        let before = match before {
            Some(before) => Some(before.to_owned()),
            None => Self::jump(destination.clone())?,
        };
        let mut line = vec!["ssh".to_owned(), "-T".to_owned()];
        line.extend(ON_THE_WAY.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
        line.extend(
            ["ClearAllForwardings=yes", "RemoteCommand=none", "ProxyJump=none"]
                .iter()
                .flat_map(|one| ["-o".to_owned(), (*one).to_owned()]),
        );
        if let Some(before) = before.filter(|_| depth < MOST_JUMPS) {
            // Behind what is set already, since the first of the two that is named holds.
            line.truncate(line.len() - 2);
            line.extend([
                "-o".to_owned(),
                format!("ProxyCommand={}", self.proxy(&before, depth + 1)?).replace('%', "%%"),
            ]);
        }
        line.extend(["-W".to_owned(), "[%h]:%p".to_owned()]);
        line.extend(destination);
        Ok(words(line.iter().map(String::as_str)))
    }

    /// A host as arguments of ssh. One that is no plain name is the configuration's own, such as `ssh://`.
    fn destination(&self, host: &str) -> Vec<String> {
        let mut line = Vec::new();
        line.extend(self.config.iter().flat_map(|config| ["-F".to_owned(), config.to_string()]));
        match host.parse::<Host>() {
            Ok(host) => {
                line.extend(host.user().iter().flat_map(|user| ["-l".to_owned(), (*user).to_owned()]));
                line.extend(host.port().iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
                line.extend(["--".to_owned(), host.name().to_owned()]);
            }
            Err(_) => line.extend(["--".to_owned(), host.to_owned()]),
        }
        line
    }

    fn command(&self, master: &str, remote: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-T").args(OPTIONS.iter().flat_map(|option| ["-o", option]));
        ssh.args(["-o", master, "-S"]).arg(self.sockets.path().join("s"));
        ssh.args(self.proxy.iter().flat_map(|proxy| ["-o".to_owned(), format!("ProxyCommand={proxy}")]));
        ssh.args(self.destination(&self.shown)).arg(remote);
        // Its messages are read to tell what went wrong.
        ssh.env("LC_ALL", "C");
        ssh
    }

    fn refused(&self, ended: &Ended) -> Error {
        let (why, detail) = (Refused::of(&ended.complaints), last_line(&ended.complaints).to_owned());
        Error::Connect { host: self.shown.clone(), why, detail, typed: self.typed() }
    }
}

impl Transport for Ssh {
    fn host(&self) -> &str {
        &self.shown
    }

    fn connect(&mut self) -> Result<()> {
        self.master = None;
        self.find_proxy()?;
        // A master that was killed leaves its socket, and the next one would not listen.
        let _ = std::fs::remove_file(self.sockets.path().join("s"));
        let remote = format!("{}; exec cat", words(["echo", MARKER]));
        let what = "connect";
        let mut master =
            Process::start(self.command("ControlMaster=yes", &remote), &self.shown, what, &self.cancel)?;
        if matches!(master.skip_to(MARKER), Ok(true)) {
            self.master = Some(master);
            return Ok(());
        }
        Err(self.refused(&master.finish()?))
    }

    fn start(&self, command: &str, what: &str) -> Result<Process> {
        Process::start(self.command("ControlMaster=no", command), &self.shown, what, &self.cancel)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            master.end_within(Duration::from_secs(1));
        }
    }
}

#[cfg(test)]
mod tests;
