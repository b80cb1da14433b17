//! What is read on a device: DSSE envelopes and in-toto statements. Pure Rust; no network, no clock, no files, no secrets.

pub mod dsse;
mod error;
mod key;
pub mod statement;

pub use dsse::{Envelope, VerifiedPayload};
pub use error::Error;
pub use key::VerifyingKey;
pub use statement::Statement;

#[cfg(test)]
mod tests;
