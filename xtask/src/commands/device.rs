//! `device`: a look at devices, and the few things that are done to them by hand.

use std::io::{BufRead as _, Read as _};

use serde_json::{Value, json};
use xedge_deploy::{Cancel, Output, Place, Ssh, Transport, accept, preflight, run as agent};
use xedge_wire::{Applied, DeviceStatus};

use super::Context;
use super::deploy::{interruptible, outcome};
use crate::cli::{Device, HostArgs, WhichArgs};
use crate::error::{Error, Result};

/// Runs one of them, on every host.
pub(super) fn run(cx: &Context<'_>, command: &Device) -> Result<()> {
    match command {
        Device::Status { hosts } => each(hosts, |ssh, _| status(cx, ssh)),
        Device::Logs { hosts, which, service, lines, follow } => {
            each(hosts, |ssh, cancel| logs(cx, ssh, which, service.as_deref(), *lines, *follow, cancel))
        }
        Device::Remove { hosts, which, purge } => each(hosts, |ssh, _| remove(cx, ssh, which, *purge)),
        Device::Rollback { hosts, which } => each(hosts, |ssh, _| rollback(cx, ssh, which)),
        Device::Doctor { hosts } => {
            let mut problems = 0;
            each(hosts, |ssh, _| {
                problems += doctor(cx, ssh)?;
                Ok(())
            })?;
            if problems > 0 { Err(Error::DeviceProblems(problems).into()) } else { Ok(()) }
        }
    }
}

fn each(hosts: &HostArgs, mut work: impl FnMut(&mut Ssh, &Cancel) -> Result<()>) -> Result<()> {
    interruptible(|cancel| {
        for host in &hosts.host {
            let host = host.clone().or_user(hosts.user.as_deref());
            let mut ssh = Ssh::new(host, hosts.ssh_config.as_deref(), cancel)?;
            ssh.connect()?;
            work(&mut ssh, cancel)?;
        }
        Ok(())
    })
}

/// What a command of the agent gives as JSON.
fn ask(ssh: &Ssh, arguments: &[&str], what: &str) -> Result<Output> {
    let line: Vec<&str> = ["--format", "json"].iter().chain(arguments).copied().collect();
    let output = agent(ssh, &Place::system(), &line, &[], what)?;
    Ok(accept(ssh.host(), what, output)?)
}

fn read<T: serde::de::DeserializeOwned>(ssh: &Ssh, output: &Output) -> Result<T> {
    let read = serde_json::from_str(output.text.trim());
    Ok(read.map_err(|error| Error::DeviceAnswer { host: ssh.host().to_owned(), reason: error.to_string() })?)
}

fn report(ssh: &Ssh) -> Result<DeviceStatus> {
    read(ssh, &ask(ssh, &["status"], "ask for its status")?)
}

/// The agent's own words, or its JSON with the host's name.
fn status(cx: &Context<'_>, ssh: &Ssh) -> Result<()> {
    if cx.printer.is_json() {
        let mut value: Value = read(ssh, &ask(ssh, &["status"], "ask for its status")?)?;
        value["host"] = json!(ssh.host());
        return cx.printer.json(&value);
    }
    let what = "ask for its status";
    let output = accept(ssh.host(), what, agent(ssh, &Place::system(), &["status"], &[], what)?)?;
    output.text.lines().try_for_each(|line| cx.printer.data(line))
}

/// The stack that is meant: the only one where none is named.
fn stack(ssh: &Ssh, which: &WhichArgs) -> Result<String> {
    if let Some(named) = &which.stack {
        return Ok(named.clone());
    }
    let names: Vec<String> = report(ssh)?.stacks.into_iter().map(|stack| stack.name).collect();
    if let [only] = &names[..] {
        return Ok(only.clone());
    }
    let hint = if names.is_empty() {
        format!("deploy one: `cargo xtask deploy --host {}`", ssh.host())
    } else {
        format!("name one of {} with `--stack NAME`", names.join(", "))
    };
    Err(Error::Unknown { what: "the one stack that is meant on", name: ssh.host().to_owned(), hint }.into())
}

fn logs(
    cx: &Context<'_>,
    ssh: &Ssh,
    which: &WhichArgs,
    service: Option<&str>,
    lines: u32,
    follow: bool,
    cancel: &Cancel,
) -> Result<()> {
    /// A line that is longer is cut there.
    const LONGEST: u64 = 1 << 20;
    let (stack, count) = (stack(ssh, which)?, lines.to_string());
    let mut arguments = vec!["logs", stack.as_str()];
    arguments.extend(service);
    arguments.extend(["--lines", &count]);
    if follow {
        arguments.push("--follow");
    }
    let what = "read its logs";
    let mut process = ssh.start(&Place::system().command(&arguments), what)?;
    loop {
        let mut line = Vec::new();
        let read = process.output().take(LONGEST).read_until(b'\n', &mut line);
        cancel.check()?;
        match read {
            Ok(0) | Err(_) => break,
            Ok(_) => cx.printer.data(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']))?,
        }
    }
    Ok(process.success()?)
}

fn remove(cx: &Context<'_>, ssh: &Ssh, which: &WhichArgs, purge: bool) -> Result<()> {
    let stack = stack(ssh, which)?;
    let mut arguments = vec!["remove", stack.as_str()];
    if purge {
        arguments.push("--purge");
    }
    ask(ssh, &arguments, "remove the stack")?;
    if cx.printer.is_json() {
        return cx.printer.json(&json!({"host": ssh.host(), "removed": stack, "purged": purge}));
    }
    let data = if purge { "with its data and secrets" } else { "its data and secrets stay" };
    cx.printer.data(&format!("{} {stack} is removed; {data}", ssh.host()))
}

fn rollback(cx: &Context<'_>, ssh: &Ssh, which: &WhichArgs) -> Result<()> {
    let mut arguments = vec!["rollback"];
    arguments.extend(which.stack.as_deref());
    let output = ask(ssh, &arguments, "roll back")?;
    if cx.printer.is_json() {
        let mut value: Value = read(ssh, &output)?;
        value["host"] = json!(ssh.host());
        return cx.printer.json(&value);
    }
    let applied: Applied = read(ssh, &output)?;
    cx.printer.data(&format!("{} {}", ssh.host(), outcome(&applied)))
}

/// What the device's shell finds, and what its agent does; gives how many problems need a person.
fn doctor(cx: &Context<'_>, ssh: &Ssh) -> Result<usize> {
    let needs = xedge_deploy::Needs { now: cx.environment.now_unix(), ..Default::default() };
    let probed = preflight(ssh, &Place::system())?;
    let mut problems: Vec<(String, Option<String>)> =
        probed.findings(&needs).into_iter().map(|finding| (finding.what, Some(finding.mend))).collect();
    if probed.agent().is_none() {
        let mend = format!("cargo xtask deploy --host {}", ssh.host());
        problems.push(("there is no xedge-agent".to_owned(), Some(mend)));
    } else {
        problems.extend(report(ssh)?.problems.into_iter().map(|problem| (problem, None)));
    }
    for (what, mend) in &problems {
        if cx.printer.is_json() {
            cx.printer.json(&json!({"host": ssh.host(), "problem": what, "command": mend}))?;
        } else {
            let mend = mend.as_ref().map_or(String::new(), |mend| format!(": `{mend}`"));
            cx.printer.data(&format!("{} {what}{mend}", ssh.host()))?;
        }
    }
    if problems.is_empty() {
        cx.printer.good("well", &format!("{}: nothing needs a person", ssh.host()));
    }
    Ok(problems.len())
}
