//! The handle by which faults reach a link. It keeps no timetable.

use std::sync::Arc;

use xedge_model::scenario::Direction;

use super::counters::LinkStats;
use super::wire::{Link, Way};

/// A link that can be cut, mended and reset; cheap to clone.
#[derive(Clone, Debug)]
pub struct LinkControl {
    link: Arc<Link>,
}

/// The ways that a direction means.
fn ways(direction: Direction) -> &'static [Way] {
    match direction {
        Direction::Up => &[Way::Up],
        Direction::Down => &[Way::Down],
        Direction::Both => &[Way::Up, Way::Down],
    }
}

impl LinkControl {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Nothing gets through in this direction until [`LinkControl::heal`]: it waits, as TCP has it sent again, and no
    /// connection is opened. Returns whether anything was still whole.
    pub fn partition(&self, direction: Direction) -> bool {
        self.link.set_cut(ways(direction), true)
    }

    /// Both directions are whole again: what has waited arrives. Returns whether anything was cut.
    pub fn heal(&self) -> bool {
        self.link.set_cut(ways(Direction::Both), false)
    }

    /// Tears all connections down, at both ends; returns how many there were.
    pub fn reset(&self) -> usize {
        self.link.reset()
    }

    /// How many connections take it now.
    pub fn connections(&self) -> usize {
        self.link.open_connections()
    }

    /// What it did so far: the difference of two looks is the measured effect of a fault.
    pub fn stats(&self) -> LinkStats {
        self.link.stats()
    }
}
