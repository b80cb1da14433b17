//! First contact: the agent's program on a device, newer ones of it, and enrolment. The program is taken from a file; nothing is
//! built here.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use xedge_model::Digest;
use xedge_wire::Problem;

use crate::error::{Error, Result};
use crate::transport::{Transport, words};

const SCRIPT: &str = include_str!("install.sh");
/// The agent's folder (`xedge_agent::home`).
const FOLDER: &str = "/var/lib/xedge";
const PROGRAM: &str = "/usr/local/bin/xedge-agent";
/// What a shell says where there is no such program.
pub(crate) const NOT_FOUND: i32 = 127;
const ELEVATE: &str =
    r#"command -v "$1" >/dev/null || exit 127; [ "$(id -u)" = 0 ] || exec sudo -n -- "$@"; exec "$@""#;
const MOST_OUTPUT: u64 = 1 << 20;

/// Where the agent is on a device, and how it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What is called: a link to the program that is in use.
    pub program: Utf8PathBuf,
    /// The agent's folder.
    pub folder: Utf8PathBuf,
    /// Options before its command, such as `--engine`.
    pub options: Vec<String>,
    /// Whether what is called must be root: through `sudo -n` where the user is not.
    pub root: bool,
}

/// How a device is enrolled.
#[derive(Clone, Debug)]
pub struct Enrolment<'a> {
    /// The root to pin.
    pub root: &'a [u8],
    /// The device's class.
    pub class: Option<&'a str>,
    /// Whether it takes the place of a development root.
    pub again: bool,
}

/// What a command of the agent came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its standard output.
    pub text: String,
    /// Its standard error, the last of it.
    pub complaints: String,
    /// Its exit code.
    pub code: i32,
}

impl Place {
    /// The usual place.
    pub fn system() -> Self {
        Self { program: PROGRAM.into(), folder: FOLDER.into(), options: Vec::new(), root: true }
    }

    /// The command line that has the agent do something.
    pub fn command(&self, arguments: &[&str]) -> String {
        let mut line = self.elevated();
        line.push(self.program.as_str());
        if self.folder != FOLDER {
            line.extend(["--state", self.folder.as_str()]);
        }
        line.extend(self.options.iter().map(String::as_str));
        line.extend(arguments);
        words(line)
    }

    fn elevated(&self) -> Vec<&str> {
        if self.root { vec!["sh", "-c", ELEVATE, "sh"] } else { Vec::new() }
    }

    fn script(&self, step: &str, digest: &Digest) -> String {
        let mut line = self.elevated();
        line.extend(["sh", "-c", SCRIPT, "sh", step]);
        line.extend([self.folder.as_str(), self.program.as_str(), digest.hex()]);
        words(line)
    }
}

/// Runs a command of the agent and waits for its end. `input` goes to its standard input.
pub fn run(
    transport: &dyn Transport,
    place: &Place,
    arguments: &[&str],
    input: &[u8],
    what: &str,
) -> Result<Output> {
    let mut process = transport.start(&place.command(arguments), what)?;
    let written = process.write(input);
    let (ended, output) = process.finish_with_output(MOST_OUTPUT)?;
    let (host, what) = (transport.host().to_owned(), what.to_owned());
    match ended.code {
        _ if ended.is_broken() => Err(Error::Broken { host, what, detail: ended.complaints }),
        Some(NOT_FOUND) => Err(Error::NoAgent { host }),
        Some(0) if written.is_err() => {
            let detail = "it did not read what it was given".to_owned();
            Err(Error::Command { host, what, detail })
        }
        code => {
            let code = code.unwrap_or(1);
            let text = String::from_utf8_lossy(&output).into_owned();
            Ok(Output { text, complaints: ended.complaints, code })
        }
    }
}

/// Puts a program on the device and into use, once it has shown there that it works; `sent` is told the bytes as they go. A cut
/// transfer goes on where it was: call it again. Whether it was not in use already.
pub fn install(
    transport: &dyn Transport,
    place: &Place,
    program: &Utf8Path,
    sent: &mut dyn FnMut(u64),
) -> Result<bool> {
    let failed = |source| Error::Read { path: program.to_owned(), source };
    let mut file = File::open(program).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let digest = Digest::of_reader(&mut file).map_err(failed)?;
    let Some(mut have) = had(transport, place, &digest)? else {
        sent(length);
        return Ok(false);
    };
    if have > length {
        step(transport, place, "drop", &digest)?;
        have = 0;
    }
    sent(have);
    if have < length {
        file.seek(SeekFrom::Start(have)).map_err(failed)?;
        upload(transport, place, &digest, &mut file, sent)?;
    }
    step(transport, place, "use", &digest).map(|_| true)
}

/// Pins a root; gives what the agent says about it.
pub fn enrol(transport: &dyn Transport, place: &Place, enrolment: &Enrolment<'_>) -> Result<Output> {
    let mut arguments = vec!["--format", "json", "enroll", "--root", "-"];
    arguments.extend(enrolment.class.iter().flat_map(|class| ["--class", class]));
    if enrolment.again {
        arguments.push("--again");
    }
    let what = "enrol the device";
    let output = run(transport, place, &arguments, enrolment.root, what)?;
    accept(transport.host(), what, output)
}

/// A command that has to succeed.
pub fn accept(host: &str, what: &str, output: Output) -> Result<Output> {
    if output.code == 0 {
        return Ok(output);
    }
    if let Some(problem) = problem(&output.complaints, output.code) {
        return Err(Error::device(host, problem));
    }
    Err(Error::Command { host: host.to_owned(), what: what.to_owned(), detail: output.complaints })
}

/// The problem that a command told on its standard error: as JSON, or in lines for people.
pub(crate) fn problem(complaints: &str, code: i32) -> Option<Problem> {
    #[derive(Deserialize)]
    struct Said {
        error: Told,
    }
    #[derive(Deserialize)]
    struct Told {
        exit: u8,
        code: Option<String>,
        messages: Vec<String>,
        hint: Option<String>,
    }
    let said = complaints.lines().rev().find_map(|line| serde_json::from_str::<Said>(line.trim()).ok());
    if let Some(Said { error: Told { exit, code, messages, hint } }) = said {
        return Some(Problem { class: exit, code, messages, hint });
    }
    let after = |word: &'static str| move |line: &str| line.trim().strip_prefix(word).map(str::to_owned);
    let messages: Vec<String> = complaints
        .lines()
        .filter_map(|line| after("error: ")(line).or_else(|| after("because: ")(line)))
        .collect();
    let hint = complaints.lines().find_map(after("hint: "));
    let class = u8::try_from(code).ok()?;
    (!messages.is_empty()).then_some(Problem { class, code: None, messages, hint })
}

/// Bytes of the program that are there; `None` where all of it is, in use.
fn had(transport: &dyn Transport, place: &Place, digest: &Digest) -> Result<Option<u64>> {
    let text = step(transport, place, "have", digest)?;
    // A login shell may have said something before.
    let said = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    if said == "same" {
        return Ok(None);
    }
    let host = transport.host().to_owned();
    let what = "ask for the agent".to_owned();
    said.parse().map(Some).map_err(|_| Error::Command { host, what, detail: text.clone() })
}

fn upload(
    transport: &dyn Transport,
    place: &Place,
    digest: &Digest,
    file: &mut File,
    sent: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut process = transport.start(&place.script("send", digest), "send the agent")?;
    let mut part = vec![0; 256 << 10];
    loop {
        let count = file
            .read(&mut part)
            .map_err(|source| Error::Read { path: "the agent's program".into(), source })?;
        if count == 0 {
            break;
        }
        if process.write(&part[..count]).is_err() {
            return Err(process.failed());
        }
        sent(count as u64);
    }
    finished(process.finish_with_output(MOST_OUTPUT)?, transport.host(), "send the agent").map(drop)
}

fn step(transport: &dyn Transport, place: &Place, step: &str, digest: &Digest) -> Result<String> {
    let what = "install the agent";
    let process = transport.start(&place.script(step, digest), what)?;
    finished(process.finish_with_output(MOST_OUTPUT)?, transport.host(), what)
}

fn finished((ended, output): (crate::process::Ended, Vec<u8>), host: &str, what: &str) -> Result<String> {
    let (host, what, detail) = (host.to_owned(), what.to_owned(), ended.complaints.clone());
    if ended.is_broken() {
        return Err(Error::Broken { host, what, detail });
    }
    if ended.code == Some(NOT_FOUND) {
        return Err(Error::NoAgent { host });
    }
    if ended.code != Some(0) {
        return Err(match problem(&detail, ended.code.unwrap_or(1)) {
            Some(problem) => Error::device(&host, problem),
            None => Error::Command { host, what, detail },
        });
    }
    Ok(String::from_utf8_lossy(&output).into_owned())
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn what_an_agent_complains_about_is_understood() {
        let json = "talk\n{\"error\":{\"class\":\"integrity\",\"exit\":6,\"code\":\"expired\",\"messages\":[\"a\",\"b\"],\"hint\":\"c\"}}\n";
        let told = problem(json, 6).expect("a problem");
        assert_eq!((told.class, told.code.as_deref(), told.messages.len()), (6, Some("expired"), 2));
        let told = problem("error: no release\n  because: of this\nhint: `status`\n", 3).expect("a problem");
        assert_eq!(
            (told.class, told.messages, told.hint.as_deref()),
            (3, vec!["no release".into(), "of this".into()], Some("`status`"))
        );
        assert_eq!(problem("sudo: a password is required\n", 1), None);
    }
}
