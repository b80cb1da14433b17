//! A sensor: publishes readings at planned times, whatever the broker does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xedge_model::scenario::Role;
use xedge_model::{Digest, Hasher};

use super::message::Reading;
use super::{Behaviour, Outgoing, Phase, Tally};
use crate::mqtt::Publish;
use crate::plan::{ModelPlan, RunPlan};
use crate::seed::Draws;

/// What a sensor sends and when: a pure function of its id, the seed, the period and the duration.
#[derive(Clone, Debug)]
pub struct Schedule {
    draws: Draws,
    phase_us: u64,
    period_us: u64,
    /// How many readings there are.
    count: u64,
    hundredths: u64,
    /// How far a reading may be from its place, in either direction.
    jitter_us: u64,
    shifts: Draws,
    /// Bytes of a message, at least.
    payload: usize,
}

impl Schedule {
    /// The plan of one sensor. Every sensor sends at least once, however short the run.
    pub fn new(id: &str, seed: u64, every: Duration, duration: Duration) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let (period_us, duration_us) = (micros(every), micros(duration));
        let mut draws = Draws::new(id, seed);
        let phase_us = draws.below(period_us.min(duration_us));
        let count = (duration_us - phase_us).div_ceil(period_us);
        let hundredths = 1_500 + draws.below(1_000);
        let shifts = draws.clone();
        Self { draws, phase_us, period_us, count, hundredths, jitter_us: 0, shifts, payload: 0 }
    }

    /// Moves each reading by a random part of the period, up to this many millionths of it in either direction. More than
    /// a half is taken for a half, beyond which readings would overtake each other.
    #[must_use]
    pub fn jittered(mut self, id: &str, seed: u64, ppm: u32) -> Self {
        self.jitter_us = (self.period_us / 1_000_000 * u64::from(ppm)
            + self.period_us % 1_000_000 * u64::from(ppm) / 1_000_000)
            .min(self.period_us / 2);
        self.shifts = Draws::new(&format!("{id} jitter"), seed);
        self
    }

    /// Makes messages at least this long.
    #[must_use]
    pub fn padded(self, payload: usize) -> Self {
        Self { payload, ..self }
    }

    /// The plan of a model that is a sensor.
    pub fn of(model: &ModelPlan, plan: &RunPlan) -> Self {
        let config = &model.config;
        Self::new(&model.id, plan.seed, config.every, plan.duration)
            .jittered(&model.id, plan.seed, config.jitter_ppm)
            .padded(config.payload)
    }

    /// How many readings are planned.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// When reading `seq` (from 1) is due, in microseconds since the publishing phase began.
    pub fn due_us(&self, seq: u64) -> u64 {
        let due = self.phase_us + (seq - 1) * self.period_us;
        if self.jitter_us == 0 {
            return due;
        }
        let shift = self.shifts.nth(seq) % (2 * self.jitter_us + 1);
        // Nothing is due before the phase begins, nor after its end.
        let last = self.phase_us + (self.count - 1) * self.period_us;
        (due + shift).saturating_sub(self.jitter_us).min(last)
    }

    /// The message of reading `seq`, whose value is in hundredths. Spaces behind JSON mean nothing.
    fn text(&self, id: &str, seq: u64, value: u64) -> String {
        let text = Reading::text(id, seq, self.due_us(seq), value);
        format!("{text:<width$}", width = self.payload)
    }

    /// The next value, in hundredths: a walk in small steps between 0 and 100.
    pub(crate) fn next_value(&mut self) -> u64 {
        let moved = self.hundredths + self.draws.below(101);
        self.hundredths = moved.saturating_sub(50).min(10_000);
        self.hundredths
    }
}

/// Digest over every planned reading of a run: topic, time and payload. Two runs with the same one had the same
/// stimulus, whatever came of it.
pub fn stimulus(plan: &RunPlan) -> Digest {
    let mut hasher = Hasher::new();
    for model in plan.models_of(Role::Sensor) {
        let mut schedule = Schedule::of(model, plan);
        for seq in 1..=schedule.count() {
            let (due, value) = (schedule.due_us(seq), schedule.next_value());
            let payload = schedule.text(&model.id, seq, value);
            hasher
                .update(format!("{due} {} {} {payload}\n", model.config.qos, model.config.topic).as_bytes());
        }
    }
    hasher.finish()
}

pub(super) struct Sensor {
    id: Arc<str>,
    index: usize,
    acknowledged: bool,
    schedule: Schedule,
    start: Option<Instant>,
    next: u64,
    tally: Arc<Tally>,
}

impl Sensor {
    pub(super) fn new(
        plan: &ModelPlan,
        id: Arc<str>,
        index: usize,
        schedule: Schedule,
        tally: Arc<Tally>,
    ) -> Self {
        let acknowledged = plan.config.qos > 0;
        Self { id, index, acknowledged, schedule, start: None, next: 1, tally }
    }
}

impl Behaviour for Sensor {
    fn phase(&mut self, phase: Phase) {
        if let Phase::Publish(start) = phase {
            self.start = Some(start);
        }
    }

    fn due(&self) -> Option<Instant> {
        let start = self.start.filter(|_| self.next <= self.schedule.count)?;
        Some(start + Duration::from_micros(self.schedule.due_us(self.next)))
    }

    fn fire(&mut self) -> Option<Outgoing> {
        let planned = self.due()?;
        let seq = self.next;
        self.next += 1;
        let value = self.schedule.next_value();
        let text = self.schedule.text(&self.id, seq, value);
        self.tally.sensors[self.index].sent(self.acknowledged);
        Some(Outgoing { seq, planned, payload: text.into() })
    }

    fn message(&mut self, _: &Publish) {}

    fn acked(&mut self) {
        self.tally.sensors[self.index].acked();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Schedule;

    #[test]
    fn the_plan_is_a_function_of_id_and_seed() {
        let plan = |id, seed| {
            let mut schedule = Schedule::new(id, seed, Duration::from_secs(1), Duration::from_secs(10));
            let dues: Vec<u64> = (1..=schedule.count()).map(|seq| schedule.due_us(seq)).collect();
            let values: Vec<u64> = dues.iter().map(|_| schedule.next_value()).collect();
            (dues, values)
        };
        assert_eq!(plan("s-1", 42), plan("s-1", 42));
        assert_ne!(plan("s-1", 42), plan("s-1", 43));
        assert_ne!(plan("s-1", 42), plan("s-2", 42));
        let (dues, values) = plan("s-1", 42);
        assert_eq!(dues.len(), 10);
        assert!(dues.iter().all(|due| *due < 10_000_000));
        assert!(dues.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000));
        assert!(values.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 50));
    }

    #[test]
    fn jitter_moves_readings_within_their_bounds_and_keeps_their_order() {
        let (every, duration) = (Duration::from_secs(1), Duration::from_secs(100));
        let plain = Schedule::new("s-1", 42, every, duration);
        for (ppm, bound) in [(200_000, 200_000), (1_000_000, 500_000)] {
            let schedule = plain.clone().jittered("s-1", 42, ppm);
            assert_eq!(schedule.count(), plain.count());
            let dues: Vec<u64> = (1..=schedule.count()).map(|seq| schedule.due_us(seq)).collect();
            let moved: Vec<u64> =
                (1..).zip(&dues).map(|(seq, due)| due.abs_diff(plain.due_us(seq))).collect();
            assert!(
                moved.iter().all(|by| *by <= bound) && moved.iter().any(|by| *by > bound / 2),
                "{moved:?}"
            );
            assert!(
                dues.windows(2).all(|pair| pair[0] <= pair[1]) && dues.iter().all(|due| *due < 100_000_000)
            );
            assert_eq!(dues[7], plain.clone().jittered("s-1", 42, ppm).due_us(8));
        }
        assert_ne!(
            plain.clone().jittered("s-1", 42, 200_000).due_us(5),
            plain.clone().jittered("s-1", 43, 200_000).due_us(5)
        );
    }

    #[test]
    fn a_message_is_as_long_as_it_is_wished_and_still_reads() {
        let schedule = Schedule::new("s-1", 42, Duration::from_secs(1), Duration::from_secs(9)).padded(256);
        let text = schedule.text("s-1", 3, 2_005);
        assert_eq!(text.len(), 256);
        let reading: crate::model::message::Reading = serde_json::from_str(&text).unwrap();
        assert_eq!((reading.seq, reading.sent_us), (3, schedule.due_us(3)));
        assert!(schedule.padded(4).text("s-1", 3, 2_005).ends_with('}'), "never shorter than the reading");
    }

    #[test]
    fn sends_are_spread_and_nobody_is_left_out() {
        let schedule = |n: u32, ms| {
            Schedule::new(&format!("s-{n}"), 1, Duration::from_secs(1), Duration::from_millis(ms))
        };
        let phases: Vec<u64> = (0..1000).map(|n| schedule(n, 5_000).due_us(1)).collect();
        for tenth in 0..10 {
            let inside = phases.iter().filter(|p| **p / 100_000 == tenth).count();
            assert!((60..140).contains(&inside), "{inside} of 1000 in tenth {tenth}");
        }
        for ms in [1, 300, 999, 1_000, 1_001] {
            for n in 0..50 {
                let schedule = schedule(n, ms);
                assert!(schedule.count() >= 1 && schedule.due_us(schedule.count()) < ms * 1_000);
            }
        }
    }
}
