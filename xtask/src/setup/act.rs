//! Runs a plan: asks first, runs each command, waits for the Engine, and looks again at the end. It keeps what commands
//! write to itself and shows the end of it when one fails.

use std::time::{Duration, Instant};

use xshell::Shell;

use super::machine::{Engine, Machine};
use super::need::{Need, doctor};
use super::plan::{Step, plan, render_plan};
use super::remedy::ENGINE_LOG;
use super::{Error, Surroundings, probe};

/// How long a started Engine may take to answer.
const ENGINE_PATIENCE: Duration = Duration::from_secs(30);

/// How many lines of a failed command are shown.
const TAIL_LINES: usize = 20;

/// How `setup` was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `--check`: the plan is shown and nothing runs.
    Check,
    /// A person is at the terminal: they are asked.
    Ask,
    /// `--yes`, or nobody is at the terminal.
    Go,
}

/// How `setup` speaks with the person; it prints nothing itself.
pub struct Talk<'a> {
    /// Shows text, such as the plan and each command as it starts.
    pub say: &'a dyn Fn(&str),
    /// Asks a yes-or-no question.
    pub confirm: &'a dyn Fn(&str) -> bool,
}

/// How a `setup` without an error ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing needed is missing and nothing was to be done.
    Complete,
    /// The person said no; nothing was changed.
    Declined,
    /// Everything needed is there.
    Done {
        /// What is optional and could not be had, with the reason or the command.
        notes: Vec<String>,
    },
}

/// `cargo xtask setup`: shows the plan, asks, runs it, and looks again.
///
/// # Errors
///
/// When a needed thing is missing at the end, or with [`Mode::Check`] at the beginning.
pub fn setup(around: &Surroundings, mode: Mode, talk: &Talk<'_>) -> Result<Outcome, Error> {
    let machine = probe(around)?;
    let steps = plan(&machine);
    (talk.say)(&render_plan(&steps));
    if steps.is_empty() {
        return Ok(Outcome::Complete);
    }
    let ours: Vec<&Step> = steps.iter().filter(|step| !step.by_hand).collect();
    if ours.is_empty() {
        return conclude(&machine, Vec::new(), "run these commands, then `cargo xtask doctor`");
    }
    if mode == Mode::Check {
        return conclude(&machine, Vec::new(), "run the plan with `cargo xtask setup`");
    }
    if mode == Mode::Ask && !(talk.confirm)("Run these commands now?") {
        return Ok(Outcome::Declined);
    }
    let notes = act(around, &ours, talk)?;
    conclude(&probe(around)?, notes, "run these commands, then `cargo xtask doctor`")
}

/// Needed things that are missing are an error, optional ones a note.
pub(super) fn conclude(machine: &Machine, mut notes: Vec<String>, next: &str) -> Result<Outcome, Error> {
    let (optional, needed): (Vec<_>, Vec<_>) =
        doctor(machine).into_iter().partition(|problem| problem.optional);
    if !needed.is_empty() {
        return Err(Error::Missing { problems: needed, next: next.to_owned() });
    }
    notes.extend(optional.iter().map(|problem| format!("{}: `{}`", problem.what, problem.fix.join("; "))));
    Ok(Outcome::Done { notes })
}

/// Runs the steps in order; gives back what went wrong with optional ones.
fn act(around: &Surroundings, steps: &[&Step], talk: &Talk<'_>) -> Result<Vec<String>, Error> {
    let sh = around.shell()?;
    let mut notes = Vec::new();
    for step in steps {
        // Installing a package starts its service on most machines, and not where a policy-rc.d forbids it.
        if provided_by_now(around, step)? {
            continue;
        }
        match run_step(around, &sh, step, talk) {
            Ok(()) => {}
            Err(error) if step.optional => {
                // Said at once: a needed step after it may fail for the same reason.
                (talk.say)(&error.to_string());
                notes.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(notes)
}

fn provided_by_now(around: &Surroundings, step: &Step) -> Result<bool, Error> {
    if step.needs.is_empty() {
        return Ok(false);
    }
    let machine = probe(around)?;
    Ok(step.needs.iter().all(|need| need.is_met(&machine)))
}

fn run_step(around: &Surroundings, sh: &Shell, step: &Step, talk: &Talk<'_>) -> Result<(), Error> {
    let ran = run_all(around, sh, step, &step.commands, talk);
    match ran {
        Err(error) if step.fallback.is_empty() => return Err(error),
        Err(error) => {
            (talk.say)(&error.to_string());
            run_all(around, sh, step, &step.fallback, talk)?;
        }
        Ok(()) => {}
    }
    if starts_engine(step) { wait_for_engine(around, sh) } else { Ok(()) }
}

/// A step for the Engine alone starts it; the packages of many needs come before.
fn starts_engine(step: &Step) -> bool {
    step.needs == [Need::Engine] && !step.title.starts_with("install")
}

/// Looks again between the commands of a step: a table of emulators, once mounted, may hold a working one (that of the
/// host, in a container), and replacing it would break the host's when the container ends.
fn run_all(
    around: &Surroundings,
    sh: &Shell,
    step: &Step,
    commands: &[String],
    talk: &Talk<'_>,
) -> Result<(), Error> {
    for (done, command) in commands.iter().filter(|command| !command.starts_with('#')).enumerate() {
        if done > 0 && provided_by_now(around, step)? {
            break;
        }
        (talk.say)(&format!("$ {command}"));
        run(sh, &step.title, command)?;
    }
    Ok(())
}

/// Runs one line as `sh` understands it: exactly what the plan shows.
fn run(sh: &Shell, title: &str, command: &str) -> Result<(), Error> {
    let output = sh.cmd("sh").args(["-c", command]).quiet().ignore_status().output();
    let output = output.map_err(|source| Error::Start { command: command.to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = if output.stderr.trim_ascii().is_empty() { output.stdout } else { output.stderr };
    Err(Error::Command {
        title: title.to_owned(),
        command: command.to_owned(),
        code: output.status.code().unwrap_or(-1),
        tail: tail(&String::from_utf8_lossy(&said)),
    })
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// An Engine that answers to somebody else is up too: what is missing then is told by the last look.
fn wait_for_engine(around: &Surroundings, sh: &Shell) -> Result<(), Error> {
    let end = Instant::now() + ENGINE_PATIENCE;
    while matches!(probe::engine(around), Engine::Down | Engine::Absent | Engine::Elsewhere { .. }) {
        if Instant::now() >= end {
            return Err(engine_silent(around, sh));
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}

fn engine_silent(around: &Surroundings, sh: &Shell) -> Error {
    let systemd = around.file("/run/systemd/system").is_dir();
    let log =
        if systemd { "journalctl -u docker --no-pager".to_owned() } else { format!("cat {ENGINE_LOG}") };
    let text = probe::output(sh, &["sh", "-c", &log]).unwrap_or_default();
    Error::EngineSilent { seconds: ENGINE_PATIENCE.as_secs(), log, tail: tail(&text) }
}
