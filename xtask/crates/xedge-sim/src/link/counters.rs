//! What passed through a link, as the report shows it. Counting only.

use std::time::Duration;

use serde::Serialize;

use crate::plan::{LinkPlan, Shape};

/// What one direction of a link did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// Bytes that came out of it.
    pub bytes: u64,
    /// Pieces that came out of it: what one read or write gave, at most a segment of TCP.
    pub pieces: u64,
    /// Shortest time of a piece in it; 0 without any.
    pub delay_min_us: u64,
    /// Longest time of a piece in it.
    pub delay_max_us: u64,
    /// Sum of the times of all pieces in it.
    pub delay_total_us: u64,
    /// Pieces that were held up by a stall.
    pub stalls: u64,
    /// Pieces that were held up as if they had been lost and sent again.
    pub loss_stalls: u64,
    /// Pieces that waited for the end of a partition.
    pub held: u64,
}

impl Passed {
    pub(super) fn count(&mut self, bytes: usize, delay: Duration) {
        let delay = micros(delay);
        self.delay_min_us = if self.pieces == 0 { delay } else { self.delay_min_us.min(delay) };
        self.delay_max_us = self.delay_max_us.max(delay);
        self.delay_total_us = self.delay_total_us.saturating_add(delay);
        self.bytes += bytes as u64;
        self.pieces += 1;
    }
}

/// What a link did in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkStats {
    /// Name of the link.
    pub name: String,
    /// Connections that took it.
    pub connections: u64,
    /// Connections of it that a `reset` tore down.
    pub reset: u64,
    /// How often it was partitioned, in either direction.
    pub partitions: u64,
    /// Away from the node, or from `from` to `to`.
    pub up: OneWay,
    /// The other way.
    pub down: OneWay,
    /// Time of a byte to a listener of our own and back, measured while the run prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<RoundTrip>,
    /// What `loss` means here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_means: Option<&'static str>,
    /// Whether the run is invalid if nothing went through it.
    #[serde(skip)]
    pub must_be_used: bool,
}

/// The words for what `loss` does to a link in real time.
const LOSS: &str = "a stall as long as a retransmission: above TCP no byte is lost";

impl LinkStats {
    /// Whether anything went through it.
    pub fn is_used(&self) -> bool {
        self.connections > 0 && self.up.passed.bytes + self.down.passed.bytes > 0
    }

    pub(super) fn loss_means(plan: &LinkPlan) -> Option<&'static str> {
        (plan.up.loss.is_possible() || plan.down.loss.is_possible()).then_some(LOSS)
    }
}

/// One direction: what was asked for and what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OneWay {
    /// Latency that was asked for.
    pub latency_us: u64,
    /// Jitter that was asked for.
    pub jitter_us: u64,
    /// Bits per second that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_bits: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub passed: Passed,
}

impl OneWay {
    pub(super) fn new(shape: &Shape, passed: Passed) -> Self {
        let (latency_us, jitter_us) = (micros(shape.latency), micros(shape.jitter));
        Self { latency_us, jitter_us, rate_bits: shape.rate, passed }
    }
}

/// Median times of a byte there and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RoundTrip {
    /// Without the link.
    pub direct_us: u64,
    /// Through the link.
    pub linked_us: u64,
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
