//! What is read on a device: bundles, DSSE envelopes and in-toto statements (FORMAT.md). Pure Rust and synchronous; no
//! network, no clock, no files, no secrets.

pub mod canonical;
pub mod dsse;
mod error;
mod key;
pub mod manifest;
pub mod member;
pub mod pieces;
pub mod refusal;
pub mod staging;
pub mod statement;
mod stream;
pub mod tar;
pub mod time;
pub mod tuf;
pub mod verify;
pub mod write;

pub use dsse::{Envelope, VerifiedPayload};
pub use error::Error;
pub use key::VerifyingKey;
pub use manifest::Manifest;
pub use refusal::{Code, ReadError, Refusal};
pub use statement::Statement;
pub use verify::{Offer, Trust, Verified, read_offer, verify, verify_thin};
pub use write::Writer;

#[cfg(test)]
mod tests;
