//! Claims that compare a measured value with a bound. What could not be measured holds nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use xedge_model::duration::Span;
use xedge_model::scenario::{Bound, Measure, Metric, Rank};

use super::delivery::far_ends;
use super::{Claim, Faults, Percentiles, Roster, Seen, State};
use crate::mqtt::topic;
use crate::run::Resources;

/// Everything that measured values are taken from.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'a> {
    /// What the history says about readings.
    pub seen: &'a Seen,
    /// Who took part.
    pub roster: &'a Roster,
    /// From the planned send to the arrival.
    pub delivery: Latencies,
    /// From the planned send to the acknowledgement.
    pub acknowledgement: Latencies,
    /// What the timeline did.
    pub faults: &'a Faults,
    /// What containers used.
    pub resources: &'a BTreeMap<String, Resources>,
}

/// Latencies of a run; `None` where there was no message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latencies {
    /// Of all messages.
    pub all: Option<Percentiles>,
    /// Of those that no fault hit.
    pub outside: Option<Percentiles>,
}

/// A value, what it says in words, and the numbers behind it.
struct Found {
    value: Bound,
    text: String,
    counts: BTreeMap<&'static str, u64>,
}

/// Why there is no value.
type Unknown = String;

impl Found {
    fn new<const N: usize>(value: Bound, text: String, counts: [(&'static str, u64); N]) -> Self {
        Self { value, text, counts: counts.into() }
    }
}

/// The claim of a measure.
pub(super) fn measure(measure: &Measure, findings: &Findings<'_>) -> Claim {
    match findings.value(measure) {
        Ok(Found { value, text, counts }) => {
            let holds = measure.op.holds(value.cmp(&measure.bound));
            let state = if holds { State::Held } else { State::Failed };
            Claim { counts, ..Claim::new(measure, state, text) }
        }
        Err(why) => Claim::new(measure, State::Invalid, why),
    }
}

impl Findings<'_> {
    fn value(&self, measure: &Measure) -> Result<Found, Unknown> {
        match &measure.metric {
            Metric::DeliveryRatio { qos } => self.delivery_ratio(*qos),
            Metric::AckedLost => self.acked_lost(),
            Metric::Duplicates => self.duplicates(),
            Metric::Latency(rank) => latency(self.delivery, *rank, measure.outside_faults, "arrived"),
            Metric::AckLatency(rank) => {
                latency(self.acknowledgement, *rank, measure.outside_faults, "were acknowledged")
            }
            Metric::MemoryPeak(node) => self.memory(node),
            Metric::CpuMean(node) => self.cpu(node, true),
            Metric::CpuPeak(node) => self.cpu(node, false),
            Metric::Recovery(node) => self.recovery(node),
        }
    }

    /// Of the readings that far ends were to get by plan, sent or not, those that they got.
    fn delivery_ratio(&self, qos: Option<u8>) -> Result<Found, Unknown> {
        let wanted = |of: u8| qos.is_none_or(|qos| qos == of);
        let (mut expected, mut arrived) = (0, 0);
        for gateway in &self.roster.gateways {
            let sensors = self.roster.sensors.iter().filter(|sensor| wanted(sensor.qos));
            let Some((filter, _)) = &gateway.model else {
                let (planned, heard) = self.by_container(&gateway.id, qos)?;
                expected += planned;
                arrived += heard;
                continue;
            };
            for sensor in sensors.filter(|sensor| topic::matches(filter, &sensor.topic)) {
                let got = self.seen.arrivals(&gateway.id).map_or(0, |found| found.readings.count(&sensor.id));
                expected += sensor.planned;
                arrived += got.min(sensor.planned);
            }
        }
        if expected == 0 {
            return Err("no gateway was to get any such reading".to_owned());
        }
        let text = format!("{arrived} of {expected} readings arrived");
        let value = Bound::Ratio(ratio(arrived, expected));
        Ok(Found::new(value, text, [("expected", expected), ("arrived", arrived)]))
    }

    /// Readings planned and counted by way of a gateway's container, which says only how many there were.
    fn by_container(&self, gateway: &str, qos: Option<u8>) -> Result<(u64, u64), Unknown> {
        if self.roster.sensors.iter().any(|sensor| qos.is_some_and(|qos| qos != sensor.qos)) {
            return Err(format!("{gateway} is a container and counts readings of every quality of service"));
        }
        let planned = self.roster.sensors.iter().map(|sensor| sensor.planned).sum::<u64>();
        let heard = |cloud: &str| self.seen.heard(cloud, gateway).map_or(0, |heard| heard.total.min(planned));
        let clouds = &self.roster.clouds;
        Ok((planned * clouds.len() as u64, clouds.iter().map(|cloud| heard(&cloud.id)).sum()))
    }

    fn acked_lost(&self) -> Result<Found, Unknown> {
        let acked = self.seen.acked.len();
        if acked == 0 || self.roster.gateways.is_empty() {
            return Err("no reading was acknowledged that could be lost on its way to a gateway".to_owned());
        }
        let lost = far_ends(self.seen, self.roster).lost;
        let text = format!("{lost} lost, of {acked} acknowledged readings");
        Ok(Found::new(Bound::Count(lost), text, [("acknowledged", acked), ("lost", lost)]))
    }

    fn duplicates(&self) -> Result<Found, Unknown> {
        if !self.seen.has_arrivals() {
            return Err("nothing arrived anywhere".to_owned());
        }
        let duplicates = far_ends(self.seen, self.roster).duplicates;
        let text = format!("{duplicates} arrived more than once");
        Ok(Found::new(Bound::Count(duplicates), text, [("duplicates", duplicates)]))
    }

    fn memory(&self, node: &str) -> Result<Found, Unknown> {
        let found = self.resources_of(node)?;
        let (bytes, samples) = (found.memory_peak_bytes, found.samples);
        let text = format!("{} KiB at most, in {samples} looks", bytes / 1024);
        Ok(Found::new(Bound::Bytes(bytes), text, [("bytes", bytes), ("samples", samples)]))
    }

    fn cpu(&self, node: &str, mean: bool) -> Result<Found, Unknown> {
        let found = self.resources_of(node)?;
        let average =
            found.cpu_mean_milli().ok_or("it was seen once only, and CPU is a difference of two looks")?;
        let (milli, what) = if mean { (average, "on average") } else { (found.cpu_peak_milli, "at most") };
        let text =
            format!("{}.{:03} of one CPU {what}, in {} looks", milli / 1_000, milli % 1_000, found.samples);
        let value = Bound::Cpus(ratio(milli, 1_000));
        Ok(Found::new(value, text, [("cpu_milli", milli), ("samples", found.samples)]))
    }

    fn resources_of(&self, node: &str) -> Result<&Resources, Unknown> {
        let found = self.resources.get(node).filter(|found| found.samples > 0);
        found.ok_or_else(|| {
            format!("neither the engine nor this machine's control groups tell what {node} uses")
        })
    }

    /// The longest of all recoveries of a node.
    fn recovery(&self, node: &str) -> Result<Found, Unknown> {
        let all: Vec<Option<u64>> = self.faults.recoveries(node).collect();
        if all.is_empty() {
            return Err(format!("no fault hit {node}, so it had nothing to recover from"));
        }
        let count = all.len() as u64;
        let longest = all.iter().copied().max_by_key(|took| took.unwrap_or(u64::MAX)).flatten();
        let text = longest.map_or_else(
            || "it did not recover".to_owned(),
            |us| format!("ready again {} ms after the fault, the longest of {count}", us / 1_000),
        );
        let us = longest.unwrap_or(u64::MAX);
        let counts = [("faults", count), ("recovery_us", us)];
        Ok(Found::new(Bound::Time(Span(Duration::from_micros(us))), text, counts))
    }
}

fn latency(of: Latencies, rank: Rank, outside: bool, what: &str) -> Result<Found, Unknown> {
    let (found, which) = if outside { (of.outside, " outside faults") } else { (of.all, "") };
    let found = found.ok_or_else(|| format!("no readings {what}{which}"))?;
    let us = match rank {
        Rank::P50 => found.p50_us,
        Rank::P90 => found.p90_us,
        Rank::P99 => found.p99_us,
        Rank::Max => found.max_us,
    };
    let text = format!("{}.{:03} ms, of {} readings that {what}{which}", us / 1_000, us % 1_000, found.count);
    let counts = [("latency_us", us), ("readings", found.count)];
    Ok(Found::new(Bound::Time(Span(Duration::from_micros(us))), text, counts))
}

#[expect(clippy::cast_precision_loss, reason = "counts of readings stay far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
