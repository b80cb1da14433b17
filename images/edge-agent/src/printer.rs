//! The only code of the agent that prints: data to stdout, talk and errors to stderr.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;
use xedge_agent::{Error, Result};
use xedge_model::{Class, Failure};
use xedge_wire::{Event, Problem};

use crate::cli::Format;

/// Writes for people or for programs.
#[derive(Debug)]
pub(crate) struct Printer {
    format: Format,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Data: as JSON, or as these lines.
    pub(crate) fn data(&self, value: &impl Serialize, lines: impl FnOnce() -> Vec<String>) -> Result<()> {
        match self.format {
            Format::Json => {
                let line = serde_json::to_string(value).expect("all keys are strings");
                self.line(&line)
            }
            Format::Human => lines().iter().try_for_each(|line| self.line(line)),
        }
    }

    /// A line to stdout.
    #[expect(clippy::unused_self, reason = "who has no printer does not print")]
    pub(crate) fn line(&self, line: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(line.as_bytes()).and_then(|()| stdout.write_all(b"\n"));
        written.and_then(|()| stdout.flush()).map_err(Error::Stdout)
    }

    /// Talk: a line to stderr.
    #[expect(clippy::unused_self, reason = "who has no printer does not print")]
    pub(crate) fn say(&self, line: &str) {
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// A step of an installation: talk, and one JSON value a line for programs.
    pub(crate) fn event(&self, event: &Event) {
        match self.format {
            Format::Json => self.say(&json!({ "event": event }).to_string()),
            Format::Human => self.say(&in_words(event)),
        }
    }

    /// The error that ends the process; gives the exit code. A reader that went away is no error.
    pub(crate) fn failed(&self, error: &Error) -> ExitCode {
        if matches!(error, Error::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        self.problem(&Problem::of(error, error.code()), error.class());
        ExitCode::from(error.class().exit_code())
    }

    fn problem(&self, problem: &Problem, class: Class) {
        if self.format == Format::Json {
            let Problem { class: exit, code, messages, hint } = problem;
            let class = class.to_string();
            let report =
                json!({ "class": class, "exit": exit, "code": code, "messages": messages, "hint": hint });
            return self.say(&json!({ "error": report }).to_string());
        }
        for (index, message) in problem.messages.iter().enumerate() {
            self.say(&format!("{} {message}", if index == 0 { "error:" } else { "  because:" }));
        }
        if let Some(hint) = &problem.hint {
            self.say(&format!("hint: {hint}"));
        }
    }
}

/// clap's own help, version or complaint: 0 for what was asked for, 3 for bad usage.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // A closed stream leaves nobody to tell.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Class::Input.exit_code() } else { 0 })
}

fn in_words(event: &Event) -> String {
    match event {
        Event::Verifying => "verifying signatures, digests and evidence".to_owned(),
        Event::Checking => "checking this device".to_owned(),
        Event::Loading { image, bytes } => format!("loading {image}: {bytes} bytes"),
        Event::Keeping { service } => format!("{service}: unchanged, keeps running"),
        Event::Switching { service } => format!("{service}: changes over"),
        Event::Waiting { service, probe } => format!("{service}: not yet: {probe}"),
        Event::Healthy { service, after_ms } => format!("{service}: answers after {after_ms} ms"),
        Event::Settling { seconds } => format!("everything answers; watching for {seconds} s more"),
        Event::Committed => "the release is installed".to_owned(),
        Event::RollingBack { reason } => format!("going back: {reason}"),
        Event::RolledBack => "what ran before runs again".to_owned(),
    }
}
