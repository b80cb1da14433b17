//! Claims about what containers wrote. A log that could not be read holds nothing.

use std::collections::BTreeMap;

use xedge_model::scenario::Expectation;

use super::{Claim, State};

/// The most of a line that a message shows, in characters.
const SHOWN: usize = 200;

/// The claim of an expectation about a log; `None` for all others.
pub fn from_logs(expectation: &Expectation, logs: &BTreeMap<String, String>) -> Option<Claim> {
    let Expectation::Logs { node, pattern, matches } = expectation else { return None };
    let Some(log) = logs.get(node) else {
        return Some(Claim::new(expectation, State::Invalid, format!("the log of {node} could not be read")));
    };
    let count = log.lines().count() as u64;
    let mut found = log.lines().filter(|line| pattern.is_match(line));
    let first = found.next();
    let hits = first.map_or(0, |_| 1 + found.count() as u64);
    let state = if first.is_some() == *matches { State::Held } else { State::Failed };
    let text = first.map_or_else(
        || format!("none of {count} lines"),
        |line| {
            format!("{hits} of {count} lines, the first: {}", line.chars().take(SHOWN).collect::<String>())
        },
    );
    Some(Claim::new(expectation, state, text).with([("lines", count), ("matching", hits)]))
}
