//! The handle by which faults reach a link. It keeps no timetable.

use std::sync::Arc;

use super::counters::LinkStats;
use super::wire::{Link, Way};

/// A link that can be cut, mended and reset; cheap to clone.
#[derive(Clone, Debug)]
pub struct LinkControl {
    link: Arc<Link>,
}

/// Which directions of a link are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Away from the node, or from `from` to `to`.
    Up,
    /// The other way.
    Down,
    /// Both.
    Both,
}

impl Ways {
    fn list(self) -> &'static [Way] {
        match self {
            Self::Up => &[Way::Up],
            Self::Down => &[Way::Down],
            Self::Both => &[Way::Up, Way::Down],
        }
    }
}

impl LinkControl {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Nothing gets through in these directions until [`LinkControl::heal`]: it waits, as TCP has it sent again, and no
    /// connection is opened. Returns whether anything was still whole.
    pub fn partition(&self, ways: Ways) -> bool {
        self.link.set_cut(ways.list(), true)
    }

    /// Both directions are whole again: what has waited arrives. Returns whether anything was cut.
    pub fn heal(&self) -> bool {
        self.link.set_cut(Ways::Both.list(), false)
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
