//! The built-in models: MQTT clients that send by plan and record what they see. They judge nothing.

mod client;
mod cloud;
mod fleet;
mod gateway;
pub mod message;
mod outbox;
mod sensor;
mod tally;

pub(crate) use fleet::{Fleet, Setting};
pub use sensor::{Schedule, stimulus};
pub(crate) use tally::Tally;

use bytes::Bytes;
use tokio::time::Instant;

use crate::mqtt::Publish;

/// Where a run stands, as models see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connect and subscribe.
    Prepare,
    /// Send by plan, from this moment on.
    Publish(Instant),
    /// No new readings: what is under way arrives.
    Drain,
    /// Disconnect.
    End,
}

/// A message that a model wants to send.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// Sequence number at the sender.
    pub(crate) seq: u64,
    /// When it was due.
    pub(crate) planned: Instant,
    /// Content.
    pub(crate) payload: Bytes,
}

/// What a model does; the connection is not its business.
pub(crate) trait Behaviour: Send {
    /// The run went on to another phase.
    fn phase(&mut self, phase: Phase);
    /// When [`Behaviour::fire`] wants to be called.
    fn due(&self) -> Option<Instant>;
    /// What to send now.
    fn fire(&mut self) -> Option<Outgoing>;
    /// A message came in.
    fn message(&mut self, publish: &Publish);
    /// The broker acknowledged a message for the first time.
    fn acked(&mut self);
}

#[cfg(test)]
mod tests;
