//! A command on a device, as the local process that carries it: its three streams, its end, and what it last complained about.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::contact::problem;
use crate::error::{Error, Result};

/// How much of what a command complains about is kept: its last bytes.
const KEPT: usize = 16 << 10;
/// How long the streams of a command that has ended may stay open.
const GRACE: Duration = Duration::from_secs(2);

/// A running command. Ends with its owner.
#[derive(Debug)]
pub struct Process {
    host: String,
    what: String,
    child: Child,
    cancel: Cancel,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    complaints: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// The last of what it wrote to its standard error.
    pub complaints: String,
}

impl Ended {
    /// Whether the way there failed and not the command: ssh's own exit code, or a signal (of which a shell makes 128 and its
    /// number).
    pub fn is_broken(&self) -> bool {
        matches!(self.code, None | Some(129..))
    }
}

impl Process {
    /// Starts a local command; `what` names what it does on `host`.
    pub(crate) fn start(mut command: Command, host: &str, what: &str, cancel: &Cancel) -> Result<Self> {
        cancel.check()?;
        let program = command.get_program().to_string_lossy().into_owned();
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|source| Error::Spawn { program, source })?;
        cancel.add(&child);
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let listener = child.stderr.take().map(|stderr| {
            let kept = Arc::clone(&complaints);
            thread::spawn(move || listen(stderr, &kept))
        });
        let (host, what, cancel) = (host.to_owned(), what.to_owned(), cancel.clone());
        Ok(Self { host, what, child, cancel, stdin, stdout, complaints, listener })
    }

    /// Whose command it is.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What it does, in words.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Writes to its standard input.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdin.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |stdin| stdin.write_all(bytes))
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Its standard output.
    pub fn output(&mut self) -> &mut BufReader<ChildStdout> {
        self.stdout.as_mut().expect("the output is taken by `finish` alone")
    }

    /// Reads lines until this one; lets go of what a login shell prints before.
    pub(crate) fn skip_to(&mut self, marker: &str) -> io::Result<bool> {
        const MOST: u64 = 64 << 10;
        let mut read = 0;
        loop {
            let mut line = Vec::new();
            let count = self.output().take(MOST - read).read_until(b'\n', &mut line)?;
            read += count as u64;
            if line.trim_ascii() == marker.as_bytes() {
                return Ok(true);
            }
            if count == 0 || read >= MOST {
                return Ok(false);
            }
        }
    }

    /// Waits for its end; its standard output is read to its end by then, or is let go.
    pub fn finish(mut self) -> Result<Ended> {
        self.end_input();
        self.stdout = None;
        let status = self.wait()?;
        self.hear_out();
        Ok(Ended { code: status.code(), complaints: self.complaints() })
    }

    /// Reads all of its standard output, at most `most` bytes, and waits for its end.
    pub fn finish_with_output(mut self, most: u64) -> Result<(Ended, Vec<u8>)> {
        self.end_input();
        let mut output = Vec::new();
        // A stream that breaks is told by how the command ended.
        let _ = self.output().take(most).read_to_end(&mut output);
        Ok((self.finish()?, output))
    }

    /// Ends its input and gives it a moment to end by itself.
    pub(crate) fn end_within(&mut self, time: Duration) {
        self.end_input();
        let until = Instant::now() + time;
        while matches!(self.cancel.reap(&mut self.child), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// Waits for its end, which must be a good one.
    pub fn success(mut self) -> Result<()> {
        self.end_input();
        self.stdout = None;
        if self.wait()?.success() { Ok(()) } else { Err(self.failed()) }
    }

    /// The error that its end is.
    pub(crate) fn failed(self) -> Error {
        let (host, what) = (self.host.clone(), self.what.clone());
        match self.finish() {
            Err(error) => error,
            Ok(ended) if ended.is_broken() => Error::Broken { host, what, detail: ended.complaints },
            Ok(ended) => match problem(&ended.complaints, ended.code.unwrap_or(1)) {
                Some(problem) => Error::device(&host, problem),
                None => Error::Command { host, what, detail: ended.complaints },
            },
        }
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            let ended = self.cancel.reap(&mut self.child);
            let program = || self.what.clone();
            match ended.map_err(|source| Error::Spawn { program: program(), source })? {
                Some(status) => {
                    self.cancel.check()?;
                    return Ok(status);
                }
                None => thread::sleep(Duration::from_millis(3)),
            }
        }
    }

    /// Waits for the last complaints, but not for a grandchild that keeps the stream open.
    fn hear_out(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        let until = Instant::now() + GRACE;
        while !listener.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(3));
        }
    }

    fn complaints(&self) -> String {
        let kept = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_input();
        if matches!(self.cancel.reap(&mut self.child), Ok(None)) {
            // It may have ended in this moment; it is waited for either way.
            let _ = self.child.kill();
            let until = Instant::now() + GRACE;
            while matches!(self.cancel.reap(&mut self.child), Ok(None)) && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Keeps the end of a stream.
fn listen(mut stream: ChildStderr, kept: &Mutex<Vec<u8>>) {
    let mut part = [0; 4096];
    while let Ok(count) = stream.read(&mut part) {
        if count == 0 {
            return;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&part[..count]);
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }
}
