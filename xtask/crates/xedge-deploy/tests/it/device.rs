//! A device in a folder: the agent's own code in a process of its own, started by a script in place of its program. The process is
//! this test binary once more; it speaks on descriptor 3, since the test harness talks on its standard output.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use xedge_agent::engine::{Engine, Fake};
use xedge_agent::facts::Machine;
use xedge_agent::session::{Served, serve};
use xedge_agent::trust::{Enrolment, enrol};
use xedge_agent::{Clock, Device, Home, records, values};
use xedge_deploy::{Cancel, Place};

use crate::forge::NOW;
use crate::release::Release;

const FOLDER: &str = "XEDGE_DEPLOY_TEST_DEVICE";

/// A device.
pub struct Bench {
    _keep: TempDir,
    folder: Utf8PathBuf,
    pub cancel: Cancel,
}

/// The time of the forge, going on as ever.
struct Running(Instant);

impl Clock for Running {
    fn unix(&self) -> i64 {
        NOW
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl Bench {
    /// A device that nobody ever deployed to.
    pub fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap().to_owned();
        let script = format!(
            "#!/bin/sh\n\
             export {FOLDER}={folder}\n\
             exec {} device::agent --exact --nocapture --test-threads=1 3>&1 >/dev/null\n",
            std::env::current_exe().unwrap().display()
        );
        let program = folder.join("xedge-agent");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { _keep: keep, folder, cancel: Cancel::default() }
    }

    pub fn place(&self) -> Place {
        Place {
            program: self.folder.join("xedge-agent"),
            folder: self.folder.join("home"),
            options: Vec::new(),
            root: false,
        }
    }

    pub fn enrol(&self, release: &Release) {
        enrol(&self.home(), &release.root, &Device::new(None, &[1; 16]), Enrolment::First).unwrap();
    }

    /// The agent dies by SIGKILL after so many bytes from the host: a number for each of the next connections.
    pub fn cut_after(&self, bytes: &[u64]) {
        let lines: Vec<String> = bytes.iter().map(|bytes| format!("{bytes}\n")).collect();
        fs::write(self.folder.join("cuts"), lines.concat()).unwrap();
    }

    /// The agent dies once, by SIGKILL, when it tells of this event.
    pub fn kill_at(&self, event: &str) {
        fs::write(self.folder.join("kill"), event.to_lowercase()).unwrap();
    }

    pub fn secret(&self, name: &str) -> Vec<u8> {
        fs::read(self.home().stack("edge").secret(name, 1)).unwrap()
    }

    pub fn secret_mode(&self, name: &str) -> u32 {
        self.home().stack("edge").secret(name, 1).metadata().unwrap().permissions().mode() & 0o7777
    }

    pub fn site(&self) -> String {
        values::load(&self.home().stack("edge")).unwrap()["site"].clone()
    }

    fn home(&self) -> Home {
        Home::new(self.folder.join("home"))
    }
}

/// Not a test of its own: the process that [`Bench`] starts. As a test, it sees that a new device has no stack.
#[test]
fn agent() {
    let Ok(folder) = std::env::var(FOLDER) else {
        assert_eq!(records::stacks(&Bench::new().home()).unwrap(), Vec::<String>::new());
        return;
    };
    let folder = Utf8PathBuf::from(folder);
    let (home, machine, clock) = (Home::new(folder.join("home")), Machine::real(), Running(Instant::now()));
    let engine = folder.join("engine");
    let connect = || -> xedge_agent::Result<Box<dyn Engine>> { Ok(Box::new(Fake::open(&engine, || 1))) };
    let served =
        Served { home: &home, machine: &machine, clock: &clock, version: "0.1.0", connect: &connect };
    let mut input = BufReader::new(Cut { left: next_cut(&folder) });
    let to_host = File::options().write(true).open("/dev/fd/3").unwrap();
    let mut output = Deadly { to_host, kill: folder.join("kill") };
    // How it ends is the host's to see.
    let _ended = serve(&served, &mut input, &mut output);
}

/// Standard input, up to the byte at which the agent dies.
struct Cut {
    left: Option<usize>,
}

impl Read for Cut {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = self.left.map_or(to.len(), |left| left.min(to.len()));
        if most == 0 && !to.is_empty() {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        }
        let count = io::stdin().read(&mut to[..most])?;
        self.left = self.left.map(|left| left - count);
        Ok(count)
    }
}

/// Takes the first number of the list away.
fn next_cut(folder: &Utf8Path) -> Option<usize> {
    let file = folder.join("cuts");
    let text = fs::read_to_string(&file).ok()?;
    let (first, rest) = text.split_once('\n')?;
    fs::write(&file, rest).unwrap();
    Some(first.parse().unwrap())
}

/// Passes on what the agent says, up to the word at which it dies.
struct Deadly {
    to_host: File,
    kill: Utf8PathBuf,
}

impl Write for Deadly {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(word) = fs::read_to_string(&self.kill)
            && String::from_utf8_lossy(bytes).contains(&format!("\"step\":\"{word}\""))
        {
            fs::remove_file(&self.kill)?;
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        }
        self.to_host.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to_host.flush()
    }
}
