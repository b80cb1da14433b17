//! The built-in models in virtual time: a sensor that sends by plan, a gateway that counts and sums up, a cloud that
//! listens. Whole numbers only: the same on every machine.

use serde_json::{Value, json};

use super::plan::VirtualNode;
use crate::model::Schedule;
use crate::model::message::Reading;

/// Readings of a sensor before one of them can be an outlier.
const MIN_READINGS: i128 = 10;
/// Standard deviations from the mean beyond which a reading is an outlier, squared.
const SIGMA_SQUARED: i128 = 16;

/// Content of a message.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// A sensor's reading: value in hundredths.
    Reading(u32),
    /// A gateway's aggregate.
    Window(Box<Window>),
    /// What a script said.
    Said(Box<Said>),
}

/// A message of a script.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) kind: String,
    pub(super) payload: Value,
    pub(super) text: Box<[u8]>,
    pub(super) size: u64,
}

/// An aggregate, values in hundredths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) number: u64,
    pub(super) readings: u64,
    pub(super) total: u64,
    pub(super) outliers: u64,
    pub(super) sum: i64,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) sensors: u64,
}

#[derive(Debug)]
pub(super) struct Sensor {
    pub(super) schedule: Schedule,
    pub(super) sent: u64,
}

/// Counts each message, and the values of those that have one.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) every: u64,
    /// When the window that is open ends.
    pub(super) tick: u64,
    windows: u64,
    total: u64,
    window: Window,
    sensors: Vec<Seen>,
}

/// Running sums of one sender.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    count: i128,
    sum: i128,
    squares: i128,
    window: u64,
}

impl Seen {
    /// Takes in a value and says whether it was far from those before: whether it is further from the mean than so many
    /// standard deviations, with both sides multiplied by the count.
    fn add(&mut self, value: i64) -> bool {
        let value = i128::from(value);
        let distance = self.count * value - self.sum;
        let variance = self.count * self.squares - self.sum * self.sum;
        let outlier = self.count >= MIN_READINGS && distance * distance > SIGMA_SQUARED * variance;
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
        outlier
    }
}

impl Gateway {
    pub(super) fn new(every: u64) -> Self {
        Self { every, tick: every, windows: 0, total: 0, window: Window::default(), sensors: Vec::new() }
    }

    /// Takes in a message of the sender that has this place.
    pub(super) fn take(&mut self, place: u32, value: Option<i64>) {
        self.total += 1;
        self.window.readings += 1;
        let place = place as usize;
        if self.sensors.len() <= place {
            self.sensors.resize(place + 1, Seen::default());
        }
        let seen = &mut self.sensors[place];
        if seen.window != self.windows + 1 {
            seen.window = self.windows + 1;
            self.window.sensors += 1;
        }
        let Some(value) = value else { return };
        self.window.outliers += u64::from(seen.add(value));
        self.window.sum += value;
        self.window.min = Some(self.window.min.map_or(value, |min| min.min(value)));
        self.window.max = Some(self.window.max.map_or(value, |max| max.max(value)));
    }

    pub(super) fn has_readings(&self) -> bool {
        self.window.readings > 0
    }

    /// How many messages it took in.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The window that ends, if anything is in it.
    pub(super) fn close(&mut self) -> Option<Window> {
        if !self.has_readings() {
            return None;
        }
        self.windows += 1;
        let window = std::mem::take(&mut self.window);
        Some(Window { number: self.windows, total: self.total, ..window })
    }
}

/// What a cloud heard of one gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) readings: u64,
    pub(super) total: u64,
}

impl Body {
    /// The number that stands for it in the trace.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Reading(value) => u64::from(*value),
            Self::Window(window) => window.total,
            Self::Said(said) => said.size,
        }
    }

    /// Its bytes in the trace, where the number does not say it all.
    pub(super) fn bytes(&self) -> Option<Box<[u8]>> {
        match self {
            Self::Said(said) => Some(said.text.clone()),
            Self::Reading(_) | Self::Window(_) => None,
        }
    }

    /// A value in hundredths: of a reading, or the number in a script's message.
    pub(super) fn value(&self) -> Option<i64> {
        match self {
            Self::Reading(value) => Some(i64::from(*value)),
            Self::Window(_) => None,
            Self::Said(said) => hundredths(said.payload.get("value").unwrap_or(&said.payload)),
        }
    }

    /// Its length in bytes as JSON, which is what links see.
    pub(super) fn size(&self, node: &VirtualNode, seq: u64, due: u64) -> u64 {
        match self {
            Self::Said(said) => said.size,
            Self::Reading(value) => {
                reading_length(&node.id, [seq, due, u64::from(value / 100)]).max(node.payload as u64)
            }
            Self::Window(window) => window.json(&node.id).to_string().len() as u64,
        }
    }

    /// Kind and payload as scripts see it.
    pub(super) fn for_script(&self, node: &VirtualNode, seq: u64, due: u64) -> (String, Value) {
        match self {
            Self::Said(said) => (said.kind.clone(), said.payload.clone()),
            Self::Reading(value) => {
                let text = Reading::text(&node.id, seq, due, u64::from(*value));
                ("TRANSMIT".to_owned(), serde_json::from_str(&text).unwrap_or_default())
            }
            Self::Window(window) => ("AGGREGATE".to_owned(), window.json(&node.id)),
        }
    }
}

/// Length of [`Reading::text`], without making the text: it is asked for every message.
fn reading_length(id: &str, numbers: [u64; 3]) -> u64 {
    const REST: u64 = r#"{"id":"","seq":,"sent_us":,"value":.00}"#.len() as u64;
    let digits = |number: u64| u64::from(number.checked_ilog10().unwrap_or_default()) + 1;
    REST + id.len() as u64 + numbers.into_iter().map(digits).sum::<u64>()
}

/// From a script's number to hundredths; what is no number, or too large for one, has no value.
#[expect(clippy::cast_possible_truncation, reason = "checked to be small")]
fn hundredths(value: &Value) -> Option<i64> {
    let value = (value.as_f64()? * 100.0).round();
    (value.abs() < 1e15).then_some(value as i64)
}

impl Window {
    fn json(&self, gateway: &str) -> Value {
        let part = |hundredths: i64| fraction(hundredths, 100);
        let count = i64::try_from(self.readings.max(1)).unwrap_or(i64::MAX);
        json!({
            "gateway": gateway,
            "window": self.number,
            "readings": self.readings,
            "total": self.total,
            "outliers": self.outliers,
            "mean": fraction(self.sum, count.saturating_mul(100)),
            "min": part(self.min.unwrap_or_default()),
            "max": part(self.max.unwrap_or_default()),
            "sensors": self.sensors,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums of readings stay far below 2^52")]
fn fraction(sum: i64, of: i64) -> f64 {
    sum as f64 / of as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Gateway, Seen, hundredths, reading_length};
    use crate::model::message::Reading;

    #[test]
    fn the_length_of_a_reading_is_that_of_its_text() {
        for (seq, due, value) in
            [(0, 0, 0), (9, 10, 999), (10, 99_999, 1_000), (3_600, 3_599_999_999, 10_000)]
        {
            let text = Reading::text("sensor-1", seq, due, value);
            assert_eq!(reading_length("sensor-1", [seq, due, value / 100]), text.len() as u64, "{text}");
        }
    }

    #[test]
    fn only_far_values_after_enough_readings_are_outliers() {
        let mut seen = Seen::default();
        assert!(!seen.add(2_000) && !seen.add(999_900), "too early to say");
        let mut seen = Seen::default();
        for n in 0..20 {
            assert!(!seen.add(2_000 + n % 3 * 100));
        }
        assert!(seen.add(4_000));
        assert!(!seen.add(2_100));
    }

    #[test]
    fn a_window_sums_up_and_an_empty_one_is_none() {
        let mut gateway = Gateway::new(5);
        assert_eq!(gateway.close(), None);
        for (from, value) in [(0, Some(100)), (1, Some(300)), (0, Some(800)), (2, None)] {
            gateway.take(from, value);
        }
        let window = gateway.close().unwrap();
        assert_eq!((window.number, window.readings, window.total, window.sensors), (1, 4, 4, 3));
        assert_eq!((window.sum, window.min, window.max), (1_200, Some(100), Some(800)));
        gateway.take(0, Some(1));
        let window = gateway.close().unwrap();
        assert_eq!((window.number, window.readings, window.total, window.sensors), (2, 1, 5, 1));
    }

    #[test]
    fn numbers_of_scripts_are_read_and_the_rest_has_no_value() {
        assert_eq!(hundredths(&json!(21.385)), Some(2_139));
        assert_eq!(hundredths(&json!(-1)), Some(-100));
        for none in [json!(null), json!("1"), json!(1e300), json!([1])] {
            assert_eq!(hundredths(&none), None);
        }
    }
}
