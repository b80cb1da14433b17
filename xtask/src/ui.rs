//! The only code that prints: data to stdout, talk, progress and errors to stderr.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::cli::{Format, Global};
use crate::environment::Environment;
use crate::error::{Error, Failed, Result};

/// Writes to the terminal, or to whoever reads.
pub struct Printer {
    quiet: bool,
    color: bool,
    asks: bool,
    format: Format,
    bars: MultiProgress,
    /// Stands before every line of talk: whose it is, where several talk at once.
    prefix: String,
}

impl Printer {
    /// A printer that obeys the global flags, `NO_COLOR` and `CI`.
    pub(crate) fn new(global: &Global, environment: &Environment) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let shown = terminal && !global.quiet && !environment.is_ci();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            quiet: global.quiet,
            color: global.color.decide(terminal && environment.var("NO_COLOR").is_none()),
            asks: terminal && std::io::stdin().is_terminal() && !environment.is_ci(),
            format: global.format,
            bars: MultiProgress::with_draw_target(target),
            prefix: String::new(),
        }
    }

    /// The same way out, for one of several that talk at once: each line says whose it is.
    pub(crate) fn prefixed(&self, name: &str) -> Self {
        Self { prefix: format!("{name}: "), bars: self.bars.clone(), ..*self }
    }

    /// Whether data is wanted as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Data: one line to stdout.
    pub(crate) fn data(&self, line: &str) -> Result<()> {
        let write = || {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(line.as_bytes())?;
            stdout.write_all(b"\n")?;
            stdout.flush()
        };
        Ok(self.bars.suspend(write).map_err(Error::Stdout)?)
    }

    /// Data as JSON, on one line.
    pub(crate) fn json(&self, value: &serde_json::Value) -> Result<()> {
        self.data(&value.to_string())
    }

    /// Talk: a line to stderr, unless quiet.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.stderr(line);
        }
    }

    /// Something the user must not miss, also when quiet.
    pub fn warn(&self, line: &str) {
        self.stderr(&format!("{} {line}", self.paint("33", "warning:")));
    }

    /// A good verdict.
    pub(crate) fn good(&self, word: &str, line: &str) {
        self.say(&format!("{} {line}", self.paint("32", word)));
    }

    /// A bad verdict.
    pub(crate) fn bad(&self, word: &str, line: &str) {
        self.stderr(&format!("{} {line}", self.paint("31", word)));
    }

    /// A command to the CI system that reads our output: exactly this line, also when quiet. It goes to stderr, which
    /// GitHub reads too, since stdout is data.
    pub(crate) fn workflow_command(&self, line: &str) {
        self.whole(line);
    }

    /// A bar over `length` bytes; hidden when piped, quiet or in CI.
    pub(crate) fn bytes_bar(&self, length: u64, message: &str) -> ProgressBar {
        let style = "{msg:24} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left";
        let bar = self.bars.add(ProgressBar::new(length));
        bar.set_style(ProgressStyle::with_template(style).expect("the template is well-formed"));
        bar.set_message(message.to_owned());
        bar
    }

    /// A spinner for work of unknown length; hidden when piped, quiet or in CI.
    pub(crate) fn spinner(&self, message: &str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_message(message.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// Whether a person is there to answer.
    pub(crate) fn can_ask(&self) -> bool {
        self.asks
    }

    /// Asks a person; no answer is no.
    pub(crate) fn confirm(&self, question: &str) -> bool {
        self.stderr(&format!("{question} [Y/n]"));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.is_ok_and(|count| count > 0) && matches!(answer.trim(), "" | "y" | "Y" | "yes")
    }

    /// Prints the error that ends the process, and gives the exit code.
    pub(crate) fn failed(&self, failed: &Failed) -> ExitCode {
        if failed.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        self.report(failed);
        ExitCode::from(failed.class().exit_code())
    }

    /// Prints an error with its causes and hint.
    pub(crate) fn report(&self, failed: &Failed) {
        let chain = failed.chain();
        if self.is_json() {
            let (class, hint) = (failed.class(), failed.hint());
            let refusal = failed.refusal();
            let report = json!({"class": class.to_string(), "code": class.exit_code(), "refusal": refusal,
                "messages": chain, "hint": hint});
            return self.whole(&json!({ "error": report }).to_string());
        }
        self.stderr(&format!("{} {}", self.paint("31", "error:"), chain[0]));
        for cause in &chain[1..] {
            self.stderr(&format!("  because: {cause}"));
        }
        if let Some(hint) = failed.hint() {
            self.stderr(&format!("{} {hint}", self.paint("36", "hint:")));
        }
    }

    fn paint(&self, code: &str, word: &str) -> String {
        if self.color { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word.to_owned() }
    }

    /// Talk for machines, which stands alone on its line.
    fn whole(&self, line: &str) {
        self.bars.suspend(|| {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        });
    }

    fn stderr(&self, line: &str) {
        // A closed stderr leaves nobody to tell.
        self.bars.suspend(|| {
            let _ = writeln!(std::io::stderr().lock(), "{}{line}", self.prefix);
        });
    }
}

/// Prints clap's own help, version or usage error: 0 for what was asked for, 3 for bad usage.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // A closed stream leaves nobody to tell.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 3 } else { 0 })
}

/// A panic is a bug of ours: say so, and what to send. The exit code is then Rust's own 101.
pub(crate) fn install_panic_report() {
    std::panic::set_hook(Box::new(|panic| {
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(
            std::io::stderr(),
            "bug: xedge {version} stopped at an assumption that does not hold: {panic}\n\
             hint: report it with the command line and this text; nothing half-written is used by the next run"
        );
    }));
}
