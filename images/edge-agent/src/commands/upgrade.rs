//! `upgrade`: another program in place of this one. The old one stays until the new one has read the device's state and answered a
//! host's greeting, and as `previous` after that.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use xedge_agent::facts::device_facts;
use xedge_agent::{Error, Result, home, records};
use xedge_model::Digest;
use xedge_model::atomic::{self, WriteError};
use xedge_wire::{ToDevice, ToHost, WIRE, read_line, write_line};

use super::{Context, VERSION, service};
use crate::cli::Upgrade;

/// Where people and hosts find the program.
const LINK: &str = "/usr/local/bin/xedge-agent";
/// A program of ours is far smaller.
const MAX_BYTES: usize = 100 << 20;
/// How long a new program may take to read the state, and to answer a greeting.
const DEADLINE: Duration = Duration::from_secs(20);
/// The most bytes that are taken of what it says.
const MAX_WORDS: u64 = 1 << 20;

pub(super) fn run(cx: &Context, args: &Upgrade) -> Result<()> {
    let bytes = super::read(&args.file)?;
    if bytes.len() > MAX_BYTES || !bytes.starts_with(b"\x7fELF") {
        let reason = "it is no program for this system".to_owned();
        return Err(Error::Given { what: args.file.to_string(), reason });
    }
    let programs = cx.home.programs();
    let program = programs.join(format!("xedge-agent-{}", Digest::of(&bytes).short()));
    let current = programs.join("current");
    let before = fs::read_link(&current).ok().and_then(|path| Utf8PathBuf::try_from(path).ok());
    atomic::write(&program, &bytes, 0o755)?;
    drop(bytes);
    let version = match try_out(cx, &program) {
        Ok(version) => version,
        Err(error) => {
            let is_current = before.as_ref().is_some_and(|before| programs.join(before) == program);
            if !is_current {
                fs::remove_file(&program).map_err(|source| WriteError::new(&program, source))?;
            }
            return Err(error);
        }
    };
    let name = Utf8PathBuf::from(program.file_name().expect("it was just named"));
    let changed = before.as_ref() != Some(&name);
    if changed {
        if let Some(before) = &before {
            link(before, &programs.join("previous"))?;
        }
        link(&name, &current)?;
        sweep(&programs)?;
    }
    if let Some(path) = where_found(cx, args) {
        link(&current, &path)?;
    }
    service::restart();
    let report = json!({ "version": version, "program": program, "changed": changed });
    cx.printer.data(&report, || {
        let verb = if changed { "is installed" } else { "was already installed" };
        vec![format!("xedge-agent {version} {verb} at {program}")]
    })
}

/// `self-check`: reads everything that an agent reads before it does anything.
pub(super) fn self_check(cx: &Context) -> Result<()> {
    let facts = device_facts(&cx.home, &cx.machine, &cx.clock, None)?;
    let mut stacks = 0;
    for stack in records::stacks(&cx.home)? {
        let stack = cx.home.stack(&stack);
        records::load_state(&stack)?;
        records::load_journal(&stack)?;
        stacks += 1;
    }
    let report =
        json!({ "version": VERSION, "wire": WIRE, "enrolled": facts.root.is_some(), "stacks": stacks });
    cx.printer.data(&report, || vec![format!("xedge-agent {VERSION} can work with {stacks} stacks here")])
}

/// Lets the new program read the state, and greets it as a host would; gives its version.
fn try_out(cx: &Context, program: &Utf8Path) -> Result<String> {
    let command = |word: &str| {
        let mut command = Command::new(program);
        command.args([word, "--state", cx.home.root().as_str()]);
        if let Some(engine) = &cx.engine {
            command.args(["--engine", engine.as_str()]);
        }
        command
    };
    let unfit = |reason: String| Error::Program { program: program.to_owned(), reason };
    let checked = finish(command("self-check").stdin(Stdio::null()), &[]).map_err(&unfit)?;
    if !checked.status.success() {
        return Err(unfit(String::from_utf8_lossy(&checked.stderr).trim().to_owned()));
    }
    let hello = ToDevice::Hello { wire: WIRE, version: VERSION.to_owned() };
    let mut greeting = Vec::new();
    write_line(&mut greeting, &hello).map_err(|error| unfit(error.to_string()))?;
    let output = finish(command("session").stdin(Stdio::piped()), &greeting).map_err(&unfit)?;
    match read_line::<ToHost>(&mut output.stdout.as_slice()) {
        Ok(Some(ToHost::Hello { agent, .. })) => Ok(agent),
        Ok(Some(ToHost::Failed(problem))) => Err(unfit(problem.messages.join(": "))),
        Ok(_) => Err(unfit("it did not answer a greeting".to_owned())),
        Err(error) => Err(unfit(error.to_string())),
    }
}

/// Runs a program to its end and gives what it said. One that does not come to its end in time is killed: it may be a program
/// that hangs, and whoever waits for this one is a person or a host.
fn finish(command: &mut Command, input: &[u8]) -> std::result::Result<Output, String> {
    let text = |error: io::Error| error.to_string();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(text)?;
    let until = Instant::now() + DEADLINE;
    let (stdout, stderr) = (listen(child.stdout.take()), listen(child.stderr.take()));
    // A program that does not read says below what it is.
    let _written = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let status = loop {
        match child.try_wait().map_err(text)? {
            Some(status) => break status,
            None if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
            None => {
                child.kill().and_then(|()| child.wait()).map_err(text)?;
                return Err(format!("it did not come to its end in {} s", DEADLINE.as_secs()));
            }
        }
    };
    // A child of its own may still hold the pipe.
    let said = |from: Receiver<Vec<u8>>| from.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    Ok(Output { status, stdout: said(stdout), stderr: said(stderr) })
}

/// Takes what a program says, up to a length that none of ours has.
fn listen(from: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (tell, hear) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is to say; nobody may be there to hear it any more.
        let _read = from.map(|from| from.take(MAX_WORDS).read_to_end(&mut bytes));
        let _heard = tell.send(bytes);
    });
    hear
}

fn where_found(cx: &Context, args: &Upgrade) -> Option<Utf8PathBuf> {
    let usual = || (cx.home.root() == home::DEFAULT).then(|| Utf8PathBuf::from(LINK));
    args.link.clone().or_else(usual)
}

/// Makes `path` a link to `to`, at once, whatever it was.
fn link(to: &Utf8Path, path: &Utf8Path) -> Result<()> {
    let failed = |source| Error::from(WriteError::new(path, source));
    let folder = path.parent().unwrap_or(Utf8Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    let beside = folder.join(format!(".xedge-link-{}", std::process::id()));
    // One of a process of that number that was killed in between.
    let _gone = fs::remove_file(&beside);
    symlink(to, &beside).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Removes programs that neither `current` nor `previous` is.
fn sweep(programs: &Utf8Path) -> Result<()> {
    let failed = |source| Error::from(WriteError::new(programs, source));
    let kept: Vec<_> =
        ["current", "previous"].iter().filter_map(|name| fs::read_link(programs.join(name)).ok()).collect();
    for entry in programs.read_dir_utf8().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_program = entry.file_name().starts_with("xedge-agent-");
        if is_program && !kept.iter().any(|name| name.as_os_str() == entry.file_name()) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
