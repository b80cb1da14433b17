//! What people see of a deployment while it goes, and what came of it in words.

use std::time::Duration;

use indicatif::ProgressBar;
use xedge_deploy::{Error, Observer};
use xedge_wire::{Applied, Event};

use crate::ui::Printer;

/// Shows a delivery.
pub(super) struct Show<'a> {
    printer: &'a Printer,
    host: String,
    bar: Option<ProgressBar>,
    installing: bool,
}

impl<'a> Show<'a> {
    pub(super) fn new(printer: &'a Printer, host: &str) -> Self {
        Self { printer, host: host.to_owned(), bar: None, installing: false }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Whether the device was told to install.
    pub(super) fn is_installing(&self) -> bool {
        self.installing
    }

    fn say(&self, what: &str) {
        self.printer.say(&format!("{}: {what}", self.host));
    }
}

impl Observer for Show<'_> {
    fn to_send(&mut self, bytes: u64) {
        match &self.bar {
            Some(bar) => bar.inc_length(bytes),
            None => self.bar = Some(self.printer.bytes_bar(bytes, &self.host)),
        }
    }

    fn sent(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn complete(&mut self) {
        self.clear();
        self.installing = true;
    }

    fn event(&mut self, event: &Event) {
        self.say(&step(event));
    }

    fn retrying(&mut self, error: &Error, wait: Duration) {
        self.clear();
        let seconds = wait.as_secs();
        self.printer.warn(&format!("{error}; connects again in {seconds} s"));
    }
}

fn step(event: &Event) -> String {
    match event {
        Event::Verifying => "verifies signatures, digests and evidence".to_owned(),
        Event::Checking => "checks itself".to_owned(),
        Event::Loading { image, bytes: length } => format!("loads {image} ({})", bytes(*length)),
        Event::Keeping { service } => format!("{service} stays as it is"),
        Event::Switching { service } => format!("{service} changes over"),
        Event::Waiting { service, probe } => format!("waits for {service}: {probe}"),
        Event::Healthy { service, after_ms } => format!("{service} answers, {after_ms} ms after"),
        Event::Settling { seconds } => format!("everything answers; watches for {seconds} s more"),
        Event::Committed => "the release is installed".to_owned(),
        Event::RollingBack { reason } => format!("goes back to what ran before: {reason}"),
        Event::RolledBack => "what ran before runs again".to_owned(),
    }
}

/// What came of an installation, in a line.
pub(in crate::commands) fn outcome(applied: &Applied) -> String {
    let Applied { stack, seq, version, changed, kept, unchanged } = applied;
    let head = format!("{stack} {version} (release {seq})");
    if *unchanged {
        return format!("{head}: nothing to do");
    }
    let mut parts: Vec<String> = changed.iter().map(|(name, ms)| format!("{name} away {ms} ms")).collect();
    if !kept.is_empty() {
        parts.push(format!("{} untouched", kept.join(", ")));
    }
    if parts.is_empty() { head } else { format!("{head}: {}", parts.join(", ")) }
}

/// Bytes for people, in thousands.
pub(in crate::commands) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{}.{} kB", count / 1_000, count % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} MB", count / 1_000_000, count % 1_000_000 / 100_000),
        _ => format!("{}.{} GB", count / 1_000_000_000, count % 1_000_000_000 / 100_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        let shown: Vec<String> = [0, 999, 1_000, 1_550, 12_345_678, 1_900_000_000].map(bytes).into();
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.5 kB", "12.3 MB", "1.9 GB"]);
    }

    #[test]
    fn an_outcome_is_one_line() {
        let mut applied = Applied {
            stack: "edge".into(),
            seq: 4,
            version: "r4".into(),
            changed: [("gateway".to_owned(), 812)].into(),
            kept: vec!["mosquitto".into()],
            unchanged: false,
        };
        assert_eq!(outcome(&applied), "edge r4 (release 4): gateway away 812 ms, mosquitto untouched");
        applied.unchanged = true;
        assert_eq!(outcome(&applied), "edge r4 (release 4): nothing to do");
    }
}
