//! From payloads to windows: reading, duplicates, outliers, and what is published. Pure; no clock, no network.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::seen::Seen;

/// Readings after which a sensor's mean and deviation are believed.
const WARM_UP: u64 = 10;
/// Sensors that are remembered. A publisher with ever new names must not fill the memory.
const MAX_SENSORS: usize = 10_000;
const MAX_ID_BYTES: usize = 128;
/// Beyond this a squared deviation would overflow.
const MAX_VALUE: f64 = 1e150;

/// What a sensor publishes. Further fields are let pass.
#[derive(Debug, Deserialize)]
pub(crate) struct Reading {
    id: String,
    seq: u64,
    sent_us: u64,
    value: f64,
    /// The broker says that it delivered this before (MQTT 3.1.1 §3.3.1.1).
    #[serde(skip)]
    redelivered: bool,
}

impl Reading {
    /// Reads a payload; the error says what is wrong without quoting more than a few bytes of it.
    pub(crate) fn parse(payload: &[u8], redelivered: bool) -> Result<Self, String> {
        let reading: Self = serde_json::from_slice(payload).map_err(|e| {
            let start: String = String::from_utf8_lossy(payload).chars().take(40).collect();
            format!("{start:?} ({} bytes): {e}", payload.len())
        })?;
        if reading.id.is_empty() || reading.id.len() > MAX_ID_BYTES {
            return Err(format!("`id` has {} bytes, not 1 to {MAX_ID_BYTES}", reading.id.len()));
        }
        if reading.value.is_nan() || reading.value.abs() > MAX_VALUE {
            return Err(format!("`value` is {}", reading.value));
        }
        Ok(Self { redelivered, ..reading })
    }
}

/// What is known of every sensor.
#[derive(Debug)]
pub(crate) struct Sensors {
    outlier_sigma: f64,
    known: BTreeMap<String, Sensor>,
}

#[derive(Debug)]
struct Sensor {
    seen: Seen,
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean (Welford).
    squares: f64,
}

/// The open window.
#[derive(Debug, Default)]
pub(crate) struct Window {
    readings: u64,
    outliers: u64,
    mean: f64,
    min: f64,
    max: f64,
    sensors: BTreeSet<String>,
}

/// What is published upstream.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    gateway: &'a str,
    /// Number of this summary since the gateway's start, from 1.
    window: u64,
    /// Readings in this window, each counted once.
    readings: u64,
    /// Readings since the gateway's start, this window's included.
    total: u64,
    outliers: u64,
    mean: f64,
    min: f64,
    max: f64,
    /// How many sensors the readings are from.
    sensors: usize,
}

impl Sensors {
    /// No sensor is known yet.
    pub(crate) fn new(outlier_sigma: f64) -> Self {
        Self { outlier_sigma, known: BTreeMap::new() }
    }

    /// Counts a reading into `window`, unless it was counted before.
    pub(crate) fn count(&mut self, reading: &Reading, window: &mut Window) {
        let Some(sensor) = self.known.get_mut(&reading.id) else {
            self.meet(reading);
            return window.add(&reading.id, reading.value, false);
        };
        if sensor.seen.is_new(reading.seq, reading.sent_us, reading.redelivered) {
            let outlier = sensor.is_outlier(reading.value, self.outlier_sigma);
            window.add(&reading.id, reading.value, outlier);
        }
    }

    /// One sensor too many is counted, but not remembered.
    fn meet(&mut self, reading: &Reading) {
        if self.known.len() < MAX_SENSORS {
            let seen = Seen::first(reading.seq, reading.sent_us);
            let sensor = Sensor { seen, count: 1, mean: reading.value, squares: 0.0 };
            self.known.insert(reading.id.clone(), sensor);
        }
    }
}

impl Sensor {
    /// Judges a value by those before it, then learns it, outlier or not: a lasting shift becomes the new normal.
    fn is_outlier(&mut self, value: f64, sigma: f64) -> bool {
        let delta = value - self.mean;
        let outlier = self.count >= WARM_UP && delta.abs() > sigma * self.deviation();
        self.count += 1;
        self.mean += delta / as_f64(self.count);
        self.squares += delta * (value - self.mean);
        outlier
    }

    /// Standard deviation of the sample.
    fn deviation(&self) -> f64 {
        (self.squares / as_f64(self.count - 1)).sqrt()
    }
}

impl Window {
    /// How many readings were counted.
    pub(crate) fn readings(&self) -> u64 {
        self.readings
    }

    /// What is published; `number` and `total` are the gateway's counters, this window included.
    pub(crate) fn summary<'a>(&self, gateway: &'a str, number: u64, total: u64) -> Summary<'a> {
        Summary {
            gateway,
            window: number,
            readings: self.readings,
            total,
            outliers: self.outliers,
            mean: self.mean,
            min: self.min,
            max: self.max,
            sensors: self.sensors.len(),
        }
    }

    fn add(&mut self, id: &str, value: f64, outlier: bool) {
        self.readings += 1;
        self.outliers += u64::from(outlier);
        self.mean += (value - self.mean) / as_f64(self.readings);
        (self.min, self.max) =
            if self.readings == 1 { (value, value) } else { (self.min.min(value), self.max.max(value)) };
        if !self.sensors.contains(id) {
            self.sensors.insert(id.to_owned());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::{MAX_SENSORS, Reading, Sensors, Window};

    fn reading(id: &str, seq: u64, value: f64) -> Reading {
        Reading { id: id.to_owned(), seq, sent_us: seq, value, redelivered: false }
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_window_counts_each_reading_once() {
        let (mut sensors, mut window) = (Sensors::new(4.0), Window::default());
        for (id, seq, value) in [("a", 1, 1.0), ("a", 1, 1.0), ("b", 1, -4.0), ("a", 2, 6.0), ("a", 1, 1.0)] {
            sensors.count(&reading(id, seq, value), &mut window);
        }
        let summary = window.summary("gw", 3, 40);
        assert_eq!((summary.readings, summary.sensors, summary.outliers), (3, 2, 0));
        assert!(near(summary.mean, 1.0) && near(summary.min, -4.0) && near(summary.max, 6.0));
        let json = serde_json::to_string(&summary).unwrap();
        let expected = r#"{"gateway":"gw","window":3,"readings":3,"total":40,"outliers":0,"#;
        assert!(json.starts_with(expected), "{json}");
    }

    #[test]
    fn outliers_are_judged_by_the_readings_before_them() {
        let (mut sensors, mut window) = (Sensors::new(4.0), Window::default());
        let mut feed = |values: &[f64], from: u64, window: &mut Window| {
            for (seq, value) in (from..).zip(values) {
                sensors.count(&reading("a", seq, *value), window);
            }
        };
        feed(&[20.0, 22.0, 20.0, 22.0, 20.0, 22.0, 20.0, 22.0, 99.0], 0, &mut window);
        assert_eq!(window.outliers, 0, "fewer than ten readings judge nothing");
        let mut window = Window::default();
        feed(&[21.0; 200], 9, &mut window);
        feed(&[80.0], 300, &mut window);
        assert_eq!(window.outliers, 1);
    }

    #[test]
    fn a_value_within_the_limit_is_no_outlier() {
        // Ten readings of mean 0 and sample deviation sqrt(10/9); 4 of those are 4.2164.
        for (value, expected) in [(4.21, 0), (4.22, 1), (-4.22, 1)] {
            let (mut sensors, mut window) = (Sensors::new(4.0), Window::default());
            for seq in 0..10 {
                sensors.count(&reading("a", seq, if seq % 2 == 0 { 1.0 } else { -1.0 }), &mut window);
            }
            sensors.count(&reading("a", 10, value), &mut window);
            assert_eq!(window.outliers, expected, "{value}");
        }
    }

    #[test]
    fn extreme_values_leave_numbers() {
        let (mut sensors, mut window) = (Sensors::new(4.0), Window::default());
        for seq in 0..50 {
            sensors.count(&reading("a", seq, if seq % 2 == 0 { 1e150 } else { -1e150 }), &mut window);
        }
        let json = serde_json::to_string(&window.summary("gw", 1, 50)).unwrap();
        assert!(!json.contains("null"), "{json}");
    }

    #[test]
    fn endless_names_do_not_fill_the_memory() {
        let (mut sensors, mut window) = (Sensors::new(4.0), Window::default());
        for n in 0..MAX_SENSORS + 5 {
            sensors.count(&reading(&n.to_string(), 0, 1.0), &mut window);
        }
        assert_eq!(sensors.known.len(), MAX_SENSORS);
        assert_eq!(usize::try_from(window.readings()), Ok(MAX_SENSORS + 5));
    }

    #[test]
    fn malformed_payloads_are_refused() {
        let good = br#"{"id":"a","seq":1,"sent_us":2,"value":3,"unit":"C"}"#;
        assert!(Reading::parse(good, false).is_ok());
        assert!((0..good.len()).all(|n| Reading::parse(&good[..n], false).is_err()));
        let long = format!(r#"{{"id":"{}","seq":1,"sent_us":2,"value":3}}"#, "x".repeat(129));
        for bad in [
            "",
            "null",
            "[]",
            "\u{fffd}",
            r#"{"id":"","seq":1,"sent_us":2,"value":3}"#,
            r#"{"id":"a","seq":-1,"sent_us":2,"value":3}"#,
            r#"{"id":"a","seq":1,"sent_us":2,"value":"3"}"#,
            r#"{"id":"a","seq":1,"sent_us":2,"value":1e999}"#,
            r#"{"id":"a","seq":1,"sent_us":2,"value":1e200}"#,
            r#"{"id":"a","seq":1,"sent_us":2,"value":NaN}"#,
            &long,
        ] {
            assert!(Reading::parse(bad.as_bytes(), false).is_err(), "{bad}");
        }
    }
}
