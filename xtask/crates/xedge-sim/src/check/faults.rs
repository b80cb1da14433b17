//! What the timeline did, as the history tells it: when, with what effect, and in which windows messages were hit by it.
//! A fault without an effect proves nothing, so it makes a run invalid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use xedge_model::duration::Span;
use xedge_model::scenario::TimelineEntry;

use super::readings::Readings;
use super::{Claim, Roster, Seen, State};
use crate::history::{History, Kind, Step};
use crate::mqtt::topic;

/// How long after the end of a cut a client may take to notice that its connection is gone, on a busy machine.
const NOTICED_US: u64 = 1_000_000;

/// Everything that the timeline did.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
}

/// One entry of the timeline, and what was seen of it.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// What was to be done.
    pub action: String,
    /// Node or link.
    pub target: String,
    /// What was seen, in order.
    pub steps: Vec<SeenStep>,
    /// Whether it had an effect.
    pub effect: bool,
    /// The effect, or why there is none.
    pub finding: String,
    /// From the order until the node was ready, or the link whole, and all clients were back that it had cut off; without
    /// an end where that did not happen. `None` where nothing was cut off by this entry.
    pub window: Option<Window>,
    /// Connections of models that broke in the window.
    pub disconnected: u64,
    /// Readings that were due while the node, or the link, was away, and arrived after it could go on.
    pub late: u64,
    /// Readings that were acknowledged and did not arrive, the first window to end after they were due.
    pub lost: u64,
    #[serde(skip)]
    at: Span,
    #[serde(skip)]
    recover_within: Option<Span>,
}

/// A step with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenStep {
    /// Microseconds since the start of the run.
    pub t_us: u64,
    /// What was seen.
    #[serde(flatten)]
    pub step: Step,
}

/// A part of a run, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The order.
    pub from_us: u64,
    /// The node could go on, started or released, or the link whole: it may answer models before the run's own question.
    pub resumed_us: Option<u64>,
    /// The node was ready again, or the link whole.
    pub mended_us: Option<u64>,
    /// All clients were back as well.
    pub to_us: Option<u64>,
}

impl Window {
    fn end(&self) -> u64 {
        self.to_us.unwrap_or(u64::MAX)
    }

    fn mended(&self) -> u64 {
        self.mended_us.unwrap_or(u64::MAX)
    }
}

impl Faults {
    /// The entries of a timeline and what a history says of them.
    pub fn of(timeline: &[TimelineEntry], history: &History) -> Self {
        let mut faults = Self { list: timeline.iter().map(Fault::planned).collect() };
        if timeline.is_empty() {
            return faults;
        }
        for event in history {
            if let Kind::Fault { entry, step } = event.kind
                && let Some(fault) = faults.list.get_mut(entry)
            {
                fault.steps.push(SeenStep { t_us: event.t_us, step });
            }
        }
        for number in 0..faults.list.len() {
            faults.list[number].window = faults.window(number);
        }
        faults.count_clients(history);
        faults.list.iter_mut().for_each(Fault::conclude);
        faults
    }

    /// Adds what became of readings.
    #[must_use]
    pub fn with_readings(mut self, history: &History, seen: &Seen, roster: &Roster) -> Self {
        if self.list.iter().any(|fault| fault.window.is_some()) {
            self.count_late(history);
            self.count_lost(history, seen, roster);
        }
        self
    }

    /// All entries.
    pub fn into_list(self) -> Vec<Fault> {
        self.list
    }

    /// Whether nothing of this time was hit by a fault.
    pub fn is_outside(&self, from_us: u64, to_us: u64) -> bool {
        let hit = |window: &Window| from_us <= window.end() && to_us >= window.from_us;
        !self.windows().any(|window| hit(&window))
    }

    fn windows(&self) -> impl Iterator<Item = Window> {
        self.list.iter().filter_map(|fault| fault.window)
    }

    /// From each fault of a node to the moment when it was ready again; `None` where it never was.
    pub fn recoveries(&self, node: &str) -> impl Iterator<Item = Option<u64>> {
        let of_node = self.list.iter().filter(move |fault| fault.target == node);
        of_node.filter_map(|fault| fault.window).map(|w| Some(w.mended_us?.saturating_sub(w.from_us)))
    }

    /// When what an entry began was over: by the entry itself, or by a later one of the same node.
    fn window(&self, number: usize) -> Option<Window> {
        let fault = &self.list[number];
        let from_us = fault.begins()?;
        let first = |wanted: fn(&Step) -> bool| {
            let in_fault = |other: &Fault| {
                other.steps.iter().find(|s| s.t_us >= from_us && wanted(&s.step)).map(|s| s.t_us)
            };
            let same = self.list.iter().filter(|other| other.target == fault.target);
            in_fault(fault).or_else(|| same.filter_map(in_fault).min())
        };
        let mended_us = first(Step::mends);
        Some(Window { from_us, resumed_us: first(Step::resumes), mended_us, to_us: mended_us })
    }

    /// Counts broken connections, and stretches windows until the last of those clients is back.
    fn count_clients(&mut self, history: &History) {
        let mut away: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
        for event in history {
            match event.kind {
                Kind::Disconnected { .. } => {
                    let hit = self.hit_at(event.t_us);
                    for fault in &hit {
                        self.list[*fault].disconnected += 1;
                    }
                    away.insert(event.node, hit);
                }
                Kind::Connected { .. } => {
                    for fault in away.remove(&event.node).unwrap_or_default() {
                        self.stretch(fault, Some(event.t_us));
                    }
                }
                _ => {}
            }
        }
        for fault in away.into_values().flatten() {
            self.stretch(fault, None);
        }
    }

    /// The faults that broke a connection at a time: those that go on, else those that have just ended.
    fn hit_at(&self, t_us: u64) -> Vec<usize> {
        let within = |grace: u64| -> Vec<usize> {
            let hit = |w: Window| w.from_us <= t_us && t_us <= w.mended().saturating_add(grace);
            let hit = self.list.iter().enumerate().filter(|(_, fault)| fault.window.is_some_and(hit));
            hit.map(|(number, _)| number).collect()
        };
        let going_on = within(0);
        if going_on.is_empty() { within(NOTICED_US) } else { going_on }
    }

    fn stretch(&mut self, fault: usize, back_us: Option<u64>) {
        if let Some(window) = &mut self.list[fault].window {
            window.to_us = window.to_us.zip(back_us).map(|(to, back)| to.max(back));
        }
    }

    fn count_late(&mut self, history: &History) {
        let mut first: BTreeMap<Arc<str>, Readings> = BTreeMap::new();
        for event in history {
            if let Kind::Received { from, seq, planned_us, .. } = event.kind
                && first.entry(event.node).or_default().insert(&from, seq)
            {
                for fault in &mut self.list {
                    let late = |w: &Window| {
                        let resumed = w.resumed_us.unwrap_or(u64::MAX);
                        (w.from_us..=resumed).contains(&planned_us) && event.t_us > resumed
                    };
                    fault.late += u64::from(fault.window.as_ref().is_some_and(late));
                }
            }
        }
    }

    fn count_lost(&mut self, history: &History, seen: &Seen, roster: &Roster) {
        let mut first = Readings::default();
        let listeners = listeners(roster);
        for event in history {
            let Kind::Acked { seq, planned_us, .. } = event.kind else { continue };
            let Some(listeners) = listeners.get(&*event.node) else { continue };
            let arrived = |gateway: &&str| {
                seen.arrivals(gateway).is_some_and(|found| found.readings.contains(&event.node, seq))
            };
            if first.insert(&event.node, seq) && !listeners.iter().all(arrived) {
                let hit = self.list.iter_mut().filter(|f| f.window.is_some_and(|w| w.end() >= planned_us));
                if let Some(fault) = hit.min_by_key(|fault| fault.window.map(|w| w.from_us)) {
                    fault.lost += 1;
                }
            }
        }
    }

    /// A claim for every entry, and one for every recovery in time that an entry asks for.
    pub fn claims(&self) -> Vec<Claim> {
        self.list
            .iter()
            .flat_map(|fault| [fault.effect_claim()].into_iter().chain(fault.recovery_claim()))
            .collect()
    }
}

/// The gateway models that subscribe to each sensor.
fn listeners(roster: &Roster) -> BTreeMap<&str, BTreeSet<&str>> {
    let listening = |topic: &str| {
        let models = roster.gateways.iter().filter_map(|g| Some((g.id.as_str(), g.model.as_ref()?)));
        models.filter(|(_, (filter, _))| topic::matches(filter, topic)).map(|(id, _)| id).collect()
    };
    roster.sensors.iter().map(|sensor| (sensor.id.as_str(), listening(&sensor.topic))).collect()
}

impl Fault {
    fn planned(entry: &TimelineEntry) -> Self {
        let target = entry.action.node().or(entry.action.link());
        Self {
            action: entry.action.to_string(),
            target: target.map_or_else(String::new, |target| target.value.clone()),
            steps: Vec::new(),
            effect: false,
            finding: String::new(),
            window: None,
            disconnected: 0,
            late: 0,
            lost: 0,
            at: entry.at.value,
            recover_within: entry.recover_within,
        }
    }

    fn when(&self, wanted: impl Fn(&Step) -> bool) -> Option<u64> {
        self.steps.iter().find(|seen| wanted(&seen.step)).map(|seen| seen.t_us)
    }

    fn ordered(&self) -> Option<u64> {
        self.when(|step| matches!(step, Step::Ordered { .. }))
    }

    /// When this entry cut something off; `None` where it did not.
    fn begins(&self) -> Option<u64> {
        self.when(Step::breaks)?;
        self.ordered()
    }

    /// When the node could run again because of this entry.
    fn lets_go(&self) -> Option<u64> {
        self.when(|step| matches!(step, Step::Started | Step::Released))
    }

    fn ready(&self) -> Option<u64> {
        self.when(|step| matches!(step, Step::Ready))
    }

    /// Says whether it had an effect, and which.
    fn conclude(&mut self) {
        let refused = self.steps.iter().find_map(|seen| match &seen.step {
            Step::NoEffect { reason } => Some(reason.clone()),
            _ => None,
        });
        let over = self.when(|step| matches!(step, Step::Over)).is_some();
        self.effect = refused.is_none() && over;
        self.finding = match refused {
            Some(reason) => reason,
            None if self.ordered().is_none() => "the run ended before it was due".to_owned(),
            None if !over => "it did not come to its end".to_owned(),
            None => self.effect_text(),
        };
    }

    fn effect_text(&self) -> String {
        let mut parts = Vec::new();
        let ordered = self.ordered().unwrap_or(0);
        for SeenStep { t_us, step } in &self.steps {
            let after = t_us.saturating_sub(ordered) / 1_000;
            parts.extend(match step {
                Step::Gone { code } => Some(format!("gone after {after} ms with exit code {code}")),
                Step::Held => Some(format!("held after {after} ms")),
                Step::Cut { connections } => Some(format!("{connections} connections cut off")),
                Step::Ready => Some(format!("ready again after {after} ms")),
                Step::Healed { pieces: 0 } => None,
                Step::Healed { pieces } => {
                    Some(format!("{pieces} pieces of data held back, whole again after {after} ms"))
                }
                _ => None,
            });
        }
        if self.window.is_some() {
            parts.push(format!("{} connections of models broke", self.disconnected));
        }
        parts.join(", ")
    }

    fn effect_claim(&self) -> Claim {
        let state = if self.effect { State::Held } else { State::Invalid };
        let counts = [("disconnected", self.disconnected), ("late", self.late), ("lost", self.lost)];
        Claim::new(format!("timeline: {} at {}", self.action, self.at), state, self.finding.clone())
            .with(counts)
    }

    /// `recover_within` counts from the moment when the node could run again.
    fn recovery_claim(&self) -> Option<Claim> {
        let limit = self.recover_within?;
        let id = format!("timeline: {} at {} recovers within {limit}", self.action, self.at);
        let Some((from, to)) = self.lets_go().zip(self.ready()) else {
            return Some(Claim::new(id, State::Invalid, "it was not seen to recover"));
        };
        let took_us = to.saturating_sub(from);
        let state = if u128::from(took_us) <= limit.0.as_micros() { State::Held } else { State::Failed };
        let text = format!("it was ready {} ms after it could run again", took_us / 1_000);
        Some(Claim::new(id, state, text).with([("recovery_us", took_us)]))
    }
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
