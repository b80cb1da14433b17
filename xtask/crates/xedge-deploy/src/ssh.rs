//! The system's ssh as transport: the user's configuration, agent, jump hosts and known hosts. Answers no question, and takes no
//! key of a host that is not known.
//!
//! One connection serves all commands: a first ssh, child of this process, holds it and a socket in a private folder. Its
//! remote end is a `cat` on our pipe, so that it ends with us however we end.

use std::fmt::Write as _;
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
/// What no user's configuration changes. `-T`: no terminal, since the streams are data.
const OPTIONS: [&str; 8] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ControlPersist=no",
    "ForwardX11=no",
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
        })
    }

    /// The ssh command that a person would type.
    fn typed(&self) -> String {
        let mut line = "ssh".to_owned();
        if let Some(config) = &self.config {
            let _ = write!(line, " -F {config}");
        }
        if let Some(port) = self.host.port() {
            let _ = write!(line, " -p {port}");
        }
        match self.host.user() {
            Some(user) => line + &format!(" {user}@{}", self.host.name()),
            None => line + " " + self.host.name(),
        }
    }

    fn command(&self, master: &str, remote: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-T").args(OPTIONS.iter().flat_map(|option| ["-o", option]));
        ssh.args(["-o", master, "-S"]).arg(self.sockets.path().join("s"));
        if let Some(config) = &self.config {
            ssh.args(["-F", config.as_str()]);
        }
        if let Some(user) = self.host.user() {
            ssh.args(["-l", user]);
        }
        if let Some(port) = self.host.port() {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh.args(["--", self.host.name(), remote]);
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
