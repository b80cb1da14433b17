//! The program itself: its exit codes, its greeting, and how it gives its place to another one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use xedge_agent::{Device, Home};
use xedge_wire::{ToDevice, ToHost, WIRE, read_line, write_line};

const AGENT: &str = env!("CARGO_BIN_EXE_xedge-agent");
/// Where no Engine is.
const NO_ENGINE: &str = "/nonexistent/docker.sock";

fn run(program: &Path, state: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.arg("--state").arg(state.path().join("state")).args(["--engine", NO_ENGINE]).args(arguments);
    command.output().expect("the program can be started")
}

fn agent(state: &TempDir, arguments: &[&str]) -> Output {
    run(Path::new(AGENT), state, arguments)
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn whose_fault_it_is_shows_in_the_exit_code() {
    let state = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (["--help"].as_slice(), 0),
        (&["why", "expired"], 0),
        (&["why", "no-such-code"], 3),
        (&["no-such-command"], 3),
        (&["verify", "/dev/null"], 6),
        (&["gc"], 1),
        (&["enroll", "--root", "/nonexistent"], 3),
        (&["status"], 0),
    ] {
        let output = agent(&state, arguments);
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
    }
    let output = agent(&state, &["verify", "/dev/null", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(report["error"]["exit"], 6);
    assert!(report["error"]["hint"].as_str().unwrap().contains("xedge-agent enroll"));
}

#[test]
fn every_code_is_explained() {
    let state = tempfile::tempdir().unwrap();
    let codes = String::from_utf8(agent(&state, &["why"]).stdout).unwrap();
    assert!(codes.lines().count() > 20);
    for word in codes.lines() {
        let output = agent(&state, &["why", word]);
        assert!(code(&output) == 0 && output.stdout.len() > 40, "{word}");
    }
}

#[test]
fn a_host_is_greeted_where_no_engine_answers() {
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(AGENT);
    command.arg("session").arg("--state").arg(state.path()).args(["--engine", NO_ENGINE]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut hello = Vec::new();
    write_line(&mut hello, &ToDevice::Hello { wire: WIRE, version: "0.0.0".into() }).unwrap();
    child.stdin.take().unwrap().write_all(&hello).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    match read_line::<ToHost>(&mut output.stdout.as_slice()).unwrap() {
        Some(ToHost::Hello { wire: WIRE, device, .. }) => assert_eq!(device.engine, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_program_takes_over_only_once_it_has_shown_that_it_works() {
    let state = tempfile::tempdir().unwrap();
    let programs = state.path().join("state/agent");
    let link = state.path().join("bin/xedge-agent");
    let link = link.to_str().unwrap();
    let current = || fs::read_link(programs.join("current")).unwrap();
    let count = || fs::read_dir(&programs).unwrap().count();

    let output = agent(&state, &["upgrade", AGENT, "--link", link]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let first = current();
    assert_eq!(count(), 2, "the program and a link to it");
    assert_eq!(code(&run(Path::new(link), &state, &["self-check"])), 0);

    for (bad, expected) in [("/bin/true", 2), ("/bin/false", 2), ("/bin/cat", 2), ("/etc/passwd", 3)] {
        let output = agent(&state, &["upgrade", bad, "--link", link]);
        assert_eq!(code(&output), expected, "{bad}: {}", stderr(&output));
        assert_eq!((current(), count()), (first.clone(), 2), "{bad}");
    }
    let other = |byte: u8| -> PathBuf {
        let mut bytes = fs::read(AGENT).unwrap();
        bytes.push(byte);
        let path = state.path().join(format!("other-{byte}"));
        fs::write(&path, bytes).unwrap();
        path
    };
    let output = agent(&state, &["upgrade", other(1).to_str().unwrap(), "--link", link]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(fs::read_link(programs.join("previous")).unwrap(), first);
    let second = current();
    assert_ne!(second, first);
    agent(&state, &["upgrade", other(2).to_str().unwrap()]);
    assert_eq!(fs::read_link(programs.join("previous")).unwrap(), second);
    assert_eq!(count(), 4, "two programs and two links: the oldest is gone");
    assert_eq!(code(&run(Path::new(link), &state, &["self-check"])), 0);
}

/// A program that does nothing, for ever: `pause` in a loop.
#[cfg(target_arch = "x86_64")]
fn hanging() -> Vec<u8> {
    let code = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
    let (base, start) = (0x40_0000_u64, 64 + 56_u64);
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    // An executable for x86-64, its entry, the place of its one program header, and the sizes of both headers.
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for number in [base + start, 64, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // All of the file is loaded, to be read and run.
    bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let length = start + code.len() as u64;
    for number in [0, base, base, length, length, 0x1000] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(code);
    bytes
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_that_hangs_holds_nobody_up() {
    let state = tempfile::tempdir().unwrap();
    let program = state.path().join("hangs");
    fs::write(&program, hanging()).unwrap();
    let output = agent(&state, &["upgrade", program.to_str().unwrap()]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("did not come to its end"), "{}", stderr(&output));
    assert!(!state.path().join("state/agent/current").exists());
}

#[test]
fn state_that_cannot_be_read_keeps_another_program_out() {
    let state = tempfile::tempdir().unwrap();
    fs::create_dir(state.path().join("state")).unwrap();
    fs::write(state.path().join("state/trust.json"), b"{").unwrap();
    let output = agent(&state, &["upgrade", AGENT]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("trust.json"), "{}", stderr(&output));
    assert!(!state.path().join("state/agent/current").exists());
}

/// Containers are in one Engine; another one that is installed later is not asked for them.
#[test]
fn the_engine_of_a_device_is_remembered() {
    let state = tempfile::tempdir().unwrap();
    let home = Home::new(state.path().join("state").to_str().unwrap());
    let settled = state.path().join("settled.sock");
    let settled = settled.to_str().unwrap();
    let device = Device { engine: Some(settled.to_owned()), ..Device::new(None, &[7; 16]) };
    device.save(&home).unwrap();
    let output = Command::new(AGENT).args(["--state", home.root().as_str(), "gc"]).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains(settled), "{}", stderr(&output));
    let output = agent(&state, &["gc"]);
    assert!(stderr(&output).contains(NO_ENGINE), "who names one means it: {}", stderr(&output));
}
