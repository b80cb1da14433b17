//! A Python script as a node: started with a free port as its argument, spoken to on that port, and ended in every case,
//! also when we are killed. What it prints is kept as its log.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8Path;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use super::peer::{Peer, Trouble};
use super::plan::{Patience, ScriptPlan};
use super::wire::Dialect;

/// Runs a script so that it ends with us: whoever holds the other end of its standard input is gone when that ends.
const UNDER_WATCH: &str = "
import os, runpy, sys, threading

def watch():
    try:
        while os.read(0, 4096):
            pass
    finally:
        os._exit(70)

threading.Thread(target=watch, daemon=True).start()
script = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(script)
runpy.run_path(script, run_name='__main__')
";

/// Lines of the log that a message shows.
const SHOWN: usize = 20;
/// Bytes of the log that are kept, the first and the last half of this.
const KEPT: usize = 1 << 20;
/// How long a script has to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// A script that runs. Dropping it kills it.
pub(super) struct Script {
    child: Child,
    _held: Option<ChildStdin>,
    log: Log,
}

impl Script {
    /// Starts a script in a folder of its own and connects to it.
    pub(super) async fn start(
        plan: &ScriptPlan,
        folder: &Utf8Path,
        patience: Patience,
    ) -> std::io::Result<(Self, Result<Peer, Trouble>)> {
        std::fs::create_dir_all(folder)?;
        let port = free_port().await?;
        let mut child = Command::new("python3")
            .args(["-u", "-c", UNDER_WATCH, plan.file.as_str(), &port.to_string()])
            .current_dir(folder)
            // Sets and hashes in the same order in every run, and nothing written beside the script.
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let log = Log::default();
        if let Some(stdout) = child.stdout.take() {
            log.follow(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            log.follow(stderr);
        }
        let held = child.stdin.take();
        let mut script = Self { child, _held: held, log };
        let stream = script.connect(port, patience.ready).await;
        let peer = stream.map(|stream| {
            let (reader, writer) = stream.into_split();
            Peer::new(Dialect::Socket, patience, Box::new(reader), Box::new(writer))
        });
        Ok((script, peer))
    }

    async fn connect(&mut self, port: u16, limit: Duration) -> Result<TcpStream, Trouble> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Ok(stream) = TcpStream::connect(address).await {
                // Orders are small, and each waits for an answer.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(Trouble::Gone);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(Trouble::Silent(limit))
    }

    /// Waits until it has ended by itself, else kills it; whether it ended, and how.
    pub(super) async fn end(&mut self) -> Option<ExitStatus> {
        if let Ok(Ok(status)) = timeout(GRACE, self.child.wait()).await {
            self.log.settle().await;
            return Some(status);
        }
        self.kill().await;
        None
    }

    /// Kills it at once.
    pub(super) async fn kill(&mut self) {
        drop(self.child.kill().await);
        self.log.settle().await;
    }

    /// Its last lines.
    pub(super) fn tail(&self) -> String {
        self.log.tail()
    }

    /// All that is kept of its log.
    pub(super) fn log(&self) -> String {
        self.log.whole()
    }
}

/// A port that nobody listens on, below those that the kernel gives to connections: connecting to one of those before the
/// script listens could connect to itself.
async fn free_port() -> std::io::Result<u16> {
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        // Two of our processes begin at different places, so that they do not meet.
        let place = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + place % count).unwrap_or(u16::MAX);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What a node printed, to either stream.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    first: String,
    last: VecDeque<String>,
    last_bytes: usize,
    left_out: u64,
    open: usize,
}

impl Log {
    /// Collects what a stream has, until it ends.
    pub(super) fn follow(&self, stream: impl AsyncRead + Send + Unpin + 'static) {
        let log = self.clone();
        log.kept().open += 1;
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            // A line without end is cut, so that it does not fill the memory.
            while let Ok(1..) = (&mut reader).take(1 << 16).read_until(b'\n', &mut line).await {
                log.kept().add(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
            log.kept().open -= 1;
        });
    }

    /// Waits a moment for what is still on its way.
    pub(super) async fn settle(&self) {
        for _ in 0..50 {
            if self.kept().open == 0 {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tail(&self) -> String {
        let kept = self.kept();
        let lines: Vec<&str> = kept.first.lines().chain(kept.last.iter().map(String::as_str)).collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    pub(super) fn whole(&self) -> String {
        let kept = self.kept();
        let mut text = kept.first.clone();
        if kept.left_out > 0 {
            text = format!("{text}({} lines left out)\n", kept.left_out);
        }
        for line in &kept.last {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl Kept {
    fn add(&mut self, line: &str) {
        if self.last.is_empty() && self.first.len() + line.len() < KEPT / 2 {
            self.first.push_str(line);
            self.first.push('\n');
            return;
        }
        self.last_bytes += line.len();
        self.last.push_back(line.to_owned());
        while self.last_bytes > KEPT / 2 {
            let Some(gone) = self.last.pop_front() else { break };
            self.last_bytes -= gone.len();
            self.left_out += 1;
        }
    }
}
