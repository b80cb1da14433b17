//! Claims about what was measured: `METRIC OP BOUND`, and patterns over a node's log. Measures nothing.

use std::cmp::Ordering;
use std::fmt;

use super::expect::is_node_id;
use super::units::Size;
use crate::duration::Span;

/// A measured value and the bound that it must keep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure {
    /// What is measured.
    pub metric: Metric,
    /// How it is compared.
    pub op: Op,
    /// With what.
    pub bound: Bound,
    /// Whether messages that were sent or due during a fault are left out.
    pub outside_faults: bool,
}

/// What can be measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Delivered messages by all that were published, of one quality of service or of all.
    DeliveryRatio {
        /// The quality of service; `None` is all.
        qos: Option<u8>,
    },
    /// Messages that were acknowledged and never arrived.
    AckedLost,
    /// Messages that arrived more than once.
    Duplicates,
    /// From the planned send to the arrival.
    Latency(Rank),
    /// From the planned send to the acknowledgement.
    AckLatency(Rank),
    /// Most memory of a node.
    MemoryPeak(String),
    /// CPU of a node on average, of one CPU.
    CpuMean(String),
    /// Most CPU of a node, of one CPU.
    CpuPeak(String),
    /// From a fault of a node to its first answer after.
    Recovery(String),
}

/// Which of many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Half of them are not larger.
    P50,
    /// 90 % of them are not larger.
    P90,
    /// 99 % of them are not larger.
    P99,
    /// The largest.
    Max,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Less.
    Lt,
    /// At most.
    Le,
    /// More.
    Gt,
    /// At least.
    Ge,
    /// The same.
    Eq,
}

/// What a measured value is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// From 0 to 1.
    Ratio(f64),
    /// A number of messages.
    Count(u64),
    /// A length of time.
    Time(Span),
    /// Bytes.
    Bytes(u64),
    /// CPUs.
    Cpus(f64),
}

impl Rank {
    const ALL: [(&'static str, Self); 4] =
        [("p50", Self::P50), ("p90", Self::P90), ("p99", Self::P99), ("max", Self::Max)];

    /// The word in a scenario.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, rank)| *rank == self).map_or("", |(name, _)| name)
    }

    fn read(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, rank)| *rank)
    }
}

impl Op {
    /// Longer signs first: `<=` starts like `<`.
    const ALL: [(&'static str, Self); 5] =
        [("<=", Self::Le), (">=", Self::Ge), ("==", Self::Eq), ("<", Self::Lt), (">", Self::Gt)];

    /// The sign in a scenario.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(sign, _)| sign)
    }

    /// Whether `found OP bound` holds, given how the two compare.
    pub fn holds(self, found_to_bound: Ordering) -> bool {
        match self {
            Self::Lt => found_to_bound.is_lt(),
            Self::Le => found_to_bound.is_le(),
            Self::Gt => found_to_bound.is_gt(),
            Self::Ge => found_to_bound.is_ge(),
            Self::Eq => found_to_bound.is_eq(),
        }
    }
}

impl Metric {
    /// The node that it is about, if it is about one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::MemoryPeak(id) | Self::CpuMean(id) | Self::CpuPeak(id) | Self::Recovery(id) => Some(id),
            _ => None,
        }
    }

    /// Whether it is a time, which faults make longer for everybody.
    fn is_latency(&self) -> bool {
        matches!(self, Self::Latency(_) | Self::AckLatency(_))
    }

    fn read(text: &str) -> Option<Self> {
        let of_node = |start: &str| {
            let id = text.strip_prefix(start)?.strip_suffix(')')?;
            is_node_id(id).then(|| id.to_owned())
        };
        match text {
            "mqtt.delivery_ratio" => return Some(Self::DeliveryRatio { qos: None }),
            "mqtt.acked_lost" => return Some(Self::AckedLost),
            "mqtt.duplicates" => return Some(Self::Duplicates),
            _ => {}
        }
        if let Some(qos) =
            text.strip_prefix("mqtt.delivery_ratio{qos=").and_then(|rest| rest.strip_suffix('}'))
        {
            let qos = qos.parse().ok().filter(|qos| *qos <= 2)?;
            return Some(Self::DeliveryRatio { qos: Some(qos) });
        }
        if let Some(rank) = text.strip_prefix("mqtt.latency.") {
            return Rank::read(rank).map(Self::Latency);
        }
        if let Some(rank) = text.strip_prefix("mqtt.ack_latency.") {
            return Rank::read(rank).map(Self::AckLatency);
        }
        let memory = of_node("memory.peak(").map(Self::MemoryPeak);
        let cpu =
            || of_node("cpu.mean(").map(Self::CpuMean).or_else(|| of_node("cpu.peak(").map(Self::CpuPeak));
        memory.or_else(cpu).or_else(|| of_node("node.recovers(").map(Self::Recovery))
    }

    /// A bound of the right kind, or what would be one.
    fn bound(&self, text: &str) -> Result<Bound, &'static str> {
        let number = || text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        match self {
            Self::DeliveryRatio { .. } => {
                number().filter(|n| *n <= 1.0).map(Bound::Ratio).ok_or("a number from 0 to 1, such as 0.999")
            }
            Self::AckedLost | Self::Duplicates => {
                text.parse().ok().map(Bound::Count).ok_or("a whole number, such as 0")
            }
            Self::Latency(_) | Self::AckLatency(_) | Self::Recovery(_) => {
                text.parse().ok().map(Bound::Time).ok_or("a length of time, such as 250ms or 5s")
            }
            Self::MemoryPeak(_) => {
                text.parse().ok().map(|size: Size| Bound::Bytes(size.0)).ok_or("a size, such as 110MiB")
            }
            Self::CpuMean(_) | Self::CpuPeak(_) => {
                number().map(Bound::Cpus).ok_or("a number of CPUs, such as 0.5")
            }
        }
    }
}

/// What may follow a bound.
const OUTSIDE: &str = "outside faults";

impl Measure {
    /// Every metric as it would be written, for hints.
    pub(super) const EXAMPLES: [&'static str; 10] = [
        "mqtt.delivery_ratio >= 0.999",
        "mqtt.delivery_ratio{qos=1} >= 0.999",
        "mqtt.acked_lost == 0",
        "mqtt.duplicates <= 10",
        "mqtt.latency.p99 < 250ms",
        "mqtt.ack_latency.p99 < 100ms",
        "memory.peak(ID) < 110MiB",
        "cpu.mean(ID) < 0.5",
        "cpu.peak(ID) < 1",
        "node.recovers(ID) < 5s",
    ];

    /// The claim of a text that starts with a metric; `None` where it is none at all, an error where only the rest is wrong.
    pub(super) fn read(text: &str) -> Option<Result<Self, String>> {
        let at = text.find(['<', '>', '='].as_slice()).map(|at| {
            // The `=` of `{qos=1}` compares nothing.
            let end = text.find('}').filter(|_| text.starts_with("mqtt.delivery_ratio{")).unwrap_or(0);
            text[end..].find(['<', '>', '='].as_slice()).map_or(at, |found| end + found)
        });
        let metric = Metric::read(text[..at.unwrap_or(text.len())].trim_end())?;
        Some(Self::compared(metric, &text[at.unwrap_or(text.len())..]))
    }

    fn compared(metric: Metric, rest: &str) -> Result<Self, String> {
        let Some((sign, op)) = Op::ALL.iter().find(|(sign, _)| rest.starts_with(sign)) else {
            return Err(format!("`{metric}` needs one of <, <=, >, >=, == and a bound"));
        };
        let bound = rest[sign.len()..].trim();
        let outside = bound.strip_suffix(OUTSIDE).or_else(|| bound.strip_suffix("[outside faults]"));
        if outside.is_some() && !metric.is_latency() {
            return Err(format!("`{metric}` is about the whole run: only latencies can be {OUTSIDE}"));
        }
        let text = outside.unwrap_or(bound).trim_end();
        let bound = metric.bound(text).map_err(|wanted| format!("`{metric}` is compared with {wanted}"))?;
        if *op == Op::Eq && !matches!(bound, Bound::Count(_) | Bound::Ratio(_)) {
            return Err(format!("`{metric}` is never exactly {bound}: use <, <=, > or >="));
        }
        Ok(Self { metric, op: *op, bound, outside_faults: outside.is_some() })
    }

    /// Whether it holds only if something happened: an upper bound holds of nothing too.
    pub fn is_positive(&self) -> bool {
        let is_zero = match self.bound {
            Bound::Ratio(number) | Bound::Cpus(number) => number <= 0.0,
            Bound::Count(number) | Bound::Bytes(number) => number == 0,
            Bound::Time(span) => span.0.is_zero(),
        };
        match (&self.metric, self.op) {
            (Metric::Recovery(_), _) | (_, Op::Gt) => true,
            (_, Op::Ge | Op::Eq) => !is_zero,
            (_, Op::Lt | Op::Le) => false,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeliveryRatio { qos: None } => f.write_str("mqtt.delivery_ratio"),
            Self::DeliveryRatio { qos: Some(qos) } => write!(f, "mqtt.delivery_ratio{{qos={qos}}}"),
            Self::AckedLost => f.write_str("mqtt.acked_lost"),
            Self::Duplicates => f.write_str("mqtt.duplicates"),
            Self::Latency(rank) => write!(f, "mqtt.latency.{}", rank.as_str()),
            Self::AckLatency(rank) => write!(f, "mqtt.ack_latency.{}", rank.as_str()),
            Self::MemoryPeak(id) => write!(f, "memory.peak({id})"),
            Self::CpuMean(id) => write!(f, "cpu.mean({id})"),
            Self::CpuPeak(id) => write!(f, "cpu.peak({id})"),
            Self::Recovery(id) => write!(f, "node.recovers({id})"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(number) | Self::Cpus(number) => write!(f, "{number}"),
            Self::Count(number) => write!(f, "{number}"),
            Self::Time(span) => span.fmt(f),
            Self::Bytes(bytes) => Size(*bytes).fmt(f),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.metric, self.op.as_str(), self.bound)?;
        if self.outside_faults { write!(f, " {OUTSIDE}") } else { Ok(()) }
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        let kind = |bound: &Self| match bound {
            Self::Ratio(_) => 0,
            Self::Count(_) => 1,
            Self::Time(_) => 2,
            Self::Bytes(_) => 3,
            Self::Cpus(_) => 4,
        };
        match (self, other) {
            (Self::Ratio(a), Self::Ratio(b)) | (Self::Cpus(a), Self::Cpus(b)) => a.total_cmp(b),
            (Self::Count(a), Self::Count(b)) | (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            _ => kind(self).cmp(&kind(other)),
        }
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bound {}

#[cfg(test)]
mod tests {
    use super::Measure;

    fn read(text: &str) -> Option<Result<String, String>> {
        Measure::read(text).map(|read| read.map(|measure| measure.to_string()))
    }

    #[test]
    fn every_example_is_read_and_written_as_it_is() {
        for text in Measure::EXAMPLES {
            assert_eq!(read(text), Some(Ok(text.to_owned())));
        }
        let outside = "mqtt.latency.p50 <= 1s outside faults";
        assert_eq!(read(outside), Some(Ok(outside.to_owned())));
        assert_eq!(read("mqtt.latency.p50<=1s [outside faults]"), Some(Ok(outside.to_owned())));
        assert_eq!(read("memory.peak(a.b-1) < 64m"), Some(Ok("memory.peak(a.b-1) < 64MiB".to_owned())));
    }

    #[test]
    fn what_is_wrong_with_a_known_metric_is_said() {
        for (text, message) in [
            ("mqtt.delivery_ratio", "`mqtt.delivery_ratio` needs one of <, <=, >, >=, == and a bound"),
            ("mqtt.delivery_ratio >= 2", "`mqtt.delivery_ratio` is compared with a number from 0 to 1"),
            ("mqtt.delivery_ratio{qos=1} >= x", "`mqtt.delivery_ratio{qos=1}` is compared with a number"),
            ("mqtt.acked_lost == 0.5", "`mqtt.acked_lost` is compared with a whole number"),
            ("mqtt.latency.p99 < 250", "`mqtt.latency.p99` is compared with a length of time"),
            ("mqtt.latency.p99 == 250ms", "`mqtt.latency.p99` is never exactly 250ms"),
            ("mqtt.duplicates <= 1 outside faults", "`mqtt.duplicates` is about the whole run"),
            ("memory.peak(b) < 110", "`memory.peak(b)` is compared with a size"),
            ("cpu.peak(b) < half", "`cpu.peak(b)` is compared with a number of CPUs"),
            ("node.recovers(b) = 5s", "`node.recovers(b)` needs one of"),
        ] {
            let found = read(text).unwrap().unwrap_err();
            assert!(found.starts_with(message), "{text}: {found}");
        }
        for text in
            ["mqtt.latency.p95 < 1s", "mqtt.delivery_ratio{qos=3} >= 1", "cpu.mean() < 1", "broker.starts"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_cannot_hold_of_nothing_is_positive() {
        let positive = |text: &str| Measure::read(text).unwrap().unwrap().is_positive();
        for text in ["mqtt.delivery_ratio >= 0.9", "node.recovers(b) < 5s", "mqtt.duplicates > 0"] {
            assert!(positive(text), "{text}");
        }
        for text in
            ["mqtt.duplicates <= 3", "mqtt.acked_lost == 0", "mqtt.delivery_ratio >= 0", "cpu.mean(b) < 1"]
        {
            assert!(!positive(text), "{text}");
        }
    }
}
