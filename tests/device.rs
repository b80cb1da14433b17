//! Brings up a device by hand, the one that the tests deploy to: `cargo run -p xtask --example device -- up FOLDER`.
#![expect(unreachable_pub, dead_code, reason = "a module of the tests")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "it/device/stand.rs"]
mod stand;

use stand::{Board, HOST, Stand};

const USAGE: &str =
    "usage: device up FOLDER [PORT]... | device cut FOLDER | device boot FOLDER | device down FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["up", folder, ref ports @ ..] => up(Path::new(folder), ports),
        ["cut", folder] => Stand::kept(Path::new(folder)).cut_power(),
        ["boot", folder] => Stand::kept(Path::new(folder)).boot(),
        ["down", folder] => Stand::kept(Path::new(folder)).remove(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(3);
        }
    }
    ExitCode::SUCCESS
}

fn up(folder: &Path, ports: &[&str]) {
    std::fs::create_dir_all(folder).expect("a folder");
    let folder = folder.canonicalize().expect("a folder");
    let ports = ports.iter().map(|port| port.parse().expect("a port")).collect();
    let board = Board { ports, keep: true, ..Board::default() };
    let stand = Stand::start(&xtask(), &scratch(), &folder, &board);
    println!("PATH={}:$PATH ssh {HOST}", folder.join("bin").display());
    for port in &board.ports {
        println!("port {port} is 127.0.0.1:{}", stand.port(*port));
    }
}

/// Cargo puts examples into a folder beside the program.
fn xtask() -> PathBuf {
    let example = std::env::current_exe().expect("this program");
    let program = example.parent().and_then(Path::parent).expect("target/PROFILE/examples").join("xtask");
    assert!(program.is_file(), "build it first: cargo build -p xtask");
    program
}

fn scratch() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp")
}
