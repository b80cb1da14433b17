//! The device's side of xedge. It trusts a pinned root and nothing else, and changes what runs only along a journal.
//!
//! Everything is synchronous. The clock, the Engine and the moments at which power may fail are handed in.

pub mod apply;
pub mod check;
pub mod clock;
pub mod device;
pub mod doctor;
pub mod engine;
mod error;
pub mod facts;
#[cfg(test)]
mod forge;
pub mod home;
pub mod install;
pub mod plan;
pub mod pull;
pub mod records;
mod sealed;
pub mod secrets;
pub mod session;
pub mod source_file;
pub mod staged;
pub mod state;
pub mod store;
mod transfer;
pub mod trust;
pub mod values;

pub use clock::Clock;
pub use device::Device;
pub use engine::Engine;
pub use error::{Error, Result};
pub use home::Home;
pub use transfer::TransferError;
pub use trust::TrustStore;
