//! Time, as it is handed to everything that needs it.

use std::time::Duration;

/// The device's clock and its patience.
pub trait Clock {
    /// Unix time as the system has it; nothing says that it is right.
    fn unix(&self) -> i64;
    /// Time since some moment, never going back.
    fn monotonic(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// Called between two steps of an operation that must each be whole: the place where a test cuts the power.
    fn step(&self, name: &str) {
        let _ = name;
    }
}
