//! A gateway: counts each reading once, and publishes an aggregate of every window that has readings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::message::{Reading, Upstream};
use super::{Behaviour, Outgoing, Phase, Tally};
use crate::history::{Kind, Recorder};
use crate::mqtt::Publish;
use crate::plan::ModelPlan;

/// In the drain phase windows are shorter: nothing new comes, and the last readings must get out.
const DRAIN_WINDOW: Duration = Duration::from_millis(500);
/// Readings of a sensor before one of them can be an outlier.
const MIN_READINGS: u64 = 10;
/// Standard deviations from the mean beyond which a reading is an outlier.
const SIGMA: f64 = 4.0;

pub(super) struct Gateway {
    id: Arc<str>,
    index: usize,
    every: Duration,
    recorder: Recorder,
    tally: Arc<Tally>,
    start: Option<Instant>,
    due: Option<Instant>,
    sensors: BTreeMap<String, Seen>,
    window: Window,
    windows: u64,
    total: u64,
}

impl Gateway {
    pub(super) fn new(
        plan: &ModelPlan,
        id: Arc<str>,
        index: usize,
        recorder: Recorder,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            id,
            index,
            every: plan.config.every,
            recorder,
            tally,
            start: None,
            due: None,
            sensors: BTreeMap::new(),
            window: Window::default(),
            windows: 0,
            total: 0,
        }
    }

    fn aggregate(&mut self, reading: &Reading) {
        let seen = self.sensors.entry(reading.id.clone()).or_default();
        if reading.seq <= seen.last_seq {
            return;
        }
        seen.last_seq = reading.seq;
        let outlier = seen.add(reading.value);
        self.window.add(reading, outlier);
        self.total += 1;
        self.tally.gateways[self.index].received();
    }

    fn record(&self, publish: &Publish, reading: Reading) {
        let start_us = self.start.map_or(0, |start| self.recorder.micros(start));
        let kind = Kind::Received {
            topic: publish.topic.as_str().into(),
            from: reading.id.into(),
            seq: reading.seq,
            planned_us: start_us.saturating_add(reading.sent_us),
            dup: publish.dup,
        };
        self.recorder.record(&self.id, kind);
    }
}

impl Behaviour for Gateway {
    fn phase(&mut self, phase: Phase) {
        match phase {
            // Said again after a reconnection: windows go on where they were.
            Phase::Publish(_) if self.start.is_some() => {}
            Phase::Publish(start) => {
                self.start = Some(start);
                self.due = Some(start + self.every);
            }
            Phase::Drain => {
                self.every = self.every.min(DRAIN_WINDOW);
                self.due = Some(Instant::now() + self.every);
            }
            Phase::Prepare | Phase::End => self.due = None,
        }
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn fire(&mut self) -> Option<Outgoing> {
        let planned = self.due?;
        self.due = Some(planned + self.every);
        let window = std::mem::take(&mut self.window);
        if window.readings == 0 {
            return None;
        }
        self.windows += 1;
        let upstream = window.close(&self.id, self.windows, self.total);
        let payload = serde_json::to_vec(&upstream).ok()?;
        Some(Outgoing { seq: self.windows, planned, payload: payload.into() })
    }

    fn message(&mut self, publish: &Publish) {
        match serde_json::from_slice::<Reading>(&publish.payload) {
            Ok(reading) => {
                self.aggregate(&reading);
                self.record(publish, reading);
            }
            Err(error) => {
                let kind = Kind::Unreadable { topic: publish.topic.clone(), reason: error.to_string() };
                self.recorder.record(&self.id, kind);
            }
        }
    }

    fn acked(&mut self) {}
}

/// Running mean and variance of one sensor (Welford).
#[derive(Default)]
struct Seen {
    last_seq: u64,
    count: u64,
    mean: f64,
    squares: f64,
}

impl Seen {
    /// Takes in a value and says whether it was far from those before.
    fn add(&mut self, value: f64) -> bool {
        let deviation = (self.squares / as_float(self.count.max(1))).sqrt();
        let outlier = self.count >= MIN_READINGS && (value - self.mean).abs() > SIGMA * deviation;
        self.count += 1;
        let step = value - self.mean;
        self.mean += step / as_float(self.count);
        self.squares += step * (value - self.mean);
        outlier
    }
}

#[derive(Default)]
struct Window {
    readings: u64,
    outliers: u64,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
    sensors: BTreeSet<String>,
}

impl Window {
    fn add(&mut self, reading: &Reading, outlier: bool) {
        let value = reading.value;
        self.readings += 1;
        self.outliers += u64::from(outlier);
        self.sum += value;
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        if !self.sensors.contains(&reading.id) {
            self.sensors.insert(reading.id.clone());
        }
    }

    fn close(self, gateway: &str, window: u64, total: u64) -> Upstream {
        Upstream {
            gateway: gateway.to_owned(),
            window,
            readings: self.readings,
            total,
            outliers: self.outliers,
            mean: self.sum / as_float(self.readings),
            min: self.min.unwrap_or_default(),
            max: self.max.unwrap_or_default(),
            sensors: self.sensors.len() as u64,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of readings stay far below 2^52")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::{Seen, Window};
    use crate::model::message::Reading;

    #[test]
    fn only_far_values_after_enough_readings_are_outliers() {
        let mut seen = Seen::default();
        assert!(!seen.add(20.0) && !seen.add(9_999.0), "too early to say");
        let mut seen = Seen::default();
        for n in 0..20 {
            assert!(!seen.add(20.0 + f64::from(n % 3)));
        }
        assert!(seen.add(40.0));
        assert!(!seen.add(21.0));
    }

    #[test]
    fn a_window_sums_up() {
        let mut window = Window::default();
        for (id, value) in [("a", 1.0), ("b", 3.0), ("a", 8.0)] {
            window.add(&Reading { id: id.into(), seq: 1, sent_us: 0, value }, value > 5.0);
        }
        let upstream = window.close("gw", 2, 7);
        assert_eq!((upstream.readings, upstream.total, upstream.outliers, upstream.sensors), (3, 7, 1, 2));
        assert_eq!((upstream.mean, upstream.min, upstream.max), (4.0, 1.0, 8.0));
    }
}
