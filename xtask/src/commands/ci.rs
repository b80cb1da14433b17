//! `ci`: the jobs of continuous integration, the same on a desk; the workflow file only calls them.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::Context;
use crate::cli::{Ci, Job, Sim};
use crate::error::{Error, Result};

/// Runs the jobs in order and stops at the first that fails.
pub(super) fn run(cx: &Context<'_>, flags: &Ci) -> Result<()> {
    let all = vec![Job::Lint, Job::Test, Job::Sim, Job::Device];
    let jobs = if flags.jobs.is_empty() { &all } else { &flags.jobs };
    for job in jobs {
        match job {
            Job::Lint => lint(cx)?,
            Job::Test => test(cx)?,
            Job::Sim => sim(cx)?,
            Job::Device => device(cx, "device", "device::", 20)?,
            Job::DeviceFaults => device(cx, "device-faults", "device::kills", 200)?,
        }
    }
    Ok(())
}

fn lint(cx: &Context<'_>) -> Result<()> {
    // Not `--all`, which takes in the folders of dependencies too; without it, the members of a workspace are meant.
    cargo(cx, "lint", &["fmt", "--check"], "`cargo fmt`")?;
    if !has_clippy(cx) {
        cx.printer.warn(
            "clippy is not installed, so lints were NOT checked (Debian packages none for its current Rust)",
        );
        return Ok(());
    }
    let clippy = [
        "clippy",
        "--workspace",
        "--no-deps",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ];
    cargo(cx, "lint", &clippy, "`cargo clippy --workspace --all-targets`")?;
    cx.printer.good("lint", "formatting and lints are clean");
    Ok(())
}

/// The payloads are tested apart, so that their features do not make Cargo build every shared dependency again.
fn test(cx: &Context<'_>) -> Result<()> {
    let images = cx.project.images()?;
    let payloads = images.iter().flat_map(|image| &image.def.payloads);
    let packages: BTreeSet<&str> = payloads.map(|payload| payload.package.as_str()).collect();
    let mut rest = vec!["test", "--workspace", "--locked"];
    rest.extend(packages.iter().flat_map(|package| ["--exclude", package]));
    // They are a job of their own.
    rest.extend(["--", "--skip", "device::"]);
    cargo(cx, "test", &rest, &format!("`cargo {}`", rest.join(" ")))?;
    for package in packages {
        let one = ["test", "--package", package, "--locked"];
        cargo(cx, "test", &one, &format!("`cargo {}`", one.join(" ")))?;
    }
    cx.printer.good("test", "all tests passed");
    Ok(())
}

fn sim(cx: &Context<'_>) -> Result<()> {
    let everything = Sim {
        engine: cx.engine,
        scenarios: Vec::new(),
        env: crate::evidence::PRODUCTION.to_owned(),
        duration: None,
        seed: None,
        keep: false,
        locked: false,
        command: None,
    };
    super::sim::run(cx, &everything)
}

/// One test at a time: they measure how long things take. `kills` is how often the agent dies.
fn device(cx: &Context<'_>, job: &'static str, filter: &str, kills: u32) -> Result<()> {
    let line = [
        "test",
        "--package",
        "xtask",
        "--locked",
        "--test",
        "it",
        filter,
        "--",
        "--test-threads",
        "1",
        "--nocapture",
    ];
    let mut command = command(cx);
    command.env("XEDGE_TEST_KILLS", kills.to_string());
    run_cargo(cx, job, command, &line, &format!("`cargo xtask ci {job}`"))?;
    cx.printer.good(job, "all tests passed");
    Ok(())
}

fn has_clippy(cx: &Context<'_>) -> bool {
    let mut command = command(cx);
    command.args(["clippy", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn cargo(cx: &Context<'_>, job: &'static str, arguments: &[&str], again: &str) -> Result<()> {
    run_cargo(cx, job, command(cx), arguments, again)
}

fn run_cargo(
    cx: &Context<'_>,
    job: &'static str,
    mut command: Command,
    arguments: &[&str],
    again: &str,
) -> Result<()> {
    let line = format!("cargo {}", arguments.join(" "));
    cx.printer.say(&format!("{job}: {line}"));
    let status = command.args(arguments).status();
    let status = status.map_err(|source| Error::Spawn { program: "cargo".into(), source })?;
    if status.success() {
        return Ok(());
    }
    let hint = format!("run it alone: {again}");
    Err(Error::Job { job, what: format!("`{line}` ended with {status}"), hint }.into())
}

fn command(cx: &Context<'_>) -> Command {
    let mut command = Command::new(cx.environment.var("CARGO").unwrap_or("cargo"));
    command.current_dir(cx.project.root());
    command
}
