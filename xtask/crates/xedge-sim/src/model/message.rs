//! The two payloads of a scenario: a sensor's reading and a gateway's aggregate. The gateway's container writes the same.

use serde::{Deserialize, Serialize};

/// A reading on `sensors/{id}`. Unknown fields are ignored: sensors may say more.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Reading {
    /// Sensor.
    pub id: String,
    /// Counts from 1.
    pub seq: u64,
    /// When it was due, in microseconds since the publishing phase began: a part of the plan, not a clock.
    pub sent_us: u64,
    /// Measured value.
    pub value: f64,
}

impl Reading {
    /// The JSON text. The value is given in hundredths, so that no float is ever printed.
    pub fn text(id: &str, seq: u64, sent_us: u64, hundredths: u64) -> String {
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        format!(r#"{{"id":"{id}","seq":{seq},"sent_us":{sent_us},"value":{whole}.{rest:02}}}"#)
    }
}

/// An aggregate on `upstream/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// Gateway.
    pub gateway: String,
    /// Number of the window.
    pub window: u64,
    /// Readings in this window.
    pub readings: u64,
    /// Readings since the gateway started.
    pub total: u64,
    /// Readings in this window that are far from what their sensor sent before.
    pub outliers: u64,
    /// Mean of this window's values.
    pub mean: f64,
    /// Smallest value of this window.
    pub min: f64,
    /// Largest value of this window.
    pub max: f64,
    /// Sensors heard in this window.
    pub sensors: u64,
}

#[cfg(test)]
mod tests {
    use super::Reading;

    #[test]
    fn the_text_reads_back() {
        let text = Reading::text("s-1", 9, 1_250_000, 2005);
        let reading: Reading = serde_json::from_str(&text).unwrap();
        assert_eq!(reading, Reading { id: "s-1".into(), seq: 9, sent_us: 1_250_000, value: 20.05 });
    }
}
