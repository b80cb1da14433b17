//! `ci`: the jobs of continuous integration, the same on a desk; the workflow file only calls them.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::Context;
use crate::cli::{Ci, Job, Sim};
use crate::error::{Error, Result};

/// Runs the jobs in order and stops at the first that fails.
pub(super) fn run(cx: &Context<'_>, flags: &Ci) -> Result<()> {
    let all = vec![Job::Lint, Job::Test, Job::Sim];
    let jobs = if flags.jobs.is_empty() { &all } else { &flags.jobs };
    for job in jobs {
        match job {
            Job::Lint => lint(cx)?,
            Job::Test => test(cx)?,
            Job::Sim => sim(cx)?,
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

fn has_clippy(cx: &Context<'_>) -> bool {
    let mut command = command(cx);
    command.args(["clippy", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn cargo(cx: &Context<'_>, job: &'static str, arguments: &[&str], again: &str) -> Result<()> {
    let line = format!("cargo {}", arguments.join(" "));
    cx.printer.say(&format!("{job}: {line}"));
    let status = command(cx).args(arguments).status();
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
