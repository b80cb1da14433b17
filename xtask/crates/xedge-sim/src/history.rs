//! What happened, in order: every event of a run with its time. Checks and reports read it; it judges nothing.

mod line;
mod names;
mod store;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use camino::Utf8Path;
use serde::Serialize;
use tokio::time::Instant;
use xedge_model::atomic;

pub use self::store::{Events, History};
use crate::Error;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Microseconds since the start of the run, on a monotonic clock.
    pub t_us: u64,
    /// Node that it happened to or at.
    #[serde(serialize_with = "text")]
    pub node: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A phase of the run begins.
    Phase {
        /// `prepare`, `publish` or `watch`, `drain`, `check` or `stop`.
        name: &'static str,
    },
    /// A container was started.
    Started {
        /// Image that it was made of.
        image: String,
    },
    /// A container answered for the first time.
    Ready,
    /// A container was stopped by the run.
    Stopped {
        /// Exit code of its main process.
        code: i64,
    },
    /// A container that is to complete ended by itself.
    Completed {
        /// Exit code of its main process.
        code: i64,
    },
    /// The timeline did something to a node or a link, or saw what came of it.
    Fault {
        /// Number of the entry, from 0.
        entry: usize,
        /// What.
        #[serde(flatten)]
        step: Step,
    },
    /// The broker accepted a model.
    Connected {
        /// Whether the broker had kept its session.
        session_present: bool,
    },
    /// A model got no connection.
    Refused {
        /// CONNACK code; `None` where there was no answer.
        code: Option<u8>,
        /// In words.
        reason: String,
    },
    /// A model lost its connection.
    Disconnected {
        /// In words.
        reason: String,
    },
    /// A model subscribed.
    Subscribed {
        /// Topic filter.
        filter: String,
        /// Granted `QoS`, or 128 for a refusal.
        granted: u8,
    },
    /// A model sent a message.
    Sent {
        /// Topic.
        #[serde(serialize_with = "text")]
        topic: Arc<str>,
        /// Sequence number of the message at its sender.
        seq: u64,
        /// When it was due, on the clock of `t_us`.
        planned_us: u64,
        /// Packet id, for `QoS` 1.
        packet_id: Option<u16>,
        /// Whether this is a repetition.
        dup: bool,
    },
    /// The broker acknowledged a message of a model.
    Acked {
        /// Sequence number of the message.
        seq: u64,
        /// When it was due, on the clock of `t_us`.
        planned_us: u64,
        /// Packet id.
        packet_id: u16,
    },
    /// The broker refused a message of a model (MQTT 5).
    Declined {
        /// Sequence number of the message.
        seq: u64,
        /// Reason code.
        reason: u8,
    },
    /// A gateway model received a reading.
    Received {
        /// Topic.
        #[serde(serialize_with = "text")]
        topic: Arc<str>,
        /// Sensor, from the payload.
        #[serde(serialize_with = "text")]
        from: Arc<str>,
        /// Sequence number, from the payload.
        seq: u64,
        /// When it was due, on the clock of `t_us`.
        planned_us: u64,
        /// Whether the broker marked it as a repetition.
        dup: bool,
    },
    /// A cloud model received an aggregate.
    Upstream {
        /// Topic.
        topic: String,
        /// Gateway, from the payload.
        gateway: String,
        /// Number of the window, from the payload.
        window: u64,
        /// Readings in the window, from the payload.
        readings: u64,
        /// Readings since the gateway started, from the payload.
        total: u64,
        /// Whether the broker marked it as a repetition.
        dup: bool,
    },
    /// A model received something that it does not understand.
    Unreadable {
        /// Topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// A probe asked something.
    Probe {
        /// The expectation that it is for.
        name: String,
        /// What came out.
        result: String,
    },
}

/// What the timeline did to a node or a link, or saw of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The order is given.
    Ordered {
        /// What is to be done.
        action: String,
        /// When it was due, on the clock of `t_us`.
        planned_us: u64,
    },
    /// The main process has ended.
    Gone {
        /// Its exit code.
        code: i64,
    },
    /// The node was started again.
    Started,
    /// The node's processes are held.
    Held,
    /// They go on.
    Released,
    /// The node answers again.
    Ready,
    /// A link lets nothing through any more, or has torn its connections down.
    Cut {
        /// Connections that were open.
        connections: u64,
    },
    /// The link lets everything through again.
    Healed {
        /// Pieces of data that it had held back.
        pieces: u64,
    },
    /// What was ordered did not happen.
    NoEffect {
        /// Why.
        reason: String,
    },
    /// The entry is done.
    Over,
}

impl Step {
    /// Whether from here on messages are held up.
    pub fn breaks(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Held | Self::Cut { .. })
    }

    /// Whether from here on messages can get through again, whoever has asked.
    pub fn resumes(&self) -> bool {
        matches!(self, Self::Started | Self::Released | Self::Healed { .. })
    }

    /// Whether from here on it is known that messages get through again.
    pub fn mends(&self) -> bool {
        matches!(self, Self::Ready | Self::Healed { .. })
    }
}

/// Collects events; cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    start: Instant,
    history: Arc<Mutex<History>>,
}

impl Recorder {
    /// A recorder whose time 0 is `start`.
    pub fn new(start: Instant) -> Self {
        Self { start, history: Arc::default() }
    }

    /// Microseconds from the run's start to `at`; 0 for what was before.
    pub fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    /// Records that something happens now.
    pub fn record(&self, node: &Arc<str>, kind: Kind) {
        // The time is taken under the lock, so that the list is in the order of its times.
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let t_us = self.micros(Instant::now());
        history.push(t_us, node, kind);
    }

    /// Takes everything recorded so far.
    pub fn take(&self) -> History {
        std::mem::take(&mut *self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes a history as JSON lines.
pub fn write(path: &Utf8Path, history: &History) -> Result<(), Error> {
    let lines = |file: &mut std::fs::File| {
        let mut out = io::BufWriter::new(file);
        for event in history {
            line::write(&mut out, &event)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    Ok(atomic::write_with(path, 0o644, lines)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Event, Kind};

    #[test]
    fn an_event_is_one_flat_object() {
        let kind = Kind::Sent { topic: "t".into(), seq: 3, planned_us: 5, packet_id: Some(4), dup: false };
        let event = Event { t_us: 7, node: Arc::from("s-1"), kind };
        let want = r#"{"t_us":7,"node":"s-1","kind":"sent","topic":"t","seq":3,"planned_us":5,"packet_id":4,"dup":false}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), want);
    }
}
