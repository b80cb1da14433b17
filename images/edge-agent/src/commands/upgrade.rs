//! `upgrade`: another program in place of this one. The old one stays until the new one has read the device's state and answered a
//! host's greeting, and as `previous` after that.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

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
    let checked = command("self-check").output().map_err(|error| unfit(error.to_string()))?;
    if !checked.status.success() {
        return Err(unfit(String::from_utf8_lossy(&checked.stderr).trim().to_owned()));
    }
    let mut session = command("session");
    session.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = session.spawn().map_err(|error| unfit(error.to_string()))?;
    let hello = ToDevice::Hello { wire: WIRE, version: VERSION.to_owned() };
    let mut greeting = Vec::new();
    write_line(&mut greeting, &hello).map_err(|error| unfit(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&greeting).map_err(|error| unfit(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| unfit(error.to_string()))?;
    match read_line::<ToHost>(&mut output.stdout.as_slice()) {
        Ok(Some(ToHost::Hello { agent, .. })) => Ok(agent),
        Ok(Some(ToHost::Failed(problem))) => Err(unfit(problem.messages.join(": "))),
        Ok(_) => Err(unfit("it did not answer a greeting".to_owned())),
        Err(error) => Err(unfit(error.to_string())),
    }
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
