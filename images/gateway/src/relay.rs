//! What to publish and what to acknowledge, and when. Pure: events go in, actions come out.
//!
//! A reading is acknowledged to the broker only after the window that counts it was confirmed upstream. A gateway that
//! dies with an open window loses nothing: the broker delivers what was not acknowledged again.

use std::mem;

use crate::aggregate::{Reading, Sensors, Window};
use crate::config::Config;

/// What the caller has to do, in order. `A` is an acknowledgement that is held back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action<A> {
    /// Publish upstream with `QoS` 1, and report [`Relay::confirmed`] or [`Relay::lost`].
    Publish(Vec<u8>),
    /// Acknowledge a reading.
    Acknowledge(A),
}

/// The open window, and the one that is on its way.
#[derive(Debug)]
pub(crate) struct Relay<A> {
    id: String,
    max_unacked: usize,
    sensors: Sensors,
    open: Window,
    /// Acknowledgements that wait for the open window.
    held: Vec<A>,
    flight: Option<Flight<A>>,
    connected: bool,
    due: bool,
    windows: u64,
    total: u64,
}

/// A window that was published and is not confirmed yet.
#[derive(Debug)]
struct Flight<A> {
    payload: Vec<u8>,
    held: Vec<A>,
    sent: bool,
}

impl<A> Relay<A> {
    /// Nothing read yet, not connected.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            id: config.id.clone(),
            max_unacked: config.max_unacked,
            sensors: Sensors::new(config.outlier_sigma),
            open: Window::default(),
            held: Vec::new(),
            flight: None,
            connected: false,
            due: false,
            windows: 0,
            total: 0,
        }
    }

    /// A message came; `reading` is `None` if it was malformed, `ack` is `None` if it needs no acknowledgement.
    #[must_use]
    pub(crate) fn message(&mut self, reading: Option<&Reading>, ack: Option<A>) -> Vec<Action<A>> {
        if let Some(reading) = reading {
            self.sensors.count(reading, &mut self.open);
        }
        self.held.extend(ack);
        self.advance()
    }

    /// The window's time is over.
    #[must_use]
    pub(crate) fn due(&mut self) -> Vec<Action<A>> {
        self.due = true;
        self.advance()
    }

    /// The broker is there and sends readings.
    #[must_use]
    pub(crate) fn connected(&mut self) -> Vec<Action<A>> {
        self.connected = true;
        self.advance()
    }

    /// The broker is gone, and with it every acknowledgement that it did not get: it delivers those readings again.
    pub(crate) fn disconnected(&mut self) {
        self.connected = false;
        self.held.clear();
        if let Some(flight) = &mut self.flight {
            flight.held.clear();
        }
    }

    /// The broker has taken the published window.
    #[must_use]
    pub(crate) fn confirmed(&mut self) -> Vec<Action<A>> {
        let held = self.flight.take().map(|flight| flight.held).unwrap_or_default();
        let mut actions: Vec<Action<A>> = held.into_iter().map(Action::Acknowledge).collect();
        actions.extend(self.advance());
        actions
    }

    /// The published window was dropped on the way, because the broker had forgotten the session: it goes out again.
    #[must_use]
    pub(crate) fn lost(&mut self) -> Vec<Action<A>> {
        if let Some(flight) = &mut self.flight {
            flight.sent = false;
        }
        self.advance()
    }

    /// Whether everything that was counted is confirmed and acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.flight.is_none() && self.held.is_empty() && self.open.readings() == 0
    }

    /// How many readings since the start.
    pub(crate) fn total(&self) -> u64 {
        self.total + self.open.readings()
    }

    /// One window is on its way at a time; while it is, the open one just grows. So memory stays bounded, and all that
    /// the open window waits for is confirmed once it is confirmed itself.
    fn advance(&mut self) -> Vec<Action<A>> {
        match &mut self.flight {
            _ if !self.connected => Vec::new(),
            Some(flight) if flight.sent => Vec::new(),
            Some(flight) => {
                flight.sent = true;
                vec![Action::Publish(flight.payload.clone())]
            }
            None if !self.due && self.held.len() < self.max_unacked => Vec::new(),
            None => self.close(),
        }
    }

    fn close(&mut self) -> Vec<Action<A>> {
        self.due = false;
        let held = mem::take(&mut self.held);
        if self.open.readings() == 0 {
            // Repeated or malformed, all of it: whatever it repeats is confirmed already.
            return held.into_iter().map(Action::Acknowledge).collect();
        }
        let window = mem::take(&mut self.open);
        self.windows += 1;
        self.total += window.readings();
        let summary = window.summary(&self.id, self.windows, self.total);
        let payload = serde_json::to_vec(&summary).expect("numbers and strings always have a JSON form");
        self.flight = Some(Flight { payload: payload.clone(), held, sent: true });
        vec![Action::Publish(payload)]
    }
}

#[cfg(test)]
mod tests;
