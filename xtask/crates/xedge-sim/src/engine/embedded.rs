//! Containers without a daemon. Not there yet: there is no value of it.

/// An engine of our own.
#[derive(Clone, Debug)]
pub enum Embedded {}
