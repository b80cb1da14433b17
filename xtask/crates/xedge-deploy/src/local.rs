//! A transport to this machine: the same commands, run by its own shell. For tests: no command uses it.

use std::process::Command;

use crate::cancel::Cancel;
use crate::error::Result;
use crate::process::Process;
use crate::transport::Transport;

/// This machine.
#[derive(Clone, Debug)]
pub struct Local {
    cancel: Cancel,
}

impl Local {
    /// This machine; what runs there ends when `cancel` says so.
    pub fn new(cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone() }
    }
}

impl Transport for Local {
    fn host(&self) -> &'static str {
        "localhost"
    }

    fn connect(&mut self) -> Result<()> {
        self.cancel.check()
    }

    fn start(&self, command: &str, what: &str) -> Result<Process> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        Process::start(shell, self.host(), what, &self.cancel)
    }
}
