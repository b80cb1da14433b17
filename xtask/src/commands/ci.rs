//! `ci`: the jobs of continuous integration, the same on a desk; the workflow file only calls them.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::Context;
use crate::cli::{Ci, Job, Sim};
use crate::error::{Error, Result};

/// The package whose tests need devices.
const PACKAGE: &str = "xtask";
/// Its tests from outside.
const IT: [&str; 6] = ["test", "--package", PACKAGE, "--locked", "--test", "it"];
/// The module of those that need a device.
const DEVICE: &str = "device::";
/// Of those, what takes too long for every day: it makes and deploys half a gigabyte.
const WEIGHT: &str = "device::weight::";
/// What cuts an installation short at random.
const KILLS: &str = "device::faults::kills";

/// Runs the jobs in order and stops at the first that fails.
pub(super) fn run(cx: &Context<'_>, flags: &Ci) -> Result<()> {
    let mut all = vec![Job::Lint, Job::Test, Job::Sim];
    all.extend(has_device_tests(cx).then_some(Job::Device));
    let jobs = if flags.jobs.is_empty() { &all } else { &flags.jobs };
    for job in jobs {
        match job {
            Job::Lint => lint(cx)?,
            Job::Test => test(cx)?,
            Job::Sim => sim(cx)?,
            Job::Device => device(cx, "device", &[DEVICE, "--skip", WEIGHT], 20)?,
            Job::DeviceFaults => device(cx, "device-faults", &[KILLS, WEIGHT], 200)?,
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
    let apart = has_device_tests(cx);
    let mut rest = vec!["test", "--workspace", "--locked"];
    rest.extend(packages.iter().flat_map(|package| ["--exclude", package]));
    rest.extend(apart.then_some(["--exclude", PACKAGE]).iter().flatten());
    cargo(cx, "test", &rest, &format!("`cargo {}`", rest.join(" ")))?;
    if apart {
        // Devices are a job of their own, and a filter by name must not meet tests of other crates.
        let own = ["test", "--package", PACKAGE, "--locked", "--lib", "--bins"];
        cargo(cx, "test", &own, &format!("`cargo {}`", own.join(" ")))?;
        let documents = ["test", "--package", PACKAGE, "--locked", "--doc"];
        cargo(cx, "test", &documents, &format!("`cargo {}`", documents.join(" ")))?;
        filtered(cx, "test", command(cx), &IT, &["--skip", DEVICE], "`cargo xtask ci test`")?;
    }
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
        repeat: None,
        jobs: None,
        shard: None,
        keep: false,
        locked: false,
        command: None,
    };
    super::sim::run(cx, &everything)
}

/// One test at a time: they measure how long things take. `kills` is how often the agent dies.
fn device(cx: &Context<'_>, job: &'static str, filter: &[&str], kills: u32) -> Result<()> {
    let mut command = command(cx);
    command.env("XEDGE_TEST_KILLS", kills.to_string());
    let flags = [filter, &["--test-threads", "1", "--nocapture"]].concat();
    filtered(cx, job, command, &IT, &flags, &format!("`cargo xtask ci {job}`"))?;
    cx.printer.good(job, "all tests passed");
    Ok(())
}

/// Runs the tests that a filter leaves; one that leaves none is a failure, not a success about nothing.
fn filtered(
    cx: &Context<'_>,
    job: &'static str,
    runs: Command,
    target: &[&str],
    flags: &[&str],
    again: &str,
) -> Result<()> {
    let line = [target, &["--"], flags].concat();
    let mut list = command(cx);
    list.args(&line).arg("--list").stderr(Stdio::inherit());
    let listed = list.output().map_err(|source| Error::Spawn { program: "cargo".into(), source })?;
    let names = String::from_utf8_lossy(&listed.stdout);
    if listed.status.success() && !names.lines().any(|name| name.ends_with(": test")) {
        let what = format!("no test is left by `{}`", flags.join(" "));
        let hint = format!("see what there is: `cargo {} -- --list`", target.join(" "));
        return Err(Error::Job { job, what, hint }.into());
    }
    run_cargo(cx, job, runs, &line, again)
}

/// Whether these tests are here: a project made by `new` has none.
fn has_device_tests(cx: &Context<'_>) -> bool {
    cx.project.root().join("tests/it/device.rs").exists()
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
