//! `release`, `verify`, `bundle` and `keys` as a user types them, on a stack that is gated in seconds.

mod again;
mod evidence;
mod extract;
mod keys;
mod number;
mod stack;
mod tamper;
mod whole;
