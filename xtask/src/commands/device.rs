//! `device`: a look at devices, and the few things that are done to them by hand.

use std::io::{BufRead as _, Read as _};

use serde_json::{Value, json};
use xedge_deploy::{Cancel, Needs, Output, Place, Ssh, Transport, accept, preflight, run as agent};
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

/// Something that needs a person.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    what: String,
    /// What to do: a command, or words with commands in them.
    mend: Option<String>,
    code: Option<String>,
}

/// What the device's shell finds, and what its agent does; gives how many problems need a person.
fn doctor(cx: &Context<'_>, ssh: &Ssh) -> Result<usize> {
    let probed = preflight(ssh, &Place::system())?;
    let needs = Needs { now: cx.environment.now_unix(), ports: probed.published(), ..Needs::default() };
    let found = probed.findings(&needs).into_iter().map(|finding| Problem {
        what: finding.what,
        mend: Some(finding.mend),
        code: finding.code.map(|code| code.to_string()),
    });
    let mut problems: Vec<Problem> = found.collect();
    if probed.agent().is_none() {
        let mend = format!("cargo xtask deploy --host {}", ssh.host());
        problems.push(Problem { what: "there is no xedge-agent".to_owned(), mend: Some(mend), code: None });
    } else {
        // Whatever the agent cannot do, what the shell found is told.
        let asked = ["doctor", "status"].map(|command| ask(ssh, &[command], "ask its agent what is wrong"));
        let [findings, status] = asked;
        let mut of_agent = told(findings, &mut agent_findings);
        of_agent.extend(told(status, &mut |text| {
            let status: DeviceStatus = serde_json::from_str(text)?;
            Ok(status.problems.into_iter().map(|what| Problem { what, mend: None, code: None }).collect())
        }));
        for problem in of_agent {
            // Both look at the same device.
            let is_known =
                |one: &Problem| one.what == problem.what || (one.code.is_some() && one.code == problem.code);
            if !problems.iter().any(is_known) {
                problems.push(problem);
            }
        }
    }
    for Problem { what, mend, code } in &problems {
        if cx.printer.is_json() {
            cx.printer.json(&json!({"host": ssh.host(), "problem": what, "command": mend, "code": code}))?;
        } else {
            let code = code.as_ref().map_or(String::new(), |code| format!(" [{code}]"));
            // A command alone, or words that mark the commands in them.
            let shown = |mend: &String| if mend.contains('`') { mend.clone() } else { format!("`{mend}`") };
            let mend = mend.as_ref().map_or(String::new(), |mend| format!(": {}", shown(mend)));
            cx.printer.data(&format!("{} {what}{code}{mend}", ssh.host()))?;
        }
    }
    if problems.is_empty() {
        cx.printer.good("well", &format!("{}: nothing needs a person", ssh.host()));
    }
    Ok(problems.len())
}

/// The problems in an answer; that there is none, or none that is understood, is a problem itself.
fn told(
    answer: Result<Output>,
    read: &mut dyn FnMut(&str) -> serde_json::Result<Vec<Problem>>,
) -> Vec<Problem> {
    let failed = |what: String, mend, code| vec![Problem { what, mend, code }];
    match answer {
        Err(error) => failed(error.chain().join(": "), error.hint(), error.refusal().map(str::to_owned)),
        Ok(output) => read(output.text.trim())
            .unwrap_or_else(|error| failed(format!("its agent is not understood: {error}"), None, None)),
    }
}

/// What needs a hand of what `xedge-agent doctor` looked at.
fn agent_findings(text: &str) -> serde_json::Result<Vec<Problem>> {
    #[derive(serde::Deserialize)]
    struct Finding {
        subject: String,
        state: String,
        found: String,
        fix: String,
        code: Option<String>,
    }
    let findings: Vec<Finding> = serde_json::from_str(text)?;
    let problems = findings.into_iter().filter(|finding| finding.state == "problem").map(|finding| Problem {
        what: format!("{}: {}", finding.subject, finding.found),
        mend: Some(finding.fix).filter(|fix| !fix.is_empty()),
        code: finding.code,
    });
    Ok(problems.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agents_doctor_says_is_understood() {
        use xedge_agent::doctor::{Finding, State};
        let finding = |state, fix: &str| Finding {
            subject: "disk",
            state,
            found: "full".into(),
            fix: fix.into(),
            code: Some("no-space"),
        };
        let findings = [finding(State::Problem, "df"), finding(State::Note, ""), finding(State::Well, "")];
        let text = serde_json::to_string(&findings).unwrap();
        let expected =
            Problem { what: "disk: full".into(), mend: Some("df".into()), code: Some("no-space".into()) };
        assert_eq!(agent_findings(&text).unwrap(), [expected]);
    }

    #[test]
    fn an_agent_that_fails_is_one_more_problem() {
        let error = Error::DeviceAnswer { host: "rpi".into(), reason: "x".into() };
        let problems = told(Err(error.into()), &mut agent_findings);
        assert_eq!(problems.len(), 1);
        let output = Output { text: "nonsense".into(), complaints: String::new(), code: 0 };
        assert!(told(Ok(output), &mut agent_findings)[0].what.contains("not understood"));
    }
}
