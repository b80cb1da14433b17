//! What GitHub Actions shows of a simulation: a table in the step summary, and annotations of what did not hold. Text
//! in, text out; only `publish` writes, and nothing here changes a verdict.

mod text;

use std::fs;
use std::io::Write;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_sim::{Claim, State};

use crate::environment::Environment;
use crate::ui::Printer;

/// What a step summary may hold, in bytes.
const SUMMARY_LIMIT: usize = 1024 * 1024;

/// How many annotations of a kind GitHub shows of one step.
const ANNOTATIONS: usize = 10;

/// One scenario that was run, or was to be.
pub(crate) struct Row {
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// Its file, from the folder that GitHub checked out.
    pub(crate) file: String,
    /// `passed`, or what it came to.
    pub(crate) verdict: String,
    /// The error that ended it, in one text.
    pub(crate) error: Option<String>,
    /// Every claim that was decided.
    pub(crate) claims: Vec<Claim>,
    /// The evidence, if it left any.
    pub(crate) evidence: Option<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Something about a line of a file.
pub(crate) struct Note {
    /// Whether it is an error; else a warning.
    pub(crate) is_error: bool,
    /// The file, from the folder that GitHub checked out.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// What it is called.
    pub(crate) title: String,
    /// What it is.
    pub(crate) message: String,
}

/// Where GitHub wants to be told; `None` outside of GitHub Actions.
pub(crate) struct Github {
    summary: Option<Utf8PathBuf>,
    workspace: Option<Utf8PathBuf>,
}

impl Github {
    /// What the environment says.
    pub(crate) fn of(environment: &Environment) -> Option<Self> {
        let path = |name: &str| environment.var(name).map(Utf8PathBuf::from);
        (environment.var("GITHUB_ACTIONS") == Some("true"))
            .then(|| Self { summary: path("GITHUB_STEP_SUMMARY"), workspace: path("GITHUB_WORKSPACE") })
    }

    /// A file as annotations name it: from the checked-out folder, where it lies in it.
    pub(crate) fn file_name(&self, file: &Utf8Path, else_named: &Utf8Path) -> String {
        let inside = self.workspace.as_ref().and_then(|workspace| file.strip_prefix(workspace).ok());
        inside.unwrap_or(else_named).to_string()
    }

    /// Annotates lines of files, errors first, with a count of those that GitHub would not show.
    pub(crate) fn annotate(printer: &Printer, notes: Vec<Note>) {
        let (errors, warnings): (Vec<Note>, Vec<Note>) = notes.into_iter().partition(|note| note.is_error);
        let lines = |kind, notes: Vec<Note>| {
            let line = |note: Note| text::command_at(kind, &note.file, note.line, &note.title, &note.message);
            notes.into_iter().map(line).collect()
        };
        let errors = capped(lines("error", errors), "errors");
        for line in errors.chain(capped(lines("warning", warnings), "warnings")) {
            printer.workflow_command(&line);
        }
    }

    /// Tells GitHub. A summary that cannot be written is a warning: the exit code and the reports are the truth.
    pub(crate) fn publish(&self, printer: &Printer, rows: &[Row]) {
        for line in annotations(rows) {
            printer.workflow_command(&line);
        }
        let Some(path) = &self.summary else { return };
        let written = fs::metadata(path).map_or(0, |meta| usize::try_from(meta.len()).unwrap_or(usize::MAX));
        let text = summary(rows, SUMMARY_LIMIT.saturating_sub(written));
        let append =
            || fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes());
        if let Err(error) = append() {
            printer.warn(&format!("the step summary was not written to {path}: {error}"));
        }
    }
}

/// The workflow commands: what was measured to be false is an error, what could not be measured a warning.
fn annotations(rows: &[Row]) -> Vec<String> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for row in rows {
        let title = |what: &str| format!("{}: {what}", row.scenario);
        for claim in &row.claims {
            let line = |kind| text::command(kind, &row.file, &title(&claim.id), &claim.text);
            match claim.state {
                State::Held => {}
                State::Failed => errors.push(line("error")),
                State::Invalid => warnings.push(line("warning")),
            }
        }
        if let Some(error) = &row.error {
            errors.push(text::command("error", &row.file, &title(&row.verdict), error));
        }
    }
    capped(errors, "errors").chain(capped(warnings, "warnings")).collect()
}

fn capped(mut lines: Vec<String>, what: &str) -> impl Iterator<Item = String> + use<> {
    let more = lines.len().saturating_sub(ANNOTATIONS);
    lines.truncate(ANNOTATIONS);
    let note =
        (more > 0).then(|| format!("{more} more {what} are in the reports: GitHub shows {ANNOTATIONS}"));
    lines.into_iter().chain(note)
}

/// The table, what did not hold below it, and nothing past `limit` bytes: whole lines go, and a note says so.
fn summary(rows: &[Row], limit: usize) -> String {
    let head = [
        "### Simulation".to_owned(),
        String::new(),
        "| scenario | verdict | claims held | claims failed | evidence | duration |".to_owned(),
        "| --- | --- | --: | --: | --- | --: |".to_owned(),
    ];
    let lines = head.into_iter().chain(rows.iter().map(table_row)).chain([String::new()]);
    text::within(lines.chain(rows.iter().flat_map(details)).chain([String::new()]), limit)
}

fn table_row(row: &Row) -> String {
    let held = row.claims.iter().filter(|claim| claim.state == State::Held).count();
    let cells = [
        text::markdown(&row.scenario),
        text::markdown(&row.verdict),
        held.to_string(),
        (row.claims.len() - held).to_string(),
        row.evidence.as_deref().map_or_else(|| "-".to_owned(), text::markdown),
        format!("{:.1} s", row.took.as_secs_f64()),
    ];
    format!("| {} |", cells.join(" | "))
}

fn details(row: &Row) -> Vec<String> {
    let broken = row.claims.iter().filter(|claim| claim.state != State::Held);
    let claims = broken.map(|claim| (claim.id.as_str(), claim.text.as_str()));
    let error = row.error.iter().map(|error| (row.verdict.as_str(), error.as_str()));
    let line = |(what, text): (&str, &str)| {
        format!("- {}: **{}**: {}", text::markdown(&row.scenario), text::markdown(what), text::markdown(text))
    };
    claims.chain(error).map(line).collect()
}

#[cfg(test)]
mod tests;
