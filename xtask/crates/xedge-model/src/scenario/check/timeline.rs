//! The timeline as a whole: nodes and links that exist, times within the run, and no deed that finds nothing to do.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Action, Direction, Scenario, TimelineEntry};
use super::place::wrong;
use crate::yaml::{Source, YamlError};

/// What a node is like at some time.
#[derive(Clone, Copy, PartialEq)]
enum Condition {
    /// It was killed.
    Down,
    /// Something goes on with it until then.
    Busy(Duration),
}

pub(super) fn check(scenario: &Scenario, source: &Source) -> Result<(), YamlError> {
    let mut entries: Vec<(usize, &TimelineEntry)> = scenario.timeline.iter().enumerate().collect();
    for (index, entry) in &entries {
        check_names(scenario, source, entry)?;
        check_times(scenario, source, *index, entry)?;
    }
    // Of the same time, as they are written.
    entries.sort_by_key(|(_, entry)| entry.at.value);
    let mut nodes = BTreeMap::new();
    let mut links = BTreeMap::new();
    for (_, entry) in entries {
        if let Err(message) = follow(&mut nodes, &mut links, entry) {
            return Err(source.error_at(&entry.at, message));
        }
    }
    Ok(())
}

fn check_names(scenario: &Scenario, source: &Source, entry: &TimelineEntry) -> Result<(), YamlError> {
    if let Some(node) = entry.action.node() {
        let real = scenario.nodes.value.iter().filter(|node| node.is_real());
        let known: Vec<&str> = real.map(|node| node.id.value.as_str()).collect();
        if known.contains(&node.value.as_str()) {
            return Ok(());
        }
        if scenario.nodes.value.iter().any(|other| other.id.value == node.value) {
            let message =
                format!("`{}` is no container and no process: a model cannot be stopped", node.value);
            return Err(source.error_at(node, message));
        }
        return Err(source.unknown_name(node, "node", &node.value, &known));
    }
    let Some(link) = entry.action.link() else { return Ok(()) };
    let known: Vec<&str> = scenario.links.keys().map(String::as_str).collect();
    if !known.contains(&link.value.as_str()) {
        return Err(source.unknown_name(link, "link", &link.value, &known));
    }
    if scenario.is_virtual() {
        let message =
            "the timeline is for scenarios with a container or process: models alone run in virtual time";
        return Err(source.error_at(&entry.at, message));
    }
    Ok(())
}

fn check_times(
    scenario: &Scenario,
    source: &Source,
    index: usize,
    entry: &TimelineEntry,
) -> Result<(), YamlError> {
    let end = Duration::from_secs_f64(scenario.simulation.duration_s.value);
    let seconds = scenario.simulation.duration_s.value;
    if entry.at.value.0 >= end {
        return Err(
            source.error_at(&entry.at, format!("`at` must be before the end, {seconds} s (`duration_s`)"))
        );
    }
    let lasts = entry.action.lasts();
    let key = if matches!(entry.action, Action::Restart { .. }) { "down_for" } else { "for" };
    let index = index.to_string();
    if lasts.is_some_and(|time| time.0.is_zero()) && key == "for" {
        return Err(wrong(source, &["timeline", &index, key], format!("`{key}` must be more than 0")));
    }
    if lasts.is_some_and(|time| entry.at.value.0 + time.0 >= end) {
        let message = format!("it would go on after the end, {seconds} s (`duration_s`)");
        return Err(wrong(source, &["timeline", &index, key], message));
    }
    if entry.recover_within.is_some_and(|time| time.0.is_zero()) {
        let path = ["timeline", index.as_str(), "recover_within"];
        return Err(wrong(source, &path, "`recover_within` must be more than 0"));
    }
    Ok(())
}

/// Goes one step on. What a deed finds must be what it is for, else its effect could not be told.
fn follow<'a>(
    nodes: &mut BTreeMap<&'a str, Condition>,
    links: &mut BTreeMap<(&'a str, Direction), Duration>,
    entry: &'a TimelineEntry,
) -> Result<(), String> {
    let (at, action) = (entry.at.value.0, &entry.action);
    let until = at + action.lasts().map_or(Duration::ZERO, |span| span.0);
    if let Some(node) = action.node() {
        let id = node.value.as_str();
        let condition =
            nodes.get(id).copied().filter(|condition| !matches!(condition, Condition::Busy(t) if *t <= at));
        let next = match (action, condition) {
            (Action::Start { .. }, Some(Condition::Down)) => Condition::Busy(at),
            (Action::Start { .. }, _) => {
                return Err(format!("`{id}` runs at that time: nothing is to be started"));
            }
            (_, Some(Condition::Down)) => {
                return Err(format!("`{id}` was killed before, and is not started again"));
            }
            (_, Some(Condition::Busy(_))) => {
                return Err(format!("`{id}` is still restarting or paused at that time"));
            }
            (Action::Kill { .. }, None) => Condition::Down,
            _ => Condition::Busy(until),
        };
        nodes.insert(id, next);
    }
    let Action::Partition { link, direction, .. } = action else { return Ok(()) };
    let ways: &[Direction] = match direction {
        Direction::Both => &[Direction::Up, Direction::Down],
        Direction::Up => &[Direction::Up],
        Direction::Down => &[Direction::Down],
    };
    for way in ways {
        if links.insert((&link.value, *way), until).is_some_and(|end| end > at) {
            return Err(format!("`{}` is still partitioned at that time", link.value));
        }
    }
    Ok(())
}
